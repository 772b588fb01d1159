"""What the README shows of the report: the table of a few operations, the chart, the sentences below."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .cases import CASES
from .contenders import ORIGINAL, SLOTS, STEP
from .text import cell, markdown_table

# The rows and columns that say most, for a reader in a hurry.
GLANCE_CASES = ("make", "read", "index", "key", "to_tuple", "allocated")
GLANCE_NAMES = (ORIGINAL, STEP, SLOTS, "msgspec.Struct", "slots dataclass", "dict", "named tuple")

MARKS = ("<!-- bench:begin -->", "<!-- bench:end -->")


def section(content: Mapping[str, Any]) -> str:
    """From what a report's JSON holds."""
    cases = {
        key: {name: figure["best"] for name, figure in row.items()}
        for key, row in content["cases"].items()
    }
    rows = [
        [f"`{CASES[key].title}`", *(cell(key, cases[key].get(name)) for name in GLANCE_NAMES)]
        for key in GLANCE_CASES
    ]
    make, size = cases["make"], cases["bytes"]
    slots, step = (make[who] / make["msgspec.Struct"] for who in (SLOTS, STEP))
    slower = (make[ORIGINAL] / make[who] for who in (SLOTS, STEP))
    facts = content["machine"]
    return "\n".join(
        (
            markdown_table(["", *GLANCE_NAMES], rows),
            "",
            "![How many times the cost of ours](bench/results/ratios.svg)",
            "",
            f"CPython {facts['python_version'].split()[0]}, one process, best of many rounds, loop taken off: compare "
            "within a row.",
            f"Making an output costs {slots:.2f} times a `msgspec.Struct` slots only and {step:.2f} times in step; the "
            "original costs {:.0f} and {:.0f} times that.".format(*slower),
            f"Five fields take {size[SLOTS]:.0f} bytes here. Written by `make bench`; all of it, with curves and "
            "generation loops, in [bench/results/report.md](bench/results/report.md).",
        )
    )


def write(path: Path, content: Mapping[str, Any]) -> None:
    begin, end = MARKS
    before, _, rest = path.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    path.write_text(f"{before}{begin}\n{section(content)}\n{end}{after}", encoding="utf-8")
