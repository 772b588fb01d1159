"""optree: output classes as nodes of its global namespace, and so of every other, Keras 3's included."""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import optree

from ..model_output import ModelOutput, for_each_class
from ..pytree import from_items, items_of

__all__ = ["register", "register_all"]

_GLOBAL_NAMESPACE = getattr(optree.registry, "__GLOBAL_NAMESPACE")


def _flatten(output: Any) -> tuple[list[Any], tuple[str, ...], list[str]]:
    values, names = items_of(output)
    return values, tuple(names), names


def _unflatten(cls: type[ModelOutput], names: Any, values: Iterable[Any]) -> Any:
    return from_items(cls, values, names)


def register(cls: type[ModelOutput]) -> None:
    """Make cls a node; a class that is one already stays as it is."""
    if optree.register_pytree_node.get(cls) is not None:
        return
    optree.register_pytree_node(
        cls,
        _flatten,
        partial(_unflatten, cls),  # a closure would follow the class into install() and uninstall()
        path_entry_type=optree.MappingEntry,
        namespace=_GLOBAL_NAMESPACE,
    )


def register_all() -> None:
    """Make every output class a node, those to come included."""
    for_each_class(register)
