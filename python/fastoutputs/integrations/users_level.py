"""Where a warning points: at the code of the user, past the libraries in between."""

from __future__ import annotations

import sys

__all__ = ["users_level"]

_BETWEEN = ("fastoutputs", "contextlib", "functools", "importlib")


def _is_skipped(filename: str) -> bool:
    """`warnings` does not count the frames of the import system."""
    return "importlib" in filename and "_bootstrap" in filename


def users_level(library: str) -> int:
    """The `stacklevel`, for a warning by the caller, of the code that called the library or us."""
    frame, level = sys._getframe(1), 1  # pyright: ignore[reportPrivateUsage]
    while frame.f_back is not None:
        owner = frame.f_globals.get("__name__", "").partition(".")[0]
        if owner != library and owner not in _BETWEEN:
            break
        level += not _is_skipped(frame.f_code.co_filename)
        frame = frame.f_back
    return level
