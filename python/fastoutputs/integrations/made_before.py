"""Outputs made before install(), while installed; and those made meanwhile, after uninstall().

They stay of their class, whose name means another one now. They are pickled as what the name means, since that is what
a process finds that reads the pickle; copies stay of the class; and they equal an output of the other class with the
same values.
"""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import copy
import copyreg
from collections.abc import Mapping
from typing import Any

from .. import _core
from .bookkeeping import Table
from .references import Swap

__all__ = ["follow", "teach"]

_named = Table()  # class of an output -> the class that its name means now
_families = Table()  # classes that an install() made one of another have one value here
_core.set_replaced(_named, _families)


def follow(swap: Swap, classes: Mapping[type, type], compiled: type) -> None:
    """Note that each class is replaced, until the swap is undone; `compiled` then has its own name again."""
    first: Table = Table()  # two classes may become one; then the first, the library's, comes back
    for old, new in classes.items():
        first.setdefault(new, old)
    for new, old in first.items():
        swap.undone_by(_set_name, new, None if new is compiled else old)
        _set_name(new, None)
    for old, new in classes.items():
        _families[old] = _families.setdefault(new, new)
        swap.undone_by(_set_name, old, None)
        _set_name(old, new)


def _set_name(cls: type, now: type | None) -> None:
    if now is None:
        _named.pop(cls, None)
    else:
        _named[cls] = now


def teach(swap: Swap, original: type) -> None:
    """Give the base of the library's own outputs what ours have in C++, until the swap is undone."""
    for name, method in _METHODS.items():
        if getattr(original, name, None) is getattr(object, name, None):
            swap.undone_by(_remove, original, name, method)
            type.__setattr__(original, name, method)


def _remove(cls: type, name: str, method: object) -> None:
    if vars(cls).get(name) is method:
        type.__delattr__(cls, name)


def _reduce_ex(self: Any, protocol: Any, /) -> Any:
    """For pickle: how to make it again, as an output of the class that its name means now."""
    reduced = object.__reduce_ex__(self, protocol)
    if not isinstance(reduced, tuple):
        return reduced
    function, arguments, *more = reduced
    cls = type(self)
    now = _named.get(cls, cls)
    if function is cls:
        return (now, arguments, *more)
    if arguments[:1] == (cls,):  # of copyreg.__newobj__
        return (function, (now, *arguments[1:]), *more)
    return reduced


def _as_its_class(self: Any) -> Any:
    reducer = copyreg.dispatch_table.get(type(self))
    return reducer(self) if reducer else object.__reduce_ex__(self, 4)


def _copy(self: Any) -> Any:
    """For copy.copy, which would go by what pickle is told."""
    reduced = _as_its_class(self)
    return self if isinstance(reduced, str) else _reconstruct(self, None, *reduced)


def _deepcopy(self: Any, memo: dict[int, Any], /) -> Any:
    """For copy.deepcopy, likewise."""
    reduced = _as_its_class(self)
    return self if isinstance(reduced, str) else _reconstruct(self, memo, *reduced)


_reconstruct: Any = vars(copy)["_reconstruct"]
_METHODS = {"__reduce_ex__": _reduce_ex, "__copy__": _copy, "__deepcopy__": _deepcopy}
