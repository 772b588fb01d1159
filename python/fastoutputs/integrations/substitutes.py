"""What a trace runs in the place of each compiled method.

A trace follows the attributes of an output, and the dict storage that it inherits. Here, as in the
container, the attributes are the truth, and the storage is kept in step with them. (That of an output
made without storage outside of the trace stays empty.)
"""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch

from .. import _core, aliases, twins
from .._core import ModelOutput, OutputMutationError

__all__ = ["substitutes"]


def substitutes() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Each compiled method -> what a trace runs instead.

    They stand in a function because every global that a trace reads is checked at each call of what
    was compiled, builtins included, and a variable of an enclosing function is not.
    """
    storage, plain, Tensor = dict, object, torch.Tensor
    is_a, read, listed, text = isinstance, getattr, list, str
    items_of_base, set_by_base = ModelOutput.items, ModelOutput.__setitem__

    @torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
    def fields_of(cls: type[ModelOutput]) -> tuple[str, ...]:
        return _core.layout(cls).fields

    @torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
    def aliases_of(cls: type[ModelOutput]) -> tuple[tuple[str, str], ...]:
        return _core.layout(cls).aliases

    @torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
    def problem_of(cls: type[ModelOutput]) -> str | None:
        try:
            _core.layout(cls)
        except TypeError as error:
            return str(error)
        return None

    def refuse_if_unusable(cls: type[ModelOutput]) -> None:
        """From Python 3.15 on, the tracer has an instance before anything has looked at the class."""
        problem = problem_of(cls)
        if problem is not None:
            raise TypeError(problem)

    def field_of(self: Any, name: Any) -> Any:
        """The field that name is an alias of, or name itself."""
        for alias, field in aliases_of(type(self)):
            if name == alias:
                return field
        return name

    def key_of(self: Any, key: Any) -> Any:
        """As field_of, for a key: the field and the extra key of that name come first."""
        if not is_a(key, text) or key in fields_of(type(self)) or storage.__contains__(self, key):
            return key
        return field_of(self, key)

    @torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
    def unpacks_pairs(cls: type[ModelOutput]) -> bool:
        return getattr(cls, "__fastoutputs_unpacks_pairs__", True)

    @torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
    def is_frozen(cls: Any) -> bool:
        return hasattr(cls, "__dataclass_params__") and cls.__dataclass_params__.frozen

    def extra_keys(self: Any) -> list[str]:
        names = fields_of(type(self))
        return [key for key in storage.keys(self) if key not in names]

    def present(self: Any) -> dict[str, Any]:
        found = {}
        for name in fields_of(type(self)):
            value = read(self, name)
            if value is not None:
                found[name] = value
        for key in extra_keys(self):
            found[key] = storage.__getitem__(self, key)
        return found

    def length(self: Any) -> int:
        return len(present(self))

    def iterate(self: Any) -> Iterator[str]:
        return iter(present(self))

    def reverse(self: Any) -> Iterator[str]:
        return reversed(present(self))

    def contains(self: Any, key: Any) -> bool:
        return key_of(self, key) in present(self)

    def keys(self: Any) -> Any:
        return present(self).keys()

    def values(self: Any) -> Any:
        return present(self).values()

    def items(self: Any) -> Any:
        return present(self).items()

    def get(self: Any, key: Any, default: Any = None) -> Any:
        return present(self).get(key_of(self, key), default)

    def to_tuple(self: Any) -> tuple[Any, ...]:
        return tuple([self[key] for key in self.keys()])  # either may be overridden

    def get_item(self: Any, key: Any) -> Any:
        if not is_a(key, text):
            values = self.to_tuple()
            if is_a(key, int) and not -len(values) <= key < len(values):
                raise IndexError("tuple index out of range")  # a trace would speak of a list
            return values[key]
        if type(self).items is not items_of_base:
            found = storage(self.items())
            return found[key] if key in found else found[field_of(self, key)]
        key = key_of(self, key)
        if key not in fields_of(type(self)):
            return storage.__getitem__(self, key)
        value = read(self, key)
        if value is None:
            raise KeyError(key)
        return value

    def equal(self: Any, other: Any) -> Any:
        return present(self) == dict(other) if is_a(other, storage) else NotImplemented

    def not_equal(self: Any, other: Any) -> Any:
        return present(self) != dict(other) if is_a(other, storage) else NotImplemented

    def keeps_storage(self: Any) -> bool:
        return storage.__len__(self) > 0 or not present(self)

    def replace_storage(self: Any, items: dict[str, Any]) -> None:
        storage.clear(self)
        for key, value in items.items():
            storage.__setitem__(self, key, value)

    def set_attribute(self: Any, name: str, value: Any) -> None:
        name = field_of(self, name)
        if name not in fields_of(type(self)):
            plain.__setattr__(self, name, value)
            return
        if value is None and read(self, name) is None:
            return  # a constructor stores every field, and most stay None
        in_step = keeps_storage(self)
        plain.__setattr__(self, name, value)
        if in_step:
            items = present(self)
            if listed(items)[-1:] == [name]:  # as a constructor stores them
                storage.__setitem__(self, name, value)
            else:
                replace_storage(self, items)

    def set_item(self: Any, key: Any, value: Any) -> None:
        if not is_a(key, text):
            raise TypeError(f"attribute name must be string, not '{type(key).__name__}'")
        key = key_of(self, key)
        if key not in fields_of(type(self)):
            items = present(self)
            items[key] = value
            replace_storage(self, items)
        if is_frozen(type(self)):
            set_attribute(self, key, value)
        else:
            setattr(self, key, value)

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        refuse_if_unusable(type(self))
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def post_init(self: Any) -> None:
        refuse_if_unusable(type(self))
        names = fields_of(type(self))
        if not names:
            raise ValueError(f"{type(self).__name__} has no fields.")
        if not unpack_first(self, names) and type(self).__setitem__ is not set_by_base:
            for name, value in present(self).items():
                self[name] = value

    def unpack_first(self: Any, names: tuple[str, ...]) -> bool:
        """Whether the first field was stored anew, or spread over the others."""
        first = read(self, names[0])
        if first is None or is_a(first, (Tensor, text)) or is_array(type(first)):
            return False
        for name in names[1:]:
            if read(self, name) is not None:
                return False
        if not is_a(first, storage) and not unpacks_pairs(type(self)):
            return False
        try:
            pairs = iter(first.items() if is_a(first, storage) else first)
        except TypeError:
            return False
        setattr(self, names[0], None)
        for position, pair in enumerate(listed(pairs)):
            is_pair = is_a(pair, (tuple, list)) and len(pair) == 2 and is_a(pair[0], text)
            if not is_pair and position == 0:
                self[names[0]] = first
                return True
            if not is_pair:
                raise ValueError(
                    f"Cannot set key/value for {pair}. It needs to be a tuple (key, value)."
                )
            setattr(self, pair[0], pair[1])
            if pair[1] is not None:
                self[pair[0]] = pair[1]
        return True

    @torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
    def is_array(cls: type) -> bool:
        loaded = ((sys.modules.get(module), name) for module, name in _core.array_types)
        kinds = [getattr(module, name, None) for module, name in loaded]
        return any(isinstance(kind, type) and issubclass(cls, kind) for kind in kinds)

    def refuse(compiled: Callable[..., Any], *args: Any) -> Callable[..., Any]:
        reason = _refusal(compiled, *args)

        def refused(self: Any, *args: Any, **kwargs: Any) -> Any:
            raise OutputMutationError(f"{type(self).__name__} {reason}")

        return refused

    def alias_used(cls: Any, alias: str) -> None:
        pass  # a notice is for whoever runs the program, not for a trace of it

    return {
        aliases.alias_used: alias_used,
        twins.compiled["__init__"]: init,
        twins.compiled["__setattr__"]: set_attribute,
        twins.compiled["__getitem__"]: get_item,
        twins.compiled["__setitem__"]: set_item,
        twins.compiled["__len__"]: length,
        twins.compiled["__iter__"]: iterate,
        twins.compiled["__contains__"]: contains,
        twins.compiled["__eq__"]: equal,
        twins.compiled["__ne__"]: not_equal,
        twins.compiled["__post_init__"]: post_init,
        ModelOutput.__reversed__: reverse,
        ModelOutput.keys: keys,
        ModelOutput.values: values,
        ModelOutput.items: items,
        ModelOutput.get: get,
        ModelOutput.to_tuple: to_tuple,
        **{
            compiled: refuse(compiled)
            for compiled in (
                ModelOutput.pop,
                ModelOutput.popitem,
                ModelOutput.clear,
                ModelOutput.update,
                ModelOutput.setdefault,
            )
        },
        twins.compiled["__delitem__"]: refuse(twins.compiled["__delitem__"], "any"),
        twins.compiled["__ior__"]: refuse(twins.compiled["__ior__"], {}),
    }


def _refusal(compiled: Callable[..., Any], *args: Any) -> str:
    """What a method that is always refused says, behind the name of the class."""
    try:
        compiled(ModelOutput(), *args)
    except OutputMutationError as error:
        return str(error).partition(" ")[2]
    raise AssertionError(f"{compiled.__name__} is not refused")
