"""A library that install() does not know, added as CONTRIBUTING.md says: by a file of its own, and no other change."""

from __future__ import annotations

import copy
import importlib
import pickle
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import fastoutputs
from fastoutputs.integrations import install as integration
from fastoutputs.integrations import libraries
from fastoutputs.integrations.install import (
    InstallError,
    NotInstalledError,
    Report,
    Reports,
    UnknownLibraryError,
)
from fastoutputs.integrations.known_base import parts_of
from fastoutputs.integrations.library import Library, find_library, known_libraries

ROOT = Path(__file__).parents[1]

# As CONTRIBUTING.md shows it.
FIRST = """
from fastoutputs.integrations.library import Library

LIBRARY = Library(name="acme", home="acme.results", base="Result")
"""
SECOND = """
from fastoutputs import ModelOutput
from fastoutputs.integrations.library import Generation, Library


class Result(ModelOutput):
    \"\"\"As acme's: a list of pairs in the first field stays a list.\"\"\"

    __fastoutputs_unpacks_pairs__ = False


LIBRARY = Library(
    name="acme",
    home="acme.results",
    base="Result",
    compiled=Result,
    tested=((1, 4),),
    generations=(
        Generation.of(
            {
                "__post_init__": "abe07eeb1a20",
                "__getitem__": "20df5773bbf0",
                "__setattr__": "4af5b19a8e3d",
                "__setitem__": "b55c120ce09d",
                "to_tuple": "a81915c18091",
            }
        ),
    ),
)
"""

RESULTS = '''
from collections import OrderedDict
from dataclasses import dataclass, fields


class Result(OrderedDict):
    """What everything in acme returns."""

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                self[field.name] = value

    def __getitem__(self, key):
        if isinstance(key, str):
            return dict(self.items())[key]
        return self.to_tuple()[key]

    def __setattr__(self, name, value):
        if name in self.keys() and value is not None:
            super().__setitem__(name, value)
        super().__setattr__(name, value)

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        super().__setattr__(key, value)

    def to_tuple(self):
        return tuple(self[key] for key in self.keys())


@dataclass
class Scores(Result):
    loss: object = None
    scores: object = None

    def best(self):
        return max(self.scores)
'''


def write(folder: Path, library: str) -> None:
    """A folder of Python's path with acme, and one with the file about it."""
    for name, code in (("acme/__init__.py", ""), ("acme/results.py", RESULTS)):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(code)
    (folder / "acme/more.py").write_text(
        "from .results import Result, Scores, dataclass\n\n\n@dataclass\nclass More(Scores):\n    more: object = None\n"
    )
    (folder / "known").mkdir(exist_ok=True)
    (folder / "known/acme.py").write_text(library)


Add = Callable[[str], Any]


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Add]:
    """Gives the module acme.results, once it has written a file about acme as if below `libraries`."""

    def forget() -> None:
        for name in list(sys.modules):
            if name.partition(".")[0] == "acme":
                del sys.modules[name]
        for name in ("acme", "gone", "collections"):
            sys.modules.pop(f"{libraries.__name__}.{name}", None)
            vars(libraries).pop(name, None)

    def added(library: str) -> Any:
        write(tmp_path, library)
        monkeypatch.setattr(libraries, "__path__", [*libraries.__path__, str(tmp_path / "known")])
        monkeypatch.syspath_prepend(tmp_path)
        return importlib.import_module("acme.results")

    yield added
    fastoutputs.uninstall()
    forget()


def use(results: Any) -> list[Any]:
    """What a program sees of acme's outputs."""
    out = results.Scores(scores=[1, 3])
    seen: list[Any] = [list(out.items()), out[0], out["scores"], out.to_tuple(), out.best()]
    out["loss"] = 2
    out["scores"] = [5]
    copied = copy.deepcopy(pickle.loads(pickle.dumps(out)))
    seen += [sorted(out.items()), copied == out, type(copied) is results.Scores, repr(out)]
    seen += [results.Scores([("a", 1)]).loss, isinstance(out, results.Result), len(out)]
    with pytest.raises(KeyError):
        out["none"]
    return seen


@pytest.mark.parametrize("library", [FIRST, SECOND], ids=["first", "second"])
def test_it_installs_and_uninstalls(add: Add, library: str) -> None:
    results = add(library)
    old, base, before = results.Scores, results.Result, use(results)
    table = {results.Scores: "scores"}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        report = fastoutputs.install("acme")
    assert isinstance(report, Report) and report.library == "acme" and not report.failed
    assert "acme.results.Scores" in report.rebuilt and "acme.results" in report.modules
    assert results.Scores is not old and issubclass(results.Scores, fastoutputs.ModelOutput)
    assert not issubclass(results.Scores, OrderedDict) and table[results.Scores] == "scores"
    more = importlib.import_module("acme.more").More
    assert issubclass(more, fastoutputs.ModelOutput) and more(more=1).to_tuple() == (1,)
    assert use(results) == before
    # Only what the file tells of runs compiled.
    text = "".join(str(warning.message) for warning in said)
    assert bool(text) is (library == FIRST) is bool(report.unknown)
    assert all(name in text for name in report.unknown)
    compiled = type(results.Scores.to_tuple) is type(fastoutputs.ModelOutput.to_tuple)
    assert compiled is (library == SECOND)
    fastoutputs.uninstall()
    assert results.Scores is old and results.Result is base and table == {old: "scores"}
    assert not issubclass(importlib.import_module("acme.more").More, fastoutputs.ModelOutput)
    assert use(results) == before


def test_what_the_tool_prints_is_what_the_file_holds(add: Add) -> None:
    results = add(SECOND)
    library = find_library("acme")
    (known,) = library.generations
    assert parts_of(library, results.Result) == {
        name: next(iter(prints)) for name, prints in known.parts.items()
    }


def test_the_names_are_those_to_install_into(add: Add) -> None:
    add(FIRST)
    assert known_libraries()[0] == "transformers" and "acme" in known_libraries()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fastoutputs.installed("acme", "acme") as report:
            assert isinstance(report, Report) and list(integration._active) == ["acme"]
    assert not integration._active


def test_several_have_a_report_each(add: Add) -> None:
    pytest.importorskip("transformers")
    add(SECOND)
    with fastoutputs.installed("acme") as alone:
        with fastoutputs.installed("transformers", "acme") as reports:
            assert isinstance(reports, Reports) and list(reports) == ["transformers", "acme"]
            assert reports["acme"] is alone and str(alone) in str(reports)
            assert list(integration._active) == ["acme", "transformers"]
        assert list(integration._active) == ["acme"]
    assert not integration._active


@pytest.mark.parametrize(
    ("name", "kind", "why"),
    [
        ("no_such", UnknownLibraryError, "'no_such'"),
        ("gone", NotInstalledError, "gone is not installed"),
        ("collections", InstallError, "has no class"),  # found once acme has been replaced
    ],
)
def test_if_one_cannot_be_changed_none_is(
    add: Add, tmp_path: Path, name: str, kind: type[Exception], why: str
) -> None:
    results = add(SECOND)
    old = results.Scores
    for other, home in (("gone", "gone"), ("collections", "collections.abc")):
        code = FIRST.replace("acme.results", home).replace("acme", other)
        (tmp_path / f"known/{other}.py").write_text(code)
    with pytest.raises(kind, match=why):
        fastoutputs.install("acme", name, mirror_dict=False)
    assert results.Scores is old and not integration._active and integration._mirror_dict()


def test_a_name_that_is_not_known() -> None:
    for name in ("difusers", "", "..imports", "__init__", "Transformers", "a-b"):
        with pytest.raises(UnknownLibraryError, match='"To support another library"') as caught:
            fastoutputs.install(name)
        assert isinstance(caught.value, InstallError) and isinstance(caught.value, ValueError)
        assert repr(name) in str(caught.value) and "transformers, diffusers" in str(caught.value)
    for wrong in (["transformers"], True, None, b"transformers"):
        with pytest.raises(TypeError, match="each an argument of its own"):
            fastoutputs.install(wrong)  # type: ignore[call-overload]
    with pytest.raises(UnknownLibraryError), fastoutputs.installed("no_such"):
        raise AssertionError
    assert not integration._active


def test_an_import_that_fails_in_its_file_is_shown(add: Add) -> None:
    add("import no_such_module\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        fastoutputs.install("acme")


def test_a_library_without_metadata_has_an_unknown_version(add: Add) -> None:
    add(SECOND)
    library = find_library("acme")
    assert library.version() == "unknown" and not library.is_tested("unknown")
    assert Library(name="pytest", home="", base="").version() == pytest.__version__


def test_its_distribution_may_have_another_name(tmp_path: Path, add: Add) -> None:
    add(FIRST.replace('base="Result"', 'base="Result", distribution="acme-models"'))
    (tmp_path / "acme_models-1.4.2.dist-info").mkdir()
    assert find_library("acme").version() == "1.4.2"


@pytest.mark.skipif(not (ROOT / "CONTRIBUTING.md").exists(), reason="in the repository only")
def test_contributing_shows_these_files() -> None:
    section = (
        (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## To support another library")[2]
    )
    for shown in (FIRST, SECOND):
        assert f"```python{shown}```" in section
