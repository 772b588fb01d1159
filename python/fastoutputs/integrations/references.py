"""Put other classes in the place of some, wherever Python code holds them, and back again."""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import functools
import gc
import itertools
import operator
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import registries

__all__ = ["Swap"]

Classes = Mapping[type, type]


class _Undo:
    """One thing put back. In slots, where the search for references does not look."""

    __slots__ = ("action", "arguments")

    def __init__(self, action: Callable[..., object], *arguments: Any) -> None:
        self.action = action
        self.arguments = arguments


def _tracked_objects() -> list[Any]:
    """Every object that the collector knows of; it does not name those of gc.freeze() itself."""
    found = gc.get_objects()
    if gc.get_freeze_count():
        known = set(map(id, found))
        pending: list[Any] = [sys.modules]
        for container in itertools.chain(found, pending):  # pending grows under way
            for item in gc.get_referents(container):
                if gc.is_tracked(item) and id(item) not in known:
                    known.add(id(item))
                    pending.append(item)
        found += pending
    return found


class Swap:
    """Replaces references, and remembers each so that all can be put back in reverse.

    Looked through are dicts (those of modules, objects and annotations among them), lists, sets,
    classes, closures and the defaults of functions; tuples, unions and generic types in those are
    made anew. What runs at this moment, in its local variables, is out of reach.
    """

    __slots__ = ("_undo", "live_instances", "modules")

    def __init__(self) -> None:
        self._undo: list[_Undo] = []
        self.modules: list[str] = []
        self.live_instances = 0

    def __len__(self) -> int:
        return len(self._undo)

    def undone_by(self, action: Callable[..., object], *arguments: Any) -> None:
        """Have undo() do this, too."""
        self._undo.append(_Undo(action, *arguments))

    def undo(self) -> None:
        """Put everything back that has not been changed again since."""
        while self._undo:
            step = self._undo.pop()
            step.action(*step.arguments)

    def in_modules(self, classes: Classes, modules: Iterable[types.ModuleType]) -> None:
        """Replace the names that these modules have for the classes."""
        self._in_modules(_Substitution(classes), modules)

    def in_names_of_trees(self, classes: Classes) -> None:
        """Let the names in trees that torch has saved mean the classes in their place."""
        self._in_dict(registries.names_of_saved_trees(), _Substitution(classes))

    def _in_modules(self, find: _Substitution, modules: Iterable[types.ModuleType]) -> None:
        for module in modules:
            before = len(self)
            self._in_dict(vars(module), find)
            if len(self) > before and module.__name__ not in self.modules:
                self.modules.append(module.__name__)

    def everywhere(self, classes: Classes, left: object = None) -> None:
        """Replace every reference that the collector knows of, but for what is in `left`."""
        find = _Substitution(classes)
        skipped = {id(classes), id(find.kinds), id(left), *_class_cells(classes)}
        everything = _tracked_objects()
        skipped.add(id(everything))
        skipped.update(map(id, registries.left_alone(classes)))
        modules = list(sys.modules.values())
        self._in_modules(find, [m for m in modules if issubclass(type(m), types.ModuleType)])
        # By type(), here and below: asking an object for its __class__ may run its own code.
        for cls in [found for found in everything if issubclass(type(found), type)]:
            # The dict behind a class is changed by setattr only, which keeps the caches right.
            skipped.add(id(gc.get_referents(cls.__dict__)[0]))
            if cls not in classes and cls not in find.results:
                self._in_class(cls, find)
        for found in everything:
            if id(found) not in skipped:
                self._in_object(found, find)
        for action, arguments in registries.carry_over(classes):
            self.undone_by(action, *arguments)

    def _in_object(self, found: Any, find: _Substitution) -> None:
        kind = type(found)
        if kind is dict:
            self._in_dict(found, find)
        elif kind is list:
            for index, value in enumerate(found):
                new = find(value)
                if new is not value:
                    found[index] = new
                    self._undo.append(_Undo(_put_item_back, found, index, new, value))
        elif kind is set:
            for value in [value for value in found if find(value) is not value]:
                found.discard(value)
                found.add(find(value))
                self._undo.append(_Undo(_put_member_back, found, find(value), value))
        elif kind is types.FunctionType:
            new = find(found.__defaults__)
            if new is not found.__defaults__:
                self._undo.append(_Undo(setattr, found, "__defaults__", found.__defaults__))
                found.__defaults__ = new
        elif kind is types.CellType:
            try:
                value = found.cell_contents
            except ValueError:  # empty
                return
            new = find(value)
            if new is not value:
                self._undo.append(_Undo(setattr, found, "cell_contents", value))
                found.cell_contents = new
        elif kind in find.old:
            self.live_instances += 1
        elif kind is functools.partial:
            new = find(found.func)
            if new is not found.func:
                state = found.__reduce__()[2]
                self._undo.append(_Undo(found.__setstate__, state))
                found.__setstate__((new, *state[1:]))
        elif kind not in find.no_dict and not issubclass(kind, (type, types.ModuleType)):
            self._in_attributes(found, find)

    def _in_attributes(self, found: Any, find: _Substitution) -> None:
        # Only an object that refers to one of the classes is asked for its __dict__: on some
        # versions that makes one.
        if not any(find(value) is not value for value in gc.get_referents(found)):
            return
        try:
            attributes = object.__getattribute__(found, "__dict__")
        except AttributeError:
            return
        if isinstance(attributes, dict):
            self._in_dict(attributes, find)

    def _in_dict(self, found: dict[Any, Any], find: _Substitution) -> None:
        for key, value in list(found.items()):
            new = find(value)
            if new is not value:
                found[key] = new
                self._undo.append(_Undo(_put_item_back, found, key, new, value))

    def _in_class(self, cls: type, find: _Substitution) -> None:
        for name, value in list(vars(cls).items()):
            new = find(value)
            if new is not value:
                try:
                    type.__setattr__(cls, name, new)
                except TypeError:  # a type made in C
                    continue
                self._undo.append(_Undo(type.__setattr__, cls, name, value))


def _put_item_back(found: Any, key: Any, new: Any, old: Any) -> None:
    try:
        unchanged = found[key] is new
    except (KeyError, IndexError):
        return
    if unchanged:  # whoever changed it since meant to
        found[key] = old


def _put_member_back(found: set[Any], new: Any, old: Any) -> None:
    if new in found:
        found.discard(new)
        found.add(old)


class _Substitution:
    """What a value becomes: another one if it is, or holds, one of the classes; else itself."""

    def __init__(self, classes: Classes) -> None:
        self.old = frozenset(classes)
        self.results = frozenset(classes.values())
        self.no_dict = {int, str, float, bytes, tuple, frozenset, types.CodeType, types.FrameType}
        self._classes = classes
        handlers: dict[Any, Callable[[Any], Any]] = {type(cls): self._class for cls in classes}
        handlers[tuple] = self._tuple
        handlers[types.UnionType] = self._union
        handlers[types.GenericAlias] = self._generic
        for example in ("Optional[int]", "List[int]"):  # the private types behind typing's forms
            handlers[type(eval(example, dict(vars(typing))))] = self._generic
        self.kinds = handlers

    def __call__(self, value: Any) -> Any:
        handler = self.kinds.get(type(value))
        return value if handler is None else handler(value)

    def _class(self, value: type) -> type:
        return self._classes.get(value, value) if value in self.old else value

    def _tuple(self, value: tuple[Any, ...]) -> tuple[Any, ...]:
        new = [self(part) for part in value]
        return value if all(map(operator.is_, new, value)) else tuple(new)

    def _parts(self, value: Any) -> tuple[Any, ...] | None:
        new = tuple(self(part) for part in value.__args__)
        return None if all(map(operator.is_, new, value.__args__)) else new

    def _union(self, value: Any) -> Any:
        parts = self._parts(value)
        return value if parts is None else functools.reduce(operator.or_, parts)

    def _generic(self, value: Any) -> Any:
        parts = self._parts(value)
        if parts is None:
            return value
        if hasattr(value, "copy_with"):
            return value.copy_with(parts)
        return types.GenericAlias(value.__origin__, parts)


def _class_cells(classes: Classes) -> set[int]:
    """The cells by which the old classes' own methods know their class: they keep it."""
    cells: set[int] = set()
    for cls in classes:
        pending = list(vars(cls).values())
        while pending:
            value = pending.pop()
            if isinstance(value, (classmethod, staticmethod)):
                pending.append(value.__func__)
            elif isinstance(value, property):
                pending += [value.fget, value.fset, value.fdel]
            elif isinstance(value, types.FunctionType) and value.__closure__:
                cells.update(map(id, value.__closure__))
                pending += [_content(cell) for cell in value.__closure__]
    return cells


def _content(cell: types.CellType) -> Any:
    try:
        content = cell.cell_contents
    except ValueError:
        return None
    return content if isinstance(content, types.FunctionType) else None
