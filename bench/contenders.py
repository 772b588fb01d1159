"""The one registry of contenders: every way to return five named values that `bench` compares.

Each is the same record (`FIELDS`, all optional), declared as its library's users would declare it.
A contender is left out when its library is not installed; nothing else depends on which are there.
"""

from __future__ import annotations

import dataclasses
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

FIELDS = ("loss", "logits", "cache", "hidden_states", "attentions")

STEP, SLOTS, ORIGINAL = "fastoutputs in step", "fastoutputs slots only", "transformers ModelOutput"

# Which cases (see `cases.CASES`) a kind of contender can answer, and with the same answer.
MADE = frozenset("make make_none make_one make_three make_four make_five mapping".split())
POSITIONAL = frozenset("positional positional_five".split())
RECORD = MADE | POSITIONAL | set("read copy deepcopy pickle drop bytes allocated".split())
MUTABLE = RECORD | {"set", "set_absent", "set_none", "eq"}
MAPPING = frozenset(
    "key set_key len in keys values values_tuple iterate list items get unpack dict".split()
)
TREES = frozenset("torch_tree cpp_tree optree jax_tree".split())
OUTPUT = MUTABLE | MAPPING | TREES | {"index", "last", "slice", "rest", "to_tuple", "two"}


@dataclass(frozen=True)
class Contender:
    """How one peer is made, and what it can be asked."""

    name: str
    make: Callable[..., Any]
    does: frozenset[str]
    spelling: dict[str, str] = field(default_factory=dict)
    """Statements of its own, where the case's usual one does not fit."""
    values: tuple[Any, ...] | None = None
    """What it is timed with, where the usual values cost it more than those it is made for."""


@dataclass(frozen=True)
class Missing:
    """A peer, or a case, whose library is not installed, and what would bring it."""

    name: str
    reason: str


@dataclass(frozen=True)
class Recipe:
    """A registered contender before its library is imported."""

    build: Callable[[], Any]
    does: frozenset[str]
    spelling: dict[str, str]
    holds_tensors: bool


RECIPES: dict[str, Recipe] = {}


def contender(
    name: str, does: frozenset[str], holds_tensors: bool = False, **spelling: str
) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Register a function that imports what the peer needs and returns its record type."""

    def register(build: Callable[[], Any]) -> Callable[[], Any]:
        RECIPES[name] = Recipe(build, does, spelling, holds_tensors)
        return build

    return register


def load() -> tuple[list[Contender], list[Missing]]:
    """All contenders that can be made here, in the order of the registry, and those that cannot."""
    found: list[Contender] = []
    missing: list[Missing] = []
    for name, recipe in RECIPES.items():
        try:
            make = recipe.build()
        except ImportError as error:
            missing.append(Missing(name, str(error)))
            continue
        if isinstance(make, type) and make.__module__ == __name__:
            make.__qualname__ = make.__name__
            globals()[make.__name__] = make  # pickle finds a class by this name
        values = _tensors() if recipe.holds_tensors else None
        found.append(Contender(name, make, recipe.does, recipe.spelling, values))
    return found, missing


def _tensors() -> tuple[Any, ...]:
    import torch

    return tuple(torch.zeros(()) for _ in FIELDS)


def present(out: Any) -> tuple[Any, ...]:
    """The values that are there, read in the way the contender allows: the yardstick of the tests."""
    if isinstance(out, tuple):
        return tuple(value for value in out if value is not None)
    if isinstance(out, dict) and not hasattr(out, "to_tuple"):
        return tuple(out.values())
    return tuple(value for name in FIELDS if (value := getattr(out, name, None)) is not None)


@contender(STEP, OUTPUT)
def _in_step() -> type:
    from fastoutputs import ModelOutput

    @dataclass
    class InStep(ModelOutput):
        loss: Any = None
        logits: Any = None
        cache: Any = None
        hidden_states: Any = None
        attentions: Any = None

    return InStep


@contender(SLOTS, OUTPUT)
def _slots_only() -> type:
    from fastoutputs import ModelOutput

    @dataclass
    class SlotsOnly(ModelOutput, mirror_dict=False):
        loss: Any = None
        logits: Any = None
        cache: Any = None
        hidden_states: Any = None
        attentions: Any = None

    return SlotsOnly


@contender(ORIGINAL, OUTPUT)
def _original() -> type:
    from transformers.utils import ModelOutput

    @dataclass
    class Original(ModelOutput):
        loss: Any = None
        logits: Any = None
        cache: Any = None
        hidden_states: Any = None
        attentions: Any = None

    return Original


# An item is a row of all its tensors, it can be neither iterated nor unpacked, and == answers for every
# element. Copies in depth and pickles are left out as they are those of the tensors; so are its nodes of
# torch's trees, as values that are no tensors are no leaves there.
@contender(
    "tensordict tensorclass",
    MADE | POSITIONAL | set("read set keys get copy drop bytes allocated".split()),
    holds_tensors=True,
)
def _tensorclass() -> type:
    from tensordict import tensorclass

    @tensorclass
    class TensorClass:
        loss: Any = None
        logits: Any = None
        cache: Any = None
        hidden_states: Any = None
        attentions: Any = None

    return TensorClass


@contender("msgspec.Struct", MUTABLE)
def _msgspec() -> type:
    import msgspec

    class Struct(msgspec.Struct):
        loss: Any = None
        logits: Any = None
        cache: Any = None
        hidden_states: Any = None
        attentions: Any = None

    return Struct


@contender("msgspec.Struct gc=False", MUTABLE)
def _msgspec_untracked() -> type:
    import msgspec

    class StructUntracked(msgspec.Struct, gc=False):
        loss: Any = None
        logits: Any = None
        cache: Any = None
        hidden_states: Any = None
        attentions: Any = None

    return StructUntracked


@contender("slots dataclass", MUTABLE)
def _dataclass() -> type:
    return dataclasses.make_dataclass(
        "SlotsDataclass",
        [(name, Any, None) for name in FIELDS],
        namespace={"__module__": __name__},
        slots=True,
    )


@contender("attrs slots", MUTABLE)
def _attrs() -> type:
    import attrs

    @attrs.define
    class Attrs:
        loss: Any = None
        logits: Any = None
        cache: Any = None
        hidden_states: Any = None
        attentions: Any = None

    return Attrs


@contender("named tuple", RECORD | {"index", "slice", "rest", "eq"})
def _named_tuple() -> type:
    return namedtuple("NamedTuple", FIELDS, defaults=(None,) * len(FIELDS), module=__name__)


@contender("SimpleNamespace", MUTABLE - POSITIONAL)
def _namespace() -> type:
    return SimpleNamespace


@contender(
    "dict",
    MUTABLE - {"read", "set_absent", "set_none"} - POSITIONAL | MAPPING | {"to_tuple", "two"},
    set="out['logits'] = c",
    to_tuple="tuple(out.values())",
    two="x, y = out.values()",
)
def _dict() -> type:
    return dict


# What a class pays that has its methods from one in C: the interpreter specialises calls of them for that
# class only, not for its subclasses.
@contender("dict subclass", MAPPING)
def _dict_subclass() -> type:
    class DictSubclass(dict[str, Any]):
        pass

    return DictSubclass


@contender(
    "tuple literal",
    RECORD - {"make_none", "read", "mapping"} - POSITIONAL
    | {"index", "last", "slice", "rest", "to_tuple", "len", "eq", "two"},
    make_one="(b,)",
    make="(a, b)",
    make_three="(a, b, c)",
    make_four="(a, b, c, d)",
    make_five="(a, b, c, d, e)",
    to_tuple="(a, b)",
    two="x, y = out",
)
def _tuple() -> Callable[..., Any]:
    def literal(**given: Any) -> tuple[Any, ...]:
        return tuple(given.values())

    return literal


@contender(
    "py::class_",
    MADE
    | POSITIONAL
    | set("read set set_absent set_none index last slice key to_tuple two keys len drop".split()),
)
def _pybind_class() -> type:
    try:
        from .pybind_class._core import Output
    except ImportError:
        raise ImportError(
            "not built: `cmake -S . -B build/bench -DFASTOUTPUTS_BUILD_BENCH=ON && "
            "cmake --build build/bench --target pybind_class`"
        ) from None
    return Output
