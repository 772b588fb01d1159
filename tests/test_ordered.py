"""What install() changes in libraries that ask for an OrderedDict, and when; a made-up one stands for each.

Those that are real: `tests/libraries`.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import textwrap
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import transformers.utils

import fastoutputs
from fastoutputs.integrations import ordered

NAME = "fairscale.internal.containers"
ASKS = """
    from collections import OrderedDict

    class Other(dict):
        pass

    def asks(value):
        return isinstance(value, OrderedDict), isinstance(value, (list, OrderedDict)), isinstance(value, (list, str))
    """


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the package lies; it asks twice, as fairscale does, and imports its function by name."""
    folder = tmp_path / "fairscale" / "internal"
    folder.mkdir(parents=True)
    (folder / "containers.py").write_text(textwrap.dedent(ASKS))
    (folder / "__init__.py").write_text("from .containers import asks")
    (tmp_path / "fairscale" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    fastoutputs.uninstall()
    for name in [name for name in sys.modules if name.partition(".")[0] == "fairscale"]:
        del sys.modules[name]


def answers(value: Any) -> Any:
    return importlib.import_module("fairscale.internal").asks(value)


def make() -> Any:
    return transformers.utils.ModelOutput(a=1)


def is_changed() -> bool:
    return "isinstance" in vars(sys.modules[NAME])


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_output_counts_as_an_ordered_dict(folder: Path, when: str) -> None:
    if when == "before":
        assert answers(make()) == (True, True, False)
        assert not is_changed()
    for _ in range(3):
        fastoutputs.install()
        assert isinstance(make(), fastoutputs.ModelOutput)
        assert not isinstance(make(), OrderedDict)
        assert answers(make()) == (True, True, False)
        assert is_changed()
        other = sys.modules[NAME].Other
        for value in ({}, other(), 1, None):
            assert answers(value) == (False, False, False)
        assert answers(OrderedDict()) == (True, True, False)
        assert answers([]) == (False, True, True)
        fastoutputs.uninstall()
        assert not is_changed()
    assert answers(make()) == (True, True, False)


def test_nothing_waits_after_uninstall(folder: Path) -> None:
    fastoutputs.install()
    fastoutputs.uninstall()
    answers(make())
    assert not is_changed()


@pytest.mark.parametrize("first", [True, False])
def test_two_users(folder: Path, first: bool) -> None:
    answers(1)
    undo = [ordered.watch(NAME), ordered.watch(NAME)]
    undo[first]()
    undo[first]()  # again, as after an interruption
    assert is_changed()
    undo[not first]()
    assert not is_changed()


def test_installed_while_the_module_runs(folder: Path) -> None:
    """A library may import transformers before it defines what asks."""
    text = (folder / "containers.py").read_text()
    (folder / "containers.py").write_text(f"import fastoutputs\nfastoutputs.install()\n{text}")
    assert answers(make()) == (True, True, False)
    assert is_changed()
    fastoutputs.uninstall()
    assert not is_changed()


def test_a_lazy_module_stays_unread(folder: Path) -> None:
    importlib.import_module("fairscale")
    (folder / "__init__.py").write_text("")
    spec = importlib.util.find_spec(NAME)
    assert spec is not None and spec.loader is not None
    loader = importlib.util.LazyLoader(spec.loader)
    spec.loader = loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    loader.exec_module(module)
    fastoutputs.install()
    assert "asks" not in object.__getattribute__(module, "__dict__")
    assert module.asks(make()) == (True, True, False)
    fastoutputs.uninstall()
    assert not is_changed()


def test_an_isinstance_of_its_own_stays(folder: Path) -> None:
    answers(1)
    own = vars(sys.modules[NAME])["isinstance"] = lambda value, kinds: True
    fastoutputs.install()
    assert answers(1) == (True, True, True)
    fastoutputs.uninstall()
    assert vars(sys.modules[NAME])["isinstance"] is own


def test_no_growth(folder: Path) -> None:
    answers(1)
    for _ in range(50):
        fastoutputs.install()
        fastoutputs.uninstall()
    assert not any(ordered._users.values()) and len(ordered._users) <= len(ordered.MODULES)
