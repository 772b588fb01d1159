"""Methods of ModelOutput as tracers read them: Python functions that hand over to the compiled ones.

torch.compile looks into a special method only if it is a Python function. So these stand in the
class, while the interpreter's operators go to the compiled slots; `integrations.dynamo` says what a
trace runs in the place of each compiled method.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _core
from ._core import ModelOutput

__all__ = ["compiled", "put_in_class"]

_DOCS = {
    "__init__": "Set the items of a mapping, of an iterable of pairs, or the keywords.",
    "__setattr__": "Implement setattr(self, name, value).",
    "__getitem__": "The value of a key, or what an int or a slice takes of to_tuple().",
    "__setitem__": "Set a key and the attribute of its name.",
    "__delitem__": "Refused with OutputMutationError: set the field to None.",
    "__len__": "How many items are present.",
    "__iter__": "The present keys, in declared order.",
    "__contains__": "Whether a key is present.",
    "__eq__": "As dicts compare, where @dataclass has made no comparison of fields.",
    "__ne__": "The opposite of ==.",
    "__ior__": "Refused with OutputMutationError.",
    "__post_init__": "Unpack a mapping, or pairs, given as the only first field.",
}

compiled: dict[str, Callable[..., Any]] = {name: getattr(ModelOutput, name) for name in _DOCS}


def _twin(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    # Not a plain signature: one that takes just (self, key) would be called by the specialising
    # interpreter itself, in the place of the slot.
    def twin(self: ModelOutput, /, *args: Any, **kwargs: Any) -> Any:
        return method(self, *args, **kwargs)

    twin.__name__, twin.__qualname__, twin.__doc__ = name, f"ModelOutput.{name}", _DOCS[name]
    twin.__wrapped__ = method  # type: ignore[attr-defined]  # whose signature is the one to show
    return twin


def put_in_class() -> None:
    """Let the methods of ModelOutput read as Python functions; what runs stays compiled."""
    for name, method in compiled.items():
        _core.set_twin(name, _twin(name, method))
