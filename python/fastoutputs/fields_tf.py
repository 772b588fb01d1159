"""The vocabulary of `fields` with TensorFlow's types, and what is TensorFlow's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from . import fields
from .fields import ON_CACHE, WITH_LABELS, Documented, documentation_of

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = fields.LazyModule("tensorflow")

# Losses. Unlike PyTorch's, most are not reduced to one number.
_PER_TOKEN = "(n,), n = number of labels that are not masked"
Loss = Annotated["tf.Tensor | None", documentation_of(fields.Loss)]
LossFromLabel = Annotated["tf.Tensor | None", documentation_of(fields.LossFromLabel)]
LossFromMaskedPositions = Annotated[
    "tf.Tensor | None", documentation_of(fields.LossFromMaskedPositions)
]
LossPerToken = Annotated[
    "tf.Tensor | None", Documented("the training loss", _PER_TOKEN, WITH_LABELS)
]
LossPerPair = Annotated[
    "tf.Tensor | None",
    Documented("the next-sentence loss", _PER_TOKEN, "next_sentence_label given"),
]
LossPerExample = Annotated[
    "tf.Tensor | None", Documented("the training loss", "(batch_size,)", WITH_LABELS)
]
LossFromPositions = Annotated[
    "tf.Tensor | None",
    Documented("the training loss", "(batch_size,)", "start_positions and end_positions given"),
]
PreTrainingLoss = Annotated[
    "tf.Tensor | None",
    Documented(
        "the sum of both losses",
        None,
        "not documented; labels and next_sentence_label given (code)",
    ),
]

# Caches.
PastKeyValues = Annotated[
    "list[tf.Tensor] | None",
    Documented(
        "keys and values of past steps, to decode on",
        "list of config.n_layers tensors, each (2, batch_size, num_heads, sequence_length, embed_size_per_head)",
        ON_CACHE,
    ),
]

# As in PyTorch.
TokenLogits = Annotated["tf.Tensor | None", documentation_of(fields.TokenLogits)]
ClassLogits = Annotated["tf.Tensor | None", documentation_of(fields.ClassLogits)]
TokenClassLogits = Annotated["tf.Tensor | None", documentation_of(fields.TokenClassLogits)]
ChoiceLogits = Annotated["tf.Tensor | None", documentation_of(fields.ChoiceLogits)]
PairLogits = Annotated["tf.Tensor | None", documentation_of(fields.PairLogits)]
SegmentationLogits = Annotated["tf.Tensor | None", documentation_of(fields.SegmentationLogits)]
SpanLogits = Annotated["tf.Tensor | None", documentation_of(fields.SpanLogits)]
LastHiddenState = Annotated["tf.Tensor | None", documentation_of(fields.LastHiddenState)]
LastHiddenStateOrStep = Annotated[
    "tf.Tensor | None", documentation_of(fields.LastHiddenStateOrStep)
]
LastFeatureMap = Annotated["tf.Tensor | None", documentation_of(fields.LastFeatureMap)]
EncoderLastHiddenState = Annotated[
    "tf.Tensor | None", documentation_of(fields.EncoderLastHiddenState)
]
HiddenStatesWithEmbeddings = Annotated[
    "tuple[tf.Tensor, ...] | None", documentation_of(fields.HiddenStatesWithEmbeddings)
]
PatchHiddenStates = Annotated[
    "tuple[tf.Tensor, ...] | None", documentation_of(fields.PatchHiddenStates)
]
LayerFeatureMaps = Annotated[
    "tuple[tf.Tensor, ...] | None", documentation_of(fields.LayerFeatureMaps)
]
StageHiddenStates = Annotated[
    "tuple[tf.Tensor, ...] | None", documentation_of(fields.StageHiddenStates)
]
StageFeatureMaps = Annotated[
    "tuple[tf.Tensor, ...] | None", documentation_of(fields.StageFeatureMaps)
]
PoolerOutput = Annotated["tf.Tensor | None", documentation_of(fields.PoolerOutput)]
Attentions = Annotated["tuple[tf.Tensor, ...] | None", documentation_of(fields.Attentions)]
PatchAttentions = Annotated[
    "tuple[tf.Tensor, ...] | None", documentation_of(fields.PatchAttentions)
]
Reconstruction = Annotated["tf.Tensor | None", documentation_of(fields.Reconstruction)]

# BERT documents a single tensor, too.
AttentionsOrOne = Annotated[
    "tuple[tf.Tensor, ...] | tf.Tensor | None", documentation_of(fields.Attentions)
]
HiddenStatesWithEmbeddingsOrOne = Annotated[
    "tuple[tf.Tensor, ...] | tf.Tensor | None", documentation_of(fields.HiddenStatesWithEmbeddings)
]

fields.resolve_types(globals())
