"""The environment variable FASTOUTPUTS: what it asks for, and how a program's children come to see it.

Its value is `1`, or words with commas between them: `slots-only`, `diffusers`. `0` and no value mean nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import NamedTuple

from ..integrations.install import install
from ..integrations.library import LIBRARIES, NotInstalledError

__all__ = ["AT_START", "VARIABLE", "Wish", "fulfil", "pass_on", "read", "write"]

VARIABLE = "FASTOUTPUTS"
AT_START = Path(__file__).parents[1] / "at_start"
"""The folder of our sitecustomize.py."""

_ON, _OFF = {"1", "on", "true", "yes"}, {"", "0", "false", "no", "off"}


class Wish(NamedTuple):
    """Arguments of install()."""

    mirror_dict: bool = True
    diffusers: bool = False


def read(value: str) -> Wish | None:
    """What a value asks for; None is nothing. A ValueError names the word that means nothing."""
    words = {word.lower() for word in value.replace(",", " ").split()} or {""}
    if words <= _OFF:
        return None
    unknown = words - _ON - {"slots-only", *LIBRARIES}
    if unknown:
        raise ValueError(
            f"{VARIABLE}={value}: {min(unknown)!r} means nothing. Use 1, or words from: "
            f"{', '.join(('slots-only', *LIBRARIES))}"
        )
    return Wish(mirror_dict="slots-only" not in words, diffusers="diffusers" in words)


def write(wish: Wish) -> str:
    """The value that asks for this."""
    words = {"slots-only": not wish.mirror_dict, "diffusers": wish.diffusers}
    return ",".join(["1", *(word for word, is_asked_for in words.items() if is_asked_for)])


def fulfil(value: str) -> None:
    """install() in a program that knows nothing of it, so errors become one line on its stderr.

    A library that is not installed is no error here: most processes of an environment need none.
    """
    try:
        wish = read(value)
        if wish is None:
            return
        try:
            install(**wish._asdict())
        except NotInstalledError:
            if wish.diffusers:
                install(mirror_dict=wish.mirror_dict)
    except NotInstalledError:
        pass
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
