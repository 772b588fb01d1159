"""torch.utils._pytree: output classes as nodes, so that torch finds the tensors in them.

DistributedDataParallel with ``static_graph=True``, torch.export and torch.func flatten what a module
returns. The children are the present items; the serialised name is that of the original's nodes.
"""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

from functools import partial
from typing import Any

from torch.utils import _pytree as pytree

from ..model_output import ModelOutput, for_each_class
from ..pytree import from_items, items_of
from .library import is_of_a_library
from .registries import forget_loaded_trees

__all__ = ["register", "register_all"]


def _flatten_with_keys(output: ModelOutput) -> tuple[list[tuple[Any, Any]], list[str]]:
    values, names = items_of(output)
    return [(pytree.MappingKey(name), value) for name, value in zip(names, values)], names


def serialized_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__name__}"


def register(cls: type[ModelOutput]) -> None:
    """Make cls a node; a class that is one already stays as it is."""
    if cls not in pytree.SUPPORTED_NODES:
        pytree.register_pytree_node(
            cls,
            items_of,
            partial(from_items, cls),
            serialized_type_name=serialized_name(cls),
            flatten_with_keys_fn=_flatten_with_keys,
        )


def name_means(cls: type) -> None:
    """Let the name in saved trees stand for cls, and not for a class of that name that came later."""
    names = getattr(pytree, "SERIALIZED_TYPE_TO_PYTHON_TYPE", {})
    if serialized_name(cls) in names:
        names[serialized_name(cls)] = cls


def rename(cls: type) -> None:
    """Let saved trees call cls by the name that it has now; a library's name means it only as long as it has that."""
    known, names = pytree.SUPPORTED_SERIALIZED_TYPES, pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE
    if cls not in known:
        return
    former, name = known[cls].serialized_type_name, serialized_name(cls)
    known[cls] = known[cls]._replace(serialized_type_name=name)
    if is_of_a_library(former) and names.get(former) is cls:
        del names[former]
    names.setdefault(name, cls)
    forget_loaded_trees()


def register_all() -> None:
    """Make every output class a node, those to come included."""
    for_each_class(register)
