"""What install() has to know of a library whose output classes it replaces, and which libraries it knows."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any

from ..model_output import ModelOutput
from . import libraries

__all__ = [
    "DEFAULT",
    "Generation",
    "InstallError",
    "Library",
    "NotInstalledError",
    "UnknownLibraryError",
    "find_library",
    "is_of_a_library",
    "known_libraries",
]

DEFAULT = "transformers"
"""What install() means if it is given no name."""

Patch = Callable[[ModuleType], Callable[[], None]]
"""Changes a module, and returns what undoes that."""


class InstallError(RuntimeError):
    """install() cannot work here; nothing has been changed."""


class NotInstalledError(InstallError, ImportError):
    """A library that install() is to change is not there."""


class UnknownLibraryError(InstallError, ValueError):
    """install() was given a name that it does not know."""


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
    """By which it is imported; its file in `libraries` has the same name."""
    home: str
    """The module that defines the base of its output classes."""
    base: str
    """The name of that base."""
    compiled: type[ModelOutput] = ModelOutput
    """What takes its place."""
    tested: tuple[tuple[int, int], ...] = ()
    """The versions that the tests run, newest first."""
    generations: tuple[Generation, ...] = (Generation({}),)
    """What is known of the base. All else runs as it is written."""
    assumed: frozenset[str] = frozenset()
    """Functions beside the base that the container has counterparts of; their own source does not matter."""
    shared: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    """Where the library declares what we declare, too: its module -> ours."""
    patches: Mapping[str, Patch] = dataclasses.field(default_factory=dict[str, Patch])
    """What else has to change: a module of the library -> what changes it."""
    registry: str = ""
    """Where the home keeps the classes that it has made known to torch: outputs made before are
    still of those, so they stay there."""
    distribution: str = ""
    """By which it is installed, if that is another name."""
    samples: tuple[str, ...] = ()
    """Modules with output classes that `fastoutputs doctor` imports, to show what install() does to them."""

    def version(self) -> str:
        """Of what is imported, or would be; NotInstalledError if there is none.

        A folder on the path that was never installed may have none: "unknown".
        """
        try:
            spec = importlib.util.find_spec(self.name)
            if spec is None:
                raise ModuleNotFoundError
        except (ModuleNotFoundError, ValueError):
            raise NotInstalledError(
                f"{self.name} is not installed: there is nothing to install into"
            ) from None
        found = getattr(sys.modules.get(self.name), "__version__", None)
        if isinstance(found, str):
            return found
        return _version_beside(self.distribution or self.name, spec.origin)

    def is_tested(self, version: str) -> bool:
        return tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) in self.tested

    def tested_versions(self) -> str:
        """In words."""
        return ", ".join(f"{major}.{minor}" for major, minor in self.tested)


def _version_beside(name: str, origin: str | None) -> str:
    """Of the distribution that lies beside the package. To ask importlib.metadata takes 30 ms, mostly of its imports."""
    folder = os.path.dirname(os.path.dirname(origin or ""))
    start = f"{name.replace('-', '_')}-"
    with suppress(OSError):
        names = [entry for entry in os.listdir(folder) if entry.startswith(start)]
        found = [entry[len(start) : -10] for entry in names if entry.endswith(".dist-info")]
        if len(found) == 1:
            return found[0]
    metadata: Any = importlib.import_module("importlib.metadata")
    try:
        return str(metadata.version(name))
    except metadata.PackageNotFoundError:
        return "unknown"


@functools.cache
def _names_in(folders: tuple[str, ...]) -> frozenset[str]:
    pkgutil: Any = importlib.import_module("pkgutil")  # a plain install() does not need it
    return frozenset(module.name for module in pkgutil.iter_modules(folders))


def _names() -> frozenset[str]:
    return _names_in(tuple(libraries.__path__))


def known_libraries() -> list[str]:
    """The names of all libraries that install() takes, the default first."""
    return sorted(_names(), key=lambda name: (name != DEFAULT, name))


def find_library(name: str) -> Library:
    """What is known of the library of this name; UnknownLibraryError if that is nothing."""
    module = f"{libraries.__name__}.{name}"
    try:
        if not name.isidentifier() or name.startswith("_"):
            raise ModuleNotFoundError(name=module)
        found: Library = importlib.import_module(module).LIBRARY
    except ModuleNotFoundError as error:
        if error.name != module:  # something that its file imports
            raise
        raise UnknownLibraryError(
            f"fastoutputs knows no library named {name!r}, only {', '.join(known_libraries())}. "
            'CONTRIBUTING.md says how to add one: "To support another library". Nothing has been changed.'
        ) from None
    return found


def is_of_a_library(module: str) -> bool:
    """Whether a module of that name belongs to one that install() knows."""
    return module.partition(".")[0] in _names()
