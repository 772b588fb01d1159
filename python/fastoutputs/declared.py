"""An output class as it was declared, without what its first use has put into it."""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import sys
from typing import Any

from . import _core, aliases

__all__ = ["as_declared", "own_annotations"]

_NOTHING = object()


def own_annotations(cls: type) -> dict[str, Any]:
    """The annotations in the body of cls; names that are not known yet stay references."""
    if sys.version_info >= (3, 14):
        import annotationlib

        return dict(annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF))
    return dict(vars(cls).get("__annotations__", {}))


def as_declared(cls: type) -> dict[str, Any]:
    """The dict of cls, with what the descriptors of its fields have displaced, and without aliases."""
    declared = {}
    for name, attribute in vars(cls).copy().items():
        value = _core.declared_value(attribute, _NOTHING)
        if value is not _NOTHING and not _core.is_alias_property(value):
            declared[name] = aliases.without_aliases(value)
    return declared
