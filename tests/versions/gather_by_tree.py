"""The outputs of two halves of a batch, gathered by torch's trees, as replicas gather theirs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import models
import torch
from torch.utils import _pytree


def run() -> Iterator[tuple[str, Any]]:
    model = models.bert("BertForMaskedLM")
    with torch.no_grad():
        halves = [model(half, output_hidden_states=True) for half in models.IDS.split(1)]
    yield "gathered", _pytree.tree_map(lambda *parts: torch.cat(parts), *halves)
    leaves, spec = _pytree.tree_flatten(halves[0])
    yield "leaves", leaves
    yield "rebuilt", _pytree.tree_unflatten([leaf * 2 for leaf in leaves], spec)
    yield "in a list", _pytree.tree_map(torch.Tensor.float, halves)
