"""Picklers that write a class by value, as its dict: they find a class as it was declared, used or not.

cloudpickle, which joblib, Ray and PySpark have copies of, and dill do so with classes of ``__main__``, of a
notebook or of a function. The first use of a class puts descriptors in the place of its defaults, which
they cannot write, and which would make another fingerprint of the same class. In each, one private function
gives the dict of a class; for output classes it starts from `as_declared`. Any pickler that we do not know writes a
descriptor as the default of its field, by ``copyreg``.
"""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import dataclasses
import functools
from collections import OrderedDict
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .. import _core
from ..declared import as_declared
from ..model_output import ModelOutput

__all__ = ["reduce_descriptor", "register"]


class _Declared:
    """A class, as far as a pickler reads its dict and those of its bases."""

    __slots__ = ("_cls",)

    def __init__(self, cls: type) -> None:
        self._cls = cls

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        return as_declared(self._cls) if issubclass(self._cls, ModelOutput) else vars(self._cls)

    @property
    def __bases__(self) -> tuple[_Declared, ...]:
        return tuple(map(_Declared, self._cls.__bases__))


def _replace(module: ModuleType, name: str, wrap: Callable[[Any], Any]) -> None:
    known = getattr(module, name, None)
    if known is not None:  # else there is copyreg
        setattr(module, name, functools.wraps(known)(wrap(known)))


def register(module: ModuleType) -> None:
    """Have a pickler, cloudpickle or dill, write output classes as they were declared."""

    def for_cloudpickle(known: Any) -> Any:
        return lambda cls: known(_Declared(cls) if issubclass(cls, ModelOutput) else cls)

    def for_dill(known: Any) -> Any:
        def dict_of(cls: type, own: dict[str, Any], *args: Any) -> Any:
            return known(cls, as_declared(cls) if issubclass(cls, ModelOutput) else own, *args)

        return dict_of

    _replace(module, "_extract_class_dict", for_cloudpickle)
    _replace(module, "_get_typedict_type", for_dill)
    _register_views(module)


def _register_views(module: ModuleType) -> None:
    """Have it write `out.keys()`, `values()` and `items()` as those of an OrderedDict, which plain pickle refuses, too."""
    by_reducer = getattr(getattr(module, "CloudPickler", None), "_dispatch_table", None)
    by_saver = getattr(getattr(module, "Pickler", None), "dispatch", None)
    for reduce in (_reduce_keys, _reduce_values, _reduce_items):
        view = type(getattr(ModelOutput(), reduce.__name__.rpartition("_")[2])())
        if isinstance(by_reducer, dict):
            by_reducer[view] = reduce
        elif isinstance(by_saver, dict):  # dill's
            by_saver[view] = functools.partial(_save, reduce)


def _save(reduce: Callable[[Any], tuple[Any, Any]], pickler: Any, view: Any) -> None:
    pickler.save_reduce(*reduce(view), obj=view)


def _reduce_keys(view: Any) -> tuple[Any, Any]:
    return OrderedDict.keys, (OrderedDict.fromkeys(view),)


def _reduce_values(view: Any) -> tuple[Any, Any]:
    return OrderedDict.values, (OrderedDict(enumerate(view)),)


def _reduce_items(view: Any) -> tuple[Any, Any]:
    return OrderedDict.items, (OrderedDict(view),)


def _value(default: Any) -> Any:
    return default


def _missing() -> Any:
    return dataclasses.MISSING


def reduce_descriptor(descriptor: Any) -> Any:
    """For ``copyreg``: a field's descriptor is written as what it has displaced."""
    declared = _core.declared_value(descriptor, dataclasses.MISSING)
    if declared is descriptor:
        return descriptor.__reduce__()
    return (_missing, ()) if declared is dataclasses.MISSING else (_value, (declared,))
