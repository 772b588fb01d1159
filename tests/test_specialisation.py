"""Speed without a stopwatch: what the interpreter specialises, and that no Python code runs."""

from __future__ import annotations

import dis
import gc
import operator
import sys
from typing import Any

import pytest
from containers import Kind

from fastoutputs import _core


def warmed(function: Any, *args: Any) -> list[str]:
    for _ in range(2000):
        function(*args)
    return [i.opname for i in dis.get_instructions(function, adaptive=True)]


@pytest.mark.skipif(
    sys.version_info < (3, 11), reason="the specialising interpreter came with 3.11"
)
def test_a_field_read_is_a_slot_load(ours: Kind) -> None:
    def read(out: Any) -> Any:
        return out.logits

    out = ours.Out(logits=1)
    assert "LOAD_ATTR_SLOT" in warmed(read, out)
    out.logits = None
    assert read(out) is None and "LOAD_ATTR_SLOT" in warmed(read, out), (
        "absent fields must not miss"
    )


@pytest.mark.skipif(
    sys.version_info < (3, 11), reason="the specialising interpreter came with 3.11"
)
def test_a_method_load_is_specialised(ours: Kind) -> None:
    def call(out: Any) -> Any:
        return out.keys()

    expected = (
        "LOAD_METHOD_WITH_VALUES" if sys.version_info < (3, 12) else "LOAD_ATTR_METHOD_LAZY_DICT"
    )
    assert expected in warmed(call, ours.Out(1))


OPERATIONS = {
    "make": lambda kind, out: kind.Out(logits=1),
    "make by position": lambda kind, out: kind.Out(1, 2),
    "make from a mapping": lambda kind, out: kind.Out({"logits": 1}),
    "make frozen": lambda kind, out: kind.Frozen(1),
    "attribute": lambda kind, out: out.logits,
    "set attribute": lambda kind, out: setattr(out, "logits", 2),
    "set key": lambda kind, out: operator.setitem(out, "logits", 2),
    "set late": lambda kind, out: (setattr(out, "loss", None), setattr(out, "loss", 1)),
    "new key": lambda kind, out: operator.setitem(out, "new", 2),
    "key": lambda kind, out: out["logits"],
    "index": lambda kind, out: out[0],
    "slice": lambda kind, out: out[:2],
    "to_tuple": lambda kind, out: out.to_tuple(),
    "len": lambda kind, out: len(out),
    "bool": lambda kind, out: bool(out),
    "in": lambda kind, out: "logits" in out,
    "get": lambda kind, out: out.get("logits"),
    "keys": lambda kind, out: list(out.keys()),
    "values": lambda kind, out: list(out.values()),
    "items": lambda kind, out: list(out.items()),
    "iterate": lambda kind, out: list(out),
    "reversed": lambda kind, out: list(reversed(out)),
    "dict": lambda kind, out: dict(out),
    "unpack": lambda kind, out: {**out},
    "==": lambda kind, out: out == out.copy(),
    "!=": lambda kind, out: out != out.copy(),
    "repr": lambda kind, out: repr(out),
    "copy": lambda kind, out: out.copy(),
    "vars": lambda kind, out: vars(out),
    "drop": lambda kind, out: kind.Out(1) and None,
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_python_frame_below_an_operation(ours: Kind, name: str) -> None:
    operation, out, frames = OPERATIONS[name], ours.Out(logits=1), []
    operation(ours, out)

    def trace(frame: Any, event: str, arg: Any) -> None:
        if event == "call":
            frames.append(
                frame.f_code.co_qualname if sys.version_info >= (3, 11) else frame.f_code.co_name
            )

    gc.disable()  # whose callbacks, if a library set any, are Python code
    sys.setprofile(trace)
    try:
        operation(ours, out)
    finally:
        sys.setprofile(None)
        gc.enable()
    assert frames == [operation.__code__.co_qualname if sys.version_info >= (3, 11) else "<lambda>"]


def test_calling_a_class_runs_no_python(ours: Kind) -> None:
    for cls in (ours.Out, ours.Required, ours.Single, ours.Extended, ours.Redeclared, ours.Frozen):
        layout = _core.layout(cls)
        assert layout.compiled_init, cls
        assert layout.mirror_dict == (ours.name == "in_step")
