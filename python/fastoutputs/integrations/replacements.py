"""What each class of a library becomes: ours, if that declares the same; else itself on the other base."""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from .library import Library
from .rebuild import rebuild
from .report import Report

__all__ = ["is_made_anew", "on_other_base", "replacements"]


def replacements(
    library: Library, original: type, classes: Iterable[type], report: Report
) -> dict[type, type]:
    """What each class becomes, bases before the classes derived from them; the report is told."""
    found: dict[type, type] = {original: library.compiled}
    for cls in classes:
        bases = tuple(found.get(base, base) for base in cls.__bases__)
        twin = _twin(library, cls, bases)
        if twin is not None:
            found[cls] = twin
            report.ours[_full_name(cls)] = "same fields, order and defaults"
        elif any(issubclass(base, original) for base in bases):
            report.failed[_full_name(cls)] = "one of its bases could not be replaced"
        elif bases != cls.__bases__:
            try:
                found[cls] = on_other_base(cls, bases)
            except Exception as error:
                report.failed[_full_name(cls)] = f"{type(error).__name__}: {error}"
            else:
                report.rebuilt.append(_full_name(cls))
    return found


def _twin(library: Library, cls: type, bases: tuple[type, ...]) -> type | None:
    """Our class of that name, if it declares the same, and nothing else, on the same bases."""
    name = library.twins.get(cls.__module__)
    if name is None or "__dataclass_fields__" not in vars(cls):
        return None
    try:
        ours = getattr(import_module(name), cls.__name__, None)
    except ImportError:
        return None
    if not (isinstance(ours, type) and ours.__bases__ == bases):
        return None
    same = _declared(ours) == _declared(cls) and not _own_methods(cls)
    return ours if same and _is_frozen(ours) == _is_frozen(cls) else None


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _declared(cls: Any) -> list[tuple[Any, ...]]:
    return [
        (field.name, field.default, field.default_factory, field.init, field.kw_only)
        for field in dataclasses.fields(cls)
    ]


def _is_frozen(cls: Any) -> bool:
    return bool(cls.__dataclass_params__.frozen)


def _own_methods(cls: type) -> list[str]:
    """What the class body defines beside fields, and what a decorator did not put there."""
    fields = {field.name for field in dataclasses.fields(cls)}
    return [
        name
        for name in vars(cls)
        if name not in fields
        and not name.startswith("__")
        and name not in ("_flax_dataclass", "replace")
    ]


class _Counterpart:
    """The same class on the other base, and what its body was when that was made."""

    __slots__ = ("body", "cls")

    def __init__(self, cls: type, of: type) -> None:
        self.cls = cls
        self.body = tuple(vars(of).items())

    def is_current(self, of: type) -> bool:
        now = tuple(vars(of).items())
        return len(now) == len(self.body) and all(
            name == before and value is original
            for (name, value), (before, original) in zip(now, self.body)
        )


# Classes made anew are used again: torch's trees keep each class that they have seen.
_counterparts: dict[type, _Counterpart] = {}


def is_made_anew(cls: type) -> bool:
    """Whether it was made by on_other_base, or is what that was made of."""
    return cls in _counterparts


def on_other_base(cls: type, bases: tuple[type, ...]) -> type:
    """The class made anew, or the one that was made of it before."""
    known = _counterparts.get(cls)
    if known is not None and known.cls.__bases__ == bases and known.is_current(cls):
        return known.cls
    made = rebuild(cls, bases)
    trees = sys.modules.get(f"{__package__}.torch")
    if trees is not None:
        trees.name_means(cls)  # the swap that follows can be undone
    _counterparts[cls] = _Counterpart(made, cls)
    _counterparts[made] = _Counterpart(cls, made)
    return made
