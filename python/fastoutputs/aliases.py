"""Aliases of fields where Python code is needed: to read one as an attribute, and in a generated ``__init__``.

The compiled container resolves an alias itself wherever it is asked first. A tracer reads these instead.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from . import _core
from ._core import ModelOutput

__all__: list[str] = []


def _property(alias: str, field: str) -> property:
    alias_used = _core.alias_used

    def read(self: ModelOutput) -> Any:
        alias_used(type(self), alias)
        return getattr(self, field)

    read.__name__ = read.__qualname__ = alias
    return property(read, doc=f"Another name of the field {field}.")


def _init(generated: Callable[..., None], renamed: dict[str, str]) -> Callable[..., None]:
    alias_used = _core.alias_used

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
                alias_used(type(self), alias)
        generated(self, *args, **kwargs, **taken)

    return __init__


_core.set_alias_functions(_property, _init)
