"""A user's own output classes: one of a library's, one of the base, one with methods."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import models
import torch
from transformers.modeling_outputs import MaskedLMOutput
from transformers.utils import ModelOutput


@dataclass
class Scored(MaskedLMOutput):
    score: Any = None

    def best(self) -> torch.Tensor:
        return self.logits.argmax(-1)


@dataclass
class Pair(ModelOutput):
    left: Any = None
    right: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.made = True


def run() -> Iterator[tuple[str, Any]]:
    with torch.no_grad():
        out = models.bert("BertForMaskedLM")(models.IDS)
    scored = Scored(**out, score=out.logits.amax(-1))
    yield "scored", scored
    yield "best", scored.best()
    yield "is one", (isinstance(scored, type(out)), isinstance(scored, ModelOutput))
    pair = Pair(left=torch.ones(2), right=None)
    yield "pair", pair
    yield "made", (pair.made, pair.right, Pair(right=1)[0], Pair({"left": 3})["left"])
