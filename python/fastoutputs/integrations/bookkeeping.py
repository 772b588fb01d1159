"""Marks for what install() itself remembers, which the search for references must leave alone."""

from __future__ import annotations

from typing import Any

__all__ = ["Private", "Table"]


class Private:
    """Base of our own records: what their slots hold keeps its meaning."""

    __slots__ = ()


class Table(dict[Any, Any]):
    """A dict of ours in which each class means itself."""

    __slots__ = ()
