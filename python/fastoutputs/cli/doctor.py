"""One screen: what is here, what is supported, what install() would do, and the speed."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import sys

from .. import build_info, install, uninstall
from ..integrations.library import LIBRARIES, InstallError, find_library
from . import bench

__all__ = ["main"]

SHOWN = ("torch", "transformers", "jax", "flax", "tensorflow", "diffusers")


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _line(title: str, text: str) -> None:
    print(f"  {title:14} {text}")


def _torch_note(version: str) -> str:
    """Whether torch is tested, and which of its private parts fastoutputs could replace."""
    try:
        importlib.import_module("torch._dynamo")
    except ImportError as error:
        return f"  cannot compile here: {error}"
    dynamo = importlib.import_module("fastoutputs.integrations.dynamo")
    tested = " and ".join(f"{major}.{minor}" for major, minor in dynamo.TESTED)
    note = "  tested" if dynamo.is_tested(version) else f"  not tested; {tested} are"
    missing = {piece: why for piece, why in dynamo.status().items() if why}
    return note + "".join(
        f"\n{'':17}torch.compile, not active: {p} ({w})" for p, w in missing.items()
    )


def _speed() -> None:
    """The original's outputs against ours, in this process."""
    print("Speed here, a 5-field output with 2 fields given")
    operations = ("make", "out[0]", "out.to_tuple()")
    for operation, row in bench.measure(operations, (bench.ORIGINAL, bench.STEP), 20).items():
        before, after = row[bench.ORIGINAL], row[bench.STEP]
        _line(operation, f"{before:7.0f} ns -> {after:5.0f} ns   {before / after:5.0f} x")


def main() -> int:
    """Print it; 1 if install() would not work here."""
    info = build_info()
    print("fastoutputs", info["version"])
    _line("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    _line("built by", f"{info.get('compiler', 'unknown')}, {info['build_type']}")
    _line("from", str(sys.modules["fastoutputs"].__path__[0]))
    print("Libraries")
    versions = {name: _version(name) for name in SHOWN}
    for name, version in versions.items():
        note = ""
        if name in LIBRARIES and version:
            library = find_library(name)
            tested = library.tested_versions()
            note = "  supported" if library.is_tested(version) else f"  not tested; {tested} are"
        if name == "torch" and version:
            note = _torch_note(version)
        _line(name, (version or "not there") + note)
    diffusers = versions["diffusers"] is not None
    print(f"install({'diffusers=True' if diffusers else ''}) would say")
    if versions["transformers"] is None:
        _line("", "transformers is not installed: there is nothing to install into")
        return 1
    try:
        importlib.import_module("transformers.modeling_outputs")
        importlib.import_module("transformers.models.bert.modeling_bert")
    except ImportError as error:
        _line("", f"transformers cannot make outputs here: {error}")
        return 1
    try:
        report = install(diffusers=diffusers)
    except InstallError as error:
        _line("", str(error))
        return 1
    uninstall()
    for line in str(report).splitlines():
        _line("", line)
    _speed()
    return 0
