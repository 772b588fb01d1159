"""torch.save and torch.load of an output, alone and within a checkpoint."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import models
import torch


def run() -> Iterator[tuple[str, Any]]:
    with torch.no_grad():
        out = models.gpt2()(models.IDS, use_cache=False, output_hidden_states=True)
    for name, value in {"output": out, "checkpoint": {"step": 3, "outputs": [out]}}.items():
        file = io.BytesIO()
        torch.save(value, file)
        file.seek(0)
        yield name, torch.load(file, weights_only=False)
