"""What is written in two places says the same in both."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import fastoutputs
from fastoutputs.integrations.library import DEFAULT, find_library, known_libraries
from fastoutputs.integrations.tested import TORCH

ROOT = Path(__file__).parents[1]
tomllib = pytest.importorskip("tomllib")
if not (ROOT / ".pre-commit-config.yaml").exists():
    pytest.skip("in the repository only", allow_module_level=True)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
LIBRARIES = known_libraries()
TESTED = {"torch": TORCH, **{name: find_library(name).tested for name in LIBRARIES}}
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


@pytest.mark.skipif(os.name == "nt", reason="Visual Studio is found wherever it is")
def test_a_build_without_a_compiler_says_what_to_install(tmp_path: Path) -> None:
    cmake, ninja = (Path(sys.executable).parent / name for name in ("cmake", "ninja"))
    if not cmake.exists() or not ninja.exists():
        pytest.skip("cmake and ninja are in .venv only")
    options = ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"]
    done = subprocess.run(
        [cmake, "-S", ROOT, "-B", tmp_path, *options],
        env={"PATH": str(tmp_path), "CXX": "/no/such/compiler"},
        capture_output=True,
        text=True,
    )
    (said,) = (line for line in done.stderr.splitlines() if "C++17 compiler" in line)
    assert done.returncode and '(it looked for "/no/such/compiler"): ' in said
    assert re.search("run `|install ", said) and "or use a wheel" in said
    assert done.stderr.count("CMake Error") == 1


def short(version: str) -> tuple[int, ...]:
    """5.24 of 5.24.0."""
    return tuple(int(part) for part in version.split(".")[:2])


def pinned(library: str) -> set[tuple[int, ...]]:
    """In any dependency group."""
    needs = [need for group in PROJECT["dependency-groups"].values() for need in group]
    pins = [re.match(rf"{library}==([\d.]+)", need) for need in needs if isinstance(need, str)]
    return {short(pin[1]) for pin in pins if pin}


@pytest.mark.parametrize("library", TESTED)
def test_what_is_tested_is_pinned(library: str) -> None:
    assert pinned(library) == set(TESTED[library])
    assert list(TESTED[library]) == sorted(TESTED[library], reverse=True)


@pytest.mark.parametrize("library", LIBRARIES)
def test_all_that_is_known_of_a_library_stands_in_its_file(library: str) -> None:
    assert find_library(library).name == library and TESTED[library]
    package = ROOT / "python/fastoutputs"
    naming = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py*")
        if path.suffix in (".py", ".pyi") and library in path.read_text("utf-8")
    ]
    own = f"integrations/libraries/{library}.py"
    assert own in naming and (library == DEFAULT or naming == [own])


@pytest.mark.needs_torch
def test_tracing_knows_what_is_tested() -> None:
    pytest.importorskip("torch._dynamo")  # whose import registers what is asked here
    assert import_module("fastoutputs.integrations.dynamo").TESTED is TORCH


@pytest.mark.parametrize("library", TESTED)
def test_pages_name_the_tested_versions(library: str) -> None:
    words = [f"{major}.{minor}" for major, minor in TESTED[library]]
    assert f"| {library} | {', '.join(words)} |" in (ROOT / "docs/install.md").read_text("utf-8")
    if len(words) > 1:
        assert f"{library} {words[-1]} to {words[0]}" in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_no_version_that_is_not_tested(page: Path) -> None:
    """As in `transformers 5.24`, `torch==2.15.0` or `torch 2.14 and 2.15`; "since torch 2.6" is history."""
    names = "|".join(TESTED)
    mention = rf"(?<!since )\b({names})(?: +|==)(\d+\.\d+[\d.]*(?:(?:,| and| to) \d+\.\d+[\d.]*)*)"
    for library, versions in re.findall(mention, page.read_text("utf-8")):
        named = {short(version) for version in re.findall(r"\d+\.\d+", versions)}
        assert named <= set(TESTED[library]), f"{library} {versions}"


@pytest.mark.parametrize("file", [".ci/nightly", ".github/workflows/nightly.yml"])
def test_nightly_runs_the_suite_with_versions_that_have_a_group(file: str) -> None:
    suites = re.findall(r"\bsuite-([\d.]+)", (ROOT / file).read_text("utf-8"))
    groups: dict[str, Any] = PROJECT["dependency-groups"]
    assert suites and all(f"transformers-{version}" in groups for version in suites)


def outdated(*folders: Path) -> str:
    """What `tools/outputs_data.py --check` finds."""
    command = [sys.executable, "tools/outputs_data.py", "--check", *folders]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert bool(done.returncode) is bool(done.stderr)
    return done.stderr


def test_facts_of_outputs_are_those_of_the_installed_transformers() -> None:
    pytest.importorskip("transformers")
    assert outdated() == ""


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ("last_hidden_state, hidden_states, attentions", ""),
        ("last_hidden_state, hidden_states, attentions, new", "BaseModelOutput.new"),
        ("last_hidden_state, attentions, hidden_states", "is outdated (BaseModelOutput)"),
        ("last_hidden_state, hidden_states", "is outdated (BaseModelOutput)"),
    ],
)
def test_facts_of_outputs_notice_a_later_release(tmp_path: Path, fields: str, found: str) -> None:
    types = {"last_hidden_state": "torch.Tensor | None"}
    lines = [
        f"    {name}: {types.get(name, 'tuple[torch.Tensor, ...] | None')} = None"
        for name in fields.split(", ")
    ]
    source = "\n".join(["class BaseModelOutput(ModelOutput):", *lines])
    package = tmp_path / "transformers"
    package.mkdir()
    (package / "__init__.py").write_text('__version__ = "99.0.0"\n')
    (package / "modeling_outputs.py").write_text(source)
    assert (found in outdated(tmp_path)) if found else not outdated(tmp_path)
