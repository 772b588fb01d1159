"""What the container is meant to cost, on CPython 3.11: ratios to peers measured in one process.

They are figures to look at, never a test: a ratio moves with the interpreter and the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .contenders import ORIGINAL, SLOTS, STEP

Results = Mapping[str, Mapping[str, float]]
"""case -> contender -> the best figure, in the unit of the case."""


@dataclass(frozen=True)
class Target:
    """`who` is to cost at most (`faster`: at least that many times less than) `bound` x `peer`."""

    case: str
    who: str
    bound: float
    peer: str | None = None
    faster: bool = False

    def text(self) -> str:
        if self.faster:
            return f"≥ {self.bound:g} × faster than {self.peer}"
        return f"≤ {self.bound:g} × {self.peer}" if self.peer else f"≤ {self.bound:g} bytes"

    def measured(self, results: Results) -> float | None:
        row = results.get(self.case, {})
        if self.who not in row or (self.peer and self.peer not in row):
            return None
        if not self.peer:
            return row[self.who]
        return row[self.peer] / row[self.who] if self.faster else row[self.who] / row[self.peer]

    def met(self, measured: float) -> bool:
        # Rounded as it is printed, or 1.004 would be shown as 1.00 and missed.
        shown = round(measured, 2)
        return shown >= self.bound if self.faster else shown <= self.bound


def _both(case: str, bound: float, peer: str) -> tuple[Target, ...]:
    return tuple(Target(case, who, bound, peer) for who in (SLOTS, STEP))


TARGETS: tuple[Target, ...] = (
    Target("make", SLOTS, 0.85, "msgspec.Struct"),
    Target("make", SLOTS, 1.8, "tuple literal"),
    Target("make", STEP, 1.4, "msgspec.Struct"),
    Target("make", STEP, 1.2, "dict"),
    Target("make", SLOTS, 150, ORIGINAL, faster=True),
    Target("make", STEP, 90, ORIGINAL, faster=True),
    *_both("read", 1.05, "slots dataclass"),
    Target("set", SLOTS, 1.0, "msgspec.Struct"),
    Target("set", STEP, 1.5, "msgspec.Struct"),
    *_both("index", 0.95, "named tuple"),
    *_both("key", 0.85, "dict"),
    *(
        target
        for case in ("in", "len", "keys", "list", "items", "get")
        for target in _both(case, 1.1, "dict")
    ),
    *_both("slice", 1.3, "tuple literal"),
    *_both("to_tuple", 1.6, "tuple literal"),
    *_both("unpack", 2.0, "dict"),
    *_both("deepcopy", 0.4, ORIGINAL),
    *_both("pickle", 0.4, ORIGINAL),
    *(
        target
        for case in ("torch_tree", "cpp_tree", "optree", "jax_tree")
        for target in _both(case, 1.0, ORIGINAL)
    ),
    Target("bytes", SLOTS, 128),
)
