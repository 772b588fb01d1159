"""The output classes of BERT's own heads."""

# JAX is not where the type checkers run: its types are not known there.
# pyright: basic
from __future__ import annotations

from dataclasses import dataclass

from .. import fields, fields_flax, fields_tf
from ..model_output import ModelOutput
from ..pytree import FrozenOutput, tree_node

__all__ = [
    "BertForPreTrainingOutput",
    "FlaxBertForPreTrainingOutput",
    "TFBertForPreTrainingOutput",
]


@dataclass
class BertForPreTrainingOutput(ModelOutput):
    """BERT pre-training: summed loss, token scores and next-sentence scores."""

    loss: fields.Loss = None
    prediction_logits: fields.TokenLogits = None
    seq_relationship_logits: fields.PairLogits = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None


@dataclass
class TFBertForPreTrainingOutput(ModelOutput):
    """BERT pre-training: summed loss, token scores and next-sentence scores."""

    loss: fields_tf.PreTrainingLoss = None
    prediction_logits: fields_tf.TokenLogits = None
    seq_relationship_logits: fields_tf.PairLogits = None
    hidden_states: fields_tf.HiddenStatesWithEmbeddingsOrOne = None
    attentions: fields_tf.AttentionsOrOne = None


@tree_node
@dataclass(frozen=True)
class FlaxBertForPreTrainingOutput(FrozenOutput):
    """BERT pre-training: token scores and next-sentence scores."""

    prediction_logits: fields_flax.TokenLogits = None
    seq_relationship_logits: fields_flax.PairLogits = None
    hidden_states: fields_flax.HiddenStatesWithEmbeddings = None
    attentions: fields_flax.Attentions = None


fields.document(BertForPreTrainingOutput, TFBertForPreTrainingOutput, FlaxBertForPreTrainingOutput)
