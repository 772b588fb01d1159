"""The vocabulary of output fields: each type with its documented shape, once.

A field is declared by its alias, ``logits: TokenLogits = None``. Type checkers see the type
(``torch.Tensor | None``); `fastoutputs.schema` and the class documentation read the rest. Shapes
and conditions are those of the model-outputs page of transformers. Dtypes are the model's own
floating dtype throughout. `fields_tf` and `fields_flax` say the same of TensorFlow's and JAX's types.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, ForwardRef, NamedTuple, get_args

from .integrations.imports import is_importing, when_imported

if TYPE_CHECKING:
    import torch
    from transformers import cache_utils

    from . import modeling_outputs


class Documented(NamedTuple):
    """What the documentation says of a field, beside its type."""

    meaning: str
    shape: str | None
    """Of the tensor, or of the tensors in the tuple; None where the documentation gives none."""
    returned_when: str


class LazyModule:
    """A module imported when a type hint that names it is resolved; its types are `Any` without it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):  # looking at this object, as inspect does, imports nothing
            raise AttributeError(attribute)
        try:
            return getattr(import_module(self.name), attribute)
        except ImportError:
            return Any


if not TYPE_CHECKING:
    torch = LazyModule("torch")
    cache_utils = LazyModule("transformers.cache_utils")
    modeling_outputs = LazyModule("fastoutputs.modeling_outputs")

ALWAYS = "always"
WITH_LABELS = "labels given"
UNSTATED = "optional; condition not stated"
UNDOCUMENTED = "not documented"
ON_HIDDEN_STATES = "output_hidden_states=True or config.output_hidden_states=True"
ON_ATTENTIONS = "output_attentions=True or config.output_attentions=True"
ON_CACHE = "use_cache=True or config.use_cache=True"
ON_ROUTER_PROBS = (
    "output_router_probs=True with config.add_router_probs=True, or config.output_router_probs=True"
)

# Losses. Documented as (1,); PyTorch models return a 0-dimensional tensor.
Loss = Annotated["torch.Tensor | None", Documented("the training loss", "(1,)", WITH_LABELS)]
LossOfUnstatedShape = Annotated[
    "torch.Tensor | None", Documented("the training loss", None, WITH_LABELS)
]
LossFromLabel = Annotated[
    "torch.Tensor | None", Documented("the training loss", "(1,)", "label given")
]
LossFromNextSentenceLabel = Annotated[
    "torch.Tensor | None", Documented("the next-sentence loss", "(1,)", "next_sentence_label given")
]
LossFromFutureValues = Annotated[
    "torch.Tensor | None", Documented("the forecasting loss", "(1,)", "future_values given")
]
LossFromMaskedPositions = Annotated[
    "torch.Tensor | None", Documented("the reconstruction loss", "(1,)", "bool_masked_pos given")
]
AuxLoss = Annotated[
    "torch.Tensor | None",
    Documented(
        "the load-balancing loss of the sparse layers",
        None,
        "output_router_logits=True or config.output_router_logits=True",
    ),
]
AuxLossOfTrainedRouter = Annotated[
    "torch.Tensor | None",
    Documented(
        "the load-balancing loss of the sparse layers",
        None,
        "output_router_logits=True or config.output_router_logits=True, of a model that trains its router with one",
    ),
]
AuxLossFromLabels = Annotated[
    "torch.Tensor | None",
    Documented("the load-balancing loss of the sparse layers", None, WITH_LABELS),
]
ZLoss = Annotated["torch.Tensor | None", Documented("the z-loss of the router", None, WITH_LABELS)]
UndocumentedLoss = Annotated[
    "torch.Tensor | None", Documented("a loss of the sparse layers of one side", None, UNDOCUMENTED)
]

# Scores.
TokenLogits = Annotated[
    "torch.Tensor | None",
    Documented(
        "a score for each word of the vocabulary at each position",
        "(batch_size, sequence_length, config.vocab_size)",
        ALWAYS,
    ),
]
ClassLogits = Annotated[
    "torch.Tensor | None",
    Documented(
        "a score for each label, a value if there is one label",
        "(batch_size, config.num_labels)",
        ALWAYS,
    ),
]
TokenClassLogits = Annotated[
    "torch.Tensor | None",
    Documented(
        "a score for each label at each position",
        "(batch_size, sequence_length, config.num_labels)",
        ALWAYS,
    ),
]
ChoiceLogits = Annotated[
    "torch.Tensor | None",
    Documented("a score for each choice", "(batch_size, num_choices)", ALWAYS),
]
PairLogits = Annotated[
    "torch.Tensor | None",
    Documented(
        "scores for: the second sentence follows, or it does not", "(batch_size, 2)", ALWAYS
    ),
]
SegmentationLogits = Annotated[
    "torch.Tensor | None",
    Documented(
        "a score for each label at each pixel of the logits",
        "(batch_size, config.num_labels, logits_height, logits_width)",
        ALWAYS,
    ),
]
SpeakerLogits = Annotated[
    "torch.Tensor | None",
    Documented("scores before the speaker loss", "(batch_size, config.xvector_output_dim)", ALWAYS),
]
SpanLogits = Annotated[
    "torch.Tensor | None",
    Documented(
        "a score for each position as an end of the answer", "(batch_size, sequence_length)", ALWAYS
    ),
]

# Hidden states.
LastHiddenState = Annotated[
    "torch.Tensor | None",
    Documented(
        "the output of the last layer", "(batch_size, sequence_length, hidden_size)", ALWAYS
    ),
]
LastHiddenStateOrStep = Annotated[
    "torch.Tensor | None",
    Documented(
        "the output of the last layer",
        "(batch_size, sequence_length, hidden_size); (batch_size, 1, hidden_size) when past_key_values is used",
        ALWAYS,
    ),
]
LastHiddenStateOrCachedStep = Annotated[
    "torch.Tensor | None",
    Documented(
        "the output of the language model's last layer",
        "(batch_size, sequence_length, hidden_size); (batch_size, 1, hidden_size) when cache is used",
        ALWAYS,
    ),
]
LastFeatureMap = Annotated[
    "torch.Tensor | None",
    Documented("the output of the last layer", "(batch_size, num_channels, height, width)", ALWAYS),
]
EncoderLastHiddenState = Annotated[
    "torch.Tensor | None",
    Documented(
        "the output of the encoder's last layer",
        "(batch_size, sequence_length, hidden_size)",
        UNSTATED,
    ),
]
HiddenStates = Annotated[
    "tuple[torch.Tensor, ...] | None",
    Documented(
        "the output of each layer",
        "tuple (embeddings if any + one per layer): (batch_size, sequence_length, hidden_size)",
        ON_HIDDEN_STATES,
    ),
]
HiddenStatesWithEmbeddings = Annotated[
    "tuple[torch.Tensor, ...] | None",
    Documented(
        "the output of each layer",
        "tuple (embeddings + one per layer): (batch_size, sequence_length, hidden_size)",
        ON_HIDDEN_STATES,
    ),
]
PatchHiddenStates = Annotated[
    "tuple[torch.Tensor, ...] | None",
    Documented(
        "the output of each layer",
        "tuple (embeddings if any + one per layer): (batch_size, patch_size, hidden_size)",
        ON_HIDDEN_STATES,
    ),
]
LayerFeatureMaps = Annotated[
    "tuple[torch.Tensor, ...] | None",
    Documented(
        "the output of each layer",
        "tuple (embeddings if any + one per layer): (batch_size, num_channels, height, width)",
        ON_HIDDEN_STATES,
    ),
]
StageHiddenStates = Annotated[
    "tuple[torch.Tensor, ...] | None",
    Documented(
        "the output of each stage",
        "tuple (embeddings if any + one per stage): (batch_size, sequence_length, hidden_size)",
        ON_HIDDEN_STATES,
    ),
]
StageFeatureMaps = Annotated[
    "tuple[torch.Tensor, ...] | None",
    Documented(
        "the output of each stage",
        "tuple (embeddings if any + one per stage): (batch_size, num_channels, height, width)",
        ON_HIDDEN_STATES,
    ),
]
BackboneHiddenStates = Annotated[
    "tuple[torch.Tensor, ...] | None",
    Documented(
        "the output of each layer",
        "tuple (embeddings + one per layer): (batch_size, sequence_length, hidden_size) or (batch_size, num_channels, height, width)",
        ON_HIDDEN_STATES,
    ),
]
FeatureMaps = Annotated[
    "tuple[torch.Tensor, ...] | None",
    Documented(
        "the maps of the chosen stages",
        "tuple of (batch_size, num_channels, height, width)",
        ALWAYS,
    ),
]
PoolerOutput = Annotated[
    "torch.Tensor | None",
    Documented("one vector for the whole input", "(batch_size, hidden_size)", ALWAYS),
]
Projections = Annotated[
    "tuple[torch.Tensor, ...] | None",
    Documented("the projected vectors", "tuple of (batch_size, config.project_dim)", ON_ATTENTIONS),
]
ExtractedFeatures = Annotated[
    "torch.Tensor | None",
    Documented(
        "the output of the last convolution", "(batch_size, sequence_length, conv_dim[-1])", ALWAYS
    ),
]
SpeakerEmbeddings = Annotated[
    "torch.Tensor | None",
    Documented("a vector for each utterance", "(batch_size, config.xvector_output_dim)", ALWAYS),
]

# Attention weights, after the softmax.
Attentions = Annotated[
    "tuple[torch.Tensor, ...] | None",
    Documented(
        "the attention weights of each layer",
        "tuple (one per layer): (batch_size, num_heads, sequence_length, sequence_length)",
        ON_ATTENTIONS,
    ),
]
PatchAttentions = Annotated[
    "tuple[torch.Tensor, ...] | None",
    Documented(
        "the attention weights of each layer",
        "tuple (one per layer): (batch_size, num_heads, patch_size, sequence_length)",
        ON_ATTENTIONS,
    ),
]
CrossAttentions = Annotated[
    "tuple[torch.Tensor, ...] | None",
    Documented(
        "the weights of the decoder's attention to the encoder",
        "tuple (one per layer): (batch_size, num_heads, sequence_length, sequence_length)",
        "output_attentions=True with config.add_cross_attention=True, or config.output_attentions=True",
    ),
]

# Caches.
PastKeyValues = Annotated[
    "cache_utils.Cache | None",
    Documented("keys and values of past steps, to decode on", "Cache object", ON_CACHE),
]
EncoderDecoderPast = Annotated[
    "cache_utils.EncoderDecoderCache | None",
    Documented(
        "keys and values of past steps and of the encoder, to decode on",
        "EncoderDecoderCache object",
        ON_CACHE,
    ),
]

# Routers of mixture-of-experts layers.
RouterProbs = Annotated[
    "tuple[torch.Tensor, ...] | None",
    Documented(
        "the probability of each expert",
        "tuple (one per layer): (batch_size, sequence_length, num_experts)",
        ON_ROUTER_PROBS,
    ),
]
RouterLogits = Annotated[
    "tuple[torch.Tensor, ...] | None",
    Documented(
        "the score of each expert",
        "tuple (one per layer): (batch_size, sequence_length, num_experts)",
        ON_ROUTER_PROBS,
    ),
]
SideRouterLogits = Annotated[
    "tuple[torch.Tensor, ...] | None",
    Documented(
        "the score of each expert",
        "tuple (one per layer): (batch_size, sequence_length, num_experts)",
        "output_router_logits=True or config.add_router_probs=True",
    ),
]
SparseRouterLogits = Annotated[
    "tuple[torch.Tensor, ...] | None",
    Documented(
        "the score of each expert",
        "tuple (one per sparse layer): (batch_size * sequence_length, num_experts)",
        "output_router_logits=True or config.output_router_logits=True",
    ),
]
UndocumentedRouterLogits = Annotated[
    "tuple[torch.Tensor, ...] | None", Documented("the score of each expert", None, UNDOCUMENTED)
]

# Encoders of other modalities.
ImageOutputs = Annotated[
    "modeling_outputs.BaseModelOutputWithPooling | None",
    Documented("the output of the image encoder", None, "images given"),
]
VideoOutputs = Annotated[
    "modeling_outputs.BaseModelOutputWithPooling | None",
    Documented("the output of the video encoder", None, "videos given"),
]
AudioOutputs = Annotated[
    "modeling_outputs.BaseModelOutputWithPooling | None",
    Documented("the output of the audio encoder", None, "audio given"),
]

# Images, speech and time series.
PredictedDepth = Annotated[
    "torch.Tensor | None",
    Documented("a depth for each pixel", "(batch_size, height, width)", ALWAYS),
]
Reconstruction = Annotated[
    "torch.Tensor | None",
    Documented(
        "the restored or enlarged images", "(batch_size, num_channels, height, width)", ALWAYS
    ),
]
Spectrogram = Annotated[
    "torch.Tensor | None",
    Documented(
        "the spoken sound, by time and frequency", "(batch_size, sequence_length, num_bins)", ALWAYS
    ),
]
DistributionParams = Annotated[
    "tuple[torch.Tensor, ...] | None",
    Documented(
        "the parameters of the chosen distribution", "(batch_size, num_samples, num_params)", ALWAYS
    ),
]
Samples = Annotated[
    "torch.Tensor | None",
    Documented(
        "values drawn from the chosen distribution",
        "(batch_size, num_samples, prediction_length) or (batch_size, num_samples, prediction_length, input_size)",
        ALWAYS,
    ),
]
SeriesShift = Annotated[
    "torch.Tensor | None",
    Documented(
        "what each series was shifted by", "(batch_size,) or (batch_size, input_size)", UNSTATED
    ),
]
SeriesScale = Annotated[
    "torch.Tensor | None",
    Documented(
        "what each series was scaled by", "(batch_size,) or (batch_size, input_size)", UNSTATED
    ),
]
StaticFeatures = Annotated[
    "torch.Tensor | None",
    Documented(
        "the features of each series that do not change", "(batch_size, feature size)", UNSTATED
    ),
]


def documentation_of(annotation: Any) -> Documented | None:
    """The `Documented` part of a field's annotation, if it has one."""
    return next((part for part in get_args(annotation)[1:] if isinstance(part, Documented)), None)


def type_of(annotation: Any) -> str:
    """The type of a field as text, without resolving it."""
    if documentation_of(annotation):
        annotation = get_args(annotation)[0]
    if isinstance(annotation, ForwardRef):
        return annotation.__forward_arg__
    if isinstance(annotation, str):
        return annotation
    # list[int] is an instance of type, too, on 3.10.
    is_class = isinstance(annotation, type) and not get_args(annotation)
    return annotation.__qualname__ if is_class else str(annotation)


def _without_indent(docstring: str) -> str:
    if sys.version_info >= (3, 13):  # the compiler has done it; inspect takes a while to import
        return docstring.strip()
    from inspect import cleandoc

    return cleandoc(docstring)


aliases_of: dict[type, dict[str, Any]] = {}
"""Class -> field -> alias, of each class that was documented."""


def document(*classes: type) -> None:
    """Append each field with its type, shape and condition to the docstring of each class.

    As an ``Args:`` section, which is where transformers looks when it documents what a model returns.
    The annotations themselves become plain types, which resolve in the modules of subclasses, too.
    """
    for cls in classes:
        lines = [_without_indent(cls.__doc__ or ""), "", "Args:"]
        scope = vars(sys.modules[cls.__module__])
        aliases = aliases_of[cls] = {}
        for name, annotation in cls.__annotations__.items():
            alias = eval(annotation, scope) if isinstance(annotation, str) else annotation
            documented = documentation_of(alias)
            if documented is None:
                raise TypeError(f"{cls.__name__}.{name} has no alias of the vocabulary")
            aliases[name] = alias
            kind = type_of(alias).removesuffix(" | None")
            shape = f" of shape `{documented.shape}`" if documented.shape else ""
            lines += [
                f"    {name} (`{kind}`{shape}, *optional*):",
                f"        {documented.meaning}. Returned: {documented.returned_when}.",
            ]
        cls.__doc__ = "\n".join(lines)
    _annotate(classes)
    references = (get_args(alias)[0] for cls in classes for alias in aliases_of[cls].values())
    for library in {each for reference in references for each in _libraries_of(reference)}:
        module = sys.modules.get(library)
        if module is None or is_importing(module):
            # While this very thread imports it, the types stay references, which resolve all the same.
            with suppress(RuntimeError):
                when_imported(library, lambda _: _annotate(classes))


def _lazy_modules(scope: dict[str, Any]) -> dict[str, LazyModule]:
    return {name: each for name, each in scope.items() if isinstance(each, LazyModule)}


def _scope_of(reference: ForwardRef) -> dict[str, Any]:
    return vars(sys.modules[str(reference.__forward_module__)])


def _libraries_of(reference: ForwardRef) -> list[str]:
    """The libraries that a type is of."""
    named, text = _lazy_modules(_scope_of(reference)), reference.__forward_arg__
    return [each.name for name, each in named.items() if f"{name}." in text]


def _annotate(classes: Iterable[type]) -> None:
    """Annotate each field with its type, or with a reference to it as long as its library is not there."""
    known: dict[int, Any] = {}
    for cls in classes:
        types = {}
        for name, alias in aliases_of[cls].items():
            reference = get_args(alias)[0]
            if id(reference) not in known:
                known[id(reference)] = _resolved(reference)
            types[name] = known[id(reference)]
            vars(cls)["__dataclass_fields__"][name].type = types[name]
        cls.__annotations__ = types
        if sys.version_info < (3, 14):  # later ones ask the class
            vars(cls)["__init__"].__annotations__.update(types)


def _resolved(reference: ForwardRef) -> Any:
    if not all(library in sys.modules for library in _libraries_of(reference)):
        return reference
    try:
        return eval(reference.__forward_arg__, _scope_of(reference))
    except AttributeError:  # of a library that is still being imported
        return reference


def resolve_types(vocabulary: dict[str, Any]) -> None:
    """Aliases name their types by text; where one is used, that text is looked up in its own module."""
    libraries = _lazy_modules(vocabulary)
    for alias in list(vocabulary.values()):
        if documentation_of(alias):
            reference = get_args(alias)[0]
            reference.__forward_module__ = vocabulary["__name__"]
            # Python 3.14 forgets the module where the alias is itself named by text.
            if hasattr(reference, "__extra_names__"):
                reference.__extra_names__ = libraries


resolve_types(globals())
