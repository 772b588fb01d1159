"""The pieces of torch's tracer that fastoutputs replaces. None is public, so each stands alone.

A piece looks for what it needs before anything is replaced: names, where they stand, parameters,
what instances carry. If something is not as expected, it raises `NotAsExpected` and is left out;
`Piece.lost` says what no longer works then. Our own part of a replaced method runs `within` a guard
that takes every piece back if it fails, and leaves the frame to the interpreter.
"""

# Classes and values here are torch's, so their types are not known.
# pyright: basic
from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from .. import _core
from .._core import ModelOutput

__all__ = [
    "MEETING",
    "READING_SLOTS_ONLY",
    "STORING",
    "NotAsExpected",
    "Piece",
    "Tracer",
    "find_pieces",
    "is_slots_only",
]

Method = Callable[..., Any]
Replacement = tuple[Any, str, Method]
"""A class of torch's, the name of a method, and what takes its place."""


class NotAsExpected(Exception):
    """This torch lacks something that a piece rests on, or has it in another form."""


class Tracer(NamedTuple):
    """What a piece calls back."""

    meet: Callable[[Any, bool], None]
    """A trace has met an output, which came from outside of it or not."""
    within: Callable[..., AbstractContextManager[None]]
    """Guards our own part of a replaced method; is told if guards are being built, after the trace."""


class Piece(NamedTuple):
    name: str
    lost: str
    """What does not work without it."""
    find: Callable[[Tracer], list[Replacement]]


def part(owner: Any, *names: str) -> Any:
    """The first of the names that a module or class has."""
    for name in names:
        if hasattr(owner, name):
            return getattr(owner, name)
    raise NotAsExpected(f"{owner.__name__} has no {' or '.join(names)}")


def module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise NotAsExpected(f"cannot import {name}: {error}") from error


def method(owner: Any, names: str | tuple[str, ...], *parameters: str) -> Method:
    """A method that takes exactly these; "*" stands for any more."""
    found = part(owner, *((names,) if isinstance(names, str) else names))
    if not callable(found):
        raise NotAsExpected(f"{owner.__name__}.{names} is no method")
    taken = list(inspect.signature(found).parameters)
    expected = list(parameters)
    if expected[-1] == "*":
        expected.pop()
        taken = taken[: len(expected)]
    if taken != expected:
        raise NotAsExpected(f"{owner.__name__}.{found.__name__} takes other arguments")
    return found  # type: ignore[no-any-return]


def tracker_of_outputs() -> Any:
    """torch's class for objects that are dicts, which it uses for outputs."""
    return part(module("torch._dynamo.variables"), "UserDefinedDictVariable")


def is_slots_only(value: Any) -> bool:
    return isinstance(value, ModelOutput) and not dict.__len__(value)


def outputs_are_met(tracer: Tracer) -> list[Replacement]:
    """Notice the first output that is traced."""
    tracker = tracker_of_outputs()
    make = method(tracker, "__init__", "self", "value", "*")

    @functools.wraps(make)
    def __init__(variable: Any, value: Any, *args: Any, **kwargs: Any) -> None:
        make(variable, value, *args, **kwargs)
        if isinstance(value, ModelOutput):
            tracer.meet(value, getattr(variable, "source", None) is not None)

    return [(tracker, "__init__", __init__)]


def outputs_fill_their_dict(tracer: Tracer) -> list[Replacement]:
    """At the end of a trace, write to the inner dict only if there are extra keys.

    torch would clear and refill it, which costs more than all else and fills that of a slots-only
    output. The output keeps it in sync itself, as its attributes are set.
    """
    variables = module("torch._dynamo.variables")
    tracker, plain_dict = tracker_of_outputs(), part(variables, "ConstDictVariable")
    is_dict = issubclass(tracker, plain_dict)  # from torch 2.15 on; it had one before
    if not is_dict and not hasattr(tracker, "_base_vt"):
        raise NotAsExpected(f"{tracker.__name__} neither is nor has a {plain_dict.__name__}")
    has_new_items = method(tracker if is_dict else plain_dict, "has_new_items", "self")

    def has_extra_keys(storage: Any, cls: type[ModelOutput]) -> bool:
        with tracer.within():
            fields = _core.layout(cls).fields
            return any(key.vt.as_python_constant() not in fields for key in storage.items)

    if is_dict:

        @functools.wraps(has_new_items)
        def of_tracker(variable: Any) -> bool:
            with tracer.within():
                value = variable.value
            is_left_alone = isinstance(value, ModelOutput) and not has_extra_keys(
                variable, type(value)
            )
            return not is_left_alone and has_new_items(variable)

        return [(tracker, "has_new_items", of_tracker)]

    make = method(tracker, "__init__", "self", "value", "*")

    class InnerDict(plain_dict):  # type: ignore[misc,valid-type]
        _nonvar_fields = frozenset({"owner", *plain_dict._nonvar_fields})
        owner: type[ModelOutput]

        def has_new_items(self) -> bool:
            return has_extra_keys(self, self.owner) and super().has_new_items()

    @functools.wraps(make)
    def __init__(variable: Any, value: Any, *args: Any, **kwargs: Any) -> None:
        make(variable, value, *args, **kwargs)
        if isinstance(value, ModelOutput):
            with tracer.within():
                variable._base_vt.__class__ = InnerDict
                variable._base_vt.owner = type(value)

    return [(tracker, "__init__", __init__)]


def stores_are_plain(tracer: Tracer) -> list[Replacement]:
    """At the end of a trace, set attributes as code would: the output does the rest.

    torch would use object.__setattr__, which bypasses the output and which CPython refuses.
    """
    tracker = tracker_of_outputs()
    needs_object_setattr = method(tracker, "needs_slow_setattr", "self")

    @functools.wraps(needs_object_setattr)
    def needs_slow_setattr(variable: Any) -> bool:
        with tracer.within():
            cls: Any = type(variable.value)
        ours = cls.__setattr__ is ModelOutput.__setattr__
        return not ours and needs_object_setattr(variable)

    return [(tracker, "needs_slow_setattr", needs_slow_setattr)]


def vars_break_the_graph(tracer: Tracer) -> list[Replacement]:
    """torch makes up a __dict__, without what the trace has stored in fields."""
    tracker = tracker_of_outputs()
    read = method(tracker, ("tp_getattro_impl", "var_getattr"), "self", "tx", "name")
    break_graph = part(module("torch._dynamo.exc"), "unimplemented")

    @functools.wraps(read)
    def read_attribute(variable: Any, tx: Any, name: str) -> Any:
        if name == "__dict__":
            with tracer.within():
                if isinstance(variable.value, ModelOutput):
                    break_graph(
                        gb_type="vars() of an output",
                        context=f"{type(variable.value).__name__}.__dict__",
                        explanation="An output has no instance dictionary that a trace could follow.",
                        hints=[
                            "Use dict(output), or getattr() for each of dataclasses.fields(output)."
                        ],
                    )
        return read(variable, tx, name)

    return [(tracker, read.__name__, read_attribute)]


def super_finds_traceable_methods(replaced: Iterable[Method], tracer: Tracer) -> list[Replacement]:
    """Have ``super().keys()`` and the like run the traceable function.

    torch looks for one where a method is called by itself only.
    """
    variables = module("torch._dynamo.variables")
    tracker, base = part(variables, "SuperVariable"), part(variables, "VariableTracker")
    call = method(tracker, "call_method", "self", "tx", "name", "args", "kwargs")
    resolve = method(tracker, "_resolved_getattr_and_source", "self", "tx", "name")
    build = method(base, "build", "tx", "value", "*")
    method(base, "call_function", "self", "tx", "args", "kwargs")
    methods = {compiled.__name__: compiled for compiled in replaced}

    @functools.wraps(call)
    def call_method(variable: Any, tx: Any, name: str, args: list[Any], kwargs: Any) -> Any:
        if name in methods:
            with tracer.within():
                output = variable.objvar
                found = output and resolve(variable, tx, name)[0] is methods[name]
                traceable: Any = build(tx, methods[name]) if found else None
            if found:
                return traceable.call_function(tx, [output, *args], kwargs)
        return call(variable, tx, name, args, kwargs)

    return [(tracker, "call_method", call_method)]


def attributes_are_guarded(tracer: Tracer) -> list[Replacement]:
    """Check the attributes of an output that came to a trace with an empty inner dict.

    torch would compare its length, which is that of its fields, to that of the dict, and look no
    further at a dict that is empty.
    """
    builder = part(module("torch._dynamo.guards"), "GuardBuilder")
    match_length = method(builder, "SEQUENCE_LENGTH", "self", "guard")
    by_order = method(builder, "requires_key_order_guarding", "self", "source")
    value_of = method(builder, "get", "self", "*")
    manager_of = method(builder, "get_guard_manager", "self", "guard")

    @functools.wraps(match_length)
    def SEQUENCE_LENGTH(self: Any, guard: Any) -> None:
        with tracer.within(builds_guards=True):
            value = value_of(self, guard)
        if not is_slots_only(value):
            match_length(self, guard)
            return
        tracer.meet(value, True)  # the last chance to leave it to the interpreter
        with tracer.within(builds_guards=True):
            manager, stack = manager_of(self, guard), guard.user_stack
            manager.add_dict_length_check_guard(0, [f"dict.__len__({guard.name}) == 0"], stack)
            keys = list(ModelOutput.keys(value))
            manager.add_lambda_guard(
                lambda output: list(ModelOutput.keys(output)) == keys,
                [f"list({guard.name}.keys()) == {keys}"],
                stack,
            )

    @functools.wraps(by_order)
    def requires_key_order_guarding(self: Any, source: Any) -> bool:
        if not by_order(self, source):
            return False
        with tracer.within(builds_guards=True):
            return not is_slots_only(value_of(self, source))

    return [
        (builder, "SEQUENCE_LENGTH", SEQUENCE_LENGTH),
        (builder, "requires_key_order_guarding", requires_key_order_guarding),
    ]


def slots_only_outputs_have_items(tracer: Tracer) -> list[Replacement]:
    """Let a trace find the items of a slots-only output in its dict, as it finds those of any other.

    Before torch 2.15, ``**output`` and the like asked the output for its items, and this is not needed.
    """
    variables = module("torch._dynamo.variables")
    tracker = tracker_of_outputs()
    if not issubclass(tracker, part(variables, "ConstDictVariable")):
        return []
    make = method(tracker, "__init__", "self", "value", "items", "*")
    constant = method(part(variables, "ConstantVariable"), "create", "value", "*")
    lazy = method(part(variables, "LazyVariableTracker"), "create", "value", "source", "*")
    attribute = part(module("torch._dynamo.source"), "AttrSource")

    @functools.wraps(make)
    def __init__(variable: Any, value: Any, items: Any = None, **kwargs: Any) -> None:
        source = kwargs.get("source")
        if source is not None and not items and is_slots_only(value):
            with tracer.within():
                items = {
                    constant(name): lazy(item, attribute(source, name))
                    for name, item in ModelOutput.items(value)
                }
        make(variable, value, items, **kwargs)

    return [(tracker, "__init__", __init__)]


NOT_WHOLE = (
    "fullgraph and strict export of code that makes or changes outputs are not supported; "
    "the rest works with graph breaks"
)
MEETING = Piece("outputs are noticed", NOT_WHOLE, outputs_are_met)
STORING = (
    Piece("the inner dict is left to the output", NOT_WHOLE, outputs_fill_their_dict),
    Piece("attributes are set by the output", NOT_WHOLE, stores_are_plain),
    Piece("vars() breaks the graph", NOT_WHOLE, vars_break_the_graph),
)
NOT_SLOTS_ONLY = "code that is given slots-only outputs is left to the interpreter"
READING_SLOTS_ONLY = (
    Piece("attributes of slots-only outputs are guarded", NOT_SLOTS_ONLY, attributes_are_guarded),
    Piece("slots-only outputs have items", NOT_SLOTS_ONLY, slots_only_outputs_have_items),
)


def find_pieces(replaced: Iterable[Method]) -> tuple[Piece, ...]:
    """All of them, for the compiled methods that have traceable functions."""
    return (
        MEETING,
        *STORING,
        *READING_SLOTS_ONLY,
        Piece(
            "super() finds traceable methods",
            "overrides that call super() break the graph",
            functools.partial(super_finds_traceable_methods, tuple(replaced)),
        ),
    )
