"""A line in the environment's site-packages, so that FASTOUTPUTS=1 reaches every program started there."""

from __future__ import annotations

import importlib.metadata
import os
import site
import sys
import sysconfig
from pathlib import Path

from .wish import AT_START, VARIABLE

__all__ = ["Enabled", "enabled", "main"]

NAME = "fastoutputs-at-start.pth"
# Python runs such a line at each start. The path is checked, as the file stays when pip removes the package.
_LINE = (
    "import os, sys; os.environ.get({variable!a}) and os.path.isdir({folder!a}) and "
    "(sys.path.insert(0, {folder!a}), __import__('fastoutputs_at_start').start(), sys.path.remove({folder!a}))\n"
)


class _CannotEnableError(Exception):
    """The message is for the user."""


class Enabled:
    """Where it is enabled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def is_current(self) -> bool:
        """Not after fastoutputs has been installed elsewhere, or the environment was moved."""
        try:
            return self.file.read_text(encoding="ascii") == _line()
        except (OSError, ValueError):
            return False


def _line() -> str:
    return _LINE.format(variable=VARIABLE, folder=str(AT_START))


def _same(path: str | os.PathLike[str]) -> str:
    return os.path.normcase(os.path.realpath(path))


def _folders() -> list[Path]:
    """Those in which Python reads .pth files when it starts."""
    found = list(site.getsitepackages())
    if site.ENABLE_USER_SITE:
        found.append(site.getusersitepackages())
    return [Path(folder) for folder in found]


def enabled() -> Enabled | None:
    """What `enable` has left, if anything."""
    for folder in _folders():
        if os.path.lexists(folder / NAME):
            return Enabled(folder / NAME)
    return None


def _folder() -> Path:
    """Where the file belongs: the virtual environment, or else the folder that fastoutputs is installed in."""
    try:
        home = importlib.metadata.distribution("fastoutputs").locate_file("")
    except importlib.metadata.PackageNotFoundError:
        raise _CannotEnableError(
            f"fastoutputs is not installed in this environment, only imported from {AT_START.parents[1]}. "
            "Install it with pip first."
        ) from None
    folders = {_same(folder): folder for folder in _folders()}
    if _same(str(home)) not in folders:
        raise _CannotEnableError(
            f"fastoutputs is installed in {home}, where Python reads no .pth files when it starts. "
            "Install it into the environment."
        )
    if sys.prefix != sys.base_prefix:
        own = folders.get(_same(sysconfig.get_path("purelib")))
        if own is not None:
            return own
    return folders[_same(str(home))]


def _enable(prog: str) -> str:
    found = enabled()
    folder = found.file.parent if found else _folder()
    file = folder / NAME
    try:
        file.write_text(_line(), encoding="ascii")
    except OSError as error:
        raise _CannotEnableError(
            f"cannot write {file}: {error.strerror}. Use a virtual environment, or start programs with "
            f"`{prog.rpartition(' ')[0]} run`."
        ) from None
    return f"enabled by {file}: programs of this environment started with {VARIABLE}=1 return compiled outputs"


def _disable() -> str:
    found = enabled()
    if found is None:
        return "was not enabled"
    try:
        found.file.unlink()
    except OSError as error:
        raise _CannotEnableError(f"cannot remove {found.file}: {error.strerror}") from None
    return f"disabled: removed {found.file}"


def main(command: str, prog: str) -> int:
    try:
        print(_enable(prog) if command == "enable" else _disable())
    except _CannotEnableError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 1
    return 0
