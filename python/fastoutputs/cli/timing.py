"""Time small statements against each other, in one process.

A statement stands ten times in the body of a generated loop, so that the loop itself weighs little;
what it still weighs is measured beside it and subtracted. The loops of one case take turns, in an
order shuffled every round, so that whatever else the machine does falls on all of them alike. The
best round is the figure, and the only figures worth quoting are ratios.
"""

from __future__ import annotations

import gc
import random
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import repeat
from time import perf_counter_ns
from typing import Any

UNROLL = 10
PILE = 500  # objects dropped at once: few enough to stay in the cache, as one dropped object does
NS_PER_SECOND = 1_000_000_000

Loop = Callable[[int], int]
"""How often to go round -> nanoseconds that it took."""

PileMaker = Callable[[int], list[Any]]
"""How many objects -> these."""


def per_statement(elapsed_ns: int, loops: int, statements: int = UNROLL) -> float:
    """Nanoseconds that one statement took, of `statements` in the body of a loop."""
    return elapsed_ns / (loops * statements)


def seconds(nanoseconds: float) -> float:
    """pyperf keeps seconds."""
    return nanoseconds / NS_PER_SECOND


def readable(nanoseconds: float) -> str:
    """Three figures and a unit: 4.21 ns, 38.9 ns, 7.66 µs."""
    for unit, size in (("ns", 1), ("µs", 1e3), ("ms", 1e6)):
        if nanoseconds < 999.5 * size or unit == "ms":
            break
    value = nanoseconds / size
    return f"{value:.{max(0, 2 - len(str(int(value))) + 1)}f} {unit}"


def statement_loop(statement: str, names: Mapping[str, Any]) -> Loop:
    """A loop around a statement. The names become its locals: the cheapest variables there are."""
    body = f"\n{' ' * 8}".join([statement] * UNROLL)
    defined: Loop = _define(
        f"""
def timed(loops, {_defaults(names)}):
    start = _clock()
    for _ in _repeat(None, loops):
        {body}
    return _clock() - start
""",
        names,
    )
    return defined


def drop_loop(make: str, names: Mapping[str, Any]) -> Loop:
    """A loop that makes a pile of objects and times only their end."""
    defined: Loop = _define(
        f"""
def timed(loops, {_defaults(names)}):
    total = 0
    for _ in _repeat(None, loops):
        pile = [{make} for _ in _repeat(None, {PILE})]
        start = _clock()
        pile.clear()
        total += _clock() - start
    return total
""",
        names,
    )
    return defined


def pile_maker(make: str, names: Mapping[str, Any]) -> PileMaker:
    """A function that makes a pile of objects; it takes no time itself."""
    defined: PileMaker = _define(
        f"""
def timed(count, {_defaults(names)}):
    pile = [None] * count
    for place in range(count):
        pile[place] = {make}
    return pile
""",
        names,
    )
    return defined


def _defaults(names: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={name}" for name in (*names, "_clock", "_repeat"))


def _define(source: str, names: Mapping[str, Any]) -> Any:
    # Code of its own for every contender: the interpreter specialises it for one type.
    scope: dict[str, Any] = {**names, "_clock": perf_counter_ns, "_repeat": repeat}
    exec(compile(source, "<bench>", "exec"), scope)
    return scope["timed"]


@dataclass
class Entry:
    """One contender of a case: its loop, and what every round gave, in ns per statement."""

    name: str
    loop: Loop
    statements: int = UNROLL
    loops: int = 1
    rounds: list[float] = field(default_factory=list[float])

    def calibrate(self, round_ns: float) -> None:
        """Find how many times to go round in `round_ns`. This also warms the loop up: hundreds of
        turns, where the interpreter specialises after a few dozen."""
        if min(self.loop(1) for _ in range(2)) > round_ns:
            return  # once is long enough
        loops = 64 if self.statements == UNROLL else 2
        for _ in range(8):  # the best of several, or one pause would leave a loop too short
            self.loop(loops)
        best = min(self.loop(loops) for _ in range(3))
        self.loops = max(1, loops // 4, round(loops * round_ns / max(best, 1)))

    def run(self) -> None:
        elapsed = self.loop(self.loops)
        self.rounds.append(per_statement(elapsed, self.loops, self.statements))


def take_turns(
    entries: list[Entry], empty: Entry, rounds: int, round_ns: float, shuffle: random.Random
) -> tuple[dict[str, list[float]], float]:
    """Run every entry once a round. Returns ns per statement and round, with the empty loop taken
    off, and what the empty loop took."""
    runners = [*entries, empty]
    for entry in runners:
        entry.calibrate(round_ns)
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()  # as timeit: a pass of the collector would fall on whoever is running
    try:
        for _ in range(rounds):
            shuffle.shuffle(runners)
            for entry in runners:
                entry.run()
    finally:
        if was_enabled:
            gc.enable()
    base = min(empty.rounds)
    # A picosecond at least: pyperf keeps positive values only.
    rows = {entry.name: [max(ns - base, 1e-3) for ns in entry.rounds] for entry in entries}
    return rows, base


def best_and_median(rounds: list[float]) -> tuple[float, float]:
    """The figure, and the median that shows how noisy it was."""
    return min(rounds), statistics.median(rounds)
