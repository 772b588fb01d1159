"""Every output class of transformers, with and without install(): no difference but the clock."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("every_output_class.py")


@cache
def pictures(*steps: str) -> tuple[dict[str, Any], dict[str, str], int]:
    """By class name; by module that could not be imported; and how many classes are compiled."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *steps], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    classes = {line["class"]: line["picture"] for line in lines if "class" in line}
    failed = {line["module"]: line["error"] for line in lines if "module" in line}
    return classes, failed, sum(line.get("compiled", False) for line in lines)


def test_the_original_is_all_there() -> None:
    classes, failed, compiled = pictures("import")
    assert len(classes) > 800 and compiled == 0
    # Templates that transformers generates its modules from; some were never meant to be imported.
    assert all("modular_" in name for name in failed), failed


@pytest.mark.parametrize(
    "steps", [("install", "import"), ("import", "install"), ("import", "install", "install")]
)
def test_installed(steps: tuple[str, ...]) -> None:
    classes, failed, compiled = pictures(*steps)
    original = pictures("import")
    assert failed == original[1]
    assert compiled == len(classes) == len(original[0])
    for name, picture in original[0].items():
        assert classes[name] == picture, name


@pytest.mark.parametrize(
    "steps",
    [("import", "install", "uninstall"), ("install", "import", "uninstall")],
)
def test_uninstalled(steps: tuple[str, ...]) -> None:
    classes, _, compiled = pictures(*steps)
    assert compiled == 0 and classes == pictures("import")[0]
