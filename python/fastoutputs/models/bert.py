"""The output classes of BERT's own heads."""

from __future__ import annotations

from dataclasses import dataclass

from .. import fields
from ..model_output import ModelOutput

__all__ = ["BertForPreTrainingOutput"]


@dataclass
class BertForPreTrainingOutput(ModelOutput):
    """BERT pre-training: summed loss, token scores and next-sentence scores."""

    loss: fields.Loss = None
    prediction_logits: fields.TokenLogits = None
    seq_relationship_logits: fields.PairLogits = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None


fields.document(BertForPreTrainingOutput)
