"""Curves: over how many fields are given, how many objects live, how many threads run.

The collector rests while something is timed, and what is not measured is frozen, so that a
collection walks the objects of its point alone.
"""

from __future__ import annotations

import gc
import math
import os
import random
import statistics
import sys
import threading
import tracemalloc
import types
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, make_dataclass
from time import perf_counter_ns
from typing import Any

from fastoutputs.cli.timing import (
    NS_PER_SECOND,
    UNROLL,
    Entry,
    Loop,
    PileMaker,
    pile_maker,
    readable,
    statement_loop,
    take_turns,
)

from . import contenders
from .cases import CASES, Value, names, statement
from .contenders import FIELDS, ORIGINAL, SLOTS, STEP, Contender
from .text import markdown_table

STRUCT, DATACLASS, DICT, TUPLE = "msgspec.Struct", "slots dataclass", "dict", "tuple literal"
NAMES = (STEP, SLOTS, ORIGINAL, STRUCT, DATACLASS, DICT, TUPLE)

KEYWORDS = 15  # more than these the interpreter packs into a dict, before any contender sees them
TRACED = 10_000  # tracemalloc would take a minute for a million originals

Row = dict[str, float]
"""contender -> its figure at one point of a curve."""


def _millions(value: float) -> str:
    return f"{value / 1e6:.1f} M/s"


@dataclass(frozen=True)
class Panel:
    """What one of the curves says."""

    title: str
    along: str
    unit: str
    readable: Callable[[float], str] = readable


PANELS = {
    "fields": Panel("Make and drop, by keyword", "fields, all given", "ns"),
    "fields_tuple": Panel("Make and drop, make(*values)", "fields, all given", "ns"),
    "fields_absent": Panel("Make and drop, 2 given", "fields, of which 2 are given", "ns"),
    "live_make": Panel("Make one more that stays", "live objects", "ns"),
    "live_bytes": Panel("Size of each, 2 of 5 given", "live objects", "bytes", "{:.0f} B".format),
    "live_collect": Panel("One full collection", "live objects", "ns"),
    "threads_own": Panel(
        "Make and read own objects", "threads", "a second, all threads", _millions
    ),
    "threads_shared": Panel(
        "Read one shared object", "threads", "a second, all threads", _millions
    ),
}
PER_FIELD = {"fields": KEYWORDS, "fields_tuple": 64}
"""The panels with a cost per further field, and up to how many fields it is taken."""

NOTES = {
    "fields": f"More than {KEYWORDS} keywords the interpreter packs into a dict, before any contender "
    f"sees them: each further field costs what it costs up to there.",
    "live_bytes": f"Of {TRACED:,} more, as tracemalloc counts them: with all that comes with an object.",
    "live_collect": "Of these objects only: the rest of the process is frozen.",
}

Plan = Mapping[str, Sequence[int]]
"""kind of curve -> its points."""

FULL: Plan = {
    "fields": (1, 2, 4, 8, 12, 15, 16, 32, 64),
    "live": (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000),
    "threads": (1, 2, 4, 8),
}
QUICK: Plan = {"fields": (1, 4, 15, 16, 64), "live": (1, 100, 10_000), "threads": (1, 2, 4)}


def _wide_dataclass(fields: list[str], *bases: type, **options: Any) -> type:
    """A dataclass as its user would write it, with so many fields."""

    def fill(body: dict[str, Any]) -> None:
        body |= dict.fromkeys(fields)
        body["__annotations__"] = dict.fromkeys(fields, Any)

    return dataclass(types.new_class("Wide", bases, options, fill))


def _wide(name: str, fields: list[str]) -> Any:
    """The contender, with other fields than the five."""
    if name == STEP:
        from fastoutputs import ModelOutput

        return _wide_dataclass(fields, ModelOutput)
    if name == SLOTS:
        from fastoutputs import ModelOutput

        return _wide_dataclass(fields, ModelOutput, mirror_dict=False)
    if name == ORIGINAL:
        from transformers.utils import ModelOutput as Original

        return _wide_dataclass(fields, Original)
    if name == STRUCT:
        import msgspec

        return msgspec.defstruct("Wide", [(field, Any, None) for field in fields])
    if name == DATACLASS:
        return make_dataclass("Wide", [(field, Any, None) for field in fields], slots=True)
    return dict


def _turns(loops: Mapping[str, Loop], quick: bool) -> Row:
    rounds, round_ns = (8, 0.2e6) if quick else (30, 1e6)
    entries = [Entry(name, loop) for name, loop in loops.items()]
    empty = Entry("empty", statement_loop("pass", {}))
    rows, _ = take_turns(entries, empty, rounds, round_ns, random.Random(0))
    return {name: min(values) for name, values in rows.items()}


def over_fields(count: int, peers: list[Contender], quick: bool) -> dict[str, Row]:
    """ns to make one of a class with so many fields, and to drop it."""
    # Interned, as the names in a program are: contenders find them by their address.
    fields = [sys.intern(f"field_{place}") for place in range(count)]
    values = tuple(Value(field) for field in fields)
    code = {
        "fields": f"make({', '.join(f'{field}=a' for field in fields)})",
        "fields_tuple": "make(*values)",
        "fields_absent": f"make({', '.join(f'{field}=a' for field in fields[:2])})",
    }
    if count < 2:
        del code["fields_absent"]
    loops: dict[str, dict[str, Loop]] = {panel: {} for panel in code}
    for peer in peers:
        scope = {"a": values[0], "values": values, "make": _wide(peer.name, fields)}
        for panel, call in code.items():
            if peer.name == TUPLE and panel == "fields":
                call = f"({'a, ' * count})"
            elif panel != "fields" and "positional" not in peer.does:
                continue  # it has no fields but those given, or no order that they are given in
            loops[panel][peer.name] = statement_loop(call, scope)
    return {panel: _turns(row, quick) for panel, row in loops.items()}


def per_field(counts: Sequence[int], values: Sequence[float]) -> dict[str, float]:
    """By least squares: the cost of one more, and which share of the differences a line explains."""
    return {
        "ns": statistics.linear_regression(counts, values).slope,
        "linear": statistics.correlation(counts, values) ** 2,
    }


def _pile(make: PileMaker, count: int, quick: bool) -> tuple[float, list[Any]]:
    """ns for each of a pile, and the last pile."""
    loops = max(1, 2_000 // count)
    best, spent, pile = math.inf, 0.0, []
    for _ in range(200):
        elapsed = 0
        for _ in range(loops):
            pile = []  # the one before ends here, in time of nobody
            start = perf_counter_ns()
            pile = make(count)
            elapsed += perf_counter_ns() - start
        best, spent = min(best, elapsed), spent + elapsed
        if spent > (0.02 if quick else 0.3) * NS_PER_SECOND:
            break
    return best / (loops * count), pile


def _traced(make: PileMaker) -> float:
    """Bytes that the allocator gives for each of some more."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        pile = make(TRACED)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (after - before) / len(pile)


def over_live(count: int, peers: list[Contender], quick: bool) -> dict[str, Row]:
    """ns to make each of so many, bytes of each, ns of one collection while all of them live."""
    rows: dict[str, Row] = {"live_make": {}, "live_bytes": {}, "live_collect": {}}
    case, nothing = CASES["make"], pile_maker("None", {})
    gc.collect()
    gc.disable()
    gc.freeze()
    try:
        (loop, _), empty = _pile(nothing, count, quick), _traced(nothing)
        for peer in peers:
            make = pile_maker(statement(case, peer), names(case, peer))
            make(UNROLL)  # what comes with the first one is not theirs
            each, pile = _pile(make, count, quick)
            rows["live_make"][peer.name] = max(each - loop, 1e-3)
            rows["live_collect"][peer.name] = min(_collection() for _ in range(3))
            rows["live_bytes"][peer.name] = _traced(make) - empty
            del pile
    finally:
        gc.unfreeze()
        gc.enable()
    return rows


def _collection() -> int:
    start = perf_counter_ns()
    gc.collect()
    return perf_counter_ns() - start


def over_threads(count: int, peers: list[Contender], quick: bool) -> dict[str, Row]:
    """Statements a second of all threads together, the loop around them included."""
    rows: dict[str, Row] = {"threads_own": {}, "threads_shared": {}}
    case = CASES["make"]
    for peer in peers:
        read = {DICT: "['logits']", TUPLE: "[1]"}.get(peer.name, ".logits")
        # Values of its own, too: threads without a lock would queue for the counts of common ones.
        own = [
            statement_loop(
                statement(case, peer) + read, names(case, peer, tuple(map(Value, FIELDS)))
            )
            for _ in range(count)
        ]
        shared = [statement_loop(f"out{read}", names(case, peer))] * count
        rows["threads_own"][peer.name] = _together(own, quick)
        rows["threads_shared"][peer.name] = _together(shared, quick)
    return rows


def _together(loops: list[Loop], quick: bool) -> float:
    entry = Entry("one of them", loops[0])
    entry.calibrate((30 if quick else 60) * 1e6 / len(loops))
    barrier = threading.Barrier(len(loops))

    def work(loop: Loop) -> tuple[int, int]:
        barrier.wait()
        start = perf_counter_ns()
        loop(entry.loops)
        return start, perf_counter_ns()

    with ThreadPoolExecutor(len(loops)) as pool:
        best = math.inf
        for _ in range(2 if quick else 5):
            starts, ends = zip(*pool.map(work, loops))
            best = min(best, max(ends) - min(starts))
    return len(loops) * entry.loops * UNROLL / best * NS_PER_SECOND


MEASURES = {"fields": over_fields, "live": over_live, "threads": over_threads}


def steps(quick: bool) -> int:
    return sum(map(len, (QUICK if quick else FULL).values()))


def measure(
    quick: bool = False, advance: Callable[[str], None] | None = None, plan: Plan | None = None
) -> dict[str, Any]:
    """All curves, as JSON would keep them; `advance` is told of every point before it is measured."""
    plan = plan or (QUICK if quick else FULL)
    peers = [peer for peer in contenders.load()[0] if peer.name in NAMES]
    panels: dict[str, Any] = {}
    for kind, counts in plan.items():
        for count in counts:
            if advance:
                advance(f"{count:,} {kind}")
            for panel, row in MEASURES[kind](count, peers, quick).items():
                found = panels.setdefault(panel, {"counts": [], "curves": {}})
                found["counts"].append(count)
                for name, value in row.items():
                    found["curves"].setdefault(name, []).append(round(value, 3))
    return {
        "panels": panels,
        "per_field": {panel: _per_field(panels[panel], PER_FIELD[panel]) for panel in PER_FIELD},
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
        "cpus": os.cpu_count(),
    }


def _per_field(panel: Mapping[str, Any], most: int) -> dict[str, dict[str, float]]:
    taken = [place for place, count in enumerate(panel["counts"]) if count <= most]
    counts = [panel["counts"][place] for place in taken]
    return {
        name: per_field(counts, [values[place] for place in taken])
        for name, values in panel["curves"].items()
    }


def conditions(results: Mapping[str, Any]) -> str:
    """What a reader must know of the threads."""
    lock = "with the GIL" if results["gil"] else "without a GIL"
    return f"{lock}, {results['cpus']} CPUs"


def _slope_cells(slope: Mapping[str, float] | None) -> list[str]:
    return [readable(slope["ns"]), f"{slope['linear']:.3f}"] if slope else []


def markdown(results: Mapping[str, Any]) -> str:
    parts = ["## Curves", "![Curves](curves.svg)"]
    for key, found in results["panels"].items():
        panel, slopes = PANELS[key], results["per_field"].get(key, {})
        rows = []
        for name, values in found["curves"].items():
            cells = [panel.readable(value) for value in values]
            rows.append([name, *cells, *_slope_cells(slopes.get(name))])
        heading = [panel.along, *(f"{count:,}" for count in found["counts"])]
        parts += [f"### {panel.title}", NOTES.get(key, "")]
        if key.startswith("threads"):
            parts.append(f"Statements {panel.unit}: {conditions(results)}.")
        parts.append(markdown_table(heading + ["each further", "r²"] * bool(slopes), rows))
    return "\n\n".join(part for part in parts if part) + "\n"
