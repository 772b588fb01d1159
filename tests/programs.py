"""Random sequences of operations on an output, performed by operators or by the functions given for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from containers import BASES, OURS
from hypothesis import strategies as st

NAMES = ("loss", "logits", "hidden_states", "attentions")
REFUSED = {
    "__delitem__": ("logits",),
    "__ior__": ({"logits": 1},),
    "pop": ("logits",),
    "popitem": (),
    "clear": (),
    "update": ({"logits": 1},),
    "setdefault": ("loss", 1),
}

names, factors = st.sampled_from(NAMES), st.sampled_from([None, 1, 2, 3])
new_names = st.sampled_from(["new", "other"])
steps = st.one_of(
    st.tuples(st.sampled_from(["attribute", "key"]), names, factors),
    st.tuples(st.just("key"), new_names, factors),
    st.tuples(st.just("read"), names | new_names, st.none()),
    st.tuples(st.just("index"), st.integers(-4, 4), st.none()),
    st.tuples(st.just("views"), st.none(), st.none()),
    st.tuples(st.just("compare"), names, factors),
    st.tuples(st.just("refused"), st.sampled_from(list(REFUSED)), st.none()),
)
Program = list[tuple[Any, ...]]
programs = st.lists(steps, min_size=1, max_size=8)
constructions = st.one_of(
    st.tuples(st.just("keywords"), st.dictionaries(names, factors)),
    st.tuples(st.just("mapping"), st.dictionaries(names | new_names, factors)),
)


def classes() -> dict[str, Any]:
    """An output class for each of our modes."""
    found = {}
    for name in OURS:

        @dataclasses.dataclass(eq=False)  # or == would be that of dataclasses
        class Out(BASES[name]):
            loss: Any = None
            logits: Any = None
            hidden_states: Any = None
            attentions: Any = None

        found[name] = Out
    return found


def _set_item(out: Any, key: Any, value: Any) -> None:
    out[key] = value


def _del_item(out: Any, key: Any) -> None:
    del out[key]


def _in_place_or(out: Any, other: Any) -> Any:
    out |= other
    return out


Functions = dict[str, Callable[..., Any]]
OPERATORS: Functions = {
    "__setattr__": setattr,
    "__getitem__": lambda out, key: out[key],
    "__setitem__": _set_item,
    "__delitem__": _del_item,
    "__ior__": _in_place_or,
    "__len__": len,
    "__iter__": iter,
    "__reversed__": reversed,
    "__contains__": lambda out, key: key in out,
    "__eq__": lambda out, other: out == other,
    "__ne__": lambda out, other: out != other,
    "keys": lambda out: out.keys(),
    "values": lambda out: out.values(),
    "items": lambda out: out.items(),
    "get": lambda out, key: out.get(key),
    "to_tuple": lambda out: out.to_tuple(),
    "pop": lambda out, key: out.pop(key),
    "popitem": lambda out: out.popitem(),
    "clear": lambda out: out.clear(),
    "update": lambda out, other: out.update(other),
    "setdefault": lambda out, key, value: out.setdefault(key, value),
}


def make(cls: Any, way: str, fields: dict[str, Any]) -> Any:
    return cls(fields) if way == "mapping" else cls(**fields)


def make_by(functions: Functions, cls: Any, way: str, fields: dict[str, Any]) -> Any:
    """What a call of the class does, step by step."""
    out = cls.__new__(cls)
    if way == "mapping":
        functions["__setattr__"](out, NAMES[0], fields)
        functions["__post_init__"](out)
    else:
        functions["__init__"](out, **fields)
    return out


def tried(function: Callable[..., Any], *args: Any) -> Any:
    try:
        return function(*args)
    except Exception as caught:
        return type(caught).__name__


def perform(program: Program, out: Any, x: Any, do: Functions = OPERATORS) -> list[Any]:
    """Everything that is seen on the way; x is a tensor or a number."""
    seen: list[Any] = []
    for step, name, factor in program:
        value = None if factor is None else x * factor
        if step == "attribute":
            do["__setattr__"](out, name, value)
        elif step == "key":
            do["__setitem__"](out, name, value)
        elif step == "read":
            seen.append((do["__contains__"](out, name), do["get"](out, name)))
            seen.append((getattr(out, name, "none"), tried(do["__getitem__"], out, name)))
        elif step == "index":
            seen.append((tried(do["__getitem__"], out, name), do["__getitem__"](out, slice(name))))
        elif step == "views":
            seen.append((list(do["__iter__"](out)), list(do["__reversed__"](out))))
            seen.append((do["__len__"](out), do["to_tuple"](out), list(do["keys"](out))))
            seen.append((list(do["values"](out)), list(do["items"](out)), dict(out)))
        elif step == "refused":
            seen.append(tried(do[name], out, *REFUSED[name]))
        elif isinstance(x, int):  # many tensors are neither equal nor not
            other = {name: value}
            seen.append((do["__eq__"](out, other), do["__ne__"](out, other)))
    return seen


def picture(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return "tensor", value.tolist()
    if hasattr(value, "to_tuple"):
        names = (
            [f.name for f in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else []
        )
        return (
            type(value).__name__.partition("_")[0],
            [(key, picture(item)) for key, item in value.items()],
            [(name, picture(getattr(value, name))) for name in names],
            picture({k: v for k, v in vars(value).items() if k not in names and k[0] != "_"}),
        )
    if isinstance(value, dict):
        return {key: picture(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(map(picture, value))
    return value
