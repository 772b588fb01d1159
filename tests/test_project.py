"""What is written in two places says the same in both."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import fastoutputs

ROOT = Path(__file__).parents[1]
tomllib = pytest.importorskip("tomllib")
if not (ROOT / ".pre-commit-config.yaml").exists():
    pytest.skip("in the repository only", allow_module_level=True)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_version_comes_from_one_place() -> None:
    version = PROJECT["project"]["version"]
    assert version == fastoutputs.__version__ == fastoutputs.build_info()["version"]


@pytest.mark.parametrize("tool", ["ruff", "clang-format"])
def test_hooks_are_the_linters_of_make_lint(tool: str) -> None:
    (pinned,) = (
        need.partition("==")[2]
        for need in PROJECT["dependency-groups"]["lint"]
        if need.startswith(f"{tool}==")
    )
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert re.findall(rf"{tool}.*\n    rev: v(.*)", hooks) == [pinned]


def test_wheels_are_built_by_the_pinned_cibuildwheel() -> None:
    workflow = (ROOT / ".github/workflows/wheels.yml").read_text(encoding="utf-8")
    (version,) = re.findall(r"pypa/cibuildwheel@v(\S+)", workflow)
    assert f"cibuildwheel=={version}" in PROJECT["dependency-groups"]["wheels"]
