"""jax.tree_util: output classes as nodes, children by attribute."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from jax import tree_util

from ..model_output import ModelOutput
from ..pytree import children_of, static_of

__all__ = ["register"]


def _unflatten(
    cls: type[ModelOutput],
    children: list[str],
    static: list[str],
    structure: tuple[Any, ...],
    values: Iterable[Any],
) -> ModelOutput:
    # Not by the constructor: JAX passes placeholders, and a first field is looked into there.
    # By key, as the attributes of a frozen class cannot be set.
    output = cls.__new__(cls)
    for name, value in zip((*children, *static), (*values, *structure)):
        output[name] = value
    return output


def register(cls: type[ModelOutput]) -> None:
    """Make cls a node of JAX's trees; ValueError if it is one already."""
    children, static = children_of(cls), static_of(cls)
    keys = [tree_util.GetAttrKey(name) for name in children]

    def flatten(output: ModelOutput) -> tuple[list[Any], tuple[Any, ...]]:
        values = [getattr(output, name) for name in children]
        return values, tuple(getattr(output, name) for name in static)

    def flatten_with_keys(output: ModelOutput) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
        values, structure = flatten(output)
        return list(zip(keys, values)), structure

    # A closure would follow the class into install() and uninstall().
    unflatten = partial(_unflatten, cls, children, static)
    tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
