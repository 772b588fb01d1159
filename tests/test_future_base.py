"""Bases of output classes as no release has them: install() gives the original's results, or an InstallError."""

from __future__ import annotations

import os
from pathlib import Path

import future_base
import pytest
from containers import ORIGINAL_MAJOR
from future_base import CHANGES, IMPOSSIBLE, WITH_MODEL, read

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="a child process for each change"),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return future_base.written(tmp_path_factory.mktemp("future"), "transformers")


@pytest.mark.parametrize("mode", [pytest.param("before", marks=pytest.mark.slow), "after"])
@pytest.mark.parametrize("change", [name for name in CHANGES if name not in IMPOSSIBLE])
def test_what_can_be_carried_gives_the_same(written: Path, change: str, mode: str) -> None:
    expected, _ = read(written, change, "original")
    # The models of transformers 4 read outputs by index, and fail on what is marked there.
    fails = ORIGINAL_MAJOR == 4 and change == "all that can be carried"
    runs = change in WITH_MODEL and not fails
    assert len(expected) > 1300 and ("model: (" in expected[-2]) == runs
    lines, err = read(written, change, mode)
    assert lines == expected
    warned = "Outputs stay correct, as these run as written, but are slower" in err
    assert warned == (change != "nothing") and err.count("Warning") <= 1, err
    assert not warned or "future_base.py" in err, "it points at the program"


@pytest.mark.parametrize("mode", ["before", "after"])
@pytest.mark.parametrize("change", IMPOSSIBLE)
def test_what_cannot_be_carried_is_an_install_error(written: Path, change: str, mode: str) -> None:
    lines, err = read(written, change, mode)
    assert not lines
    if change == "renamed" and mode == "after":  # transformers itself wants it by its name
        assert "cannot import name 'ModelOutput'" in err
    else:
        assert "InstallError: transformers" in err
        assert "utils.generic.ModelOutput" in err and "Nothing has been changed." in err
