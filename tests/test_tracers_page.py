"""docs/tracers.md: each row has its verdicts and a test that is there, and says why if it is not the same."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "tracers.md"
HEADER = ["Feature", "In step", "Slots only", "Test", "Why"]
VERDICTS = {"same", "better", "differs"}


def rows(text: str) -> Iterator[list[str]]:
    """The cells of every row below the two of a header."""
    table: list[list[str]] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            table.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        else:
            assert not table or table[0] == HEADER, table[0]
            yield from table[2:]
            table = []


@cache
def functions_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    return {name for name in names if name.startswith("test_")}


def wrong_with(row: list[str]) -> Iterator[str]:
    feature, *verdicts, tests, why = row
    if not set(verdicts) <= VERDICTS:
        yield f"{feature}: a verdict other than {VERDICTS}"
    if set(verdicts) != {"same"} and not why:
        yield f"{feature}: it does not say why"
    named = re.findall(r"`(tests/\S+\.py)::(\w+)`", tests)
    if tests != ", ".join(f"`{path}::{name}`" for path, name in named) or not named:
        yield f"{feature}: the tests are not listed as `path::name`, `path::name`"
    for path, name in named:
        if not (ROOT / path).is_file() or name not in functions_in(path):
            yield f"{feature}: there is no {path}::{name}"


def test_every_row_is_complete() -> None:
    if not PAGE.exists():
        pytest.skip("in the repository only")
    table = list(rows(PAGE.read_text(encoding="utf-8")))
    assert len(table) > 40
    assert [wrong for row in table for wrong in wrong_with(row)] == []


HERE = "`tests/test_tracers_page.py::test_every_row_is_complete`"


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        (f"| a | same | better | {HERE} | so |", 0),
        (f"| a | same | same | {HERE}, {HERE} | |", 0),
        (f"| a | same | other | {HERE} | so |", 1),
        (f"| a | same | | {HERE} | so |", 1),
        (f"| a | same | differs | {HERE} | |", 1),
        ("| a | same | same | | |", 1),
        (f"| a | same | same | {HERE} and more | |", 1),
        ("| a | same | same | `tests/test_tracers_page.py::test_none` | |", 1),
        ("| a | same | same | `tests/test_there_is_none.py::test_none` | |", 1),
        ("| a | same | same | `tests/test_tracers_page.py::wrong_with` | |", 1),
    ],
)
def test_an_incomplete_row_is_found(row: str, wrong: int) -> None:
    (cells,) = rows(f"| {' | '.join(HEADER)} |\n|---|---|---|---|---|\n{row}\n")
    assert len(list(wrong_with(cells))) == wrong
