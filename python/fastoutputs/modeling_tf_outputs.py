"""The output classes of TensorFlow models: names, fields, order and defaults as in transformers 4.

Declared as in `fastoutputs.modeling_outputs`, by the aliases of `fastoutputs.fields_tf`. TensorFlow
need not be there.
"""

from __future__ import annotations  # signatures then show `fields.Loss`, not all that it holds

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import fields_tf as fields
from .fields import document
from .model_output import ModelOutput

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = [
    "TFBaseModelOutput",
    "TFBaseModelOutputWithCrossAttentions",
    "TFBaseModelOutputWithNoAttention",
    "TFBaseModelOutputWithPast",
    "TFBaseModelOutputWithPastAndCrossAttentions",
    "TFBaseModelOutputWithPooling",
    "TFBaseModelOutputWithPoolingAndCrossAttentions",
    "TFBaseModelOutputWithPoolingAndNoAttention",
    "TFCausalLMOutput",
    "TFCausalLMOutputWithCrossAttentions",
    "TFCausalLMOutputWithPast",
    "TFImageClassifierOutput",
    "TFImageClassifierOutputWithNoAttention",
    "TFMaskedImageModelingOutput",
    "TFMaskedLMOutput",
    "TFMultipleChoiceModelOutput",
    "TFNextSentencePredictorOutput",
    "TFQuestionAnsweringModelOutput",
    "TFSemanticSegmenterOutput",
    "TFSemanticSegmenterOutputWithNoAttention",
    "TFSeq2SeqLMOutput",
    "TFSeq2SeqModelOutput",
    "TFSeq2SeqQuestionAnsweringModelOutput",
    "TFSeq2SeqSequenceClassifierOutput",
    "TFSequenceClassifierOutput",
    "TFSequenceClassifierOutputWithPast",
    "TFTokenClassifierOutput",
]


@dataclass
class TFBaseModelOutput(ModelOutput):
    """Bare model: last hidden state, plus per-layer hidden states and attentions on request."""

    last_hidden_state: fields.LastHiddenState = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None


@dataclass
class TFBaseModelOutputWithNoAttention(ModelOutput):
    """Bare attention-free (convolutional) model: last feature map and per-layer feature maps."""

    last_hidden_state: fields.LastFeatureMap = None
    hidden_states: fields.LayerFeatureMaps = None


@dataclass
class TFBaseModelOutputWithPooling(ModelOutput):
    """Bare model plus a pooled vector for the whole sequence."""

    last_hidden_state: fields.LastHiddenState = None
    pooler_output: fields.PoolerOutput = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None


@dataclass
class TFBaseModelOutputWithPoolingAndNoAttention(ModelOutput):
    """Bare attention-free model plus a spatially pooled vector."""

    last_hidden_state: fields.LastFeatureMap = None
    pooler_output: fields.PoolerOutput = None
    hidden_states: fields.LayerFeatureMaps = None


@dataclass
class TFBaseModelOutputWithPoolingAndCrossAttentions(ModelOutput):
    """Bare model with pooled vector, cache and cross-attention weights (what BertModel returns)."""

    last_hidden_state: fields.LastHiddenState = None
    pooler_output: fields.PoolerOutput = None
    past_key_values: fields.PastKeyValues = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None
    cross_attentions: fields.Attentions = None


@dataclass
class TFBaseModelOutputWithPast(ModelOutput):
    """Bare model that may return a key/value cache for faster decoding."""

    last_hidden_state: fields.LastHiddenStateOrStep = None
    past_key_values: fields.PastKeyValues = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None


@dataclass
class TFBaseModelOutputWithCrossAttentions(ModelOutput):
    """Bare decoder layer stack with cross-attention weights."""

    last_hidden_state: fields.LastHiddenState = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None
    cross_attentions: fields.Attentions = None


@dataclass
class TFBaseModelOutputWithPastAndCrossAttentions(ModelOutput):
    """Bare decoder with cache and cross-attention weights."""

    last_hidden_state: fields.LastHiddenStateOrStep = None
    past_key_values: fields.PastKeyValues = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None
    cross_attentions: fields.Attentions = None


@dataclass
class TFSeq2SeqModelOutput(ModelOutput):
    """Encoder-decoder without a head: decoder state, cache, and both stacks' hidden states and attentions."""

    last_hidden_state: fields.LastHiddenStateOrStep = None
    past_key_values: fields.PastKeyValues = None
    decoder_hidden_states: fields.HiddenStatesWithEmbeddings = None
    decoder_attentions: fields.Attentions = None
    cross_attentions: fields.Attentions = None
    encoder_last_hidden_state: fields.EncoderLastHiddenState = None
    encoder_hidden_states: fields.HiddenStatesWithEmbeddings = None
    encoder_attentions: fields.Attentions = None


@dataclass
class TFCausalLMOutput(ModelOutput):
    """Causal language model: next-token loss and scores."""

    loss: fields.LossPerToken = None
    logits: fields.TokenLogits = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None


@dataclass
class TFCausalLMOutputWithPast(ModelOutput):
    """Causal language model with cache."""

    loss: fields.LossPerToken = None
    logits: fields.TokenLogits = None
    past_key_values: fields.PastKeyValues = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None


@dataclass
class TFCausalLMOutputWithCrossAttentions(ModelOutput):
    """Causal language model with cache and cross-attention weights."""

    loss: fields.LossPerToken = None
    logits: fields.TokenLogits = None
    past_key_values: fields.PastKeyValues = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None
    cross_attentions: fields.Attentions = None


@dataclass
class TFMaskedLMOutput(ModelOutput):
    """Masked language model: loss and token scores."""

    loss: fields.LossPerToken = None
    logits: fields.TokenLogits = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None


@dataclass
class TFSeq2SeqLMOutput(ModelOutput):
    """Encoder-decoder language model: loss, scores, cache, both stacks' states."""

    loss: fields.LossPerToken = None
    logits: fields.TokenLogits = None
    past_key_values: fields.PastKeyValues = None
    decoder_hidden_states: fields.HiddenStatesWithEmbeddings = None
    decoder_attentions: fields.Attentions = None
    cross_attentions: fields.Attentions = None
    encoder_last_hidden_state: fields.EncoderLastHiddenState = None
    encoder_hidden_states: fields.HiddenStatesWithEmbeddings = None
    encoder_attentions: fields.Attentions = None


@dataclass
class TFNextSentencePredictorOutput(ModelOutput):
    """Whether the second sentence follows the first: loss and two scores."""

    loss: fields.LossPerPair = None
    logits: fields.PairLogits = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None


@dataclass
class TFSequenceClassifierOutput(ModelOutput):
    """Sequence classifier or regressor: loss and class scores."""

    loss: fields.LossPerExample = None
    logits: fields.ClassLogits = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None


@dataclass
class TFSeq2SeqSequenceClassifierOutput(ModelOutput):
    """Encoder-decoder sequence classifier."""

    loss: fields.LossFromLabel = None
    logits: fields.ClassLogits = None
    past_key_values: fields.PastKeyValues = None
    decoder_hidden_states: fields.HiddenStatesWithEmbeddings = None
    decoder_attentions: fields.Attentions = None
    cross_attentions: fields.Attentions = None
    encoder_last_hidden_state: fields.EncoderLastHiddenState = None
    encoder_hidden_states: fields.HiddenStatesWithEmbeddings = None
    encoder_attentions: fields.Attentions = None


@dataclass
class TFSemanticSegmenterOutput(ModelOutput):
    """Per-pixel class scores for segmentation."""

    loss: fields.Loss = None
    logits: fields.SegmentationLogits = None
    hidden_states: fields.PatchHiddenStates = None
    attentions: fields.PatchAttentions = None


@dataclass
class TFSemanticSegmenterOutputWithNoAttention(ModelOutput):
    """Per-pixel class scores for segmentation, model without attention."""

    loss: fields.Loss = None
    logits: fields.SegmentationLogits = None
    hidden_states: fields.PatchHiddenStates = None


@dataclass
class TFImageClassifierOutput(ModelOutput):
    """Image classifier: loss and class scores."""

    loss: fields.Loss = None
    logits: fields.ClassLogits = None
    hidden_states: fields.StageHiddenStates = None
    attentions: fields.PatchAttentions = None


@dataclass
class TFMultipleChoiceModelOutput(ModelOutput):
    """Multiple choice: loss and one score per choice."""

    loss: fields.LossPerExample = None
    logits: fields.ChoiceLogits = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None


@dataclass
class TFTokenClassifierOutput(ModelOutput):
    """Token classifier: loss and per-token class scores."""

    loss: fields.LossPerToken = None
    logits: fields.TokenClassLogits = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None


@dataclass
class TFQuestionAnsweringModelOutput(ModelOutput):
    """Extractive question answering: loss, span start and span end scores."""

    loss: fields.LossFromPositions = None
    start_logits: fields.SpanLogits = None
    end_logits: fields.SpanLogits = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None


@dataclass
class TFSeq2SeqQuestionAnsweringModelOutput(ModelOutput):
    """Encoder-decoder extractive question answering."""

    loss: fields.Loss = None
    start_logits: fields.SpanLogits = None
    end_logits: fields.SpanLogits = None
    past_key_values: fields.PastKeyValues = None
    decoder_hidden_states: fields.HiddenStatesWithEmbeddings = None
    decoder_attentions: fields.Attentions = None
    encoder_last_hidden_state: fields.EncoderLastHiddenState = None
    encoder_hidden_states: fields.HiddenStatesWithEmbeddings = None
    encoder_attentions: fields.Attentions = None


@dataclass
class TFSequenceClassifierOutputWithPast(ModelOutput):
    """Sequence classifier on a decoder, with cache."""

    loss: fields.LossPerExample = None
    logits: fields.ClassLogits = None
    past_key_values: fields.PastKeyValues = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None


@dataclass
class TFImageClassifierOutputWithNoAttention(ModelOutput):
    """Image classifier without attention."""

    loss: fields.Loss = None
    logits: fields.ClassLogits = None
    hidden_states: fields.StageFeatureMaps = None


@dataclass
class TFMaskedImageModelingOutput(ModelOutput):
    """Masked image modelling: loss and the reconstructed image."""

    loss: fields.LossFromMaskedPositions = None
    reconstruction: fields.Reconstruction = None
    hidden_states: fields.StageHiddenStates = None
    attentions: fields.PatchAttentions = None

    @property
    def logits(self) -> tf.Tensor | None:
        """The name that `reconstruction` had before."""
        warnings.warn(
            "TFMaskedImageModelingOutput.logits is deprecated, use reconstruction instead",
            FutureWarning,
            stacklevel=2,
        )
        return self.reconstruction


document(*(globals()[name] for name in __all__))
