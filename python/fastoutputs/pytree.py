"""Output classes as nodes of trees: how they are taken apart and put together again.

torch's trees, in Python and in C++, and optree's have every output class as a node, whose children
are the present items. JAX looks at the declared ones only, with all their fields as children::

    @tree_node
    @dataclass(frozen=True)
    class Scores(FrozenOutput):
        logits: Any = None

is what ``@flax.struct.dataclass`` makes of a class derived from the original, except that values
pass through trees untouched: no first field is unpacked there. JAX and Flax need not be there; the
class is registered as soon as they are imported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from .integrations.imports import when_imported
from .model_output import ModelOutput

__all__ = [
    "FrozenOutput",
    "children_of",
    "from_items",
    "items_of",
    "replace",
    "static_of",
    "tree_node",
]

Output = TypeVar("Output", bound=ModelOutput)


def tree_node(cls: type[Output]) -> type[Output]:
    """Make a dataclass derived from ModelOutput a node of JAX's trees, and give it `replace`.

    Children are all fields in declared order, absent ones as None. A field declared with
    ``metadata={"pytree_node": False}`` is none: it is part of the structure, as in flax. JAX looks
    classes up exactly, so a class derived from this one needs the decorator, too.
    """
    names = {*children_of(cls), *static_of(cls)}
    if "replace" not in names:
        setattr(cls, "replace", replace)  # noqa: B010  # type checkers have it from FrozenOutput
    for library, ours in (("jax", "jax"), ("flax.serialization", "flax")):
        when_imported(library, _Registration(ours, cls))
    return cls


class _Registration:
    """Registers one class, by the code for one library, which is loaded only then."""

    def __init__(self, ours: str, cls: type[ModelOutput]) -> None:
        self._ours, self._cls = ours, cls

    def __call__(self, _: object) -> None:
        import_module(f".integrations.{self._ours}", __package__).register(self._cls)


def items_of(output: ModelOutput) -> tuple[list[Any], list[str]]:
    """The present values, and their keys: the structure. Overrides of `keys` and `values` have a say."""
    return list(output.values()), list(output.keys())


def from_items(cls: type[Output], values: Iterable[Any], names: Iterable[str]) -> Output:
    """The inverse of `items_of`; the values may be anything."""
    output = cls.__new__(cls)  # the constructor would unpack a mapping in the first field
    for name, value in zip(names, values):
        output[name] = value
    return output


def children_of(cls: type[ModelOutput]) -> list[str]:
    """The fields that are children of a node."""
    return [field.name for field in _fields(cls) if field.metadata.get("pytree_node", True)]


def static_of(cls: type[ModelOutput]) -> list[str]:
    """The fields that are part of the tree's structure."""
    return [field.name for field in _fields(cls) if not field.metadata.get("pytree_node", True)]


def _fields(cls: Any) -> tuple[dataclasses.Field[Any], ...]:
    if not dataclasses.is_dataclass(cls):
        raise TypeError(f"{cls.__qualname__} is not a dataclass: put @dataclass below @tree_node")
    return dataclasses.fields(cls)


def replace(self: Output, /, **updates: Any) -> Output:
    """A new output with other values in these fields; None leaves a field out.

    What is no field, an extra key for example, is not carried over.
    """
    cls = type(self)
    new = cls.__new__(cls)  # the constructor would unpack a mapping in the first field
    for field in _fields(cls):
        value = updates.pop(field.name) if field.name in updates else getattr(self, field.name)
        new[field.name] = value
    if updates:
        raise TypeError(f"{cls.__qualname__} has no field {', '.join(map(repr, updates))}")
    return new


if TYPE_CHECKING:
    from typing_extensions import Self

    class FrozenOutput(ModelOutput):
        """The base to name for outputs that `tree_node` gives `replace` to."""

        def replace(self, /, **updates: Any) -> Self: ...

else:
    # No class of its own: outputs of Flax models derive from ModelOutput directly, as the original's do.
    FrozenOutput = ModelOutput
