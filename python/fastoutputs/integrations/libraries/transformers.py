"""transformers: where its ModelOutput is, what it does, which of its classes we declare, too, and what else changes."""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ...model_output import ModelOutput
from ..library import Generation, Library

__all__ = ["LIBRARY"]


def _notice_of(original: Any) -> Callable[[type, str, str], object]:
    """transformers' own deprecation warning for an old name: once, by its logger, and not while tracing."""
    rename, is_tracing = (
        original._replace_old_cache_name,
        sys.modules[original.__module__].is_tracing,
    )
    has_warned = False

    def notice(cls: type, old: str, new: str) -> None:
        nonlocal has_warned
        if not has_warned:  # to ask its logger each time would cost more than the rest
            rename(None, old)
            has_warned = not is_tracing()

    return notice


@functools.cache
def _forgiving(cls: type[ModelOutput]) -> type[ModelOutput]:
    """The class with None for absent keys; no dataclass of its own, so the fields are the same."""
    return type(cls.__name__, (cls,), {"__getitem__": lambda output, key: output.get(key)})


def _copy(source: ModelOutput, target: ModelOutput, names: list[str]) -> ModelOutput:
    for name in names:
        target[name] = source.get(name)
    return target


def _patch_serving_output(module: ModuleType) -> Callable[[], None]:
    """Let TFPreTrainedModel.serving_output work on a forgiving copy; returns a function that undoes it.

    It empties fields by key, and reads them by key afterwards. What is empty has no key here, so it gets an
    output that answers None in its place. Without this, `serving` and ``save_pretrained(saved_model=True)`` end in
    a KeyError where a model returns more than its config says; TFEncoderDecoderModel always does.
    """
    model: Any = module.TFPreTrainedModel
    original = model.serving_output

    def serving_output(self: Any, output: Any) -> Any:
        if not isinstance(output, ModelOutput):
            return original(self, output)
        names, forgiving = list(output), _forgiving(type(output))
        draft = _copy(output, forgiving.__new__(forgiving), names)
        result = original(self, draft)
        return _copy(draft, output, names) if result is draft else result

    serving_output.__doc__ = original.__doc__
    model.serving_output = serving_output

    def undo() -> None:
        if model.serving_output is serving_output:
            model.serving_output = original

    return undo


# Fingerprints by `tools/base_parts.py`. A part that has two was written anew in between, to the same effect.
_IN_ALL = {
    "__init__": "f099308f67af 6ba849eac5b5 711a9d3d7bb3",
    "__init_subclass__": "004ff6554e07 a4dc074dd1b6 b56be8c609fe 7e77ae5e131c acbf9a5c86d4",
    "__post_init__": "a74aaaace8e9 c3d1305b5dd5 64eb0047eb8d",
    "__delitem__": "b8d3ea9e747b",
    "setdefault": "74fcbd3f58f3",
    "pop": "f0f13e15ba64",
    "update": "07749b6676e4",
    "__reduce__": "a9cd791c6f6e",
    "to_tuple": "5e922314efb4 f72c10335618 3f6e5a1a05af",
}
_UP_TO_5_23 = {
    "__getitem__": "d9826bb6b4c3",
    "__setattr__": "4af5b19a8e3d 068641e72276",
    "__setitem__": "b55c120ce09d",
}
# The fields past_key_values and cache_params are called cache, and the base translates the old names.
_SINCE_5_24 = {
    "__getitem__": "f639286ae3e8",
    "__setattr__": "b01d9eb618a5",
    "__setitem__": "4f58ee503495",
    "__contains__": "ad990289cbaf",
    "get": "e23cdbe96134",
    "past_key_values": "44dff78d261c",
    "cache_params": "a10695c1fec2",
    "_replace_old_cache_name": "0f18264779b6",
    "metaclass __setattr__": "addaae19d0dd",
}

LIBRARY = Library(
    name="transformers",
    home="transformers.utils.generic",
    base="ModelOutput",
    compiled=ModelOutput,
    tested=((5, 24), (5, 23), (5, 10), (5, 0), (4, 57), (4, 51), (4, 45)),
    generations=(
        Generation.of(_IN_ALL | _UP_TO_5_23),
        Generation.of(
            _IN_ALL | _SINCE_5_24,
            aliases={"past_key_values": "cache", "cache_params": "cache"},
            notice=_notice_of,
        ),
    ),
    assumed=frozenset({"is_tensor", "_register_model_output_pytree_node"}),
    shared={
        "transformers.modeling_outputs": "fastoutputs.modeling_outputs",
        "transformers.modeling_tf_outputs": "fastoutputs.modeling_tf_outputs",
        "transformers.modeling_flax_outputs": "fastoutputs.modeling_flax_outputs",
        "transformers.models.bert.modeling_bert": "fastoutputs.models.bert",
        "transformers.models.bert.modeling_tf_bert": "fastoutputs.models.bert",
        "transformers.models.bert.modeling_flax_bert": "fastoutputs.models.bert",
    },
    patches={"transformers.modeling_tf_utils": _patch_serving_output},
    registry="_registered_model_output_types",
    samples=("transformers.modeling_outputs", "transformers.models.bert.modeling_bert"),
)
