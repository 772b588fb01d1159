"""The base of a library's output classes, made anew on the compiled one with the parts that are not known.

They run as they are written. What they reach by `super()` is what they expect to find there, the methods
of an OrderedDict, here on the compiled container's fields.
"""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import inspect
import types
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from ..model_output import ModelOutput
from .rebuild import Methods

__all__ = ["carried_base"]

_OPTIONS = ("mirror_dict", "aliases")  # class keywords of the container, not of the library's base


_NEEDS_DATACLASS = "__fastoutputs_needs_dataclass__"  # read by the container, along the bases


class AsOrderedDict:
    """OrderedDict's methods, where they differ from the container's, for `super()` calls."""

    __slots__ = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Ends the chain, as object's does there: `carried_base` calls the container's own."""
        object.__init_subclass__(**kwargs)

    def __getitem__(self: Any, key: Any) -> Any:
        if isinstance(key, str):
            return ModelOutput.__getitem__(self, key)
        raise KeyError(key)

    def __delitem__(self: Any, key: Any) -> None:
        if key in self.keys():
            ModelOutput.__setitem__(self, key, None)
        elif not hasattr(self, key):  # a field that was set to None just before has no key any more
            raise KeyError(key)

    def update(self: Any, *args: Any, **kwargs: Any) -> None:
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def setdefault(self: Any, key: Any, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def __ior__(self: Any, other: Any) -> Any:
        AsOrderedDict.update(self, other)
        return self

    def __reduce__(self: Any) -> tuple[Any, ...]:
        return type(self), (), dict(vars(self)) or None, None, iter(self.items())


# The container's own stand in the new base again, unless they are carried.
_REPLACED = [name for name, value in vars(AsOrderedDict).items() if inspect.isfunction(value)]


def carried_base(
    original: type, compiled: type, carried: Iterable[str], keeps_metaclass: bool, registry: object
) -> type:
    """A class of the name of original on compiled, with these parts of original's body.

    Each class derived from it is entered in registry, if that is a set: there the library looks whether
    torch knows a class as a node, and the container has seen to that.
    """
    own, methods = vars(original), Methods(original)
    body: dict[str, Any] = {name: _static(compiled, name) for name in _REPLACED}
    body.update((name, methods.copy(own[name])) for name in carried if name in own)
    theirs = body.pop("__init_subclass__", None)
    body.update(
        __module__=original.__module__,
        __qualname__=original.__qualname__,
        __doc__=original.__doc__,
    )
    bases: list[type] = []
    for base in original.__bases__:
        bases += [AsOrderedDict, compiled] if base in (OrderedDict, dict) else [base]
    metaclass = {"metaclass": type(original)} if keeps_metaclass else {}
    new = types.new_class(
        original.__name__, tuple(bases), metaclass, lambda space: space.update(body)
    )

    needs_dataclass = getattr(compiled, _NEEDS_DATACLASS, True)

    def prepare(cls: Any, options: dict[str, Any]) -> None:
        super(AsOrderedDict, cls).__init_subclass__(**options)
        if cls is new or new in cls.__bases__:  # the base itself is used without fields
            setattr(cls, _NEEDS_DATACLASS, needs_dataclass and cls is not new)
        if isinstance(registry, set):
            registry.add(cls)

    def __init_subclass__(cls: Any, /, **kwargs: Any) -> None:
        options = {name: kwargs.pop(name) for name in _OPTIONS if name in kwargs}
        if theirs is not None:
            theirs.__get__(None, cls)(**kwargs)
        elif kwargs:
            object.__init_subclass__(**kwargs)
        prepare(cls, options)

    __init_subclass__.__qualname__ = f"{original.__qualname__}.__init_subclass__"
    setattr(new, "__init_subclass__", classmethod(__init_subclass__))  # noqa: B010
    methods.belong_to(new)
    prepare(new, {})
    return new


def _static(cls: type, name: str) -> Any:
    """As it stands in the class that defines it, and not bound."""
    return next(vars(base)[name] for base in cls.__mro__ if name in vars(base))
