"""Put other classes in the place of some, wherever Python code holds them, and back again."""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import builtins
import collections
import functools
import gc
import sys
import types
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from .. import _core
from .._core import ModelOutput
from . import registries
from .bookkeeping import Private
from .holders import IMMUTABLE, holders, weak_references
from .pydantic import compiled_types, rebuilders
from .substitution import Substitution, attributes_of

__all__ = ["Swap", "module_dict"]

Classes = Mapping[type, type]

# Asked of an object itself, these may run its code; a lazy module would import what it stands for.
module_dict: Callable[[types.ModuleType], dict[str, Any]] = vars(types.ModuleType)[
    "__dict__"
].__get__
_class_dict: Callable[[type], Mapping[str, Any]] = vars(type)["__dict__"].__get__
_CACHE: Any = type(functools.lru_cache(int))
_PARTIAL: Any = functools.partial


class _Undo(Private):
    """One thing put back. It can be done twice, and before what it puts back was done."""

    __slots__ = ("action", "arguments")

    def __init__(self, action: Callable[..., object], *arguments: Any) -> None:
        self.action = action
        self.arguments = arguments


class Swap(Private):
    """Replaces references, and remembers each so that all can be put back in reverse.

    What can be changed is changed where it is, and what cannot is made anew (`Substitution`). What runs at this
    moment, in its local variables, is out of reach; other things that keep a class are named in `left`.

    Each step is noted before it is taken, and forgotten after it was put back: where Ctrl-C or an error
    interrupts one, undo() finishes the job, however often that is interrupted itself.
    """

    __slots__ = ("_modules", "_undo", "left", "live_instances", "modules")

    def __init__(self) -> None:
        self._undo: list[_Undo] = []
        self._modules: dict[int, str] = {}  # id of a module's dict -> its name
        self.modules: list[str] = []
        """Those in which a name was bound anew, as they were imported."""
        self.live_instances = 0
        self.left: dict[str, str] = {}
        """What keeps one of the classes -> why."""

    def __len__(self) -> int:
        return len(self._undo)

    def undone_by(self, action: Callable[..., object], *arguments: Any) -> None:
        """Have undo() do this, too; it may be done twice, or before what it undoes."""
        self._undo.append(_Undo(action, *arguments))

    def undo(self) -> None:
        """Put everything back that has not been changed again since."""
        while self._undo:
            step = self._undo[-1]
            # Of anyone's object: the others must be put back all the same.
            with suppress(Exception):
                step.action(*step.arguments)
            self._undo.pop()

    def in_modules(self, classes: Classes, modules: Iterable[types.ModuleType]) -> None:
        """Replace the names that these modules have for the classes."""
        find = Substitution(classes)
        for module in modules:
            names = module_dict(module)
            find.add_reachable(list(names.values()))
            self._modules[id(names)] = _name_of(names)
            self._in_dict(names, find)

    def in_names_of_trees(self, classes: Classes) -> None:
        """Let the names in trees that torch has saved mean the classes in their place."""
        self._in_dict(registries.names_of_saved_trees(), Substitution(classes))

    def everywhere(self, classes: Classes, left: object = None) -> None:
        """Replace every reference that the collector knows of, but for what is in `left`."""
        for module in list(sys.modules.values()):
            if issubclass(type(module), types.ModuleType):
                self._modules[id(module_dict(module))] = _name_of(module_dict(module))
        references = weak_references(classes)
        targets = [
            *classes,
            *(reference for reference, _ in references),
            *registries.led_to_by(classes),
        ]
        found, self.live_instances = holders(targets)
        kept = [
            *(left, classes, references, targets, *classes),
            *registries.left_alone(classes, found),
            *_parts_of_the_classes(classes),
        ]
        skipped = set(map(id, kept))

        find = Substitution(classes)
        find.add_weak(references)
        find.add(found)
        self.left.update(find.failed)
        rebuilt = list(rebuilders(found))
        for _, rebuild in rebuilt:
            self.undone_by(rebuild)  # last, when all else is as it was
        # Those of no model are garbage that models have left when they were rebuilt before.
        skipped.update(id(part) for part in found if issubclass(type(part), compiled_types()))
        for action, arguments in registries.carry_over(classes, found):
            self.undone_by(action, *arguments)
        for holder in found:
            if id(holder) not in skipped and not issubclass(type(holder), IMMUTABLE):
                self._in_holder(holder, find)
        for name, rebuild in rebuilt:
            try:
                rebuild()
            except Exception as error:
                self.left[name] = f"it cannot be rebuilt: {type(error).__name__}: {error}"
        imported = {name: place for place, name in enumerate(self._modules.values())}
        self.modules.sort(key=lambda name: imported[name])

    def _in_holder(self, holder: Any, find: Substitution) -> None:
        """What goes wrong with one object of others leaves that object alone."""
        kind, why = type(holder), "it cannot be changed"
        try:
            self._change(holder, find)
        except MemoryError:
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
        else:
            # A class has its bases, and a dict that has both classes as keys keeps both.
            if issubclass(kind, (type, dict, types.FrameType)):
                return
            if issubclass(kind, _WITH_VARIABLES):
                why = "its local variables are out of reach"
            elif not any(map(find.changes, gc.get_referents(holder))):
                return
        self.left.setdefault(_description(holder), why)

    def _change(self, holder: Any, find: Substitution) -> None:
        kind = type(holder)
        for base, change in _CHANGERS.items():
            if issubclass(kind, base):
                change(self, holder, find)
                break
        if not issubclass(kind, (type, types.FunctionType, types.CellType, ModelOutput)):
            self._in_attributes(holder, find)

    def _in_attributes(self, holder: Any, find: Substitution) -> None:
        kind = type(holder)
        if kind is dict or kind is list or kind is set:
            return
        attributes = attributes_of(holder)
        if type(attributes) is dict:
            self._in_dict(attributes, find)
        for base in type.__getattribute__(kind, "__mro__"):
            for member in _class_dict(base).values():
                if type(member) is types.MemberDescriptorType:
                    try:
                        value = member.__get__(holder)
                    except AttributeError:  # empty
                        continue
                    if find.changes(value):
                        self._put(member.__get__, member.__set__, (holder,), find(value))

    def _put(
        self, read: Callable[..., Any], put: Callable[..., Any], target: tuple[Any, ...], new: Any
    ) -> None:
        """put(*target, new), where read(*target) tells what is there."""
        self.undone_by(_put_back, read, put, target, new, read(*target))
        put(*target, new)

    def _in_dict(self, found: dict[Any, Any], find: Substitution) -> None:
        if _is_table_of_subclasses(found):
            return
        is_changed, keys = False, []
        kind = _kind_of_dict(found)
        for key, value in list(kind.items(found)):
            if find.changes(value):
                is_changed = True
                self.undone_by(_put_item_back, found, key, find(value), value)
                dict.__setitem__(found, key, find(value))
            if find.changes(key):
                keys.append(key)
        if keys:
            # One that is there already, in the place of another class or from before, stays.
            new = {
                find(key): key for key in reversed(keys) if not dict.__contains__(found, find(key))
            }
            pairs = [(key, new_key) for new_key, key in new.items()]
            is_changed = is_changed or bool(pairs)
            self.undone_by(_exchange_keys, found, [(after, before) for before, after in pairs])
            _exchange_keys(found, pairs)
        if is_changed:
            name = self._modules.get(id(found))
            if name is not None and name not in self.modules:
                self.modules.append(name)

    def _in_list(self, found: list[Any], find: Substitution) -> None:
        for index, value in enumerate(list.copy(found)):
            if find.changes(value):
                self.undone_by(_put_at_back, found, index, find(value), value)
                list.__setitem__(found, index, find(value))

    def _in_deque(self, found: collections.deque[Any], find: Substitution) -> None:
        for index, value in enumerate(collections.deque.copy(found)):
            if find.changes(value):
                self.undone_by(_put_at_back, found, index, find(value), value)
                collections.deque.__setitem__(found, index, find(value))

    def _in_set(self, found: set[Any], find: Substitution) -> None:
        for value in [value for value in set.copy(found) if find.changes(value)]:
            has_both = set.__contains__(found, find(value))
            self.undone_by(_put_member_back, found, find(value), value, has_both)
            set.discard(found, value)
            set.add(found, find(value))

    def _in_output(self, found: ModelOutput, find: Substitution) -> None:
        for key, value in list(ModelOutput.items(found)):
            if find.changes(value):
                target = (found, key)
                self._put(ModelOutput.__getitem__, ModelOutput.__setitem__, target, find(value))

    def _in_function(self, function: types.FunctionType, find: Substitution) -> None:
        if find.changes(function.__defaults__):
            target = (function, "__defaults__")
            self._put(getattr, setattr, target, find(function.__defaults__))
        if sys.version_info < (3, 14) and any(map(find.changes, gc.get_referents(function))):
            # Those that nobody has read yet are in a tuple.
            self._in_dict(function.__annotations__, find)

    def _in_cell(self, cell: types.CellType, find: Substitution) -> None:
        self._put(getattr, setattr, (cell, "cell_contents"), find(cell.cell_contents))

    def _in_partial(self, found: functools.partial[Any], find: Substitution) -> None:
        function, arguments, *more = _PARTIAL.__reduce__(found)[2]
        after = (find(function), find(arguments), *more)
        self.undone_by(_put_partial_back, found, after, (function, arguments, *more))
        _PARTIAL.__setstate__(found, after)

    def _in_cache(self, cache: Any, find: Substitution) -> None:
        self.undone_by(_CACHE.cache_clear, cache)
        _CACHE.cache_clear(cache)

    def _in_class(self, cls: type, find: Substitution) -> None:
        for name, value in list(_class_dict(cls).items()):
            if find.changes(value):
                self._put(_class_attribute, type.__setattr__, (cls, name), find(value))


_CHANGERS: dict[type, Callable[[Swap, Any, Substitution], None]] = {
    ModelOutput: Swap._in_output,
    dict: Swap._in_dict,
    list: Swap._in_list,
    types.FunctionType: Swap._in_function,
    types.CellType: Swap._in_cell,
    type: Swap._in_class,
    set: Swap._in_set,
    collections.deque: Swap._in_deque,
    functools.partial: Swap._in_partial,
    _CACHE: Swap._in_cache,
}
_WITH_VARIABLES = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)


def _name_of(names: dict[str, Any]) -> str:
    return str(names.get("__name__", "?"))


def _description(holder: Any) -> str:
    kind = type(holder)
    name, module = (type.__getattribute__(kind, name) for name in ("__qualname__", "__module__"))
    if issubclass(kind, _WITH_VARIABLES):
        return f"the {name} {holder.__qualname__}"
    return f"a {name}" if module == "builtins" else f"a {module}.{name}"


def _is_table_of_subclasses(found: Any) -> bool:
    """Whether a class finds those derived from it by this dict: id -> weak reference."""
    return (
        type(found) is dict
        and len(found) > 0
        and all(
            type(key) is int and type(value) is weakref.ref and key in (id(value()), id(value))
            for key, value in list(found.items())
            if type(value) is not weakref.ref or value() is not None
        )
    )


def _kind_of_dict(found: dict[Any, Any]) -> Any:
    """An OrderedDict has an order of its own."""
    is_ordered = issubclass(type(found), collections.OrderedDict)
    return collections.OrderedDict if is_ordered else dict


def _class_attribute(cls: type, name: str) -> Any:
    return _class_dict(cls).get(name)


def _put_back(
    read: Callable[..., Any],
    put: Callable[..., Any],
    target: tuple[Any, ...],
    new: Any,
    old: Any,
) -> None:
    if read(*target) is new:  # whoever changed it since meant to
        put(*target, old)


def _put_partial_back(found: functools.partial[Any], new: Any, old: Any) -> None:
    if _PARTIAL.__reduce__(found)[2][:2] == new[:2]:
        _PARTIAL.__setstate__(found, old)


def _put_item_back(found: Any, key: Any, new: Any, old: Any) -> None:
    if dict.get(found, key) is new:
        dict.__setitem__(found, key, old)


def _put_at_back(found: Any, index: int, new: Any, old: Any) -> None:
    kind = list if issubclass(type(found), list) else collections.deque
    if index < kind.__len__(found) and kind.__getitem__(found, index) is new:
        kind.__setitem__(found, index, old)


def _put_member_back(found: set[Any], new: Any, old: Any, has_both: bool) -> None:
    if set.__contains__(found, new):
        if not has_both:
            set.discard(found, new)
        set.add(found, old)


def _exchange_keys(found: dict[Any, Any], pairs: list[tuple[Any, Any]]) -> None:
    """Put another key in the place of each, with the same value, if the one is there and the other is not."""
    new = {
        id(before): after
        for before, after in pairs
        if dict.__contains__(found, before) and not dict.__contains__(found, after)
    }
    if new:
        before = dict(list(_kind_of_dict(found).items(found)))
        after = {new.get(id(key), key): value for key, value in before.items()}
        _core.refill(found, after, before)


def _parts_of_the_classes(classes: Classes) -> list[Any]:
    """By which the old classes describe themselves: their fields and methods, with the cells for `super()`."""
    found: list[Any] = []
    for cls, new in classes.items():
        body, new_body = _class_dict(cls), _class_dict(new)
        pending = [value for name, value in body.items() if new_body.get(name) is not value]
        while pending:
            value = pending.pop()
            if issubclass(type(value), (classmethod, staticmethod)):
                pending.append(value.__func__)
            elif issubclass(type(value), property):
                pending += [value.fget, value.fset, value.fdel]
            elif type(value) is types.FunctionType:
                cells = value.__closure__ or ()
                pending += [_content(cell) for cell in cells]
                found += [value, *cells]
                shared = (value.__globals__, vars(builtins))
                for part in gc.get_referents(value):  # its annotations, defaults and attributes
                    if type(part) is dict and not any(part is other for other in shared):
                        found.append(part)
        fields = body.get("__dataclass_fields__")
        if type(fields) is dict and fields is not new_body.get("__dataclass_fields__"):
            in_new = set(map(id, (new_body.get("__dataclass_fields__") or {}).values()))
            found += [fields, *(field for field in fields.values() if id(field) not in in_new)]
        annotations = body.get("__annotations__")
        if annotations is not new_body.get("__annotations__"):
            found.append(annotations)
    return found


def _content(cell: types.CellType) -> Any:
    try:
        content = cell.cell_contents
    except ValueError:
        return None
    return content if isinstance(content, types.FunctionType) else None
