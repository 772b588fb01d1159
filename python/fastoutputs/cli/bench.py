"""What outputs cost on this machine, beside what else there is: a few operations, in some seconds.

The whole suite, with more of both, curves and generation loops, is bench/ in the repository.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import make_dataclass
from typing import Any, NamedTuple

from ..model_output import ModelOutput
from .timing import Entry, statement_loop, take_turns

__all__ = ["DICT_BACKED", "OPERATIONS", "ORIGINAL", "main", "measure", "show"]

DICT_BACKED, SLOTS_ONLY, ORIGINAL = "dict-backed", "slots-only", "original"

OPERATIONS = {
    "make": "make(loss=a, logits=b)",
    "out.logits": "out.logits",
    "out.logits = x": "out.logits = b",
    "out[0]": "out[0]",
    'out["logits"]': "out['logits']",
    "out.to_tuple()": "out.to_tuple()",
    "list(out.items())": "list(out.items())",
}


class _NamedOutput(NamedTuple):
    loss: Any = None
    logits: Any = None
    cache: Any = None
    hidden_states: Any = None
    attentions: Any = None


class _Value:
    """Stands for a tensor. Tracked by the collector as one is."""


def _dataclass(*bases: type, **options: Any) -> Callable[..., Any]:
    return make_dataclass(
        "Output", [(name, Any, None) for name in _NamedOutput._fields], bases=bases, **options
    )


def _contenders() -> dict[str, Callable[..., Any]]:
    """name -> what makes one of five fields. Those whose library is not installed are left out."""
    found: dict[str, Callable[..., Any]] = {DICT_BACKED: _dataclass(ModelOutput)}
    found[SLOTS_ONLY] = _dataclass(ModelOutput, namespace={"__fastoutputs_mirror_dict__": False})
    with suppress(ImportError):
        from transformers.utils.generic import ModelOutput as original

        found[ORIGINAL] = _dataclass(original)
    with suppress(ImportError):
        from msgspec import defstruct

        found["msgspec"] = defstruct("Output", [(name, Any, None) for name in _NamedOutput._fields])
    found["dataclass"] = _dataclass(slots=True)
    found["named tuple"] = _NamedOutput
    found["dict"] = dict
    return found


_LEGEND = {  # contender -> the head of its column, and what it is
    DICT_BACKED: ("ours", "fastoutputs, dict-backed: the default"),
    SLOTS_ONLY: ("slots", "fastoutputs, slots-only"),
    ORIGINAL: ("orig", "the ModelOutput of transformers"),
    "msgspec": ("msgs", "a msgspec.Struct"),
    "dataclass": ("dcls", "a dataclass with slots"),
    "named tuple": ("ntup", "a NamedTuple"),
    "dict": ("dict", "a dict"),
}


def measure(
    operations: Iterable[str],
    names: Iterable[str] = (),
    rounds: int = 30,
    progress: Callable[[str], object] = lambda operation: None,
) -> dict[str, dict[str, float]]:
    """operation -> contender (all of them, unless named) -> ns, the best round; only what it can do.

    progress is called with each operation before it is measured.
    """
    a, b = _Value(), _Value()
    makes = _contenders()
    chosen = [name for name in names or makes if name in makes]
    scopes = {
        name: {"make": makes[name], "out": makes[name](loss=a, logits=b), "a": a, "b": b}
        for name in chosen
    }
    results: dict[str, dict[str, float]] = {}
    for operation in operations:
        progress(operation)
        statement = OPERATIONS[operation]
        entries: list[Entry] = []
        for name, scope in scopes.items():
            with suppress(AttributeError, KeyError, TypeError):
                exec(statement, dict(scope))
                entries.append(Entry(name, statement_loop(statement, scope)))
        empty = Entry("empty", statement_loop("pass", {}))
        rows, _ = take_turns(entries, empty, rounds, 0.5e6, random.Random(0))
        results[operation] = {name: min(values) for name, values in rows.items()}
    return results


def _ratio(value: float | None, base: float) -> str:
    return "" if value is None else f"{value / base:.{0 if value > 10 * base else 2}f}x"


def _show_progress(operation: str) -> None:
    """One line, which the next overwrites; nothing in a log."""
    if sys.stderr.isatty():
        place = list(OPERATIONS).index(operation) + 1
        print(
            f"\r  {place} of {len(OPERATIONS)}: {operation:20}", end="", file=sys.stderr, flush=True
        )


def _end_progress() -> None:
    if sys.stderr.isatty():
        print(f"\r{'':30}\r", end="", file=sys.stderr, flush=True)


def show(results: dict[str, dict[str, float]]) -> None:
    """The table, in 60 columns."""
    names = list(results["make"])
    rows = [["", *(_LEGEND[name][0] for name in names)]]
    for operation, row in results.items():
        ours = row[DICT_BACKED]
        others = (_ratio(row.get(name), ours) for name in names[1:])
        rows.append([operation, f"{ours:.{1 if ours < 99.5 else 0}f}", *others])
    print("An output with five fields, two of them given.\n")
    for first, *cells in rows:
        print((f"{first:18}" + "".join(f"{cell:>6}" for cell in cells)).rstrip())
    print("\nours: in ns. The others: how many times as long.")
    for name in names:
        title, what = _LEGEND[name]
        print(f"  {title:6} {what}")
    if ORIGINAL not in names:
        print("\ntransformers is not installed: the original is left out.")


def main(*, as_json: bool = False) -> int:
    """Measure, and print the table."""
    try:
        results = measure(OPERATIONS, progress=_show_progress)
    finally:
        _end_progress()
    if as_json:
        figures = {
            operation: {name: round(ns, 2) for name, ns in row.items()}
            for operation, row in results.items()
        }
        print(json.dumps({"unit": "ns", "fields": 5, "given": 2, "results": figures}, indent=2))
    else:
        show(results)
    return 0
