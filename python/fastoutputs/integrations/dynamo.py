"""torch.compile and torch.export: what a trace runs in the place of each compiled method.

A trace follows the attributes of an output, and the dict storage that it inherits. Here, as in the
container, the attributes are the truth, and the storage is kept in step with them. (That of an output
made without storage outside of the trace stays empty.)
"""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from .. import _core, twins
from .._core import ModelOutput, OutputMutationError

__all__ = ["register"]


def substitutes() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Each compiled method -> what a trace runs instead.

    They stand in a function because every global that a trace reads is checked at each call of what
    was compiled, builtins included, and a variable of an enclosing function is not.
    """
    storage, plain, Tensor = dict, object, torch.Tensor
    is_a, read, listed, text = isinstance, getattr, list, str

    @torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
    def fields_of(cls: type[ModelOutput]) -> tuple[str, ...]:
        return _core.layout(cls).fields

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
        return key in present(self)

    def keys(self: Any) -> Any:
        return present(self).keys()

    def values(self: Any) -> Any:
        return present(self).values()

    def items(self: Any) -> Any:
        return present(self).items()

    def get(self: Any, key: Any, default: Any = None) -> Any:
        return present(self).get(key, default)

    def to_tuple(self: Any) -> tuple[Any, ...]:
        return tuple([self[key] for key in self.keys()])  # either may be overridden

    def get_item(self: Any, key: Any) -> Any:
        if not is_a(key, text):
            return self.to_tuple()[key]
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
        if key not in fields_of(type(self)):
            items = present(self)
            items[key] = value
            replace_storage(self, items)
        if is_frozen(type(self)):
            set_attribute(self, key, value)
        else:
            setattr(self, key, value)

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def post_init(self: Any) -> None:
        names = fields_of(type(self))
        if not names:
            raise ValueError(f"{type(self).__name__} has no fields.")
        first = read(self, names[0])
        if first is None or is_a(first, (Tensor, text)) or is_array(first):
            return
        for name in names[1:]:
            if read(self, name) is not None:
                return
        if not is_a(first, storage) and not unpacks_pairs(type(self)):
            return
        try:
            pairs = iter(first.items() if is_a(first, storage) else first)
        except TypeError:
            return
        setattr(self, names[0], None)
        for position, pair in enumerate(listed(pairs)):
            is_pair = is_a(pair, (tuple, list)) and len(pair) == 2 and is_a(pair[0], text)
            if not is_pair and position == 0:
                setattr(self, names[0], first)
                return
            if not is_pair:
                raise ValueError(
                    f"Cannot set key/value for {pair}. It needs to be a tuple (key, value)."
                )
            setattr(self, pair[0], pair[1])
            if pair[1] is not None:
                self[pair[0]] = pair[1]

    def is_array(value: Any) -> bool:
        numpy = sys.modules.get("numpy")
        return numpy is not None and is_a(value, numpy.ndarray)

    def refuse(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise OutputMutationError(
            f"{type(self).__name__} does not support this: the fields of an output are fixed; set them one "
            "by one, to None to take one out of the views, or work on dict(output)"
        )

    return {
        twins.compiled["__init__"]: init,
        twins.compiled["__setattr__"]: set_attribute,
        twins.compiled["__getitem__"]: get_item,
        twins.compiled["__setitem__"]: set_item,
        twins.compiled["__delitem__"]: refuse,
        twins.compiled["__ior__"]: refuse,
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
        ModelOutput.pop: refuse,
        ModelOutput.popitem: refuse,
        ModelOutput.clear: refuse,
        ModelOutput.update: refuse,
        ModelOutput.setdefault: refuse,
    }


def register() -> None:
    """Make outputs traceable; where torch has changed too much, warn, and leave graphs to break at them."""
    replacements = substitutes()
    try:
        patches = [*_outputs_replay_themselves(), *_overrides_call_super(replacements)]
    except (ImportError, AttributeError) as error:
        warnings.warn(
            f"torch.compile cannot look into outputs: fastoutputs does not know torch {torch.__version__} "
            f"({error}). Everything works, with a graph break at each output.",
            stacklevel=2,
        )
        return
    for owner, name, function in patches:
        setattr(owner, name, function)
    for compiled, traceable in replacements.items():
        torch.compiler.substitute_in_graph(compiled, skip_signature_check=True)(traceable)


Patches = list[tuple[type, str, Callable[..., Any]]]
"""A class of torch's, the name of a method, and what takes its place: made before any is put there."""


def _outputs_replay_themselves() -> Patches:
    """Have the end of a trace assign attributes, and no more: the real output does the rest.

    Not public: torch would store them by object.__setattr__, which bypasses the output and which
    CPython refuses, and then write the dict storage item by item, which costs more than all else.
    """
    variables: Any = importlib.import_module("torch._dynamo.variables")
    trackers = variables.UserDefinedDictVariable
    guard_by_attributes = _attribute_guards()

    class OutputStorage(variables.ConstDictVariable):  # type: ignore[misc]
        """The dict storage of an output; to be written at the end only if it has extra keys."""

        _nonvar_fields = frozenset({"fields", *variables.ConstDictVariable._nonvar_fields})
        fields: tuple[str, ...] = ()

        def has_new_items(self) -> bool:
            names = [key.vt.as_python_constant() for key in self.items]
            return not set(names) <= set(self.fields) and super().has_new_items()

    make, needs_object_setattr = trackers.__init__, trackers.needs_slow_setattr
    read_attribute = trackers.var_getattr
    break_graph = importlib.import_module("torch._dynamo.exc").unimplemented

    def __init__(variable: Any, value: Any, *args: Any, **kwargs: Any) -> None:
        make(variable, value, *args, **kwargs)
        if isinstance(value, ModelOutput):
            storage = variable._base_vt
            storage.__class__ = OutputStorage
            storage.fields = _core.layout(type(value)).fields
            if variable.source is not None and not dict.__len__(value):
                guard_by_attributes(variable.source)
                storage.source = None  # or looking for extra keys would bring the other guards back

    def needs_slow_setattr(variable: Any) -> bool:
        cls: Any = type(variable.value)
        ours = cls.__setattr__ is ModelOutput.__setattr__
        return not ours and needs_object_setattr(variable)

    def var_getattr(variable: Any, tx: Any, name: str) -> Any:
        if name == "__dict__" and isinstance(variable.value, ModelOutput):
            # torch makes one up, without what the trace has stored in fields.
            break_graph(
                gb_type="vars() of an output",
                context=f"{type(variable.value).__name__}.__dict__",
                explanation="An output has no instance dictionary that a trace could follow.",
                hints=["Use dict(output), or getattr() for each of dataclasses.fields(output)."],
            )
        return read_attribute(variable, tx, name)

    functions = (__init__, var_getattr, needs_slow_setattr)
    return [(trackers, function.__name__, function) for function in functions]


def _overrides_call_super(replaced: Iterable[Callable[..., Any]]) -> Patches:
    """Have ``super().keys()`` and the like find what a trace runs instead.

    Not public: torch looks for it where a method is called by itself only.
    """
    variables: Any = importlib.import_module("torch._dynamo.variables")
    trackers = variables.SuperVariable
    call, resolve = trackers.call_method, trackers._resolved_getattr_and_source
    build = variables.base.VariableTracker.build
    methods = {method.__name__: method for method in replaced}

    def call_method(variable: Any, tx: Any, name: str, args: list[Any], kwargs: Any) -> Any:
        method = methods.get(name)
        if method and variable.objvar and resolve(variable, tx, name)[0] is method:
            return build(tx, method).call_function(tx, [variable.objvar, *args], kwargs)
        return call(variable, tx, name, args, kwargs)

    return [(trackers, "call_method", call_method)]


def _attribute_guards() -> Callable[[Any], None]:
    """What has a compiled function check the attributes of an output that came without storage.

    Not public, either: torch would look at the dict storage first and, as that is empty, at nothing else.
    """
    guards: Any = importlib.import_module("torch._guards")
    builders: Any = importlib.import_module("torch._dynamo.guards")
    tracers: Any = importlib.import_module("torch._dynamo.symbolic_convert")
    current, tracer = guards.TracingContext.get, tracers.InstructionTranslator.current_tx
    install, is_of_type = builders.install_guard, builders.GuardBuilder.TYPE_MATCH

    def has_no_storage(builder: Any, guard: Any) -> None:
        builder.get_guard_manager(guard).add_dict_length_check_guard(
            0, [f"dict.__len__({guard.name}) == 0"], guard.user_stack
        )

    def replace_guards(source: Any) -> None:
        current().guards_context.dynamo_guards.remove_guards_with_source(source)
        tracer().output.guard_on_key_order.discard(source)
        install(source.make_guard(is_of_type), source.make_guard(has_no_storage))

    return replace_guards
