"""What is done with outputs in a loop, and what each of these operations costs alone."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch

import fastoutputs
from fastoutputs.cli.timing import Entry, statement_loop

from .. import compiled
from ..contenders import ORIGINAL, SLOTS
from .kinds import OUTPUTS, check
from .work import Work


class Operation(NamedTuple):
    what: str
    cls: type
    """Of the original."""
    given: tuple[str, ...]
    """Its fields that are there."""

    def statement(self) -> str:
        reads = "; ".join(f"out.{name}" for name in self.given)
        return {
            "make": f"out = make({', '.join(f'{name}=value' for name in self.given)}); {reads}",
            "index": "out[0]",
            "key": f"out[{self.given[-1]!r}]",
            "set": f"out[{self.given[-1]!r}] = value",
            "to_tuple": "out.to_tuple()",
        }[self.what]


Counts = dict[Operation, float]
WATCHED = {
    "__post_init__": "make",
    "__getitem__": "index",
    "__setitem__": "set",
    "to_tuple": "to_tuple",
}


def counted(work: Work, original: type) -> Counts:
    """What is done with the original's outputs for one token, other than by themselves. Reading an
    attribute leaves no trace: `make` reads each field once."""
    found: Counter[Operation] = Counter()
    methods = {name: vars(original)[name] for name in WATCHED}
    inside = False

    def watch(name: str) -> Callable[..., Any]:
        def watched(out: Any, *args: Any) -> Any:
            nonlocal inside
            if inside:
                return methods[name](out, *args)
            inside = True
            try:
                return methods[name](out, *args)
            finally:
                inside = False
                what = "key" if name == "__getitem__" and args[0] in out.keys() else WATCHED[name]
                found[Operation(what, type(out), tuple(out.keys()))] += 1

        return watched

    try:
        for name in WATCHED:
            setattr(original, name, watch(name))
        for _ in range(work.period):
            work()
    finally:
        for name, method in methods.items():
            setattr(original, name, method)
    return {operation: n / (work.period * work.tokens_per_call) for operation, n in found.items()}


def costs(
    operations: Iterable[Operation], rounds: int, ours: dict[type, type], shuffle: random.Random
) -> dict[Operation, dict[str, float]]:
    """What an operation costs alone, with each kind of output."""
    value = torch.zeros(1)
    operations = list(operations)
    found: dict[Operation, dict[str, float]] = {operation: {} for operation in operations}
    for kinds in (OUTPUTS, (SLOTS,)):
        fastoutputs.install(mirror_dict=SLOTS not in kinds)
        asked = {}
        for operation, kind in itertools.product(operations, kinds):
            make = operation.cls if kind == ORIGINAL else ours[operation.cls]
            out = make(**dict.fromkeys(operation.given, value))
            check(kind, out)
            names = {"make": make, "value": value, "out": out}
            loop = statement_loop(operation.statement(), names)
            asked[f"{operation}, {kind}"] = operation, kind, loop
        entries = [Entry(name, loop) for name, (_, _, loop) in asked.items()]
        for name, cost in compiled.best(compiled.by_turns(entries, rounds, 0.5e6, shuffle)).items():
            operation, kind, _ = asked[name]
            found[operation][kind] = cost
    fastoutputs.install()
    return found
