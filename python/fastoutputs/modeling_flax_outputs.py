"""The output classes of Flax models: names, fields, order and defaults as in transformers 4.

Frozen, with `replace`, and nodes of JAX's trees as soon as JAX is imported; neither JAX nor Flax
need be there. No Flax model returns a loss. Declared by the aliases of `fastoutputs.fields_flax`.
"""

# JAX is not where the type checkers run: its types are not known there.
# pyright: basic
from __future__ import (
    annotations,
)  # signatures then show `fields.Attentions`, not all that it holds

from dataclasses import dataclass

from . import fields_flax as fields
from .fields import document
from .pytree import FrozenOutput, tree_node

__all__ = [
    "FlaxBaseModelOutput",
    "FlaxBaseModelOutputWithNoAttention",
    "FlaxBaseModelOutputWithPast",
    "FlaxBaseModelOutputWithPastAndCrossAttentions",
    "FlaxBaseModelOutputWithPooling",
    "FlaxBaseModelOutputWithPoolingAndCrossAttentions",
    "FlaxBaseModelOutputWithPoolingAndNoAttention",
    "FlaxCausalLMOutput",
    "FlaxCausalLMOutputWithCrossAttentions",
    "FlaxImageClassifierOutputWithNoAttention",
    "FlaxMaskedLMOutput",
    "FlaxMultipleChoiceModelOutput",
    "FlaxNextSentencePredictorOutput",
    "FlaxQuestionAnsweringModelOutput",
    "FlaxSeq2SeqLMOutput",
    "FlaxSeq2SeqModelOutput",
    "FlaxSeq2SeqQuestionAnsweringModelOutput",
    "FlaxSeq2SeqSequenceClassifierOutput",
    "FlaxSequenceClassifierOutput",
    "FlaxTokenClassifierOutput",
]


@tree_node
@dataclass(frozen=True)
class FlaxBaseModelOutput(FrozenOutput):
    """Bare model: last hidden state, plus per-layer hidden states and attentions on request."""

    last_hidden_state: fields.LastHiddenState = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None


@tree_node
@dataclass(frozen=True)
class FlaxBaseModelOutputWithNoAttention(FrozenOutput):
    """Bare attention-free (convolutional) model: last feature map and per-layer feature maps."""

    last_hidden_state: fields.LastFeatureMap = None
    hidden_states: fields.LayerFeatureMaps = None


@tree_node
@dataclass(frozen=True)
class FlaxBaseModelOutputWithPoolingAndNoAttention(FrozenOutput):
    """Bare attention-free model plus a spatially pooled vector."""

    last_hidden_state: fields.LastFeatureMap = None
    pooler_output: fields.PoolerOutput = None
    hidden_states: fields.LayerFeatureMaps = None


@tree_node
@dataclass(frozen=True)
class FlaxImageClassifierOutputWithNoAttention(FrozenOutput):
    """Image classifier without attention."""

    logits: fields.ClassLogits = None
    hidden_states: fields.StageFeatureMaps = None


@tree_node
@dataclass(frozen=True)
class FlaxBaseModelOutputWithPast(FrozenOutput):
    """Bare model that may return a key/value cache for faster decoding."""

    last_hidden_state: fields.LastHiddenState = None
    past_key_values: fields.PastKeyValuesByName = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None


@tree_node
@dataclass(frozen=True)
class FlaxBaseModelOutputWithPooling(FrozenOutput):
    """Bare model plus a pooled vector for the whole sequence."""

    last_hidden_state: fields.LastHiddenState = None
    pooler_output: fields.PoolerOutput = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None


@tree_node
@dataclass(frozen=True)
class FlaxBaseModelOutputWithPoolingAndCrossAttentions(FrozenOutput):
    """Bare model with pooled vector, cache and cross-attention weights (what BertModel returns)."""

    last_hidden_state: fields.LastHiddenState = None
    pooler_output: fields.PoolerOutput = None
    hidden_states: fields.HiddenStates = None
    past_key_values: fields.PastKeyValuesIfEncoderDecoder = None
    attentions: fields.Attentions = None
    cross_attentions: fields.CrossAttentions = None


@tree_node
@dataclass(frozen=True)
class FlaxBaseModelOutputWithPastAndCrossAttentions(FrozenOutput):
    """Bare decoder with cache and cross-attention weights."""

    last_hidden_state: fields.LastHiddenStateOrStep = None
    past_key_values: fields.PastKeyValuesIfEncoderDecoder = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None
    cross_attentions: fields.CrossAttentions = None


@tree_node
@dataclass(frozen=True)
class FlaxSeq2SeqModelOutput(FrozenOutput):
    """Encoder-decoder without a head: decoder state, cache, and both stacks' hidden states and attentions."""

    last_hidden_state: fields.LastHiddenStateOrStep = None
    past_key_values: fields.PastKeyValues = None
    decoder_hidden_states: fields.HiddenStatesWithEmbeddings = None
    decoder_attentions: fields.Attentions = None
    cross_attentions: fields.Attentions = None
    encoder_last_hidden_state: fields.EncoderLastHiddenState = None
    encoder_hidden_states: fields.HiddenStatesWithEmbeddings = None
    encoder_attentions: fields.Attentions = None


@tree_node
@dataclass(frozen=True)
class FlaxCausalLMOutputWithCrossAttentions(FrozenOutput):
    """Causal language model with cache and cross-attention weights."""

    logits: fields.TokenLogits = None
    past_key_values: fields.CachedStates = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None
    cross_attentions: fields.Attentions = None


@tree_node
@dataclass(frozen=True)
class FlaxMaskedLMOutput(FrozenOutput):
    """Masked language model: token scores."""

    logits: fields.TokenLogits = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None


@tree_node
@dataclass(frozen=True)
class FlaxSeq2SeqLMOutput(FrozenOutput):
    """Encoder-decoder language model: scores, cache, both stacks' states."""

    logits: fields.TokenLogits = None
    past_key_values: fields.PastKeyValues = None
    decoder_hidden_states: fields.HiddenStatesWithEmbeddings = None
    decoder_attentions: fields.Attentions = None
    cross_attentions: fields.Attentions = None
    encoder_last_hidden_state: fields.EncoderLastHiddenState = None
    encoder_hidden_states: fields.HiddenStatesWithEmbeddings = None
    encoder_attentions: fields.Attentions = None


@tree_node
@dataclass(frozen=True)
class FlaxNextSentencePredictorOutput(FrozenOutput):
    """Whether the second sentence follows the first: two scores."""

    logits: fields.PairLogits = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None


@tree_node
@dataclass(frozen=True)
class FlaxSequenceClassifierOutput(FrozenOutput):
    """Sequence classifier or regressor: class scores."""

    logits: fields.ClassLogits = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None


@tree_node
@dataclass(frozen=True)
class FlaxSeq2SeqSequenceClassifierOutput(FrozenOutput):
    """Encoder-decoder sequence classifier."""

    logits: fields.ClassLogits = None
    past_key_values: fields.PastKeyValues = None
    decoder_hidden_states: fields.HiddenStatesWithEmbeddings = None
    decoder_attentions: fields.Attentions = None
    cross_attentions: fields.Attentions = None
    encoder_last_hidden_state: fields.EncoderLastHiddenState = None
    encoder_hidden_states: fields.HiddenStatesWithEmbeddings = None
    encoder_attentions: fields.Attentions = None


@tree_node
@dataclass(frozen=True)
class FlaxMultipleChoiceModelOutput(FrozenOutput):
    """Multiple choice: one score per choice."""

    logits: fields.ChoiceLogits = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None


@tree_node
@dataclass(frozen=True)
class FlaxTokenClassifierOutput(FrozenOutput):
    """Token classifier: per-token class scores."""

    logits: fields.TokenClassLogits = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None


@tree_node
@dataclass(frozen=True)
class FlaxQuestionAnsweringModelOutput(FrozenOutput):
    """Extractive question answering: span start and span end scores."""

    start_logits: fields.SpanLogits = None
    end_logits: fields.SpanLogits = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None


@tree_node
@dataclass(frozen=True)
class FlaxSeq2SeqQuestionAnsweringModelOutput(FrozenOutput):
    """Encoder-decoder extractive question answering."""

    start_logits: fields.SpanLogits = None
    end_logits: fields.SpanLogits = None
    past_key_values: fields.PastKeyValues = None
    decoder_hidden_states: fields.HiddenStatesWithEmbeddings = None
    decoder_attentions: fields.Attentions = None
    cross_attentions: fields.Attentions = None
    encoder_last_hidden_state: fields.EncoderLastHiddenState = None
    encoder_hidden_states: fields.HiddenStatesWithEmbeddings = None
    encoder_attentions: fields.Attentions = None


document(*(globals()[name] for name in __all__ if name != "FlaxCausalLMOutput"))

FlaxCausalLMOutput = FlaxMaskedLMOutput  # one class under both names, as in transformers
