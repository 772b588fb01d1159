"""Copies, shallow and deep, and what changes with them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import models
import torch


def run() -> Iterator[tuple[str, Any]]:
    with torch.no_grad():
        out = models.bert()(models.IDS, output_hidden_states=True)
    deep, shallow = copy.deepcopy(out), copy.copy(out)
    deep.last_hidden_state.zero_()
    shallow["pooler_output"] = None
    yield "original", out
    yield "deep", deep
    yield "shallow", (type(shallow).__name__, shallow.last_hidden_state, shallow.pooler_output)
    yield "same", (shallow.last_hidden_state is out.last_hidden_state, deep is out)
