"""The results as tables in Markdown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastoutputs.cli.timing import readable

from ..compiled import TUPLE
from ..contenders import ORIGINAL, SLOTS, STEP
from ..text import markdown_table, times
from .kinds import OUTPUTS, PLAIN, PLAIN_STEP
from .models import LAYERS, WIDTH


def percent(share: float, sign: str = "") -> str:
    """Two figures of a share; where it is more than all, how many times as much."""
    return f"{sign}{times(share)}" if share >= 1 else f"{100 * share:{sign}.2g} %"


def difference(found: dict[str, float] | None) -> str:
    if found is None:
        return ""
    bounds = " to ".join(percent(found[name], "+") for name in ("low", "high"))
    return f"{percent(found['share'], '+')} ({bounds})"


def tables(results: dict[str, Any]) -> dict[str, tuple[list[str], list[list[str]]]]:
    """title -> heading and rows, for any form."""
    loops = results["loops"].items()
    columns = (ORIGINAL, STEP, SLOTS, PLAIN, PLAIN_STEP)

    def cells(kinds: dict[str, Any], show: Callable[[Any], str]) -> list[str]:
        kinds = {PLAIN: kinds.get(TUPLE), **kinds}
        return [show(kinds[kind]) if kinds.get(kind) else "" for kind in columns]

    took = [
        [f"{stage}, a {found['unit']}", *cells(found["kinds"], lambda kind: readable(kind["best"]))]
        for stage, found in loops
    ]
    differ = [
        [
            stage,
            found["base"],
            *(difference(found["kinds"].get(k, {}).get("beyond")) for k in (*OUTPUTS, SLOTS)),
        ]
        for stage, found in loops
    ]
    shares = [
        [
            stage,
            f"{found['computed']['outputs']:.3g}",
            *cells(
                found["computed"]["kinds"],
                lambda kind: f"{readable(kind['spent'])}, {percent(kind['share'])}",
            ),
        ]
        for stage, found in loops
        if "computed" in found
    ]
    target = results["target"]
    held = [
        [base, difference(found), percent(found["of_the_best"], "+")]
        for base, found in target["against"].items()
    ]
    stated: dict[int, list[str]] = {}
    for row in results["large"]:
        stated.setdefault(row["stated_ms"], []).append(percent(row["share"]))
    kinds = list(dict.fromkeys(row["kind"] for row in results["large"]))
    verdict = "met" if target["met"] else "missed"
    return {
        "Best time": (["", *columns], took),
        "Measured: beyond the base, median of the differences within a round": (
            ["", "base", *OUTPUTS, SLOTS],
            differ,
        ),
        "Computed: spent in outputs, and its share of the best time": (
            ["", "outputs", *columns],
            shares,
        ),
        f"Target: ours in step, {target['loop']}, beyond at most {percent(target['limit'])}: "
        f"{verdict}": (["against", "median of the differences", "of the best times"], held),
        "Computed: the share of what `generate` spends in outputs, if a token takes as long as stated": (
            ["stated, not measured", *kinds],
            [[f"{ms} ms", *row] for ms, row in stated.items()],
        ),
    }


def markdown(results: dict[str, Any]) -> str:
    parts = [
        "## Loops",
        "Original, ours and `return_dict=False` by turns in one process, token for token the same. "
        f"Models have {LAYERS} layers of width {WIDTH} and random weights, on one thread; a decoding "
        f"has {results['tokens']} tokens. Against a large model, outputs of any kind do not matter: "
        "the last table.",
        "`generate` always asks for outputs, so the own loop is what `return_dict=False` can be "
        "compared in. There, transformers 5 still makes every output, and a tuple of the last. In "
        "the bare loop and the compiled decoder a plain tuple stands in its place. "
        "Slots only cannot be switched on and off in turns without a cost that is not its own: where "
        "it has no time, its computed share is of the time in step.",
        "A computed share is the least that it can be: alone, all that an operation needs is in the "
        "caches. The measured differences are larger.",
    ]
    for title, (heading, rows) in tables(results).items():
        parts += [f"### {title}", markdown_table(heading, rows)]
    return "\n\n".join(parts) + "\n"
