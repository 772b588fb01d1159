"""Functions of other libraries that treat an OrderedDict in a way of its own: they take an output for one, too.

The original is an OrderedDict and ours is a dict, so ``isinstance(out, OrderedDict)`` has another answer. In the modules
below that changes a result. While installed, each has an `isinstance` of its own among its globals, which its functions
find before the built-in one, however they were imported.
"""

# Values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ..model_output import ModelOutput
from .imports import when_imported

__all__ = ["MODULES", "watch"]

MODULES = (
    "accelerate.utils.other",  # save(safe_serialization=True) makes tensors contiguous in an OrderedDict only
    "fairscale.internal.containers",  # apply_to_tensors makes a plain dict of any other dict
    "peft.tuners._buffer_dict",  # BufferDict sorts the keys of any other dict
    "torch.distributed.utils",  # _apply_to_tensors, as fairscale's, where an output is no dataclass
)
"""None calls isinstance so often that a few nanoseconds more count."""

_users: dict[str, set[object]] = {}
"""Name of a module -> a token for each installation that has changed it."""


def _isinstance(value: Any, kinds: Any) -> bool:
    """The built-in one, but an output is an OrderedDict."""
    if isinstance(value, kinds):
        return True
    wanted = kinds is OrderedDict or (type(kinds) is tuple and OrderedDict in kinds)
    return wanted and isinstance(value, ModelOutput)


def watch(name: str) -> Callable[[], None]:
    """Change the module of that name, now or when it is imported; returns a function that undoes it."""
    token = object()
    module = sys.modules.get(name)
    if isinstance(module, ModuleType):
        # Also while its own code still runs: what it defines afterwards has the same globals.
        return _patch(module, name, token)
    undo: list[Callable[[], None]] = []
    forget = when_imported(name, lambda module: undo.append(_patch(module, name, token)))

    def take_back() -> None:
        forget()
        for step in undo:
            step()

    return take_back


def _patch(module: ModuleType, name: str, token: object) -> Callable[[], None]:
    users = _users.setdefault(name, set())
    users.add(token)
    # Not vars(module), which would load a lazy one.
    names: dict[str, Any] = ModuleType.__getattribute__(module, "__dict__")
    names.setdefault("isinstance", _isinstance)

    def undo() -> None:
        users.discard(token)
        if not users and names.get("isinstance") is _isinstance:
            del names["isinstance"]

    return undo
