"""The bare encoder, with everything that it can return."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import models
import torch


def run() -> Iterator[tuple[str, Any]]:
    with torch.no_grad():
        model = models.bert()
        yield "plain", model(models.IDS)
        yield "all", model(models.IDS, output_hidden_states=True, output_attentions=True)
        yield "tuple", model(models.IDS, return_dict=False)
