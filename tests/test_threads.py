"""Eight threads on the same outputs, switched as often as the interpreter can: nothing may be lost or torn.

A field is only ever given values that name it, so that a value under the wrong name would be seen.
"""

from __future__ import annotations

import copy
import pickle
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, make_dataclass, replace
from typing import Any

import pytest
from containers import FREE_THREADED, Kind

from fastoutputs import ModelOutput, slots_only

THREADS, STEPS = 8, 10_000
GIL = getattr(sys, "_is_gil_enabled", lambda: True)()
FIELDS = ["loss", "logits", "hidden_states", "attentions"]
EXTRAS = ["extra", "more"]


@pytest.fixture
def restless() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(work: Callable[[int], None]) -> None:
    """Run work(number) in all threads at once; the first error of any is raised here."""
    start, errors = threading.Barrier(THREADS), []

    def run(number: int) -> None:
        start.wait()
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def known(items: Any) -> None:
    """Each value under its own name, fields in declared order and before the rest."""
    items = list(items)
    names = [name for name, _ in items]
    assert all(value[0] == name for name, value in items)
    assert len(set(names)) == len(names)
    fields = [name for name in names if name in FIELDS]
    assert fields == sorted(fields, key=FIELDS.index) and names[: len(fields)] == fields


def grown(error: RuntimeError) -> bool:
    """Another thread brought a new key into a walk: as with a dict."""
    return "during iteration" in str(error)


def write(out: Any, chance: random.Random, number: int) -> None:
    name = chance.choice(FIELDS)
    value = (name, number, chance.random()) if chance.random() < 0.7 else None
    if chance.random() < 0.5:
        setattr(out, name, value)
    else:
        out[name] = value
    if chance.random() < 0.1:
        extra = chance.choice(EXTRAS)
        out[extra] = (extra, number)


READS: list[Callable[[Any], Any]] = [
    lambda out: known(out.items()),
    lambda out: known(dict(out).items()),
    lambda out: known((name, out.get(name, (name,))) for name in out.keys()),
    lambda out: known(sorted(((v[0], v) for v in out.to_tuple()[:4]), key=by_declaration)),
    lambda out: known((v[0], v) for v in out[:2]),
    lambda out: known(copy.copy(out).items()),
    lambda out: known(pickle.loads(pickle.dumps(out)).items()),
    lambda out: known(copy.deepcopy(out).items()),
    lambda out: known(replace(out, loss=("loss", 0)).items()),
    lambda out: known(
        (name, v) for name, v in vars(out).items() if v is not None and name in FIELDS
    ),
    lambda out: (repr(out), out == copy.copy(out), len(out), list(reversed(out))),
    # As C code reads it, some of which takes no lock.
    lambda out: known(dict.copy(out).items()),
    lambda out: known((name, dict.get(out, name, (name,))) for name in FIELDS),
]


def by_declaration(item: tuple) -> int:
    return (FIELDS + EXTRAS).index(item[0])


@pytest.mark.usefixtures("restless")
def test_shared_outputs_stay_whole(ours: Kind) -> None:
    shared = [ours.Out(("loss", 0)), ours.Out(logits=("logits", 0)), ours.Out()]

    def work(number: int) -> None:
        chance = random.Random(number)
        for _ in range(STEPS):
            out = chance.choice(shared)
            write(out, chance, number)
            try:
                chance.choice(READS)(out)
            except RuntimeError as error:
                assert grown(error), error
            except KeyError:
                # dict(out) asks for keys, then for each: one may be gone then, unless the GIL is held.
                assert not GIL

    together(work)
    for out in shared:
        known(out.items())
        items = list(out.items())
        assert out.to_tuple() == tuple(value for _, value in items) and len(out) == len(items)
        assert list(dict.items(out)) in (items, [])
        assert [getattr(out, name) for name, _ in items] == [value for _, value in items]


@pytest.mark.usefixtures("restless")
def test_outputs_of_one_thread_are_its_own(ours: Kind) -> None:
    def work(number: int) -> None:
        for step in range(STEPS):
            with slots_only(number % 2 == 0):
                out = ours.Out(number, attentions=step)
            assert dict(out) == {"loss": number, "attentions": step}
            in_step = number % 2 and ours.name == "in_step"
            assert dict.__len__(out) == (2 if in_step else 0)

    together(work)


def test_a_block_of_slots_only_is_of_one_thread() -> None:
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


@pytest.mark.usefixtures("restless")
def test_one_walk_shared_by_all_gives_each_item_once(ours: Kind) -> None:
    cls = make_dataclass("Wide", [(f"f{i}", Any, None) for i in range(200)], bases=(ours.base,))
    for _ in range(STEPS // 100):
        walk, seen = iter(cls(*range(200)).values()), [[] for _ in range(THREADS)]
        together(lambda number: seen[number].extend(walk))
        assert sorted(value for part in seen for value in part) == list(range(200))


@pytest.mark.usefixtures("restless", "forgettable_classes")
def test_a_class_is_first_used_by_all_at_once(ours: Kind) -> None:
    for _ in range(STEPS // 50):

        @dataclass
        class Out(ours.base):
            a: Any = None
            b: Any = None

        made: list[Any] = [None] * THREADS
        together(lambda number: made.__setitem__(number, Out(number, b=-number)))
        assert [out.to_tuple() for out in made] == [(n, -n) for n in range(THREADS)]


@pytest.mark.usefixtures("restless", "forgettable_classes")
def test_a_class_is_changed_by_some_and_used_by_others(ours: Kind) -> None:
    @dataclass
    class Out(ours.base):
        a: Any = None
        b: Any = field(default_factory=lambda: "b")

    @dataclass
    class Twin(ours.base):
        a: Any = None
        b: Any = None

    def work(number: int) -> None:
        for step in range(STEPS // 10):
            if number == 0:
                Out.note = step
                Out.__repr__ = (lambda self: "Out") if step % 2 else (lambda self: "out")
            else:
                out = Out(step)
                assert out.to_tuple() == (step, "b") and out["b"] == "b" and "ut" in repr(out)
                out.__class__ = Twin
                assert (out.a, out.b) == (step, "b") and dict(out) == {"a": step, "b": "b"}

    together(work)
    assert Out(1).to_tuple() == (1, "b")


@pytest.mark.skipif(not FREE_THREADED, reason="has the GIL anyway")
def test_a_free_threaded_python_keeps_its_gil_off() -> None:
    script = "import sys, fastoutputs; print(sys._is_gil_enabled())"
    command = [sys.executable, "-W", "error", "-c", script]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
