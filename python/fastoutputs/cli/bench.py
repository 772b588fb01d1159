"""What outputs cost on this machine, beside what else there is: a few operations, in some seconds.

The whole suite, with more of both, curves and generation loops, is bench/ in the repository.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import make_dataclass
from typing import Any, NamedTuple

from ..model_output import ModelOutput
from .timing import Entry, readable, statement_loop, take_turns

__all__ = ["OPERATIONS", "ORIGINAL", "STEP", "main", "measure"]

STEP, SLOTS, ORIGINAL = "in step", "slots only", "transformers"

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
    past_key_values: Any = None
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
    found: dict[str, Callable[..., Any]] = {STEP: _dataclass(ModelOutput)}
    found[SLOTS] = _dataclass(ModelOutput, namespace={"__fastoutputs_mirror_dict__": False})
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


def measure(
    operations: Iterable[str], names: Iterable[str] = (), rounds: int = 30
) -> dict[str, dict[str, float]]:
    """operation -> contender (all of them, unless named) -> ns, the best round; only what it can do."""
    a, b = _Value(), _Value()
    makes = _contenders()
    chosen = [name for name in names or makes if name in makes]
    scopes = {
        name: {"make": makes[name], "out": makes[name](loss=a, logits=b), "a": a, "b": b}
        for name in chosen
    }
    results: dict[str, dict[str, float]] = {}
    for operation in operations:
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
    return "" if value is None else f"{value / base:.{0 if value > 10 * base else 2}f} x"


def main() -> int:
    """Print the table."""
    results = measure(OPERATIONS)
    names = list(results["make"])
    rows = [["", *names]]
    for operation, row in results.items():
        others = (_ratio(row.get(name), row[STEP]) for name in names[1:])
        rows.append([operation, readable(row[STEP]), *others])
    print("Five fields, two of them given; what the others cost is in times of `in step`.\n")
    for first, *cells in rows:
        print(f"  {first:18}" + "".join(f"{cell:>13}" for cell in cells))
    if ORIGINAL not in names:
        print("\n  transformers is not installed: nothing to compare its outputs with")
    return 0
