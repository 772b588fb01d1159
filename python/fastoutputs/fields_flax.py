"""The vocabulary of `fields` with JAX's types, and what is Flax's own."""

# JAX is not where the type checkers run: its types are not known there.
# pyright: basic
from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from . import fields
from .fields import ALWAYS, ON_CACHE, Documented, documentation_of

if TYPE_CHECKING:
    import jax.numpy as jnp  # pyright: ignore[reportMissingImports]
else:
    jnp = fields.LazyModule("jax.numpy")

# Caches: no cache object, but arrays.
_KEYS_AND_VALUES = "keys and values of past steps, to decode on"
_PER_LAYER = (
    "tuple of config.n_layers tuples of 2 tensors (batch_size, num_heads, sequence_length, embed_size_per_head), "
    "and 2 more (batch_size, num_heads, encoder_sequence_length, embed_size_per_head)"
)
PastKeyValues = Annotated[
    "tuple[tuple[jnp.ndarray, ...], ...] | None",
    Documented(_KEYS_AND_VALUES, _PER_LAYER, ON_CACHE),
]
PastKeyValuesIfEncoderDecoder = Annotated[
    "tuple[tuple[jnp.ndarray, ...], ...] | None",
    Documented(_KEYS_AND_VALUES, f"{_PER_LAYER} if config.is_encoder_decoder", ON_CACHE),
]
CachedStates = Annotated[
    "tuple[tuple[jnp.ndarray, ...], ...] | None",
    Documented(
        _KEYS_AND_VALUES,
        "tuple of config.n_layers tuples holding cached key and value states (self- and cross-attention)",
        ON_CACHE,
    ),
]
PastKeyValuesByName = Annotated[
    "dict[str, jnp.ndarray] | None",
    Documented(_KEYS_AND_VALUES, "dict of arrays [batch_size, max_length]", ALWAYS),
]

# As in PyTorch.
TokenLogits = Annotated["jnp.ndarray | None", documentation_of(fields.TokenLogits)]
ClassLogits = Annotated["jnp.ndarray | None", documentation_of(fields.ClassLogits)]
TokenClassLogits = Annotated["jnp.ndarray | None", documentation_of(fields.TokenClassLogits)]
ChoiceLogits = Annotated["jnp.ndarray | None", documentation_of(fields.ChoiceLogits)]
PairLogits = Annotated["jnp.ndarray | None", documentation_of(fields.PairLogits)]
SpanLogits = Annotated["jnp.ndarray | None", documentation_of(fields.SpanLogits)]
LastHiddenState = Annotated["jnp.ndarray | None", documentation_of(fields.LastHiddenState)]
LastHiddenStateOrStep = Annotated[
    "jnp.ndarray | None", documentation_of(fields.LastHiddenStateOrStep)
]
LastFeatureMap = Annotated["jnp.ndarray | None", documentation_of(fields.LastFeatureMap)]
EncoderLastHiddenState = Annotated[
    "jnp.ndarray | None", documentation_of(fields.EncoderLastHiddenState)
]
HiddenStates = Annotated["tuple[jnp.ndarray, ...] | None", documentation_of(fields.HiddenStates)]
HiddenStatesWithEmbeddings = Annotated[
    "tuple[jnp.ndarray, ...] | None", documentation_of(fields.HiddenStatesWithEmbeddings)
]
LayerFeatureMaps = Annotated[
    "tuple[jnp.ndarray, ...] | None", documentation_of(fields.LayerFeatureMaps)
]
StageFeatureMaps = Annotated[
    "tuple[jnp.ndarray, ...] | None", documentation_of(fields.StageFeatureMaps)
]
PoolerOutput = Annotated["jnp.ndarray | None", documentation_of(fields.PoolerOutput)]
Attentions = Annotated["tuple[jnp.ndarray, ...] | None", documentation_of(fields.Attentions)]
CrossAttentions = Annotated[
    "tuple[jnp.ndarray, ...] | None", documentation_of(fields.CrossAttentions)
]

fields.resolve_types(globals())
