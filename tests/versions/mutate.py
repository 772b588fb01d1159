"""What programs change in an output, and what an output refuses."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import models
import torch


def error(change: Any) -> Any:
    try:
        return change()
    except Exception as raised:
        return raised


def run() -> Iterator[tuple[str, Any]]:
    with torch.no_grad():
        out = models.bert("BertForMaskedLM")(models.IDS)
    out.logits = out.logits * 2
    out["extra"] = torch.ones(2)
    out.note = SimpleNamespace(text="kept")
    yield "changed", out
    yield "note", out.note.text
    # The original raises a plain Exception here, ours one of its subclasses.
    for change in (
        lambda: out.update(loss=1),
        lambda: out.pop("logits"),
        lambda: out.setdefault("loss", 1),
    ):
        yield "refused", isinstance(error(change), Exception)
    yield "key", error(lambda: out["absent"])
    yield "attribute", error(lambda: out.absent)
    yield "index", error(lambda: out[9])
