"""A compiled encoder that returns its output, and one that reads it inside of the graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import models
import torch


def run() -> Iterator[tuple[str, Any]]:
    torch.compiler.reset()
    model = models.bert()

    def pooled(ids: torch.Tensor) -> torch.Tensor:
        out = model(ids)
        return out.pooler_output + out[0].mean(1) + out["last_hidden_state"].sum(1)

    with torch.no_grad():
        yield "output", torch.compile(model, backend="eager")(models.IDS)
        yield "inside", torch.compile(pooled, backend="eager")(models.IDS)
