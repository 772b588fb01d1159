"""Call a function as soon as a module has been imported, whether that was before or is still to come."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["is_importing", "when_imported"]

Action = Callable[[ModuleType], object]

_pending: dict[str, list[Action]] = {}
_lock = threading.RLock()


def is_importing(module: ModuleType) -> bool:
    """Whether the module's own code is still running, in this thread or another."""
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def when_imported(name: str, action: Action) -> Callable[[], None]:
    """Call ``action(module)`` once, after the module called name has run: now, if it has already.

    Returns a function that takes the request back, if it has not been met yet. An error in action
    is the importer's to see, and leaves the module imported. Where another thread is just importing
    the module, this waits for it; where this very thread is, a RuntimeError says so.
    """
    module = sys.modules.get(name)
    if module is not None and is_importing(module):
        module = importlib.import_module(name)
        if is_importing(module):
            raise RuntimeError(f"{name} is still being imported: ask before its import, or after")
    with _lock:
        if module is None:
            _pending.setdefault(name, []).append(action)
            _come_first()
            return lambda: _forget(name, action)
    action(module)
    return lambda: None


def _come_first() -> None:
    """A finder that came before ours since then would load the module without our notice."""
    if sys.meta_path[:1] != [_finder]:
        if _finder in sys.meta_path:
            sys.meta_path.remove(_finder)
        sys.meta_path.insert(0, _finder)


def _forget(name: str, action: Action) -> None:
    with _lock:
        waiting = _pending.get(name, [])
        if action in waiting:
            waiting.remove(action)
        if not waiting:
            _pending.pop(name, None)


class _Watcher:
    """Stands in for a module's loader while the module runs, then hands the module back to it."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        with _lock:
            actions = _pending.pop(name, [])
        for action in actions:
            # A lazy module puts another object in its place.
            action(sys.modules.get(name, module))


class _Finder:
    """In sys.meta_path; no subclass of importlib.abc's, which takes a while to import."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _pending:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = (
                find(fullname, path, target) if find and finder is not self else None
            )
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Watcher(spec.loader)  # type: ignore[assignment]
                return spec
        return None


_finder = _Finder()
