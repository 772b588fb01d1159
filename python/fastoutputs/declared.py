"""An output class as it was declared, without what its first use has put into it."""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import dataclasses
import sys
import types
from typing import Any

from . import aliases
from ._core import is_alias_property

__all__ = ["as_declared", "own_annotations"]

# What the first use of a class puts in the place of a field's default.
_DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType)


def own_annotations(cls: type) -> dict[str, Any]:
    """The annotations in the body of cls; names that are not known yet stay references."""
    if sys.version_info >= (3, 14):
        import annotationlib

        return dict(annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF))
    return dict(vars(cls).get("__annotations__", {}))


def as_declared(cls: type) -> dict[str, Any]:
    """The dict of cls, with the defaults of fields where descriptors are, and without aliases."""
    own = vars(cls)
    slots = own.get("__slots__", ())
    kept = {slots} if isinstance(slots, str) else set(slots)
    fields, annotations = own.get("__dataclass_fields__", {}), own_annotations(cls)
    declared = {}
    for name, value in own.items():
        if is_alias_property(value):
            continue
        if isinstance(value, _DESCRIPTORS) and name in fields and name not in kept:
            value = fields[name].default if name in annotations else dataclasses.MISSING
            if isinstance(value, type(dataclasses.MISSING)):
                continue
        declared[name] = aliases.without_aliases(value)
    return declared
