"""Every python block of README.md and docs/ runs, and prints what the page says it does.

The blocks of a page run in order, as one module. What a block prints stands in a block marked `text`
right after it, where `...` is anything. A page is run as far as what its blocks import is installed;
what needs a library that few have stands at its end.
"""

from __future__ import annotations

import ast
import doctest
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

import fastoutputs

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LANGUAGES = {"python", "sh", "text"}
BLOCK = re.compile(r"^```python\n(.*?)^```$(?:\n+```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    yield
    fastoutputs.uninstall()


def run(name: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Run the blocks of a page, up to the first one that imports what is not here."""
    fences = re.findall(r"^ *```(\w+)", text, re.MULTILINE)
    assert set(fences) <= LANGUAGES, f"{name} has code in a language that nobody runs"
    blocks = list(BLOCK.finditer(text))
    assert len(blocks) == fences.count("python"), f"{name} has a block that was not recognised"
    page = ModuleType(f"page_{Path(name).stem}")  # not that of a library: docs/api/torch.md
    sys.modules[page.__name__] = page  # where a dataclass looks its annotations up
    try:
        for block in blocks:
            line = text.count("\n", 0, block.start(1))
            for needed in imported(block[1]):
                if find_spec(needed) is None:
                    pytest.skip(f"{name} has run up to line {line}, where it needs {needed}")
            exec(compile("\n" * line + block[1], name, "exec"), vars(page))
            said, shown = capsys.readouterr().out, block[2] or ""
            assert doctest.OutputChecker().check_output(shown, said, doctest.ELLIPSIS), (
                f"{name}, the block at line {line + 1} printed\n{said}\nand not\n{shown}"
            )
    finally:
        del sys.modules[page.__name__]


def imported(code: str) -> Iterator[str]:
    """The packages that code imports."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module).partition(".")[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not page.exists():
        pytest.skip("in the repository only")
    run(page.name, page.read_text(encoding="utf-8"), capsys)


@pytest.mark.parametrize(
    "page",
    [
        "```python\nassert 1 == 2\n```\n",
        "```python\nprint('one')\n```\n",
        "```python\nprint('one')\n```\n\n```text\ntwo\n```\n",
        "```python\n```\n\n```text\none\n```\n",
        "```python\none = 1\n```\n\n```python\nassert one == 2\n```\n",
        "```python\nassert False\n```\n\n```python\nimport there_is_no_such_library\n```\n",
        "- in a list\n\n  ```python\n  one = 1\n  ```\n",
        "```py\none = 1\n```\n",
    ],
)
def test_a_page_that_is_wrong_fails(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AssertionError):
        run("page.md", page, capsys)


def test_a_page_runs_as_far_as_its_libraries_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    page = "\n```python\nimport there_is_no_such_library\n```\n"
    with pytest.raises(pytest.skip.Exception, match="line 2, where it needs there_is_no_such"):
        run("page.md", page, capsys)
