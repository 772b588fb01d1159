"""What install() tells of what it has done: as a table of plain text, and as one of HTML for notebooks."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import NamedTuple

__all__ = ["Report", "Reports"]

_WIDTH = 88
_SHOWN = 8  # of the classes that were left, or of what holds them


class _Row(NamedTuple):
    title: str
    text: str
    """A line; the text table adds the lines of details that `shows` asks for, HTML folds all of them."""
    details: Sequence[str] = ()
    shows: bool = False


@dataclasses.dataclass(repr=False)
class Report:
    """What install() has done so far; it grows as more of the library is imported.

    `print(report)` shows a table, and so does a notebook.
    """

    library: str
    version: str
    """Of the library."""
    rebuilt: list[str] = dataclasses.field(default_factory=list[str])
    """Classes defined before install(), rebuilt from their own definition on the compiled base. Those that
    the library defines later are on it from the start."""
    shared: dict[str, str] = dataclasses.field(default_factory=dict[str, str])
    """Name of a class of fastoutputs -> the library's class that it means while installed."""
    failed: dict[str, str] = dataclasses.field(default_factory=dict[str, str])
    """Classes left as they were -> why."""
    left: dict[str, str] = dataclasses.field(default_factory=dict[str, str])
    """What still refers to a class that was replaced -> why it could not be changed."""
    unknown: list[str] = dataclasses.field(default_factory=list[str])
    """Parts of the library's base that no tested release has: they run as written, in Python."""
    modules: list[str] = dataclasses.field(default_factory=list[str])
    """Modules in which a name was bound anew."""
    live_instances: int = 0
    """Outputs made before, which stay what they are."""
    waiting: bool = False
    """Whether the library is yet to be imported."""
    milliseconds: float = 0.0
    """What it has cost so far."""

    @contextmanager
    def timed(self) -> Generator[None, None, None]:
        """Add the time of a block to what it has cost; that of a block inside of it counts once."""
        before, start = self.milliseconds, perf_counter()
        try:
            yield
        finally:
            self.milliseconds = before + (perf_counter() - start) * 1e3

    def __str__(self) -> str:
        return "\n".join(self._lines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self._table()

    def _title(self) -> str:
        cost = f"{self.milliseconds:.{0 if self.milliseconds >= 10 else 1}f} ms"
        what = f"{self.library} {self.version}:"
        if self.waiting:
            return f"{what} not imported yet ({cost}). Its output classes will be compiled from the start."
        rebuilt = _count(len(self.rebuilt), "output class", "output classes")
        more = f"More will follow as {self.library} imports them."
        return f"{what} {rebuilt} rebuilt ({cost}). {more}"

    def _rows(self) -> list[_Row]:
        rows: list[_Row] = []
        if self.rebuilt:
            names = _few([name.rpartition(".")[2] for name in self.rebuilt])
            rows.append(_Row("rebuilt", names, self.rebuilt))
        if self.modules:
            where = _count(len(self.modules), "module", "modules")
            rows.append(
                _Row("replaced", f"references in {where}: {_few(self.modules)}", self.modules)
            )
        if self.shared:
            names = _count(len(self.shared), "class", "classes")
            pairs = _pairs(self.shared, " is ")
            rows.append(
                _Row(
                    "shared", f"{names} of fastoutputs are {self.library}'s while installed", pairs
                )
            )
        if self.failed:
            text = f"{_count(len(self.failed), 'class', 'classes')} not rebuilt:"
            rows.append(_Row("left", text, _pairs(self.failed), shows=True))
        if self.left:
            text = f"{_count(len(self.left), 'place', 'places')} with an old class:"
            rows.append(_Row("" if self.failed else "left", text, _pairs(self.left), shows=True))
        if self.live_instances:
            made = _count(self.live_instances, "output", "outputs")
            rows.append(
                _Row(
                    "made before", f"{made}, which stay what they are: instances of the old classes"
                )
            )
        if self.unknown:
            text = f"no tested version has {', '.join(self.unknown)}: run as written, so slower"
            rows.append(_Row("unknown", text))
        return rows

    def _lines(self) -> list[str]:
        lines = _wrapped("", self._title(), "  ")
        for title, text, details, shows in self._rows():
            lines += _wrapped(f"  {title:11} ", text)
            if shows:
                for detail in details[:_SHOWN]:
                    lines += _wrapped(f"{'':14}- ", detail)
                if len(details) > _SHOWN:
                    lines.append(f"{'':14}  and {len(details) - _SHOWN} more")
        return lines

    def _table(self) -> str:
        cells = [f'<tr><th colspan="2" style="text-align:left">{_escaped(self._title())}</th></tr>']
        for title, text, details, shows in self._rows():
            shown = _escaped(text)
            if details:
                items = "".join(f"<li>{_escaped(detail)}</li>" for detail in details)
                is_open = " open" if shows else ""
                shown = f"<details{is_open}><summary>{shown}</summary><ul>{items}</ul></details>"
            cells.append(
                f'<tr><td style="text-align:left;vertical-align:top">{_escaped(title)}</td>'
                f'<td style="text-align:left">{shown}</td></tr>'
            )
        return f"<table><tbody>{''.join(cells)}</tbody></table>"


class Reports(dict[str, Report]):
    """What install() has done so far in several libraries: the name of each -> its `Report`.

    `print(reports)` shows a table for each, and so does a notebook.
    """

    def __str__(self) -> str:
        return "\n".join(map(str, self.values()))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return "".join(report._table() for report in self.values())  # pyright: ignore[reportPrivateUsage]


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _few(names: Sequence[str]) -> str:
    """The first ones."""
    shown, more = names[:2], len(names) - 2
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _pairs(found: Mapping[str, str], between: str = ": ") -> list[str]:
    return [f"{name}{between}{what}" for name, what in found.items()]


def _escaped(text: str) -> str:
    from html import escape  # here and below: install() itself does not need them

    return escape(text)


def _wrapped(start: str, text: str, then: str | None = None) -> list[str]:
    from textwrap import wrap

    # Names are not broken: they are there to be copied.
    return wrap(
        " ".join(text.split()),
        _WIDTH,
        initial_indent=start,
        subsequent_indent=" " * len(start) if then is None else then,
        break_long_words=False,
        break_on_hyphens=False,
    )
