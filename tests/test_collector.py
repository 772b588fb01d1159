"""Lifetimes: reference counts, cycles, weak references, finalizers, growth, threads."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from containers import Kind

from fastoutputs import ModelOutput, slots_only


class Value:
    """Something that can be watched."""


@pytest.fixture
def quiet() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(
    "through", ["field", "extra", "attribute", "keys", "iterator", "vars", "default"]
)
def test_cycles_are_collected(ours: Kind, through: str) -> None:
    @dataclass
    class Out(ours.base):
        a: Any = None
        b: Any = None

    out = Out(Value())
    died = weakref.ref(out.a)
    if through == "field":
        out.b = out
    elif through == "extra":
        out["extra"] = [out]
    elif through == "attribute":
        out.plain = out
    elif through == "default":
        Out.last = out
    else:
        holders = {"keys": lambda o: o.keys(), "iterator": lambda o: iter(o.items()), "vars": vars}
        out.b = holders[through](out)
    del out, Out
    gc.collect()
    assert died() is None


def test_weak_references(ours: Kind) -> None:
    out, told = ours.Out(1), []
    ref = weakref.ref(out, lambda r: told.append(r() is None))
    assert ref() is out
    del out
    assert ref() is None and told == [True]


def test_finalizers_run_once_and_may_revive(ours: Kind) -> None:
    kept = []

    @dataclass
    class Out(ours.base):
        a: Any = None
        b: Any = None

        def __del__(self) -> None:
            kept.append(self)

    Out(1, 2)
    assert kept[0].to_tuple() == (1, 2)
    kept[0].b = 3
    assert kept.pop().to_tuple() == (1, 3) and kept == []


OPERATIONS: dict[str, Callable[[Kind, Any, Any], Any]] = {
    "make": lambda kind, out, v: kind.Out(v, attentions=v),
    "make by position": lambda kind, out, v: kind.Out(v, v, v, v),
    "make from dict": lambda kind, out, v: kind.Out({"loss": v, "new": v}),
    "make from pairs": lambda kind, out, v: kind.Out([("loss", v)]),
    "make from tuple": lambda kind, out, v: kind.Out((v, v)),
    "make frozen": lambda kind, out, v: kind.Frozen(v, v),
    "make base": lambda kind, out, v: kind.base(a=v),
    "make wrongly": lambda kind, out, v: kind.Out(v, v, v, v, v),
    "make with unknown": lambda kind, out, v: kind.Out(v, nothing=v),
    "make twice": lambda kind, out, v: kind.Out(v, loss=v),
    "make mixed": lambda kind, out, v: kind.Out([("loss", v), v]),
    "make without": lambda kind, out, v: kind.Required(loss=v),
    "set": lambda kind, out, v: setattr(out, "loss", v),
    "set late": lambda kind, out, v: (setattr(out, "loss", None), setattr(out, "loss", v)),
    "set item": lambda kind, out, v: out.__setitem__("logits", v),
    "set extra": lambda kind, out, v: out.__setitem__("extra", v),
    "set plain": lambda kind, out, v: setattr(out, "plain", v),
    "set wrongly": lambda kind, out, v: out.__setitem__(5, v),
    "set class": lambda kind, out, v: setattr(out, "__class__", kind.Single),
    "vars": lambda kind, out, v: vars(out).update(plain=v, loss=v),
    "read": lambda kind, out, v: (
        out[0],
        out[-1],
        out[:],
        out["loss"],
        out.get("loss"),
        out.get("x", v),
    ),
    "read absent": lambda kind, out, v: out["nothing"],
    "read beyond": lambda kind, out, v: out[99],
    "read wrongly": lambda kind, out, v: out[v],
    "contains": lambda kind, out, v: (v in out, "loss" in out, "x" in out),
    "walk": lambda kind, out, v: [
        list(out),
        list(out.keys()),
        list(out.values()),
        list(out.items()),
    ],
    "walk half": lambda kind, out, v: next(iter(out.items())),
    "reversed": lambda kind, out, v: [list(reversed(out)), list(reversed(out.items()))],
    "view sets": lambda kind, out, v: (
        out.keys() & {"loss"},
        out.keys() | [v],
        out.items() == {},
        out.keys() - {1},
    ),
    "to_tuple": lambda kind, out, v: out.to_tuple(),
    "dict": lambda kind, out, v: (dict(out), {**out}, out | {"x": v}, {"x": v} | out),
    "copy": lambda kind, out, v: (out.copy(), copy.copy(out), copy.deepcopy(kind.Out(1, [2]))),
    "pickle": lambda kind, out, v: pickle.loads(pickle.dumps(kind.Out(1, [2]))),
    "setstate": lambda kind, out, v: out.__setstate__(({"loss": v}, {"e": v}, {"p": v})),
    "setstate wrongly": lambda kind, out, v: out.__setstate__(({"loss": v}, 5, {})),
    "replace": lambda kind, out, v: replace(out, loss=v),
    "compare": lambda kind, out, v: (
        out == out,
        out == out.copy(),
        out != out,
        out == {"loss": v},
        out == v,
    ),
    "repr": lambda kind, out, v: (repr(out), repr(out.keys()), repr(kind.base(a=1))),
    "refused": lambda kind, out, v: out.pop(v),
    "delete": lambda kind, out, v: delattr(out, "loss"),
    "summary": lambda kind, out, v: (out.summary(), out._repr_html_(), list(out.__rich_repr__())),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_reference_counts_are_exact(ours: Kind, name: str, quiet: None) -> None:
    operation, value, out = OPERATIONS[name], Value(), ours.Out(1, 2)

    def once() -> None:
        try:
            operation(ours, out, value)
        except Exception:
            pass

    def counts() -> list[int]:
        # Stays put, so that what a call leaves in out is dropped before counting.
        out.__init__(1, 2)
        if "extra" in out:
            out["extra"] = None
        vars(out).update(
            dict.fromkeys(vars(out).keys() - {"loss", "logits", "hidden_states", "attentions"})
        )
        watched = (value, ours.Out, ours.Frozen, ours.Required, ours.Single, ours.base, None)
        return [sys.getrefcount(each) for each in watched]

    for _ in range(300):  # until the interpreter's free lists are full
        once()
        counts()
    gc.collect()
    before, blocks = counts(), sys.getallocatedblocks()
    for _ in range(300):
        once()
        counts()
    gc.collect()
    after = counts()
    assert after[:-1] == before[:-1]
    assert abs(after[-1] - before[-1]) < 50, "None"
    assert sys.getallocatedblocks() - blocks < 300


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_million_come_and_go_without_growth(ours: Kind) -> None:
    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4

    def cycle(n: int) -> None:
        cls = ours.Extended
        for i in range(n):
            out = cls(logits=i, past_key_values=i)
            out.loss = i
            out.logits = None

    cycle(10_000)
    before = resident()
    cycle(1_000_000)
    assert resident() - before < 512


def test_threads_share_outputs(ours: Kind) -> None:
    shared, errors = ours.Out(1, 2), []
    start = threading.Barrier(4)

    def work(number: int) -> None:
        start.wait()
        try:
            for i in range(3000):
                shared.hidden_states = None if i % 3 else number
                shared[f"extra{i % 2}"] = i
                assert shared.loss == 1 and shared[0] == 1
                assert shared.to_tuple()[:2] == (1, 2) and list(shared)[:2] == ["loss", "logits"]
                assert dict(ours.Out(i, attentions=number)) == {"loss": i, "attentions": number}
        except Exception as error:  # reported by the main thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [e for e in errors if "new key during iteration" not in str(e)] == []


def test_slots_only_is_of_one_thread() -> None:
    @dataclass
    class Out(ModelOutput):
        a: Any = None
        b: Any = None

    sizes = []
    with slots_only():
        other = threading.Thread(target=lambda: sizes.append(dict.__len__(Out(1))))
        other.start()
        other.join()
        sizes.append(dict.__len__(Out(1)))
    assert sizes == [1, 0]
