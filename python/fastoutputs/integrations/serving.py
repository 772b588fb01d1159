"""TFPreTrainedModel.serving_output: it empties fields by key, and reads them by key afterwards.

What is empty has no key here, so it gets an output that answers None in its place. Without this,
`serving` and ``save_pretrained(saved_model=True)`` end in a KeyError where a model returns more than
its config says; TFEncoderDecoderModel always does.
"""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ..model_output import ModelOutput

__all__ = ["patch"]


@functools.cache
def _forgiving(cls: type[ModelOutput]) -> type[ModelOutput]:
    """The class with None for absent keys; no dataclass of its own, so the fields are the same."""
    return type(cls.__name__, (cls,), {"__getitem__": lambda output, key: output.get(key)})


def _copy(source: ModelOutput, target: ModelOutput, names: list[str]) -> ModelOutput:
    for name in names:
        target[name] = source.get(name)
    return target


def patch(module: ModuleType) -> Callable[[], None]:
    """Let serving_output work on a forgiving copy; returns a function that undoes it."""
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
