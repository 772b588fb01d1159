"""One screen: what is here, what is supported, what install() would do, and the speed."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
import timeit
from collections.abc import Callable
from typing import Any

from .. import build_info, install, modeling_outputs, uninstall
from ..integrations.transformers import TESTED, InstallError, is_supported

__all__ = ["main"]

LIBRARIES = ("torch", "transformers", "jax", "flax", "tensorflow", "diffusers")


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _line(title: str, text: str) -> None:
    print(f"  {title:14} {text}")


def _best(statement: Callable[[], Any], rounds: int = 20) -> float:
    """Seconds for one call, the best of a few rounds."""
    timer = timeit.Timer(statement)
    count, _ = timer.autorange(lambda count, seconds: None)
    count = max(count // 20, 1)
    return min(timer.repeat(rounds, count)) / count


def _speed() -> None:
    """Making and indexing one output: the original's against ours, in this process."""
    from transformers.modeling_outputs import CausalLMOutputWithPast as original

    compiled = modeling_outputs.CausalLMOutputWithPast
    print("Speed here, a 5-field output with 2 fields given")
    for title, operation in {
        "make": lambda cls: lambda: cls(logits=1.0, past_key_values=None),
        "out[0]": lambda cls: (lambda out: lambda: out[0])(cls(logits=1.0)),
        "to_tuple()": lambda cls: (lambda out: lambda: out.to_tuple())(cls(logits=1.0)),
    }.items():
        before, after = _best(operation(original)), _best(operation(compiled))
        _line(title, f"{before * 1e9:7.0f} ns -> {after * 1e9:5.0f} ns   {before / after:5.0f} x")


def main() -> int:
    """Print it; 1 if install() would not work here."""
    info = build_info()
    print("fastoutputs", info["version"])
    _line("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    _line("built by", f"{info.get('compiler', 'unknown')}, {info['build_type']}")
    _line("from", str(sys.modules["fastoutputs"].__path__[0]))
    print("Libraries")
    for library in LIBRARIES:
        version = _version(library)
        note = ""
        if library == "transformers" and version:
            tested = " and ".join(f"{major}.{minor}" for major, minor in TESTED)
            note = "  supported" if is_supported(version) else f"  not tested; {tested} are"
        _line(library, (version or "not there") + note)
    print("install() would say")
    if _version("transformers") is None:
        _line("", "transformers is not installed: there is nothing to install into")
        return 1
    try:
        import transformers.modeling_outputs  # noqa: F401
        import transformers.models.bert.modeling_bert  # noqa: F401
    except ImportError as error:
        _line("", f"transformers cannot make outputs here: {error}")
        return 1
    try:
        report = install()
    except InstallError as error:
        _line("", str(error))
        return 1
    uninstall()
    for line in str(report).splitlines():
        _line("", line)
    _speed()
    return 0
