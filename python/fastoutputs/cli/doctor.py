"""One screen: what is here, what is supported, what install() would do, and the speed."""

from __future__ import annotations

import importlib
import importlib.metadata
import operator
import platform
import sys
import timeit
from collections.abc import Callable
from functools import partial
from typing import Any

from .. import build_info, install, modeling_outputs, uninstall
from ..integrations.install import LIBRARIES, InstallError, find_library

__all__ = ["main"]

SHOWN = ("torch", "transformers", "jax", "flax", "tensorflow", "diffusers")


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _line(title: str, text: str) -> None:
    print(f"  {title:14} {text}")


def _best(statement: Callable[[], Any], rounds: int = 20) -> float:
    """Seconds for one call, the best of a few rounds."""
    count = 2000
    return min(timeit.repeat(statement, repeat=rounds, number=count)) / count


def _speed() -> None:
    """Making and indexing one output: the original's against ours, in this process."""
    from transformers.modeling_outputs import CausalLMOutputWithPast as original

    compiled = modeling_outputs.CausalLMOutputWithPast
    print("Speed here, a 5-field output with 2 fields given")
    classes: tuple[Any, Any] = (original, compiled)
    made = [cls(logits=1.0, attentions=()) for cls in classes]
    for title, statements in {
        "make": [partial(cls, logits=1.0, attentions=()) for cls in classes],
        "out[0]": [partial(operator.getitem, out, 0) for out in made],
        "to_tuple()": [out.to_tuple for out in made],
    }.items():
        before, after = map(_best, statements)
        _line(title, f"{before * 1e9:7.0f} ns -> {after * 1e9:5.0f} ns   {before / after:5.0f} x")


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
