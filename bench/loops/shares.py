"""Figures from the times of the rounds: the best, the shares measured and computed, the target."""

from __future__ import annotations

import statistics
from typing import Any

from ..compiled import Rows
from ..contenders import ORIGINAL, SLOTS, STEP
from .kinds import OUTPUTS, PLAIN, PLAIN_STEP
from .models import TOKENS
from .operations import Counts, Operation

LIMIT = 0.01  # of the toy Llama's time, beyond return_dict=False
STATED_MS = (10, 30)  # a token of a large model on a GPU: assumed, not measured


def best(values: list[float], period: int) -> float:
    """Each place of a period has a best time of its own."""
    return statistics.fmean(min(values[place::period]) for place in range(period))


def beyond(values: list[float], base: list[float]) -> dict[str, float]:
    """What one takes more than the other in the same round, as a share of the other: the median,
    and between which bounds it lies with 95 %."""
    differences = sorted(own - other for own, other in zip(values, base, strict=True))
    # The interval of a median goes by ranks: 1.96 standard deviations of a binomial count.
    last, reach = len(differences) - 1, 1.96 * len(differences) ** 0.5 / 2
    middle = last / 2
    places = {"share": middle, "low": middle - reach, "high": middle + reach}
    usual = statistics.median(base)
    return {
        name: differences[min(max(round(place), 0), last)] / usual for name, place in places.items()
    }


def figures(rows: Rows, base: str, period: int = 1, unit: str = "token") -> dict[str, Any]:
    kinds = {
        kind: {
            "best": best(values, period),
            "median": statistics.median(values),
            "beyond": None if kind == base else beyond(values, rows[base]),
        }
        for kind, values in rows.items()
    }
    return {"unit": unit, "base": base, "kinds": kinds}


def computed(
    found: dict[str, Any],
    outputs: Counts,
    plain: Counts,
    each: dict[Operation, dict[str, float]],
) -> dict[str, Any]:
    """How many outputs a token makes, and what is spent in them. Slots only has no time of its own:
    its share is of the time that ours take in step."""

    def spent(counts: Counts, cost_of: str) -> float:
        return sum(n * each[operation][cost_of] for operation, n in counts.items())

    nanoseconds = {kind: spent(outputs, kind) for kind in (*OUTPUTS, SLOTS)}
    nanoseconds |= {PLAIN: spent(plain, ORIGINAL), PLAIN_STEP: spent(plain, STEP)}
    took = {kind: figure["best"] for kind, figure in found["kinds"].items()}
    return {
        "outputs": sum(n for operation, n in outputs.items() if operation.what == "make"),
        "kinds": {
            kind: {"spent": ns, "share": ns / took.get(kind, took[STEP])}
            for kind, ns in nanoseconds.items()
            if kind in (*took, SLOTS)
        },
    }


def judged(rows: Rows) -> dict[str, Any]:
    """Ours against `return_dict=False`, with the original's classes and with ours."""
    against = {}
    for base in (PLAIN, PLAIN_STEP):
        of_the_best = best(rows[STEP], TOKENS) / best(rows[base], TOKENS) - 1
        against[base] = {**beyond(rows[STEP], rows[base]), "of_the_best": of_the_best}
    met = all(figure["share"] <= LIMIT for figure in against.values())
    return {"limit": LIMIT, "against": against, "met": met}


def large(found: dict[str, Any]) -> list[dict[str, Any]]:
    """A large model makes as many outputs for a token as a small one."""
    return [
        {"stated_ms": ms, "kind": kind, "share": spent["spent"] / (ms * 1e6)}
        for ms in STATED_MS
        for kind, spent in found["computed"]["kinds"].items()
    ]
