"""Aliases of fields where Python code is needed: to read one as an attribute, and in a generated ``__init__``.

The compiled container resolves an alias itself wherever it is asked first. A tracer reads these instead.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from . import _core
from ._core import ModelOutput

__all__ = ["alias_used", "without_aliases"]


def alias_used(cls: type[ModelOutput], alias: str) -> None:
    """Call the notice of cls, if it has one; a trace runs nothing instead (see `integrations.substitutes`)."""
    # torch reads an attribute of a real output, too, to see whether it is there.
    compiler = sys.modules.get("torch.compiler")
    if compiler is None or not compiler.is_compiling():
        _core.alias_used(cls, alias)


def _property(alias: str, field: str) -> property:
    told = alias_used  # no global: a trace would check it at each call of what was compiled

    def read(self: ModelOutput) -> Any:
        told(type(self), alias)
        return getattr(self, field)

    read.__name__ = read.__qualname__ = alias
    return property(read, doc=f"Another name of the field {field}.")


def _init(generated: Callable[..., None], renamed: dict[str, str]) -> Callable[..., None]:
    told = alias_used

    # aliases.cpp knows the wrapper by its code, and finds `generated` and `renamed` in its closure.
    @functools.wraps(generated)
    def __init__(self: ModelOutput, /, *args: Any, **kwargs: Any) -> None:
        taken: dict[str, Any] = {}
        for alias, field in renamed.items():
            if alias not in kwargs:
                continue
            if field in kwargs:
                raise ValueError(
                    f"You cannot specify both `{field}` and `{alias}`. use `{field}` only."
                )
            if field not in taken:  # else the alias stays, and is refused as an unknown keyword
                taken[field] = kwargs.pop(alias)
                told(type(self), alias)
        generated(self, *args, **kwargs, **taken)

    return __init__


_WRAPPER = _init(lambda: None, {}).__code__


def without_aliases(method: Any) -> Any:
    """What the wrapper of a generated ``__init__`` wraps; anything else as it is."""
    is_wrapper = getattr(method, "__code__", None) is _WRAPPER
    return method.__wrapped__ if is_wrapper else method


_core.set_alias_functions(_property, _init)
