"""What an output class declares, as data: names, defaults, types, documented shapes.

Read from the dataclass and from the vocabulary of `fastoutputs.fields`. Loads no library to do so,
and resolves no more of an annotation than is needed to find what it documents.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from typing import Any

from .fields import Documented, aliases_of, documentation_of, type_of
from .model_output import ModelOutput

__all__ = ["FieldSchema", "Schema", "documented_by", "schema"]

documented_by: dict[type, weakref.ref[type]] = {}
"""For a class of a library: the one of ours that declares the same fields, and has the documented shapes."""


@dataclass(frozen=True)
class FieldSchema:
    """One declared field.

    ``type`` is the text of the annotation; for an alias of the vocabulary, of what it stands for.
    ``documented`` is what the alias says, None for any other annotation; ``meaning``, ``shape`` and
    ``returned_when`` are its parts.
    """

    name: str
    type: str
    required: bool
    default: Any
    default_factory: Callable[[], Any] | None
    documented: Documented | None

    @property
    def meaning(self) -> str | None:
        return self.documented.meaning if self.documented else None

    @property
    def shape(self) -> str | None:
        return self.documented.shape if self.documented else None

    @property
    def returned_when(self) -> str | None:
        return self.documented.returned_when if self.documented else None

    def __str__(self) -> str:
        """The declaration and what is documented, in one line."""
        text = f"{self.name}: {self.type}"
        if self.default_factory:
            text += f" = {getattr(self.default_factory, '__qualname__', '...')}()"
        elif not self.required:
            text += f" = {self.default!r}"
        notes = [self.shape, self.returned_when and f"returned: {self.returned_when}"]
        return "  # ".join([text, "; ".join(filter(None, notes))]) if any(notes) else text


@dataclass(frozen=True, repr=False)
class Schema:
    """The fields of an output class, in declared order; iterates over them, indexes by name."""

    cls: type[ModelOutput]
    fields: tuple[FieldSchema, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields)

    def __iter__(self) -> Iterator[FieldSchema]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __getitem__(self, name: str) -> FieldSchema:
        """The field of that name; KeyError if there is none."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __repr__(self) -> str:
        lines = [f"class {self.cls.__qualname__}:", *(f"    {field}" for field in self.fields)]
        return "\n".join(lines)


def schema(output: type[ModelOutput] | ModelOutput) -> Schema:
    """Describe an output class, or the class of an output.

    Raises `TypeError` for what is no dataclass derived from `ModelOutput`.
    """
    cls: type = output if isinstance(output, type) else type(output)
    if not issubclass(cls, ModelOutput):
        raise TypeError(
            f"schema() takes an output class or an output, not {_name_of(output)}: "
            "it does not derive from fastoutputs.ModelOutput"
        )
    if not is_dataclass(cls):
        raise TypeError(
            f"schema() needs declared fields, and {cls.__qualname__} is not a dataclass: "
            "decorate it with @dataclass"
        )
    return Schema(cls, tuple(_describe(cls, field) for field in fields(cls)))


def _name_of(thing: object) -> str:
    if isinstance(thing, type):
        return f"the class {thing.__qualname__}"
    return f"an object of type {type(thing).__qualname__}"


def _describe(cls: type, field: Field[Any]) -> FieldSchema:
    owner = _owner(cls, field)
    annotation = _annotation(owner, field)
    documented = documentation_of(annotation)
    factory = None if field.default_factory is MISSING else field.default_factory
    return FieldSchema(
        name=field.name,
        type=type_of(annotation if documented else field.type),
        required=field.default is MISSING and factory is None,
        default=None if field.default is MISSING else field.default,
        default_factory=factory,
        documented=documented or _documented_by_ours(owner, field),
    )


def _owner(cls: type, field: Field[Any]) -> type:
    """The class that declares it: an inherited field is the same object there."""
    return next(
        base
        for base in reversed(cls.__mro__)
        if vars(base).get("__dataclass_fields__", {}).get(field.name) is field
    )


def _annotation(owner: type, field: Field[Any]) -> Any:
    """The annotation, evaluated where it was written; as it stands if it cannot be."""
    if field.name in aliases_of.get(owner, {}):
        return aliases_of[owner][field.name]
    if not isinstance(field.type, str):
        return field.type
    module = vars(sys.modules.get(owner.__module__, object))
    try:
        return eval(field.type, dict(module), dict(vars(owner)))
    except Exception:  # a name that only type checkers see, or any other: its text is enough
        return field.type


def _documented_by_ours(owner: type, field: Field[Any]) -> Documented | None:
    refer = documented_by.get(owner)
    ours: Any = refer and refer()
    if ours is None:
        return None
    same = ours.__dataclass_fields__[field.name]
    return documentation_of(_annotation(_owner(ours, same), same))
