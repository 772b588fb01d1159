"""Make anew what cannot be changed: tuples, frozensets, the forms of typing, bound methods, weak references."""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import functools
import gc
import operator
import types
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .bookkeeping import Private, Table
from .holders import IMMUTABLE

__all__ = ["Substitution", "attributes_of"]

Find = Callable[[Any], Any]


def attributes_of(value: Any) -> Any:
    """The `__dict__` of an object, without asking its own code; None if it has none."""
    try:
        return object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None


class Substitution(Private):
    """What a value becomes: another one if it is, or holds, one of the classes; else itself."""

    __slots__ = ("_kept", "_new", "failed")

    def __init__(self, classes: Mapping[type, type]) -> None:
        self._new: Table = Table()  # id -> what takes its place
        self._kept: list[Any] = _Kept(classes)  # so that no other object gets one of these ids
        self.failed: dict[str, str] = {}
        """What could not be made anew -> why."""
        for old, new in classes.items():
            self._new[id(old)] = new

    def __call__(self, value: Any) -> Any:
        return self._new.get(id(value), value)

    def changes(self, value: Any) -> bool:
        return id(value) in self._new

    def add_weak(self, references: Iterable[tuple[Any, type]]) -> None:
        """Have these weak references to a class mean the one in its place."""
        for reference, cls in references:
            self._add_one(reference, [cls], functools.partial(_weak_reference, cls))

    def add(self, values: Iterable[Any]) -> None:
        """Make those anew that are immutable and hold what changes, from the inside out."""
        candidates = {id(value): value for value in values if issubclass(type(value), IMMUTABLE)}
        done: set[int] = set()
        parts: dict[int, list[Any]] = {}
        path = list(candidates.values())
        while path:  # no recursion: they may be nested deeply
            current = path[-1]
            if id(current) in done:
                path.pop()
            elif id(current) in parts:
                path.pop()
                done.add(id(current))
                self._add_one(current, parts[id(current)], _made_anew)
            else:
                parts[id(current)] = found = _parts(current)
                path += [part for part in found if id(part) in candidates and id(part) not in parts]

    def add_reachable(self, values: Iterable[Any]) -> None:
        """As add, with the immutable values inside of these, too."""
        found: dict[int, Any] = {}
        pending = list(values)
        while pending:
            value = pending.pop()
            if issubclass(type(value), IMMUTABLE) and id(value) not in found:
                found[id(value)] = value
                pending += _parts(value)
        self.add(found.values())

    def _add_one(self, value: Any, parts: list[Any], make: Callable[[Any, Find], Any]) -> None:
        if not any(map(self.changes, parts)):
            return
        try:
            new = make(value, self)
        except Exception as error:
            name = type.__getattribute__(type(value), "__qualname__")
            self.failed[f"a {name}"] = f"it cannot be made anew: {type(error).__name__}: {error}"
        else:
            self._kept.append(value)
            self._new[id(value)] = new


class _Kept(Private, list[Any]):
    pass


def _parts(value: Any) -> list[Any]:
    found = gc.get_referents(value)
    # Up to 3.10, and where somebody asked for it, the attributes are in a dict of their own.
    return [
        *found,
        *(item for part in found if type(part) is dict for item in part.values()),
    ]


# --- one of each kind ----------------------------------------------------------------------------


def _with_attributes(new: Any, old: Any, find: Find) -> Any:
    """What a class derived from a builtin one keeps beside."""
    attributes = attributes_of(old)
    if attributes:
        attributes_of(new).update((name, find(value)) for name, value in attributes.items())
    return new


def _tuple(value: Any, find: Find) -> Any:
    items = map(find, tuple.__iter__(value))
    if type(value) is tuple:
        return tuple(items)
    return _with_attributes(tuple.__new__(type(value), items), value, find)


def _frozenset(value: Any, find: Find) -> Any:
    items = map(find, frozenset.__iter__(value))
    if type(value) is frozenset:
        return frozenset(items)
    return _with_attributes(frozenset.__new__(type(value), items), value, find)


def _slice(value: Any, find: Find) -> Any:
    return slice(find(value.start), find(value.stop), find(value.step))


def _union(value: Any, find: Find) -> Any:
    return functools.reduce(operator.or_, map(find, value.__args__))


def _generic(value: Any, find: Find) -> Any:
    parts = find(value.__args__)
    if parts is value.__args__:
        parts = tuple(map(find, parts))
    new = types.GenericAlias.__new__(type(value), find(value.__origin__), parts)
    return next(iter(new)) if getattr(value, "__unpacked__", False) else new


def _form_of_typing(value: Any, find: Find) -> Any:
    return _with_attributes(object.__new__(type(value)), value, find)


def _method(value: Any, find: Find) -> Any:
    function, owner = value.__func__, find(value.__self__)
    if owner is not value.__self__ and issubclass(type(owner), type):
        # The copy of a class method knows its class by `super()`.
        for base in type.__getattribute__(owner, "__mro__"):
            own = type.__getattribute__(base, "__dict__").get(getattr(function, "__name__", None))
            if type(own) is classmethod and _is_copy(own.__func__, function):
                return types.MethodType(own.__func__, owner)
    return types.MethodType(find(function), owner)


def _is_copy(function: Any, other: Any) -> bool:
    are_functions = all(issubclass(type(each), types.FunctionType) for each in (function, other))
    return are_functions and function.__code__ is other.__code__


def _builtin_method(value: Any, find: Find) -> Any:
    owner = find(value.__self__)
    kind = type if issubclass(type(owner), type) else object
    new = kind.__getattribute__(owner, value.__name__)
    if type(new) is not type(value):
        raise TypeError(f"{value.__name__} is no method in C there")
    return new


def _wrapper(value: Any, find: Find) -> Any:
    return _with_attributes(type(value)(find(value.__func__)), value, find)


def _property(value: Any, find: Find) -> Any:
    new = type(value)(find(value.fget), find(value.fset), find(value.fdel), value.__doc__)
    return _with_attributes(new, value, find)


def _weak_reference(cls: type, value: Any, find: Find) -> Any:
    new = find(cls)
    if issubclass(type(value), (weakref.ProxyType, weakref.CallableProxyType)):
        return weakref.proxy(new, *gc.get_referents(value))  # it refers to its callback alone
    if type(value) is weakref.ref:
        return weakref.ref(new, value.__callback__)
    if type(value) is weakref.KeyedRef:
        return weakref.KeyedRef(new, value.__callback__, find(value.key))
    raise TypeError("its type is not known")


_MAKERS: tuple[tuple[Any, Callable[[Any, Find], Any]], ...] = (
    (tuple, _tuple),
    (types.UnionType, _union),
    (types.GenericAlias, _generic),
    (frozenset, _frozenset),
    (types.MethodType, _method),
    ((types.BuiltinMethodType, type(object().__str__)), _builtin_method),
    ((staticmethod, classmethod), _wrapper),
    (property, _property),
    (slice, _slice),
)


def _made_anew(value: Any, find: Find) -> Any:
    for kinds, make in _MAKERS:
        if issubclass(type(value), kinds):
            return make(value, find)
    return _form_of_typing(value, find)
