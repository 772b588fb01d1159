"""Make transformers, and other libraries, return compiled outputs: install(), uninstall(), installed().

Before a library is imported there is little to do: the base of its output classes is replaced as soon
as it is defined, and the library then defines its classes on the compiled base. Afterwards each class is
rebuilt on the compiled base, from the library's own definition (`rebuild`), and put where the old one was
(`references`). Either way a class of fastoutputs that declares the same fields means the library's class
while installed (`Library.shared`).

What the library's own base does is compared with what is known of it (`known_base`); unknown parts are
carried over and run as written (`carried_base`).

Everything is prepared first; what goes wrong then has changed nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import overload

from ..model_output import ModelOutput
from .installation import Installation, lock, wait_for_imports
from .library import (
    DEFAULT,
    InstallError,
    Library,
    NotInstalledError,
    UnknownLibraryError,
    find_library,
)
from .report import Report, Reports

__all__ = [
    "InstallError",
    "NotInstalledError",
    "Report",
    "Reports",
    "UnknownLibraryError",
    "install",
    "installed",
    "uninstall",
]

_MIRROR_DICT = "__fastoutputs_mirror_dict__"  # the container looks it up along the bases

_active: dict[str, Installation] = {}  # by library, in the order in which they came


@overload
def install(library: str = DEFAULT, /, *, mirror_dict: bool = True) -> Report: ...
@overload
def install(library: str, second: str, /, *more: str, mirror_dict: bool = True) -> Reports: ...
@overload
def install(*libraries: str, mirror_dict: bool = True) -> Report | Reports: ...
def install(*libraries: str, mirror_dict: bool = True) -> Report | Reports:
    """Make the compiled ModelOutput the base of every output class of transformers, or of the libraries named.

    It may be called before a library is imported, after it, and after models were built. Calling it again
    changes mirror_dict, and may add libraries; those that are installed stay so. Nothing on disk is changed.

    Args:
        libraries: the names of the libraries to install into: these and no others. Without a name it is
            transformers; to have another library beside it, name both.
        mirror_dict: False makes all outputs of this process slots only, unless their class says
            otherwise: cheaper still, but C code that reads a dict directly sees them empty.

    Returns:
        What was done; print it. For one library that is a `Report`, for several the `Reports`, a dict of
        the report of each by its name.

    Raises:
        UnknownLibraryError: fastoutputs does not know a name. This is an InstallError and a ValueError.
        NotInstalledError: a library is not there. This is an InstallError and an ImportError.
        InstallError: a library is just being imported, or has no base of its output classes that
            could be replaced. Nothing has been changed then, in any library.
    """
    wanted = _found(libraries)
    _environment_first()
    for library in wanted:
        wait_for_imports(library)
    with lock:
        _remove([found for found in _active.values() if not found.is_active])  # was interrupted
        new = [Installation(library) for library in wanted if not _is_active(library.name)]
        try:
            for installation in new:
                _active[installation.library.name] = installation
                with installation.report.timed():
                    installation.start()
        except BaseException:
            _remove(new)
            raise
        _set_mirror_dict(mirror_dict)
        reports = Reports((library.name, _active[library.name].report) for library in wanted)
        return reports if len(reports) > 1 else reports[wanted[0].name]


def uninstall() -> None:
    """Give the libraries their own classes back; nothing happens if they were never replaced.

    Classes that they defined in between are made anew on their own base. What other code defined or
    imported in between, and outputs that were made, stay what they are. Where it was interrupted, as by Ctrl-C,
    another call finishes it.
    """
    _environment_first()
    with lock:
        if _active:
            _remove(list(_active.values()))
            _set_mirror_dict(True)


@overload
@contextmanager
def installed(
    library: str = DEFAULT, /, *, mirror_dict: bool = True
) -> Generator[Report, None, None]: ...
@overload
@contextmanager
def installed(
    library: str, second: str, /, *more: str, mirror_dict: bool = True
) -> Generator[Reports, None, None]: ...
@overload
@contextmanager
def installed(
    *libraries: str, mirror_dict: bool = True
) -> Generator[Report | Reports, None, None]: ...
@contextmanager
def installed(*libraries: str, mirror_dict: bool = True) -> Generator[Report | Reports, None, None]:
    """install() for the time of a block; what was installed before stays so afterwards."""
    _environment_first()
    before, had_mirror_dict = list(_active), _mirror_dict()
    report = install(*libraries, mirror_dict=mirror_dict)
    try:
        yield report
    finally:
        with lock:
            _remove([found for name, found in _active.items() if name not in before])
            _set_mirror_dict(had_mirror_dict)


def _found(names: tuple[str, ...]) -> list[Library]:
    """Each library once, or the default; a TypeError for what is no name, such as a list of them."""
    found: dict[str, Library] = {}
    for name in names or (DEFAULT,):
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(
                f"install() takes names of libraries, each an argument of its own, not {name!r}: "
                'install("transformers", ...)'
            )
        found[name] = find_library(name)
    return list(found.values())


def _environment_first() -> None:
    """What `fastoutputs run` or FASTOUTPUTS=1 puts off until a library is imported counts as done at the start."""
    at_start = sys.modules.get("fastoutputs_at_start")
    if at_start is not None:
        at_start.fire()


def _is_active(name: str) -> bool:
    """Not where it waited for the library, and that was then refused."""
    return name in _active and _active[name].is_active


def _remove(installations: list[Installation]) -> None:
    """The last that came goes first, as it may have replaced what another had put there."""
    for installation in reversed(installations):
        name = installation.library.name
        if _active.get(name) is installation:
            installation.put_back()
            del _active[name]


def _mirror_dict() -> bool:
    return _MIRROR_DICT not in vars(ModelOutput)


def _set_mirror_dict(enabled: bool) -> None:
    if enabled == _mirror_dict():
        return
    if enabled:
        delattr(ModelOutput, _MIRROR_DICT)
    else:
        setattr(ModelOutput, _MIRROR_DICT, False)
