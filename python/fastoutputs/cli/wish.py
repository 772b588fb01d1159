"""The environment variable FASTOUTPUTS: what it asks for, and how a program's children come to see it.

Its value is `1`, or words with commas between them: `slots-only`, and names of libraries. They are the arguments of
install(), so without a name it is transformers. `0` and no value mean nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import NamedTuple

from ..integrations.install import install
from ..integrations.library import (
    DEFAULT,
    NotInstalledError,
    UnknownLibraryError,
    find_library,
    known_libraries,
)

__all__ = ["AT_START", "VARIABLE", "Wish", "fulfil", "pass_on", "read", "words_of", "write"]

VARIABLE = "FASTOUTPUTS"
AT_START = Path(__file__).parents[1] / "at_start"
"""The folder of our sitecustomize.py."""

_ON, _OFF = {"1", "on", "true", "yes"}, {"", "0", "false", "no", "off"}
_SLOTS_ONLY = "slots-only"


class Wish(NamedTuple):
    """Arguments of install()."""

    libraries: tuple[str, ...] = (DEFAULT,)
    mirror_dict: bool = True

    def install(self) -> None:
        install(*self.libraries, mirror_dict=self.mirror_dict)


def words_of(value: str) -> list[str]:
    """Each once, with commas or spaces between them."""
    return list(dict.fromkeys(value.replace(",", " ").split()))


def read(value: str) -> Wish | None:
    """What a value asks for; None is nothing. A ValueError names the word that means nothing."""
    words = {word: word.lower() for word in words_of(value)} or {"": ""}
    if _OFF.issuperset(words.values()):
        return None
    names = [word for word in words if words[word] not in {*_ON, _SLOTS_ONLY}]
    for name in names:
        try:
            find_library(name)
        except UnknownLibraryError:
            raise ValueError(
                f"{VARIABLE}={value}: {name!r} means nothing. Use 1, or words from: "
                f"{', '.join([_SLOTS_ONLY, *known_libraries()])}"
            ) from None
    return Wish(tuple(names) or (DEFAULT,), mirror_dict=_SLOTS_ONLY not in words.values())


def write(wish: Wish) -> str:
    """The value that asks for this."""
    slots_only = [] if wish.mirror_dict else [_SLOTS_ONLY]
    names = () if wish.libraries == (DEFAULT,) else wish.libraries
    return ",".join(["1", *slots_only, *names])


def _is_installed(library: str) -> bool:
    try:
        find_library(library).version()
    except NotInstalledError:
        return False
    return True


def fulfil(value: str) -> None:
    """install() in a program that knows nothing of it, so errors become one line on its stderr.

    A library that is not installed is no error here: most processes of an environment need none.
    """
    try:
        wish = read(value)
        if wish is None:
            return
        found = tuple(filter(_is_installed, wish.libraries))
        if found:
            wish._replace(libraries=found).install()
    except Exception as error:
        if sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison]  # under pythonw
            print(f"fastoutputs: not installed into this program: {error}", file=sys.stderr)


def pass_on(wish: Wish, environment: MutableMapping[str, str]) -> None:
    """Have the Pythons started with this environment do the same, and then their own sitecustomize."""
    environment[VARIABLE] = write(wish)
    folder, path = str(AT_START), environment.get("PYTHONPATH", "")
    if folder not in path.split(os.pathsep):
        # An empty entry would be the current folder.
        environment["PYTHONPATH"] = f"{folder}{os.pathsep}{path}" if path else folder
