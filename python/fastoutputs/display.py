"""Outputs for people: what is present, of which dtype and shape, and where; never the numbers.

Arrays are known by their `shape` and `dtype`, so those of torch, numpy, JAX and others are shown
without loading any of them, and without moving data. Nothing here raises on a value that does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from html import escape
from itertools import groupby, islice
from typing import Any, NamedTuple, TypeVar

from .model_output import ModelOutput

T = TypeVar("T")
__all__ = ["repr_html", "rich_repr", "summary"]

_WIDTH = 100  # of a description; longer ones are cut
_ITEMS = 256  # of a sequence that are looked at
_INNER_ITEMS = 64  # of one inside another
_RUNS = 4  # of unlike items that are listed
_DEPTH = 3  # of sequences inside each other
_OUTPUT_DEPTH = 6  # of outputs inside each other


class _Row(NamedTuple):
    depth: int
    name: str
    text: str


def summary(output: ModelOutput) -> str:
    """One line for each present field: its name, then dtype, shape and device of a tensor.

    A tuple of like tensors is one item (``tuple of 3 x float32 (1, 6, 16) cpu``), an output inside
    is indented, numbers and strings are shown, other objects by the name of their class.
    """
    rows = list(_rows(output, 1))
    width = max((2 * row.depth + len(row.name) for row in rows), default=0)
    lines = (f"{'  ' * row.depth + row.name:<{width}}  {row.text}" for row in rows)
    return "\n".join([_title(output), *lines])


def repr_html(output: ModelOutput) -> str:
    """The summary as a small HTML table, escaped."""
    rows = "".join(
        f'<tr><th style="text-align:left;padding-left:{row.depth}em">{escape(row.name)}</th>'
        f'<td style="text-align:left"><code>{escape(row.text)}</code></td></tr>'
        for row in _rows(output, 0)
    )
    return (
        f'<table><caption style="text-align:left"><code>{escape(_title(output))}</code></caption>'
        f"<tbody>{rows}</tbody></table>"
    )


def rich_repr(output: ModelOutput) -> Iterator[tuple[str, Any]]:
    """The present fields and extra keys with their values, for rich's pretty printer."""
    yield from output.items()


def _rows(output: ModelOutput, depth: int, inside: tuple[int, ...] = ()) -> Iterator[_Row]:
    inside = (*inside, id(output))  # an output may contain itself
    for name, value in output.items():
        name = _cut(name)
        if not _is(value, ModelOutput):
            yield _Row(depth, name, _describe(value))
        elif id(value) in inside or len(inside) > _OUTPUT_DEPTH:
            yield _Row(depth, name, f"{_class_name(value)} ...")
        else:
            yield _Row(depth, name, _title(value))
            yield from _rows(value, depth + 1, inside)


def _title(output: ModelOutput) -> str:
    return _class_name(output) + ("" if _try(lambda: len(output), 1) else " (nothing returned)")


def _describe(value: Any, depth: int = 0) -> str:
    return _cut(_try(lambda: _describe_unguarded(value, depth), _class_name(value)))


def _describe_unguarded(value: Any, depth: int) -> str:
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        # Cut first: the text of a long one takes long to make.
        return repr(value[: _WIDTH + 1]) if isinstance(value, (str, bytes)) else repr(value)
    if isinstance(value, type):
        return f"class {value.__qualname__}"
    array = _describe_array(value)
    if array is not None:
        return array
    if depth >= _DEPTH:
        return f"{_class_name(value)} ..."
    if _is(value, ModelOutput):
        return f"{_class_name(value)}({', '.join(value)})"
    if _is(value, tuple) or _is(value, list):
        return _describe_sequence(value, depth)
    if _is(value, Mapping):
        return _describe_mapping(value, depth)
    return _class_name(value)


def _describe_array(value: Any) -> str | None:
    """Dtype, shape and device of what has at least the first two; else None."""
    shape, dtype = _attribute(value, "shape"), _attribute(value, "dtype")
    if shape is None or dtype is None:
        return None
    name = _attribute(dtype, "name") or str(dtype)  # torch's dtypes have no name
    parts = [str(name).removeprefix("torch."), _shape(shape)]
    device = _attribute(value, "device")
    if device is not None and not callable(device):  # a method in some libraries
        parts.append(str(device))
    return " ".join(parts)


def _shape(shape: Any) -> str:
    try:
        return str(tuple(shape))
    except TypeError:  # of unknown rank, in TensorFlow
        return str(shape)


def _describe_sequence(value: tuple[Any, ...] | list[Any], depth: int) -> str:
    kind, length = _class_name(value), len(value)
    if length == 0:
        return f"empty {kind}"
    most = _INNER_ITEMS if depth else _ITEMS
    items = (_describe(item, depth + 1) for item in islice(value, most))
    runs = [(text, sum(1 for _ in run)) for text, run in groupby(items)]
    if len(runs) == 1 and length <= most:
        text = runs[0][0]
        nested = " of " in text or ": " in text
        return f"{kind} of {length} x {f'({text})' if nested else text}"
    listed = [text if count == 1 else f"{count} x {text}" for text, count in runs[:_RUNS]]
    if len(runs) > _RUNS or length > most:
        listed.append("...")
    return f"{kind} of {length}: {', '.join(listed)}"


def _describe_mapping(value: Mapping[Any, Any], depth: int) -> str:
    keys = [_describe(key, depth + 1) for key in islice(value, _RUNS)]
    if len(value) > _RUNS:
        keys.append("...")
    return f"{_class_name(value)} of {len(value)}: {', '.join(keys)}"


def _cut(text: str) -> str:
    text = " ".join(text.split())  # in one line
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."


def _class_name(value: object) -> str:
    return _try(lambda: type(value).__name__, "object")


def _is(value: object, kind: type) -> bool:
    """By its real type: `isinstance` would ask a `__class__` that may raise."""
    return issubclass(type(value), kind)


def _attribute(value: object, name: str) -> Any:
    return _try(lambda: getattr(value, name), None)


def _try(read: Callable[[], T], otherwise: T) -> T:
    """What read gives, or otherwise: a value's own code may raise anything."""
    try:
        return read()
    except Exception:
        return otherwise
