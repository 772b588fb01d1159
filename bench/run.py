"""Run the suite: `python -m bench`, from the repository root.

Every case is put to every contender that can answer it, all of them taking turns in this one
process. Then come the curves and the generation loops. Prints it all, and writes one report as
Markdown, HTML and JSON with its charts, beside every single round as pyperf keeps them.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import pyperf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fastoutputs.cli.timing import (
    PILE,
    Entry,
    best_and_median,
    drop_loop,
    seconds,
    statement_loop,
    take_turns,
)

from . import cases, contenders, readme, report
from .cases import CASES, Case, names, statement
from .contenders import Contender, Missing

RESULTS = Path(__file__).parent / "results"
README = Path(__file__).parent.parent / "README.md"

PLACES = 4  # in memory, where the code and the objects of a case are laid out anew
PARTS = ("curves", "loops", "late")
"""Modules that measure in ways of their own: `measure`, `steps` for the progress bar, `markdown`."""

Raw = dict[str, dict[str, list[float]]]
"""case -> contender -> one figure a round, in the unit of the case."""


def entries(case: Case, peers: list[Contender]) -> tuple[list[Entry], Entry]:
    """The loops of a case, and the empty one that is to be taken off."""
    if case.key == "drop":
        loops = [
            Entry(peer.name, drop_loop(statement(case, peer), names(case, peer)), PILE)
            for peer in peers
        ]
        return loops, Entry("empty", drop_loop("None", {}), PILE)
    loops = [
        Entry(peer.name, statement_loop(statement(case, peer), names(case, peer))) for peer in peers
    ]
    return loops, Entry("empty", statement_loop("pass", {}))


def measure_case(
    case: Case, peers: list[Contender], rounds: int, round_ns: float, shuffle: random.Random
) -> tuple[dict[str, list[float]], float]:
    """contender -> one figure a round, in the unit of the case; and the empty loop, taken off."""
    able = [peer for peer in peers if case.key in peer.does]
    if case.measure:
        return {peer.name: [case.measure(peer)] for peer in able}, 0.0
    # Where in memory code and objects come to lie is a matter of luck.
    rows: dict[str, list[float]] = {}
    bases = []
    for _ in range(PLACES):
        loops, empty = entries(case, able)
        found, base = take_turns(loops, empty, rounds // PLACES, round_ns, shuffle)
        bases.append(base)
        for name, values in found.items():
            rows.setdefault(name, []).extend(values)
    return rows, min(bases)


def suite(raw: Raw, machine: dict[str, str]) -> pyperf.BenchmarkSuite:
    """The rounds as pyperf keeps them: `python -m pyperf show bench/results/pyperf.json`."""
    benchmarks = []
    for key, row in raw.items():
        unit = CASES[key].unit
        for name, values in row.items():
            about = {
                "name": f"{key}: {name}",
                "unit": "byte" if unit == "byte" else "second",
                **machine,
            }
            kept = [round(value) if unit == "byte" else seconds(value) for value in values]
            run = pyperf.Run(kept, metadata=about, collect_metadata=False)
            benchmarks.append(pyperf.Benchmark([run]))
    return pyperf.BenchmarkSuite(benchmarks)


def load_parts(chosen: Iterable[str]) -> tuple[dict[str, Any], list[Missing]]:
    """The modules of the parts, and those whose libraries are not installed."""
    found, missing = {}, []
    for part in chosen:
        try:
            found[part] = import_module(f"{__package__}.{part}")
        except ImportError as error:
            missing.append(Missing(part, str(error)))
    return found, missing


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer, shorter rounds: a first look")
    parser.add_argument("--case", action="append", choices=CASES, help="only this case; repeatable")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this; repeatable")
    parser.add_argument(
        "--output",
        type=Path,
        help="folder to write to (default: bench/results, if all is measured)",
    )
    return parser.parse_args(arguments)


def measure_all(
    console: Console,
    chosen: list[Case],
    parts: dict[str, Any],
    peers: list[Contender],
    quick: bool,
) -> tuple[Raw, list[float], list[report.Section]]:
    """The cases, what the empty loop took in each, and the parts; with a progress bar."""
    rounds, round_ns = (15, 0.5e6) if quick else (60, 2e6)
    shuffle = random.Random(0)
    raw: Raw = {}
    empty_loop: list[float] = []
    columns = (
        TextColumn("[bold]{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        total = len(chosen) + sum(part.steps(quick) for part in parts.values())
        task = progress.add_task("", total=total)

        def step(title: str) -> None:
            progress.update(task, description=title, advance=1)

        for case in chosen:
            step(case.title)
            raw[case.key], base = measure_case(case, peers, rounds, round_ns, shuffle)
            empty_loop += [base] if base else []
        sections = []
        for name, part in parts.items():
            results = part.measure(quick=quick, advance=step)
            sections.append(report.Section(name, results, part.markdown(results)))
    return raw, empty_loop, sections


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    # A quick or partial run does not overwrite the record, unless told where to write.
    all_of_it = not (options.case or options.part)
    is_record = all_of_it and not options.quick and not options.output
    output = options.output or (RESULTS if is_record else None)

    chosen, left_out = cases.load(options.case or (CASES if all_of_it else ()))
    parts, without = load_parts(options.part or (PARTS if all_of_it else ()))
    peers, missing = contenders.load()
    console = Console()
    console.width = max(console.width, report.WIDTH)
    raw, empty_loop, sections = measure_all(console, chosen, parts, peers, options.quick)

    best: dict[str, dict[str, float]] = {}
    median: dict[str, dict[str, float]] = {}
    for key, rows in raw.items():
        figures = {name: best_and_median(values) for name, values in rows.items()}
        best[key] = {name: figure for name, (figure, _) in figures.items()}
        median[key] = {name: figure for name, (_, figure) in figures.items()}
    found = report.Report(
        best,
        median,
        order=[peer.name for peer in peers],
        missing=missing + left_out + without,
        machine=report.machine(),
        empty_loop=empty_loop,
        sections=sections,
    )
    found.show(console)

    if output is None:
        return
    output.mkdir(parents=True, exist_ok=True)
    if raw:
        suite(raw, found.machine).dump(str(output / "pyperf.json"), replace=True)
    found.write(output)
    console.print(
        f"[dim]written to {output}: report.html, report.md, report.json, their charts, pyperf.json"
    )
    if is_record:
        readme.write(README, found.content())
        console.print("[dim]the README's table is now that of this run")
