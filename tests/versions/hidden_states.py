"""Where hidden states and attentions stand in the tuple, with and without a loss before them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import models


def run() -> Iterator[tuple[str, Any]]:
    model = models.bert("BertForSequenceClassification")
    for loss in (False, True):
        for states in (False, True):
            for attentions in (False, True):
                out = model(
                    models.IDS,
                    labels=models.IDS[:, 0] % 2 if loss else None,
                    output_hidden_states=states,
                    output_attentions=attentions,
                )
                yield f"loss {loss}, states {states}, attentions {attentions}", out.to_tuple()
                yield "last", out[-1]
