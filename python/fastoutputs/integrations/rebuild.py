"""Make a class anew on other bases: the same body, fields, methods and names.

A class cannot change from an OrderedDict to the compiled container, or back, by `__bases__`: the
instances are laid out differently. So its body is taken from it and a second class made of it.
"""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import dataclasses
import reprlib
import sys
import types
from collections.abc import Callable
from importlib import import_module
from typing import Any

from ..declared import as_declared, own_annotations

__all__ = ["Methods", "rebuild"]

# What belongs to the class object itself, or is made anew with it.
_NOT_COPIED = {
    "__dict__",
    "__weakref__",
    "__dataclass_fields__",
    "__dataclass_params__",
    "__slotnames__",
    "__annotate_func__",
    "__annotations_cache__",
    "__static_attributes__",
    "__firstlineno__",
}


def _is_generated(name: str, value: Any, metaclass: type) -> bool:
    """Whether @dataclass made this method: it compiles them inside a function of its own.

    Two wrappers come with it: `__repr__` has one against recursion, and transformers' metaclass wraps `__init__`.
    Anybody else's is a method of the class's own.
    """
    makers = (dataclasses.field, reprlib.recursive_repr, metaclass.__setattr__)
    files = [make.__code__.co_filename for make in makers if isinstance(make, types.FunctionType)]
    while isinstance(value, types.FunctionType) and value.__code__.co_filename in files:
        value = value.__dict__.get("__wrapped__")
    if not isinstance(value, types.FunctionType):
        return False
    code = value.__code__
    if sys.version_info >= (3, 11):
        return code.co_qualname == f"__create_fn__.<locals>.{name}"
    return (code.co_filename, code.co_firstlineno, code.co_name) == ("<string>", 2, name)


class Methods:
    """Copies functions so that a `super()` or `__class__` in them means the new class."""

    def __init__(self, cls: type) -> None:
        self._cls = cls
        self._cell = types.CellType()

    def copy(self, value: Any) -> Any:
        if isinstance(value, types.FunctionType):
            return self._copy_function(value)
        if isinstance(value, (classmethod, staticmethod)):
            inner = self.copy(value.__func__)
            return value if inner is value.__func__ else type(value)(inner)
        if isinstance(value, property):
            parts = (value.fget, value.fset, value.fdel)
            fget, fset, fdel = map(self.copy, parts)
            unchanged = (fget, fset, fdel) == parts
            return value if unchanged else type(value)(fget, fset, fdel, value.__doc__)
        return value

    def _copy_function(self, function: types.FunctionType) -> types.FunctionType:
        cells = function.__closure__ or ()
        copies = tuple(self._copy_cell(cell) for cell in cells)
        if copies == cells:
            return function
        copy = types.FunctionType(
            function.__code__,
            function.__globals__,
            function.__name__,
            function.__defaults__,
            copies,
        )
        copy.__kwdefaults__ = function.__kwdefaults__
        copy.__qualname__ = function.__qualname__
        copy.__module__ = function.__module__
        copy.__doc__ = function.__doc__
        copy.__annotations__ = dict(function.__annotations__)
        copy.__dict__.update(function.__dict__)
        return copy

    def _copy_cell(self, cell: types.CellType) -> types.CellType:
        try:
            content = cell.cell_contents
        except ValueError:  # empty
            return cell
        if content is self._cls:
            return self._cell
        if isinstance(content, types.FunctionType):  # a decorator's wrapper
            copy = self._copy_function(content)
            return cell if copy is content else types.CellType(copy)
        return cell

    def belong_to(self, cls: type) -> None:
        self._cell.cell_contents = cls


def _as_declared(field: dataclasses.Field[Any]) -> Any:
    """What stood behind the field's name in the class body, or MISSING for nothing."""
    plain = field.init and field.repr and field.compare and field.hash is None
    if plain and not field.metadata and field.default_factory is dataclasses.MISSING:
        if not field.kw_only:
            return field.default
    return dataclasses.field(
        default=field.default,
        default_factory=field.default_factory,
        init=field.init,
        repr=field.repr,
        hash=field.hash,
        compare=field.compare,
        metadata=field.metadata,
        kw_only=field.kw_only,
    )


def _decorator(cls: type) -> Callable[[type], type] | None:
    """The dataclass decorator, or flax's, that cls itself went through, with the same options."""
    own = vars(cls)
    if "__dataclass_params__" not in own:
        return None
    params = own["__dataclass_params__"]
    names = ["init", "repr", "eq", "order", "unsafe_hash", "frozen"]
    options = {name: getattr(params, name) for name in names}
    options["match_args"] = "__match_args__" in own
    if own.get("_flax_dataclass"):
        struct = import_module("flax.struct")
        return lambda new: struct.dataclass(new, **options)
    return lambda new: dataclasses.dataclass(**options)(new)


def rebuild(cls: type, bases: tuple[type, ...], without: type = type) -> type:
    """A class with the name, body and dataclass options of cls, on other bases.

    It has the metaclass of cls, unless that is `without`. TypeError if cls cannot be made twice: its metaclass or an __init_subclass__ refuses.
    """
    own = as_declared(cls)
    decorator = _decorator(cls)
    methods = Methods(cls)
    fields: dict[str, dataclasses.Field[Any]] = getattr(cls, "__dataclass_fields__", {})
    annotations = own_annotations(cls)
    slots = own.get("__slots__", ())
    slots = (slots,) if isinstance(slots, str) else tuple(slots)
    left_out = {*_NOT_COPIED, *slots}
    if decorator is not None:
        generated = [name for name, value in own.items() if _is_generated(name, value, type(cls))]
        left_out.update(generated, ("__match_args__", "_flax_dataclass"))
        if own.get("_flax_dataclass"):
            left_out.add("replace")
        if own.get("__hash__", cls) is None:
            left_out.add("__hash__")
    body = {name: methods.copy(value) for name, value in own.items() if name not in left_out}
    body.update(__qualname__=cls.__qualname__, __annotations__=annotations)
    if "__slots__" in own:
        # @dataclass(slots=True) puts fields there, and a name there can have no default.
        body["__slots__"] = tuple(name for name in slots if name not in fields)
    for name, field in fields.items():
        if field._field_type is not dataclasses._FIELD:  # type: ignore[attr-defined]
            continue  # ClassVar and InitVar stand in the body as they are
        declared = _as_declared(field) if name in annotations else dataclasses.MISSING
        if declared is not dataclasses.MISSING:
            body[name] = declared
    metaclass = {} if type(cls) in (type, without) else {"metaclass": type(cls)}
    new = types.new_class(cls.__name__, bases, metaclass, lambda namespace: namespace.update(body))
    methods.belong_to(new)
    return decorator(new) if decorator is not None else new
