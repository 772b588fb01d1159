"""What the suite found: terminal tables, and one report as Markdown, HTML and JSON."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyperf
from markdown_it import MarkdownIt
from rich import box
from rich.console import Console
from rich.markdown import Markdown as RichMarkdown
from rich.table import Table
from rich.text import Text

from .cases import CASES
from .contenders import SLOTS, STEP, Missing
from .readme import GLANCE_CASES, GLANCE_NAMES
from .targets import TARGETS, Results
from .text import HEADINGS, cell, markdown_table, ratio

WIDTH = 150  # all contenders side by side

# What a reader needs to judge a figure. The rest of pyperf's metadata names the host and its paths.
FACTS = (
    "cpu_model_name",
    "cpu_count",
    "platform",
    "python_implementation",
    "python_version",
    "python_compiler",
)
LIBRARIES = ("transformers", "torch", "optree", "jax", "msgspec", "attrs", "pybind11", "pyperf")


def machine() -> dict[str, str]:
    """The machine and the versions, without anything that tells where it stands."""
    from fastoutputs import __version__, build_info

    facts = pyperf.Run([1.0], collect_metadata=True).get_metadata()
    found = {name: str(facts[name]) for name in FACTS if name in facts}
    found["version_fastoutputs"] = __version__
    for library in LIBRARIES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[f"version_{library}"] = importlib.metadata.version(library)
    return found | {f"build_{name}": str(value) for name, value in build_info().items()}


@dataclass(frozen=True)
class Section:
    """A part of the report that is measured in a way of its own."""

    name: str
    results: Mapping[str, Any]
    markdown: str


@dataclass(frozen=True)
class Report:
    best: Results
    median: Results
    order: list[str]
    missing: list[Missing]
    machine: dict[str, str]
    empty_loop: list[float]
    sections: list[Section]

    # What is said in every form.

    def machine_line(self) -> str:
        facts = self.machine
        versions = ", ".join(
            f"{library} {facts[f'version_{library}']}"
            for library in ("fastoutputs", *LIBRARIES)
            if f"version_{library}" in facts
        )
        return (
            f"{facts.get('python_implementation', '')} {facts.get('python_version', '')} · "
            f"{facts.get('cpu_count', '?')} × {facts.get('cpu_model_name', 'unknown CPU')} · "
            f"{versions}"
        )

    def loop_line(self) -> str:
        if not self.empty_loop:
            return ""
        low, high = min(self.empty_loop), max(self.empty_loop)
        return f"Taken off each statement for the loop around it: {low:.2f} to {high:.2f} ns."

    def target_rows(self) -> list[list[str]]:
        """case, who, target, measured, verdict; only where both sides were measured."""
        rows = []
        for target in TARGETS:
            measured = target.measured(self.best)
            if measured is None:
                continue
            shown = f"{measured:.2f} ×" if target.peer else f"{measured:.0f} bytes"
            verdict = "met" if target.met(measured) else "missed"
            rows.append([CASES[target.case].title, target.who, target.text(), shown, verdict])
        return rows

    def columns(self, *first: str) -> list[str]:
        return [*first, *(name for name in self.order if name not in first)]

    # The terminal.

    def show(self, console: Console) -> None:
        for section in self.sections:
            console.print(RichMarkdown(section.markdown))
        if self.best:
            self._show_cases(console)
        for peer in self.missing:
            console.print(Text(f"left out: {peer.name}: {peer.reason}", "yellow"))
        console.print(Text(f"{self.machine_line()}\n{self.loop_line()}", "dim"))

    def _show_cases(self, console: Console) -> None:
        for base, other in ((STEP, SLOTS), (SLOTS, STEP)):
            console.print(self._ratio_table(base, other))
        table = Table(title="Targets (CPython 3.11)", box=box.SIMPLE_HEAD)
        for heading in ("", "who", "target", "measured", ""):
            table.add_column(heading, justify="right" if heading == "measured" else "left")
        for *cells, verdict in self.target_rows():
            table.add_row(*cells, Text(verdict, "green" if verdict == "met" else "bold red"))
        console.print(table)

    def _ratio_table(self, base: str, other: str) -> Table:
        table = Table(
            title=f"How many times the cost of [bold]{base}[/]",
            caption="above 1: costs more than it; empty: cannot be asked",
            box=box.SIMPLE_HEAD,
        )
        names = self.columns(base, other)
        table.add_column("", no_wrap=True)
        for name in names:
            table.add_column(HEADINGS.get(name, name), justify="right", no_wrap=True)
        for key, row in self.best.items():
            own = row.get(base)
            cells = [Text(cell(key, own), "bold")]
            for name in names[1:]:
                value = row.get(name)
                wins = value is not None and own is not None and value < own
                cells.append(Text(ratio(value, own), "yellow" if wins else "green"))
            table.add_row(Text(CASES[key].title), *cells)
        return table

    # Files.

    def write(self, folder: Path) -> None:
        from . import chart

        content = self.content()
        (folder / "report.json").write_text(
            json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        (folder / "report.md").write_text(self.markdown(), encoding="utf-8")
        (folder / "report.html").write_text(html(self.markdown()), encoding="utf-8")
        chart.draw(folder / "ratios.svg", self.best)
        if "curves" in content:
            chart.draw_curves(folder / "curves.svg", content["curves"])

    def markdown(self) -> str:
        parts = [
            "# Measured",
            "Written by `python -m bench`. All contenders of a case take turns in one process, and "
            "the best round counts. Compare within a row: another machine has other nanoseconds.",
            self.machine_line(),
            self.loop_line(),
            *(self._cases_in_short() if self.best else []),
            *(section.markdown.strip() for section in self.sections),
            *(self._cases_in_full() if self.best else []),
        ]
        parts += [f"Left out: {peer.name}: {peer.reason}" for peer in self.missing]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _cases_in_short(self) -> list[str]:
        return [
            "## In short",
            self._table([key for key in GLANCE_CASES if key in self.best], GLANCE_NAMES),
            "![Ratios](ratios.svg)",
            "## Targets",
            markdown_table(["", "who", "target", "measured", ""], self.target_rows(), "---"),
        ]

    def _cases_in_full(self) -> list[str]:
        parts = ["## Time and size", self._table(self.best, self.columns(STEP, SLOTS))]
        for base, other in ((STEP, SLOTS), (SLOTS, STEP)):
            names = self.columns(base, other)[1:]
            parts += [f"## How many times the cost of {base}", self._table(self.best, names, base)]
        return parts

    def _table(self, keys: Iterable[str], names: Iterable[str], base: str | None = None) -> str:
        """Figures, or their ratios to a base."""
        names = [name for name in names if name in self.order]
        rows = []
        for key in keys:
            row = self.best[key]
            cells = [
                ratio(row.get(name), row.get(base)) if base else cell(key, row.get(name))
                for name in names
            ]
            rows.append([f"`{CASES[key].title}`", *cells])
        return markdown_table(["", *names], rows)

    def content(self) -> dict[str, Any]:
        def figures(key: str, name: str, value: float) -> dict[str, object]:
            row = self.best[key]
            return {
                "best": round(value, 3),
                "median": round(self.median[key][name], 3),
                "unit": CASES[key].unit,
                "to_in_step": round(value / row[STEP], 3) if STEP in row else None,
                "to_slots_only": round(value / row[SLOTS], 3) if SLOTS in row else None,
            }

        return {
            "machine": self.machine,
            "cases": {
                key: {name: figures(key, name, value) for name, value in row.items()}
                for key, row in self.best.items()
            },
            "targets": [
                dict(zip(("case", "who", "target", "measured", "verdict"), row, strict=True))
                for row in self.target_rows()
            ],
            **{section.name: section.results for section in self.sections},
        }


STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #212529; max-width: 80rem; margin: 2rem auto; padding: 0 1rem; }
div { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #dee2e6; }
th { text-align: left; vertical-align: bottom; }
img { max-width: 100%; }
code { background: #f1f3f5; padding: 0 .2rem; }
"""


def html(markdown: str) -> str:
    """The report as a page, which shows the charts that lie beside it."""
    body = MarkdownIt().enable("table").render(markdown)
    body = body.replace("<table>", "<div><table>").replace("</table>", "</table></div>")
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>fastoutputs, measured</title>\n'
        f"<style>{STYLE}</style>\n<body>\n{body}</body>\n</html>\n"
    )
