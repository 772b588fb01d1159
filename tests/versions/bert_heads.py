"""Each head of BERT, with its loss where it has one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import models
import torch

LABELS = {
    "BertForMaskedLM": {"labels": models.IDS},
    "BertForSequenceClassification": {"labels": torch.tensor([0, 1])},
    "BertForTokenClassification": {"labels": models.IDS % 2},
    "BertForQuestionAnswering": {
        "start_positions": torch.tensor([1, 2]),
        "end_positions": torch.tensor([3, 4]),
    },
    "BertForNextSentencePrediction": {"labels": torch.tensor([0, 1])},
    "BertForPreTraining": {"labels": models.IDS, "next_sentence_label": torch.tensor([0, 1])},
}


def run() -> Iterator[tuple[str, Any]]:
    for name, labels in LABELS.items():
        yield name, models.bert(name)(models.IDS, **labels)
