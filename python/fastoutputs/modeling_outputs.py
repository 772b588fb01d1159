"""The output classes of PyTorch models: names, fields, order and defaults as in transformers.

Fields are declared by the aliases of `fastoutputs.fields`, which hold type, documented shape and
condition; ``help(CausalLMOutputWithPast)`` lists them. A loss is documented as ``(1,)`` and is
0-dimensional in PyTorch.
"""

from __future__ import annotations  # signatures then show `fields.Loss`, not all that it holds

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import fields
from .model_output import ModelOutput

if TYPE_CHECKING:
    from typing import Any

    import torch

__all__ = [
    "BackboneOutput",
    "BaseModelOutput",
    "BaseModelOutputWithCrossAttentions",
    "BaseModelOutputWithNoAttention",
    "BaseModelOutputWithPast",
    "BaseModelOutputWithPastAndCrossAttentions",
    "BaseModelOutputWithPooling",
    "BaseModelOutputWithPoolingAndCrossAttentions",
    "BaseModelOutputWithPoolingAndNoAttention",
    "BaseModelOutputWithPoolingAndProjection",
    "CausalLMOutput",
    "CausalLMOutputWithCrossAttentions",
    "CausalLMOutputWithPast",
    "DepthEstimatorOutput",
    "ImageClassifierOutput",
    "ImageClassifierOutputWithNoAttention",
    "ImageSuperResolutionOutput",
    "MaskedImageModelingOutput",
    "MaskedLMOutput",
    "MoECausalLMOutputWithPast",
    "MoEModelOutput",
    "MoEModelOutputWithPastAndCrossAttentions",
    "MoeCausalLMOutputWithPast",
    "MoeModelOutputWithPast",
    "MultimodalBaseModelOutputWithPast",
    "MultimodalCausalLMOutputWithPast",
    "MultimodalModelOutput",
    "MultimodalMoeBaseModelOutputWithPast",
    "MultimodalMoeCausalLMOutputWithPast",
    "MultipleChoiceModelOutput",
    "NextSentencePredictorOutput",
    "QuestionAnsweringModelOutput",
    "SampleTSPredictionOutput",
    "SemanticSegmenterOutput",
    "Seq2SeqLMOutput",
    "Seq2SeqMoEModelOutput",
    "Seq2SeqMoEOutput",
    "Seq2SeqModelOutput",
    "Seq2SeqQuestionAnsweringModelOutput",
    "Seq2SeqSequenceClassifierOutput",
    "Seq2SeqSpectrogramOutput",
    "Seq2SeqTSModelOutput",
    "Seq2SeqTSPredictionOutput",
    "SequenceClassifierOutput",
    "SequenceClassifierOutputWithPast",
    "TokenClassifierOutput",
    "Wav2Vec2BaseModelOutput",
    "XVectorOutput",
]

# transformers 5.24 calls this field `cache`: code that was written for it works with these classes, too.
_CACHE = {"cache": "past_key_values"}


@dataclass
class BaseModelOutput(ModelOutput):
    """Bare model: last hidden state, plus per-layer hidden states and attentions on request."""

    last_hidden_state: fields.LastHiddenState = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None


@dataclass
class BaseModelOutputWithNoAttention(ModelOutput):
    """Bare attention-free (convolutional) model: last feature map and per-layer feature maps."""

    last_hidden_state: fields.LastFeatureMap = None
    hidden_states: fields.LayerFeatureMaps = None


@dataclass
class BaseModelOutputWithPooling(ModelOutput):
    """Bare model plus a pooled vector for the whole sequence."""

    last_hidden_state: fields.LastHiddenState = None
    pooler_output: fields.PoolerOutput = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None


@dataclass
class BaseModelOutputWithPoolingAndNoAttention(ModelOutput):
    """Bare attention-free model plus a spatially pooled vector."""

    last_hidden_state: fields.LastFeatureMap = None
    pooler_output: fields.PoolerOutput = None
    hidden_states: fields.LayerFeatureMaps = None


@dataclass
class BaseModelOutputWithPast(ModelOutput, aliases=_CACHE):
    """Bare model that may return a key/value cache for faster decoding."""

    last_hidden_state: fields.LastHiddenStateOrStep = None
    past_key_values: fields.PastKeyValues = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None


@dataclass
class BaseModelOutputWithCrossAttentions(ModelOutput):
    """Bare decoder layer stack with cross-attention weights."""

    last_hidden_state: fields.LastHiddenState = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None
    cross_attentions: fields.CrossAttentions = None


@dataclass
class BaseModelOutputWithPoolingAndCrossAttentions(ModelOutput, aliases=_CACHE):
    """Bare model with pooled vector, cache and cross-attention weights (what BertModel returns)."""

    last_hidden_state: fields.LastHiddenState = None
    pooler_output: fields.PoolerOutput = None
    hidden_states: fields.HiddenStates = None
    past_key_values: fields.PastKeyValues = None
    attentions: fields.Attentions = None
    cross_attentions: fields.CrossAttentions = None


@dataclass
class BaseModelOutputWithPastAndCrossAttentions(ModelOutput, aliases=_CACHE):
    """Bare decoder with cache and cross-attention weights."""

    last_hidden_state: fields.LastHiddenStateOrStep = None
    past_key_values: fields.PastKeyValues = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None
    cross_attentions: fields.CrossAttentions = None


@dataclass
class MoEModelOutput(ModelOutput):
    """Bare mixture-of-experts model with router probabilities."""

    last_hidden_state: fields.LastHiddenState = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None
    router_probs: fields.RouterProbs = None
    router_logits: fields.UndocumentedRouterLogits = None


@dataclass
class MoeModelOutputWithPast(ModelOutput, aliases=_CACHE):
    """Bare mixture-of-experts model with cache and router logits."""

    last_hidden_state: fields.LastHiddenState = None
    past_key_values: fields.PastKeyValues = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None
    router_logits: fields.RouterLogits = None


@dataclass
class MoeCausalLMOutputWithPast(ModelOutput, aliases=_CACHE):
    """Mixture-of-experts causal language model with cache, load-balancing loss and router logits."""

    loss: fields.Loss = None
    aux_loss: fields.AuxLoss = None
    logits: fields.TokenLogits = None
    past_key_values: fields.PastKeyValues = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None
    router_logits: fields.SparseRouterLogits = None


@dataclass
class MoEModelOutputWithPastAndCrossAttentions(ModelOutput, aliases=_CACHE):
    """Mixture-of-experts decoder with cache, cross-attention weights and router probabilities."""

    last_hidden_state: fields.LastHiddenStateOrStep = None
    past_key_values: fields.PastKeyValues = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None
    cross_attentions: fields.CrossAttentions = None
    router_probs: fields.RouterProbs = None
    router_logits: fields.UndocumentedRouterLogits = None


@dataclass
class Seq2SeqModelOutput(ModelOutput, aliases=_CACHE):
    """Encoder-decoder without a head: decoder state, cache, and both stacks' hidden states and attentions."""

    last_hidden_state: fields.LastHiddenStateOrStep = None
    past_key_values: fields.EncoderDecoderPast = None
    decoder_hidden_states: fields.HiddenStates = None
    decoder_attentions: fields.Attentions = None
    cross_attentions: fields.Attentions = None
    encoder_last_hidden_state: fields.EncoderLastHiddenState = None
    encoder_hidden_states: fields.HiddenStates = None
    encoder_attentions: fields.Attentions = None


@dataclass
class Seq2SeqMoEModelOutput(ModelOutput, aliases=_CACHE):
    """Mixture-of-experts encoder-decoder without a head, with both routers' logits."""

    last_hidden_state: fields.LastHiddenStateOrStep = None
    past_key_values: fields.EncoderDecoderPast = None
    decoder_hidden_states: fields.HiddenStates = None
    decoder_attentions: fields.Attentions = None
    decoder_router_logits: fields.SideRouterLogits = None
    cross_attentions: fields.Attentions = None
    encoder_last_hidden_state: fields.EncoderLastHiddenState = None
    encoder_hidden_states: fields.HiddenStates = None
    encoder_attentions: fields.Attentions = None
    encoder_router_logits: fields.SideRouterLogits = None


@dataclass
class CausalLMOutput(ModelOutput):
    """Causal language model: next-token loss and scores."""

    loss: fields.Loss = None
    logits: fields.TokenLogits = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None


@dataclass
class CausalLMOutputWithPast(ModelOutput, aliases=_CACHE):
    """Causal language model with cache."""

    loss: fields.Loss = None
    logits: fields.TokenLogits = None
    past_key_values: fields.PastKeyValues = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None


@dataclass
class CausalLMOutputWithCrossAttentions(ModelOutput, aliases=_CACHE):
    """Causal language model with cache and cross-attention weights."""

    loss: fields.Loss = None
    logits: fields.TokenLogits = None
    past_key_values: fields.PastKeyValues = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None
    cross_attentions: fields.Attentions = None


@dataclass
class SequenceClassifierOutputWithPast(ModelOutput, aliases=_CACHE):
    """Sequence classifier on a decoder, with cache."""

    loss: fields.Loss = None
    logits: fields.ClassLogits = None
    past_key_values: fields.PastKeyValues = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None


@dataclass
class MaskedLMOutput(ModelOutput):
    """Masked language model: loss and token scores."""

    loss: fields.Loss = None
    logits: fields.TokenLogits = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None


@dataclass
class Seq2SeqLMOutput(ModelOutput, aliases=_CACHE):
    """Encoder-decoder language model: loss, scores, cache, both stacks' states."""

    loss: fields.Loss = None
    logits: fields.TokenLogits = None
    past_key_values: fields.EncoderDecoderPast = None
    decoder_hidden_states: fields.HiddenStates = None
    decoder_attentions: fields.Attentions = None
    cross_attentions: fields.Attentions = None
    encoder_last_hidden_state: fields.EncoderLastHiddenState = None
    encoder_hidden_states: fields.HiddenStates = None
    encoder_attentions: fields.Attentions = None


@dataclass
class Seq2SeqMoEOutput(ModelOutput, aliases=_CACHE):
    """Mixture-of-experts encoder-decoder language model with its auxiliary losses and router logits."""

    loss: fields.Loss = None
    logits: fields.TokenLogits = None
    encoder_z_loss: fields.UndocumentedLoss = None
    decoder_z_loss: fields.UndocumentedLoss = None
    encoder_aux_loss: fields.UndocumentedLoss = None
    decoder_aux_loss: fields.UndocumentedLoss = None
    past_key_values: fields.EncoderDecoderPast = None
    decoder_hidden_states: fields.HiddenStates = None
    decoder_attentions: fields.Attentions = None
    decoder_router_logits: fields.SideRouterLogits = None
    cross_attentions: fields.Attentions = None
    encoder_last_hidden_state: fields.EncoderLastHiddenState = None
    encoder_hidden_states: fields.HiddenStates = None
    encoder_attentions: fields.Attentions = None
    encoder_router_logits: fields.SideRouterLogits = None


@dataclass
class NextSentencePredictorOutput(ModelOutput):
    """Whether the second sentence follows the first: loss and two scores."""

    loss: fields.LossFromNextSentenceLabel = None
    logits: fields.PairLogits = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None


@dataclass
class SequenceClassifierOutput(ModelOutput):
    """Sequence classifier or regressor: loss and class scores."""

    loss: fields.Loss = None
    logits: fields.ClassLogits = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None


@dataclass
class Seq2SeqSequenceClassifierOutput(ModelOutput, aliases=_CACHE):
    """Encoder-decoder sequence classifier."""

    loss: fields.LossFromLabel = None
    logits: fields.ClassLogits = None
    past_key_values: fields.EncoderDecoderPast = None
    decoder_hidden_states: fields.HiddenStates = None
    decoder_attentions: fields.Attentions = None
    cross_attentions: fields.Attentions = None
    encoder_last_hidden_state: fields.EncoderLastHiddenState = None
    encoder_hidden_states: fields.HiddenStates = None
    encoder_attentions: fields.Attentions = None


@dataclass
class MultipleChoiceModelOutput(ModelOutput):
    """Multiple choice: loss and one score per choice."""

    loss: fields.LossOfUnstatedShape = None
    logits: fields.ChoiceLogits = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None


@dataclass
class TokenClassifierOutput(ModelOutput):
    """Token classifier: loss and per-token class scores."""

    loss: fields.Loss = None
    logits: fields.TokenClassLogits = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None


@dataclass
class QuestionAnsweringModelOutput(ModelOutput):
    """Extractive question answering: loss, span start and span end scores."""

    loss: fields.Loss = None
    start_logits: fields.SpanLogits = None
    end_logits: fields.SpanLogits = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None


@dataclass
class Seq2SeqQuestionAnsweringModelOutput(ModelOutput, aliases=_CACHE):
    """Encoder-decoder extractive question answering."""

    loss: fields.Loss = None
    start_logits: fields.SpanLogits = None
    end_logits: fields.SpanLogits = None
    past_key_values: fields.EncoderDecoderPast = None
    decoder_hidden_states: fields.HiddenStates = None
    decoder_attentions: fields.Attentions = None
    cross_attentions: fields.Attentions = None
    encoder_last_hidden_state: fields.EncoderLastHiddenState = None
    encoder_hidden_states: fields.HiddenStates = None
    encoder_attentions: fields.Attentions = None


@dataclass
class SemanticSegmenterOutput(ModelOutput):
    """Per-pixel class scores for segmentation."""

    loss: fields.Loss = None
    logits: fields.SegmentationLogits = None
    hidden_states: fields.PatchHiddenStates = None
    attentions: fields.PatchAttentions = None


@dataclass
class ImageClassifierOutput(ModelOutput):
    """Image classifier: loss and class scores."""

    loss: fields.Loss = None
    logits: fields.ClassLogits = None
    hidden_states: fields.StageHiddenStates = None
    attentions: fields.PatchAttentions = None


@dataclass
class ImageClassifierOutputWithNoAttention(ModelOutput):
    """Image classifier without attention."""

    loss: fields.Loss = None
    logits: fields.ClassLogits = None
    hidden_states: fields.StageFeatureMaps = None


@dataclass
class DepthEstimatorOutput(ModelOutput):
    """Depth estimator: loss and one depth per pixel."""

    loss: fields.Loss = None
    predicted_depth: fields.PredictedDepth = None
    hidden_states: fields.LayerFeatureMaps = None
    attentions: fields.PatchAttentions = None


@dataclass
class ImageSuperResolutionOutput(ModelOutput):
    """Super resolution: loss and the reconstructed image."""

    loss: fields.Loss = None
    reconstruction: fields.Reconstruction = None
    hidden_states: fields.StageHiddenStates = None
    attentions: fields.PatchAttentions = None


@dataclass
class Wav2Vec2BaseModelOutput(ModelOutput):
    """Speech encoder: last hidden state and convolutional features."""

    last_hidden_state: fields.LastHiddenState = None
    extract_features: fields.ExtractedFeatures = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None


@dataclass
class XVectorOutput(ModelOutput):
    """Speaker model: loss, class scores and utterance embeddings."""

    loss: fields.Loss = None
    logits: fields.SpeakerLogits = None
    embeddings: fields.SpeakerEmbeddings = None
    hidden_states: fields.HiddenStatesWithEmbeddings = None
    attentions: fields.Attentions = None


@dataclass
class BackboneOutput(ModelOutput):
    """Vision backbone: feature maps of the chosen stages."""

    feature_maps: fields.FeatureMaps = None
    hidden_states: fields.BackboneHiddenStates = None
    attentions: fields.Attentions = None


@dataclass
class BaseModelOutputWithPoolingAndProjection(ModelOutput):
    """Bare text model with pooled vector and the state before projection."""

    last_hidden_state: fields.LastHiddenState = None
    pooler_output: fields.PoolerOutput = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None
    projection_state: fields.Projections = None


@dataclass
class Seq2SeqSpectrogramOutput(ModelOutput, aliases=_CACHE):
    """Encoder-decoder speech synthesis: loss and spectrogram."""

    loss: fields.Loss = None
    spectrogram: fields.Spectrogram = None
    past_key_values: fields.EncoderDecoderPast = None
    decoder_hidden_states: fields.HiddenStates = None
    decoder_attentions: fields.Attentions = None
    cross_attentions: fields.Attentions = None
    encoder_last_hidden_state: fields.EncoderLastHiddenState = None
    encoder_hidden_states: fields.HiddenStates = None
    encoder_attentions: fields.Attentions = None


@dataclass
class Seq2SeqTSModelOutput(ModelOutput, aliases=_CACHE):
    """Time-series encoder-decoder without a head, with the scaling of the context window."""

    last_hidden_state: fields.LastHiddenStateOrStep = None
    past_key_values: fields.EncoderDecoderPast = None
    decoder_hidden_states: fields.HiddenStates = None
    decoder_attentions: fields.Attentions = None
    cross_attentions: fields.Attentions = None
    encoder_last_hidden_state: fields.EncoderLastHiddenState = None
    encoder_hidden_states: fields.HiddenStates = None
    encoder_attentions: fields.Attentions = None
    loc: fields.SeriesShift = None
    scale: fields.SeriesScale = None
    static_features: fields.StaticFeatures = None


@dataclass
class Seq2SeqTSPredictionOutput(ModelOutput, aliases=_CACHE):
    """Time-series encoder-decoder with loss and distribution parameters."""

    loss: fields.LossFromFutureValues = None
    params: fields.DistributionParams = None
    past_key_values: fields.EncoderDecoderPast = None
    decoder_hidden_states: fields.HiddenStates = None
    decoder_attentions: fields.Attentions = None
    cross_attentions: fields.Attentions = None
    encoder_last_hidden_state: fields.EncoderLastHiddenState = None
    encoder_hidden_states: fields.HiddenStates = None
    encoder_attentions: fields.Attentions = None
    loc: fields.SeriesShift = None
    scale: fields.SeriesScale = None
    static_features: fields.StaticFeatures = None


@dataclass
class SampleTSPredictionOutput(ModelOutput):
    """Values sampled by a time-series model."""

    sequences: fields.Samples = None


@dataclass
class MaskedImageModelingOutput(ModelOutput):
    """Masked image modelling: loss and the reconstructed image."""

    loss: fields.LossFromMaskedPositions = None
    reconstruction: fields.Reconstruction = None
    hidden_states: fields.StageHiddenStates = None
    attentions: fields.PatchAttentions = None

    @property
    def logits(self) -> torch.Tensor | None:
        """The name that `reconstruction` had before; transformers 5 has dropped it."""
        warnings.warn(
            "MaskedImageModelingOutput.logits is deprecated, use reconstruction instead",
            FutureWarning,
            stacklevel=2,
        )
        return self.reconstruction


@dataclass
class MoECausalLMOutputWithPast(ModelOutput, aliases=_CACHE):
    """Causal language model with cache and mixture-of-experts losses and router logits.

    In transformers 4.57 a class of its own, as here; in 5.x the name is an alias of
    `MoeCausalLMOutputWithPast`, whose fields and order differ.
    """

    loss: fields.Loss = None
    logits: fields.TokenLogits = None
    past_key_values: fields.PastKeyValues = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None
    z_loss: fields.ZLoss = None
    aux_loss: fields.AuxLossFromLabels = None
    router_logits: fields.SideRouterLogits = None


# These came with transformers 5.24, so their field has the name that it has there.
_OLD_CACHE = {"past_key_values": "cache", "cache_params": "cache"}


@dataclass
class MultimodalModelOutput(ModelOutput, aliases=_OLD_CACHE):
    """The base of multimodal outputs: `to_tuple` turns the output of each encoder into a tuple, too."""

    def to_tuple(self) -> tuple[Any, ...]:
        """All values that are not None, in declared order, extra keys last."""
        encoders = ("image_outputs", "video_outputs", "audio_outputs")
        return tuple(
            getattr(self, key).to_tuple() if key in encoders else self[key] for key in self.keys()
        )


@dataclass
class MultimodalBaseModelOutputWithPast(MultimodalModelOutput):
    """Bare multimodal model: the language model's state and cache, and the output of each encoder."""

    last_hidden_state: fields.LastHiddenStateOrCachedStep = None
    cache: fields.PastKeyValues = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None
    image_outputs: fields.ImageOutputs = None
    video_outputs: fields.VideoOutputs = None
    audio_outputs: fields.AudioOutputs = None


@dataclass
class MultimodalCausalLMOutputWithPast(MultimodalModelOutput):
    """Multimodal causal language model: token scores, cache, and the output of each encoder."""

    loss: fields.Loss = None
    logits: fields.TokenLogits = None
    cache: fields.PastKeyValues = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None
    image_outputs: fields.ImageOutputs = None
    video_outputs: fields.VideoOutputs = None
    audio_outputs: fields.AudioOutputs = None


@dataclass
class MultimodalMoeBaseModelOutputWithPast(MultimodalModelOutput):
    """Bare multimodal mixture-of-experts model: with router logits."""

    last_hidden_state: fields.LastHiddenStateOrCachedStep = None
    cache: fields.PastKeyValues = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None
    router_logits: fields.SparseRouterLogits = None
    image_outputs: fields.ImageOutputs = None
    video_outputs: fields.VideoOutputs = None
    audio_outputs: fields.AudioOutputs = None


@dataclass
class MultimodalMoeCausalLMOutputWithPast(MultimodalModelOutput):
    """Multimodal mixture-of-experts causal language model: with load-balancing loss and router logits."""

    loss: fields.Loss = None
    aux_loss: fields.AuxLossOfTrainedRouter = None
    logits: fields.TokenLogits = None
    cache: fields.PastKeyValues = None
    hidden_states: fields.HiddenStates = None
    attentions: fields.Attentions = None
    router_logits: fields.SparseRouterLogits = None
    image_outputs: fields.ImageOutputs = None
    video_outputs: fields.VideoOutputs = None
    audio_outputs: fields.AudioOutputs = None


fields.document(*(globals()[name] for name in __all__))
