"""pydantic's validators and serializers: they are made in Rust and keep their classes, so their models are rebuilt."""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

__all__ = ["adapters", "compiled_types", "rebuilders"]

_OF_CLASS = ("__pydantic_validator__", "__pydantic_serializer__")


def compiled_types() -> tuple[type, ...]:
    """Types of what a model is compiled to."""
    core = sys.modules.get("pydantic_core")
    names = ("SchemaValidator", "SchemaSerializer")
    return tuple(found for name in names if isinstance(found := getattr(core, name, None), type))


def adapters() -> tuple[type, ...]:
    """The type of adapters, if pydantic is imported."""
    found = getattr(sys.modules.get("pydantic.type_adapter"), "TypeAdapter", None)
    return (found,) if isinstance(found, type) else ()


def rebuilders(found: Iterable[Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    """For each compiled model and adapter among these: its name, and what compiles it again."""
    kinds = compiled_types()
    if not kinds:
        return
    base = getattr(sys.modules.get("pydantic"), "BaseModel", type(None))
    for holder in found:
        if issubclass(type(holder), type):
            own = type.__dict__["__dict__"].__get__(holder)
            if not any(issubclass(type(own.get(part)), kinds) for part in _OF_CLASS):
                continue
            name = f"{own.get('__module__')}.{type.__getattribute__(holder, '__qualname__')}"
            if issubclass(holder, base):
                yield f"the pydantic model {name}", partial(holder.model_rebuild, force=True)
            else:
                yield f"the pydantic dataclass {name}", partial(_rebuild_dataclass, holder)
        elif issubclass(type(holder), adapters()) and hasattr(holder, "rebuild"):
            yield "a pydantic.TypeAdapter", partial(holder.rebuild, force=True)


def _rebuild_dataclass(cls: Any) -> None:
    sys.modules["pydantic.dataclasses"].rebuild_dataclass(cls, force=True)
