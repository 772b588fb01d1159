"""What each class of a library becomes: itself, rebuilt on the compiled base, and back again."""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

from ..model_output import ModelOutput, subclasses
from .bookkeeping import Private, Table
from .rebuild import rebuild
from .report import Report

__all__ = [
    "full_name",
    "is_made_anew",
    "on_other_base",
    "replacements",
    "same_classes",
    "with_subclasses",
]


def replacements(
    found: Mapping[type, type], classes: Iterable[type], report: Report, without: type = type
) -> dict[type, type]:
    """`found`, and what each class becomes where its bases do; bases come before the classes derived from them.

    A metaclass called `without` is left out, and the report is told.
    """
    result: dict[type, type] = Table(found)
    failed: set[type] = set()
    for cls in classes:
        if cls in result:
            continue
        bases = tuple(result.get(base, base) for base in cls.__bases__)
        if failed.intersection(bases):
            failed.add(cls)
            report.failed[full_name(cls)] = "one of its bases could not be replaced"
        elif bases != cls.__bases__:
            try:
                result[cls] = on_other_base(cls, bases, without)
            except Exception as error:
                failed.add(cls)
                report.failed[full_name(cls)] = f"{type(error).__name__}: {error}"
            else:
                report.rebuilt.append(full_name(cls))
    return result


def same_classes(
    ours: ModuleType, theirs: ModuleType, replaced: Mapping[type, type]
) -> dict[type, type]:
    """Each class that our module defines -> the compiled one of its name there, if both declare the same."""
    found: dict[type, type] = {}
    for name, mine in list(vars(ours).items()):
        other: Any = vars(theirs).get(name)
        if isinstance(other, type):
            other = replaced.get(other, other)
        if (
            _is_compiled(mine)
            and _is_compiled(other)
            and mine is not other
            and mine.__module__ == ours.__name__
            and _declared(mine) == _declared(other)
        ):
            found[mine] = other
    return found


def _is_compiled(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, ModelOutput) and dataclasses.is_dataclass(cls)


def with_subclasses(classes: Mapping[type, type], report: Report) -> dict[type, type]:
    """And what the classes derived from them become, on the other classes."""
    derived = dict.fromkeys(cls for mine in classes for cls in subclasses(mine))
    return replacements(classes, derived, report)


def full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _declared(cls: Any) -> tuple[bool, list[tuple[Any, ...]]]:
    return bool(cls.__dataclass_params__.frozen), [
        (field.name, field.default, field.default_factory, field.init, field.kw_only)
        for field in dataclasses.fields(cls)
    ]


class _Counterpart(Private):
    """The same class on the other base, and what its body was when that was made."""

    __slots__ = ("body", "cls")

    def __init__(self, cls: type, of: type) -> None:
        self.cls = cls
        self.body = self._body(of)

    @staticmethod
    def _body(of: type) -> tuple[tuple[str, Any], ...]:
        # copyreg leaves a name there when an instance is pickled.
        return tuple(item for item in vars(of).items() if item[0] != "__slotnames__")

    def is_current(self, of: type) -> bool:
        now = self._body(of)
        return len(now) == len(self.body) and all(
            name == before and value is original
            for (name, value), (before, original) in zip(now, self.body)
        )


# Classes made anew are used again: torch's trees keep each class that they have seen.
_counterparts: dict[type, _Counterpart] = Table()


def is_made_anew(cls: type) -> bool:
    """Whether it was made by on_other_base, or is what that was made of."""
    return cls in _counterparts


def on_other_base(cls: type, bases: tuple[type, ...], without: type = type) -> type:
    """The class made anew, or the one that was made of it before."""
    known = _counterparts.get(cls)
    if known is not None and known.cls.__bases__ == bases and known.is_current(cls):
        return known.cls
    made = rebuild(cls, bases, without)
    trees = sys.modules.get(f"{__package__}.torch")
    if trees is not None:
        trees.name_means(cls)  # the swap that follows can be undone
    _counterparts[cls] = _Counterpart(made, cls)
    _counterparts[made] = _Counterpart(cls, made)
    return made
