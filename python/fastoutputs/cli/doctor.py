"""One screen: what is installed, whether it is tested, what install() would do, and the speed here."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import json
import os
import platform
import re
import sys
from typing import Any

from .. import build_info, install, uninstall
from ..integrations.library import (
    DEFAULT,
    InstallError,
    find_library,
    known_libraries,
)
from ..integrations.report import Report
from . import bench
from .enable import enabled
from .wish import VARIABLE

__all__ = ["compiler_name", "main", "show"]

BESIDE = ("torch", "jax", "flax", "tensorflow")
"""What is shown beside the libraries that install() knows."""


def compiler_name(text: str) -> str:
    """GCC 12.2 of `12.2.0`, Clang 15.0 of `Clang 15.0.7 (...)`, MSVC 19.39 of `MSVC 1939`."""
    if msvc := re.fullmatch(r"MSVC (\d\d)(\d\d)", text):
        return f"MSVC {msvc[1]}.{msvc[2]}"
    found = re.match(r"(.*?)\s*(\d+)\.(\d+)", text)
    if found is None:
        return text or "unknown"
    name = found[1].rpartition("version")[0].strip() or found[1]
    return f"{name or 'GCC'} {found[2]}.{found[3]}"


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _tested(versions: tuple[tuple[int, int], ...]) -> list[str]:
    return [f"{major}.{minor}" for major, minor in versions]


def _library(name: str) -> dict[str, Any]:
    """Its version, and where we test it: whether this one is, and which are."""
    library = find_library(name) if name in known_libraries() else None
    version = _version(library.distribution or name if library else name)
    found: dict[str, Any] = {"version": version}
    if version is None:
        return found
    if library is not None:
        found["tested"] = library.is_tested(version)
        found["tested_versions"] = _tested(library.tested)
    if name == "torch":
        found.update(_torch(version))
    return found


def _torch(version: str) -> dict[str, Any]:
    """Also which of its private parts fastoutputs could not replace."""
    try:
        importlib.import_module("torch._dynamo")
    except ImportError as error:
        return {"error": f"cannot compile here: {error}"}
    dynamo = importlib.import_module("fastoutputs.integrations.dynamo")
    return {
        "tested": dynamo.is_tested(version),
        "tested_versions": _tested(dynamo.TESTED),
        "inactive": {piece: why for piece, why in dynamo.status().items() if why},
    }


def _install(libraries: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What install() would say, or why it would not work."""
    names = [name for name in known_libraries() if libraries[name]["version"] is not None]
    if not names:
        return {"error": f"{DEFAULT} is not installed: there is nothing to install into"}
    for name in names:
        try:
            for module in find_library(name).samples:
                importlib.import_module(module)
        except ImportError as error:
            return {"error": f"{name} cannot make outputs here: {error}"}
    arguments = ", ".join(f'"{name}"' for name in names)
    found: dict[str, Any] = {"call": f"install({'' if names == [DEFAULT] else arguments})"}
    try:
        report = install(*names)
    except InstallError as error:
        return {**found, "error": str(error)}
    uninstall()
    reports = [report] if isinstance(report, Report) else report.values()
    found["text"] = str(report)
    found["reports"] = {one.library: dataclasses.asdict(one) for one in reports}
    return found


def _speed() -> dict[str, dict[str, float]]:
    """The original's outputs beside ours, in this process."""
    operations = ("make", "out[0]", "out.to_tuple()")
    return bench.measure(operations, (bench.ORIGINAL, bench.DICT_BACKED), 20)


def _examined() -> dict[str, Any]:
    info = build_info()
    libraries = {name: _library(name) for name in (*known_libraries(), *BESIDE)}
    file = enabled()
    found: dict[str, Any] = {
        "fastoutputs": info["version"],
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "compiler": compiler_name(info.get("compiler", "")),
        "build_type": info["build_type"],
        "folder": str(sys.modules["fastoutputs"].__path__[0]),
        "enabled": file and {"file": str(file.file), "is_current": file.is_current()},
        "variable": os.environ.get(VARIABLE),
        "libraries": libraries,
        "install": _install(libraries),
    }
    if "error" not in found["install"] and libraries[DEFAULT]["version"] is not None:
        found["speed"] = _speed()
    return found


# --- as text -------------------------------------------------------------------------------------


def _line(title: str, text: str) -> None:
    print(f"  {title:14} {text}".rstrip())


def _note(library: dict[str, Any]) -> str:
    if "error" in library:
        return f"  {library['error']}"
    if "tested" not in library:
        return ""
    if library["tested"]:
        return "  tested"
    *most, last = library["tested_versions"]
    return (
        f"  not tested; {', '.join(most)}{' and ' if most else ''}{last} {'are' if most else 'is'}"
    )


def _start_up(found: dict[str, Any]) -> str:
    if found["enabled"] is None:
        return "not enabled"
    variable = found["variable"]
    state = f"enabled; {VARIABLE} is {f'set to {variable!r}' if variable else 'not set'}"
    if not found["enabled"]["is_current"]:
        state = "enabled for another fastoutputs, or another place: run `fastoutputs enable` again"
    return state


def show(found: dict[str, Any]) -> None:
    """What `--json` prints, for people."""
    print("fastoutputs", found["fastoutputs"])
    _line("python", f"{found['python']} on {found['system']}")
    _line("compiler", f"{found['compiler']}, {found['build_type']}")
    _line("folder", found["folder"])
    _line("at start", _start_up(found))
    print("Libraries")
    for name, library in found["libraries"].items():
        _line(name, (library["version"] or "not installed") + _note(library))
        for piece, why in library.get("inactive", {}).items():
            _line("", f"torch.compile: {piece} is not active: {why}")
    done = found["install"]
    print(f"{done.get('call', 'install()')} would say")
    for line in (done.get("error") or done["text"]).splitlines():
        _line("", line)
    if "speed" in found:
        print("Speed here, an output with five fields, two of them given")
        for operation, row in found["speed"].items():
            before, after = row[bench.ORIGINAL], row[bench.DICT_BACKED]
            _line(operation, f"{before:7.0f} ns -> {after:5.0f} ns   {before / after:5.0f} x")


def main(*, as_json: bool = False) -> int:
    """Print it; 1 if install() would not work here."""
    uninstall()  # `fastoutputs run` or FASTOUTPUTS=1 may have asked for it
    found = _examined()
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        show(found)
    return 1 if "error" in found["install"] else 0
