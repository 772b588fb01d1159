"""Calls install() in a program that does not do so itself, as soon as it imports a library that install() changes.

`fastoutputs run` and `fastoutputs enable` have this imported when Python starts, where the environment variable
FASTOUTPUTS is set. It stands alone, outside the package: `import fastoutputs` takes longer than many programs run.
"""

import os
import sys
from _thread import RLock

TYPE_CHECKING = False  # that of typing, which takes longer to import than all else here
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["fire", "start"]

_DEFAULT = "transformers"


class _Finder:
    """First in sys.meta_path. It finds nothing itself, and stays there: another thread may be walking the list."""

    def __init__(self, wish: str) -> None:
        self._wish = wish
        self._names = frozenset([_DEFAULT, *wish.replace(",", " ").split()])
        self._lock = RLock()

    def find_spec(
        self, fullname: str, path: "Sequence[str] | None", target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        if fullname in self._names:
            self.fire()
        return None

    def is_late(self) -> bool:
        return not self._names.isdisjoint(sys.modules)

    def fire(self) -> None:
        """Do it now, unless it has been done. A second thread waits for the first."""
        with self._lock:
            wish, self._wish = self._wish, ""
            if not wish:
                return
            try:
                from fastoutputs.cli.wish import fulfil
            except Exception:  # not installed here, or compiled for another Python
                return
            fulfil(wish)


_finder: _Finder | None = None


def start() -> None:
    """Watch the imports of this process, if FASTOUTPUTS asks for it."""
    global _finder
    wish = os.environ.get("FASTOUTPUTS", "").strip()
    if wish in ("", "0") or _finder is not None:
        return
    _finder = _Finder(wish)
    sys.meta_path.insert(0, _finder)
    if _finder.is_late():
        _finder.fire()


def fire() -> None:
    """The program calls install() or uninstall() itself: what the environment asks for comes first."""
    if _finder is not None:
        _finder.fire()
