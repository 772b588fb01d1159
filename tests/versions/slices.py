"""Indexing, slicing, unpacking and the views of an output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import models
import torch


def run() -> Iterator[tuple[str, Any]]:
    with torch.no_grad():
        out = models.bert("BertForQuestionAnswering")(models.IDS, output_hidden_states=True)
    start, end, *rest = out.to_tuple()
    yield "unpacked", (start, end, rest)
    yield "slices", (out[:2], out[1:], out[::-1], out[-2:-1])
    yield "by key", [out[key] for key in out]
    yield "views", (list(out.keys()), list(out.values()), list(out.items()), len(out))
    yield "asked", ("loss" in out, "start_logits" in out, out.get("loss"), out.loss)
    yield "as dict", {**out}
    yield "bases", isinstance(out, dict)
