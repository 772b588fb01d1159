"""Bases of diffusers' outputs as no release has them; tests/test_future_base.py has those of transformers."""

from __future__ import annotations

from pathlib import Path

import future_base
import pytest
from future_base import CHANGES, IMPOSSIBLE, read

FIRST = ("nothing", "all that can be carried")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return future_base.written(tmp_path_factory.mktemp("future"), "diffusers")


@pytest.mark.parametrize("mode", ["before", "after"])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name not in FIRST))
        for name in CHANGES
        if name not in IMPOSSIBLE
    ],
)
def test_what_can_be_carried_gives_the_same(written: Path, change: str, mode: str) -> None:
    expected, _ = read(written, change, "original")
    assert len(expected) > 1000
    lines, err = read(written, change, mode)
    assert lines == expected
    warned = "diffusers" in err and "slower" in err
    assert warned == (change != "nothing") and err.count("Warning") <= 1, err


@pytest.mark.parametrize("mode", ["before", "after"])
@pytest.mark.parametrize("change", IMPOSSIBLE)
def test_what_cannot_be_carried_is_an_install_error(written: Path, change: str, mode: str) -> None:
    lines, err = read(written, change, mode)
    assert not lines
    if change == "renamed" and mode == "after":  # diffusers itself wants it by its name
        assert "cannot import name 'BaseOutput'" in err
    else:
        assert "InstallError: diffusers" in err and "utils.outputs.BaseOutput" in err
