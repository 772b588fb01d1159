"""Both type checkers on `typing/user_examples.py`: what they reveal, and which mistakes they find."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
EXAMPLES = HERE / "typing" / "user_examples.py"
REVEALED = {
    number: match[1]
    for number, line in enumerate(EXAMPLES.read_text().splitlines(), 1)
    if (match := re.search(r"# revealed: (.+)$", line))
}

pytestmark = [pytest.mark.slow, pytest.mark.needs_torch]


@pytest.fixture(autouse=True)
def _libraries() -> None:
    """Without torch and transformers the checkers see Any for their types."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")


def run(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, cwd=HERE.parent
    )
    assert done.returncode in (0, 1), f"{command[0]} did not run:\n{done.stdout}{done.stderr}"
    return done.stdout


def without_modules(text: str) -> str:
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", text)


def test_mypy():
    pytest.importorskip("mypy")
    # With the project's configuration, and so with its cache.
    lines = run("mypy", "--strict", "--show-absolute-path", str(EXAMPLES)).splitlines()
    revealed, errors = {}, []
    for line in lines:
        if match := re.match(r".+?:(\d+): note: Revealed type is \"(.+)\"$", line):
            revealed[int(match[1])] = without_modules(match[2])
        elif ": error: " in line:
            errors.append(line)
    assert not errors
    assert revealed == REVEALED


def test_pyright():
    pytest.importorskip("pyright")
    if subprocess.run(
        [sys.executable, "-m", "pyright", "--version"], capture_output=True
    ).returncode:
        pytest.skip("pyright is there, node is not")
    # Its configuration makes it blind to mypy's comments.
    config = str(EXAMPLES.parent / "pyrightconfig.json")
    report = json.loads(
        run("pyright", "-p", config, "--outputjson", "--pythonpath", sys.executable)
    )
    revealed, errors = {}, []
    for found in report["generalDiagnostics"]:
        number = found["range"]["start"]["line"] + 1
        if match := re.match(r'Type of ".+" is "(.+)"$', found["message"], re.DOTALL):
            revealed[number] = without_modules(match[1])
        elif found["severity"] == "error":
            errors.append(f"{number}: {found['message']}")
    assert not errors
    assert revealed == REVEALED
