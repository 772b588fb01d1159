"""What install() has to know of a library whose output classes it replaces, and whether that is there."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any

from ..model_output import ModelOutput

__all__ = [
    "LIBRARIES",
    "Generation",
    "InstallError",
    "Library",
    "NotInstalledError",
    "find_library",
    "is_of_a_library",
]

LIBRARIES = ("transformers", "diffusers")  # a module beside this one for each

Patch = Callable[[ModuleType], Callable[[], None]]
"""Changes a module, and returns what undoes that."""


class InstallError(RuntimeError):
    """install() cannot work here; nothing has been changed."""


class NotInstalledError(InstallError, ImportError):
    """A library that install() is to change is not there."""


@dataclasses.dataclass(frozen=True)
class Generation:
    """One form that the base of a library's output classes had in tested releases."""

    parts: Mapping[str, frozenset[str]]
    """Each part -> the fingerprints that `known_base` gives it there; the compiled container does the same."""
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    """Old name of a field -> its name."""
    notice: Callable[[type], Callable[[type, str, str], object]] | None = None
    """Of the base: what to call when an alias is used, with the class, the old name and the new one."""

    @classmethod
    def of(cls, parts: Mapping[str, str], **what_else: Any) -> Generation:
        """With the fingerprints of each part in one text."""
        return cls({name: frozenset(text.split()) for name, text in parts.items()}, **what_else)


@dataclasses.dataclass(frozen=True)
class Library:
    name: str
    """By which it is imported, and installed."""
    home: str
    """The module that defines the base of its output classes."""
    base: str
    """The name of that base."""
    compiled: type[ModelOutput]
    """What takes its place."""
    tested: tuple[tuple[int, int], ...]
    """The versions that the tests run."""
    generations: tuple[Generation, ...]
    """What is known of the base."""
    assumed: frozenset[str] = frozenset()
    """Functions beside the base that the container has counterparts of; their own source does not matter."""
    shared: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    """Where the library declares what we declare, too: its module -> ours."""
    patches: Mapping[str, Patch] = dataclasses.field(default_factory=dict[str, Patch])
    """What else has to change: a module of the library -> what changes it."""
    registry: str = ""
    """Where the home keeps the classes that it has made known to torch: outputs made before are
    still of those, so they stay there."""

    def version(self) -> str:
        """Of what is imported, or would be; NotInstalledError if there is none."""
        try:
            spec = importlib.util.find_spec(self.name)
            if spec is None:
                raise ModuleNotFoundError
        except (ModuleNotFoundError, ValueError):
            raise NotInstalledError(
                f"{self.name} is not installed: there is nothing to install into"
            ) from None
        found = getattr(sys.modules.get(self.name), "__version__", None)
        return found if isinstance(found, str) else _version_beside(self.name, spec.origin)

    def is_tested(self, version: str) -> bool:
        return tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) in self.tested

    def tested_versions(self) -> str:
        """In words."""
        return ", ".join(f"{major}.{minor}" for major, minor in self.tested)


def _version_beside(name: str, origin: str | None) -> str:
    """Of the distribution that lies beside the package. To ask importlib.metadata takes 30 ms, mostly of its imports."""
    folder = os.path.dirname(os.path.dirname(origin or ""))
    with suppress(OSError):
        names = [entry for entry in os.listdir(folder) if entry.startswith(f"{name}-")]
        found = [entry[len(name) + 1 : -10] for entry in names if entry.endswith(".dist-info")]
        if len(found) == 1:
            return found[0]
    return importlib.import_module("importlib.metadata").version(name)  # type: ignore[no-any-return]


def find_library(name: str) -> Library:
    """One of LIBRARIES."""
    found: Library = importlib.import_module(f".{name}", __package__).LIBRARY
    return found


def is_of_a_library(module: str) -> bool:
    """Whether a module of that name belongs to one of LIBRARIES."""
    return module.partition(".")[0] in LIBRARIES
