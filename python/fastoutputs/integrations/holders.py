"""Which objects refer to a class: the search is in C++, what it must know of types is here."""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import abc
import functools
import sys
import types
import typing
import weakref
from collections.abc import Iterable
from typing import Any

from .. import _core
from .bookkeeping import Private, Table
from .pydantic import adapters, compiled_types

__all__ = ["IMMUTABLE", "holders", "weak_references"]

_IS_IMMUTABLE, _OWNS_ITS_DICT, _IS_IGNORED = 1, 2, 4

_FORM: Any = vars(typing)["_BaseGenericAlias"]  # behind `List[int]`, `Annotated[int, 1]` and so on
_METHOD_WRAPPER = type(object().__str__)

IMMUTABLE: tuple[Any, ...] = (
    tuple,
    frozenset,
    slice,
    types.GenericAlias,
    types.UnionType,
    types.MethodType,
    types.BuiltinMethodType,
    _METHOD_WRAPPER,
    staticmethod,
    classmethod,
    property,
    _FORM,
)
"""Types whose instances are made anew."""

_PARTS_OF_CLASSES = (
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.WrapperDescriptorType,
)
"""They know the class that they belong to."""

_KINDS: dict[type, int] = {
    **dict.fromkeys(IMMUTABLE, _IS_IMMUTABLE),
    **dict.fromkeys((staticmethod, classmethod, _FORM), _IS_IMMUTABLE | _OWNS_ITS_DICT),
    # A class has to be told of each change; a cache has its own order.
    **dict.fromkeys((type, type(functools.lru_cache(int))), _OWNS_ITS_DICT),
    # So that the abstract class is found by what it keeps of those that are registered with it.
    type(vars(abc.ABC)["_abc_impl"]): _IS_IMMUTABLE,
    **dict.fromkeys((Private, Table, *_PARTS_OF_CLASSES), _IS_IGNORED),
    # Up to 3.10 a generator has its local variables in one.
    types.FrameType: _IS_IMMUTABLE if sys.version_info < (3, 11) else _IS_IGNORED,
}


def weak_references(classes: Iterable[type]) -> list[tuple[Any, type]]:
    """All to these classes, each with its own, but for those in the registries and caches of abstract classes."""
    return [
        (reference, cls)
        for cls in classes
        for reference in weakref.getweakrefs(cls)
        if not _is_of_abc(reference)
    ]


def _is_of_abc(reference: Any) -> bool:
    if not issubclass(type(reference), weakref.ref):
        return False
    callback = reference.__callback__
    return type(callback) is types.BuiltinFunctionType and callback.__name__ == "_destroy"


def holders(targets: list[Any]) -> tuple[list[Any], int]:
    """What refers to one of the targets, itself or through immutable objects; and the number of instances."""
    kinds = {
        **_KINDS,
        **dict.fromkeys(compiled_types(), _IS_IMMUTABLE),  # so that their models are found
        **dict.fromkeys(adapters(), _OWNS_ITS_DICT),
    }
    return _core.holders(targets, kinds)
