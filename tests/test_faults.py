"""Allocation failure at every allocation of every operation: the n-th alone, and all from the n-th on.

An operation without memory raises MemoryError and leaves the output as it was, or does what it does;
nothing that it held is held any longer, and nothing half made is left to the collector.
"""

from __future__ import annotations

import copy
import functools
import gc
import operator
import os
import pickle
import subprocess
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass, replace
from functools import partial
from typing import Any

import pytest
from containers import FREE_THREADED, HELD_ONCE, KINDS, OURS, Kind

from fastoutputs import ModelOutput, slots_only

Operation = Callable[[Kind, Any, Any], Any]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])}
pytest.importorskip("_testcapi", reason="this Python cannot be made to fail an allocation")


class Value:
    """Something whose references are counted."""


class Twin(KINDS["in_step"].Out):
    """Another class with the same fields."""


class TwinSlotsOnly(KINDS["slots_only"].Out):
    """Another class with the same fields."""


def reclass(kind: Kind, out: Any) -> None:
    out.__class__ = Twin if kind.name == "in_step" else TwinSlotsOnly
    out.__class__ = kind.Out


def in_block(kind: Kind, value: Any) -> Any:
    with slots_only():
        return kind.Out(value, attentions=value)


def pickled(protocol: int) -> Operation:
    return lambda kind, out, v: pickle.loads(pickle.dumps(kind.Out(1, [2]), protocol))


OPERATIONS: dict[str, Operation] = {
    "make": lambda kind, out, v: kind.Out(v, attentions=v),
    "make by position": lambda kind, out, v: kind.Out(v, v, v, v),
    "make in a block": lambda kind, out, v: in_block(kind, v),
    "make from dict": lambda kind, out, v: kind.Out({"loss": v, "new": v}),
    "make from list": lambda kind, out, v: kind.Out([("attentions", v), ("new", v)]),
    "make from output": lambda kind, out, v: kind.Out(out),
    "make from tuple": lambda kind, out, v: kind.Out((v, v)),
    "make frozen": lambda kind, out, v: kind.Frozen(v, v),
    "make required": lambda kind, out, v: kind.Required(v),
    "make base": lambda kind, out, v: ModelOutput(a=v),
    "make bare": lambda kind, out, v: kind.Out.__new__(kind.Out),
    "fromkeys": lambda kind, out, v: kind.Out.fromkeys(["loss", "new"], v),
    "replace": lambda kind, out, v: replace(out, attentions=v),
    "attribute": lambda kind, out, v: (out.loss, out.logits),
    "key": lambda kind, out, v: (out["logits"], out.get("logits"), out.get("none"), "none" in out),
    "index": lambda kind, out, v: (out[0], out[-1]),
    "slice": lambda kind, out, v: (out[:], out[::-1]),
    "to_tuple": lambda kind, out, v: out.to_tuple(),
    "len": lambda kind, out, v: (len(out), bool(out), operator.length_hint(iter(out))),
    "keys": lambda kind, out, v: list(out.keys()),
    "values": lambda kind, out, v: list(out.values()),
    "items": lambda kind, out, v: list(out.items()),
    "reversed": lambda kind, out, v: (list(reversed(out)), list(reversed(out.items()))),
    "sets": lambda kind, out, v: (out.keys() & {"loss"}, out.keys() ^ {v}, out.items() | {v}),
    "compare views": lambda kind, out, v: (out.keys() == {"loss"}, out.items() <= out.items()),
    "disjoint": lambda kind, out, v: out.keys().isdisjoint([v]),
    "show views": lambda kind, out, v: (repr(out.keys()), out.values().mapping),
    "dict": lambda kind, out, v: (dict(out), {**out}, dict.copy(out)),
    "set": lambda kind, out, v: setattr(out, "logits", v),
    "set a late field": lambda kind, out, v: setattr(out, "loss", v),
    "set by key": lambda kind, out, v: out.__setitem__("hidden_states", v),
    "set to none": lambda kind, out, v: setattr(out, "logits", None),
    "set extra": lambda kind, out, v: out.__setitem__("more", v),
    "set extra again": lambda kind, out, v: out.__setitem__("extra", v),
    "set plain": lambda kind, out, v: setattr(out, "other", v),
    "delete plain": lambda kind, out, v: delattr(out, "plain"),
    "merge": lambda kind, out, v: (out | {"loss": v, "more": v}, {"more": v} | out),
    "vars": lambda kind, out, v: vars(out),
    "set in vars": lambda kind, out, v: vars(out).__setitem__("loss", v),
    "set plain in vars": lambda kind, out, v: vars(out).__setitem__("other", v),
    "pop from vars": lambda kind, out, v: vars(out).pop("plain"),
    "copy vars": lambda kind, out, v: vars(out) | {"loss": v},
    "set all vars": lambda kind, out, v: setattr(out, "__dict__", {"loss": v, "other": v}),
    "copy": lambda kind, out, v: out.copy(),
    "copy by module": lambda kind, out, v: (copy.copy(out), copy.copy(vars(out))),
    "deepcopy": lambda kind, out, v: copy.deepcopy(kind.Out(1, [2])),
    "reduce": lambda kind, out, v: (out.__reduce__(), out.__reduce_ex__(4)),
    **{f"pickle {n}": pickled(n) for n in range(6)},
    "setstate": lambda kind, out, v: out.__setstate__({"loss": v, "other": v}),
    "compare": lambda kind, out, v: (out == kind.Out(1), out == {"loss": 1}, {} == out),
    "differ": lambda kind, out, v: (out != kind.Out(1), out != {"loss": 1}),
    "make by alias": lambda kind, out, v: kind.Out(v, old=v),
    "make by alias, in Python": lambda kind, out, v: kind.Out.__init__(kind.Out(), old=v),
    "make by alias from dict": lambda kind, out, v: kind.Out({"old": v, "loss": v}),
    "read by alias": lambda kind, out, v: (out.old, out["old"], out.get("old"), "old" in out),
    "set by alias": lambda kind, out, v: setattr(out, "old", v),
    "set key by alias": lambda kind, out, v: out.__setitem__("old", v),
    "repr": lambda kind, out, v: (repr(out), ModelOutput.__repr__(out)),
    "size": lambda kind, out, v: sys.getsizeof(out),
    "set class": lambda kind, out, v: reclass(kind, out),
    "weakly": lambda kind, out, v: weakref.ref(out)(),
    "collect": lambda kind, out, v: gc.get_referents(out),
    "subclass": lambda kind, out, v: type("Sub", (kind.Out,), {"__annotations__": {"loss": tuple}}),
}
# What is made of several writes, each of which is whole: any class does them one by one.
STEPWISE: dict[str, Operation] = {
    "init again": lambda kind, out, v: out.__init__(v, attentions=v),
    "init the base again": lambda kind, out, v: ModelOutput.__init__(out, loss=v, more=v),
    "update vars": lambda kind, out, v: vars(out).update(loss=v, other=v),
}

# Without a frame of their own, since CPython loses an error for which it cannot make one (gives a
# SystemError, or crashes).
REFUSED: dict[str, Callable[[Any, Any], partial]] = {
    "update": lambda out, v: partial(out.update, loss=v),
    "merge in place": lambda out, v: partial(operator.ior, out, {"loss": v}),
    "setdefault": lambda out, v: partial(out.setdefault, "attentions", v),
    "pop": lambda out, v: partial(out.pop, "logits"),
    "popitem": lambda out, v: out.popitem,
    "clear": lambda out, v: out.clear,
    "delete": lambda out, v: partial(delattr, out, "logits"),
    "delete by key": lambda out, v: partial(operator.delitem, out, "logits"),
    "delete from vars": lambda out, v: partial(operator.delitem, vars(out), "logits"),
    "no string": lambda out, v: partial(operator.setitem, out, 5, v),
    "no key": lambda out, v: partial(operator.getitem, out, "none"),
    "no index": lambda out, v: partial(operator.getitem, out, 9),
    "too many": lambda out, v: partial(type(out), *range(9)),
    "unknown": lambda out, v: partial(type(out), unknown=v),
    "twice": lambda out, v: partial(type(out), v, loss=v),
    "no class of its": lambda out, v: partial(setattr, out, "__class__", KINDS["in_step"].Single),
    "no state": lambda out, v: partial(out.__setstate__, ({"loss": v}, {5: v}, {})),
    "hash": lambda out, v: partial(hash, out),
    "no pairs": lambda out, v: partial(type(out), [("loss", v), v]),
}

# Without memory, repr() of a list in a list keeps both, and the copy module a frame, whatever is copied.
KEPT_BY_PYTHON = ("repr", "show views", "copy by module", "deepcopy")


def bind(name: str, kind: Kind, out: Any, value: Any) -> Callable[[], Any]:
    if name in REFUSED:
        return REFUSED[name](out, value)
    return partial((OPERATIONS | STEPWISE)[name], kind, out, value)


def state(out: Any) -> tuple:
    return list(out.items()), dict(vars(out))


def check_whole(out: Any, in_step: bool) -> None:
    items, raw = list(out.items()), list(dict.items(out))
    assert raw == items or not (raw or in_step), (raw, items)
    assert out.to_tuple() == out[:] == tuple(value for _, value in items)
    for name, value in items:
        assert out[name] is value and getattr(out, name, value) is value


def filled(kind: Kind, shape: str) -> Any:
    out = kind.Out(logits=1)
    out.plain = 2
    if shape != "one field":
        out.attentions = 3
    if shape == "extra key":
        out["extra"] = 4
    return out


def without_memory(operation: Callable[[], Any], first: int, last: int) -> tuple[type | None, bool]:
    """The error it ended with where allocations from first up to last fail (0: all); if it came to one."""
    import _testcapi

    ended, met = None, True
    sys._getframe()  # made now: raising through a frame without memory for it loses the error
    _testcapi.set_nomemory(first, last)
    try:
        try:
            operation()
        except BaseException as error:
            ended = type(error)
        bytes(1000)  # fails if nothing before it did
        met = False
    except MemoryError:
        pass
    finally:
        _testcapi.remove_mem_hooks()
    return ended, met


def each_failure(attempt: Callable[[int, int], bool]) -> None:
    """Calls it for every allocation until one that fails is not met any more."""
    count = 0
    while attempt(count, 0):
        count += 1
    for nth in range(count):
        attempt(nth, nth + 1)


def held_of(kind: Kind) -> dict:
    """References to each class, and outputs that the collector knows."""
    classes = [each for each in vars(kind).values() if isinstance(each, type)]
    if FREE_THREADED:  # each thread counts for itself, and the sum is not to be had
        classes = []
    held = {cls.__name__: sys.getrefcount(cls) for cls in classes}
    return held | {"outputs": sum(isinstance(each, ModelOutput) for each in gc.get_objects())}


def check_operation(name: str) -> None:
    for kind in map(KINDS.get, OURS):
        kind.Out.__fastoutputs_aliases__ = {"old": "logits"}
        kind.Out.__fastoutputs_alias_used__ = "{1}".format  # no Python frame
        for shape in ("one field", "two fields", "extra key"):
            try:  # with memory, so that what is kept for later is there
                bind(name, kind, filled(kind, shape), Value())()
                with_memory = None
            except Exception as error:
                with_memory = type(error)
            assert (with_memory is not None) == (name in REFUSED)

            def attempt(first: int, last: int) -> bool:
                gc.collect() if name == "subclass" else None  # a class is a cycle
                held = held_of(kind)
                out, value = filled(kind, shape), Value()
                before = state(out)
                ended, met = without_memory(bind(name, kind, out, value), first, last)
                print(name, kind.name, shape, first, last, ended, flush=True)
                assert ended in (MemoryError, with_memory)
                check_whole(out, in_step=kind.name == "in_step")
                assert not ended or name in STEPWISE or state(out) == before
                del out, before
                assert sys.getrefcount(value) == HELD_ONCE or name in KEPT_BY_PYTHON
                gc.collect() if name == "subclass" else None
                assert held_of(kind) == held or name in KEPT_BY_PYTHON
                return met

            each_failure(attempt)


CLASSES: dict[str, Callable[[type], type]] = {
    "plain": lambda base: make_dataclass(
        "Out", [("a", Any, None), ("b", Any, None)], bases=(base,)
    ),
    "defaults": lambda base: make_dataclass(
        "Out", [("a", Any), ("b", Any, field(default_factory=list)), ("c", Any, 3)], bases=(base,)
    ),
    "aliases": lambda base: dataclass(
        type(
            "Out",
            (base,),
            {"a": None, "b": None, "__annotations__": {"a": Any, "b": Any}},
            aliases={"old": "b"},
        )
    ),
    "frozen": lambda base: make_dataclass("Out", ["a", "b"], bases=(base,), frozen=True),
    "subclass": lambda base: type("Sub", (CLASSES["plain"](base),), {}),
    "own setattr": lambda base: type(
        "Sub", (CLASSES["plain"](base),), {"__setattr__": base.__setattr__}
    ),
    "slots": lambda base: type("Slotted", (used(CLASSES["plain"](base)),), {"__slots__": ("c",)}),
}


def used(cls: type) -> type:
    cls(1)
    return cls


def check_first_use(name: str) -> None:
    for kind in map(KINDS.get, OURS):

        def attempt(first: int, last: int) -> bool:
            cls, value = CLASSES[name](kind.base), Value()
            ended, met = without_memory(partial(cls, value, 2), first, last)
            print(name, kind.name, first, last, ended, flush=True)
            assert ended in (MemoryError, None)
            assert sys.getrefcount(value) == HELD_ONCE
            out = cls(1, 2)
            assert name != "aliases" or (out.old, out["old"], cls(old=2).b) == (2, 2, 2)
            assert out.to_tuple()[:2] == (out.a, out["b"]) == (1, 2)
            check_whole(out, in_step=kind.name == "in_step")
            return met

        each_failure(attempt)


CHILD = """
import gc, sys
sys.modules["transformers"] = None  # slow to import, and not needed
import test_faults
gc.collect()
gc.disable()
gc.freeze()
getattr(test_faults, sys.argv[1])(sys.argv[2])
print("done")
"""


def survives(check: str, name: str) -> None:
    """In a process of its own: a crash would be the end of it."""
    command = [sys.executable, "-X", "faulthandler", "-c", CHILD, check, name]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
    assert done.stdout.endswith("done\n"), done.stdout[-300:] + done.stderr[-3000:]


GENERATOR = """
import _testcapi
for nth in range(8):
    _testcapi.set_nomemory(nth, 0)
    try:
        tuple(each for each in ())
    except MemoryError:
        pass
    finally:
        _testcapi.remove_mem_hooks()
"""


@functools.cache
def python_crashes_without_memory_for_a_generator() -> bool:
    """So does every Python from 3.12 on, as yet; dataclasses.fields and copy.deepcopy make one."""
    return subprocess.run([sys.executable, "-c", GENERATOR], capture_output=True).returncode != 0


@pytest.mark.parametrize("name", [*OPERATIONS, *STEPWISE, *REFUSED])
def test_an_operation_without_memory(name: str) -> None:
    if name == "deepcopy" and python_crashes_without_memory_for_a_generator():
        pytest.skip("this Python crashes where it has no memory for a generator")
    survives("check_operation", name)


@pytest.mark.parametrize("name", CLASSES)
def test_the_first_use_of_a_class_without_memory(name: str) -> None:
    if python_crashes_without_memory_for_a_generator():
        pytest.skip("this Python crashes where it has no memory for a generator")
    survives("check_first_use", name)
