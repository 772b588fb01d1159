"""What torch.compile leaves to the interpreter, or gets wrong, with outputs: with ours and with the original.

docs/tracers.md lists this. Where it becomes better, a test here fails, and the page is to be changed.
"""

from __future__ import annotations

import copy
import dataclasses
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from containers import BASES, KINDS, ORIGINAL_MAJOR, OURS, Kind

from fastoutputs import ModelOutput

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.needs_torch,
    pytest.mark.skipif("original" not in KINDS, reason="transformers is not installed here"),
]


def overriding(method: str) -> dict[str, type]:
    """For each kind, a class whose method does nothing but call the inherited one."""

    def derive(base: type) -> type:
        def inherited(self: Any, *args: Any) -> Any:
            return getattr(super(cls, self), method)(*args)

        cls = dataclasses.make_dataclass(
            "Derived", [], bases=(base,), namespace={method: inherited}
        )
        return cls

    return {name: derive(kind.Out) for name, kind in KINDS.items()}


def calling(method: str, use: Callable[[Any, Any], Any]) -> Callable[[Kind, Any], Any]:
    classes = overriding(method)
    return lambda kind, x: use(classes[kind.name](logits=x, attentions=(x,)), x)


def set_loss(out: Any, x: Any) -> Any:
    out.loss = x
    return out


def set_loss_by_key(out: Any, x: Any) -> Any:
    out["loss"] = x
    return out


def past_the_output(kind: Kind, x: Any) -> Any:
    out = kind.Out(logits=x)
    object.__setattr__(out, "loss", x)
    return out


def deleted(kind: Kind, x: Any) -> Any:
    out = kind.Out(logits=x)
    del out.logits
    return "deleted"


def key_of_the_base(kind: Kind, x: Any) -> Any:
    base = BASES["original"] if kind.is_original else ModelOutput
    return base(a=x).a


# What is done with an output -> how it ends with the original, and with ours.
TRACED, SAME, BETTER, DIFFERS = (
    ("traced", "traced"),
    ("left", "left"),
    ("wrong", "left"),
    ("traced", "left"),
)
SINCE_2_14 = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 14)
CASES: dict[str, tuple[Callable[[Kind, Any], Any], tuple[str, str]]] = {
    "deepcopy": (lambda kind, x: copy.deepcopy(kind.Out(logits=x)), SAME),
    "pickle": (lambda kind, x: pickle.loads(pickle.dumps(kind.Out(logits=1))), SAME),
    "asdict": (lambda kind, x: dataclasses.asdict(kind.Out(logits=x)), SAME),
    "a dict | out": (lambda kind, x: {"loss": x} | kind.Out(logits=x), SAME),
    "not caught": (lambda kind, x: kind.Out(logits=x)["loss"], SAME),
    "fromkeys": (lambda kind, x: type(kind.Out.fromkeys(["logits"], x)), ("wrong", "wrong")),
    "str": (lambda kind, x: str(kind.Out(logits=1)), SAME if SINCE_2_14 else ("wrong", "wrong")),
    "an f-string": (lambda kind, x: f"{kind.Out(logits=1)}", ("wrong", "wrong")),
    "out | a dict": (lambda kind, x: kind.Out(logits=x) | {"loss": x}, BETTER),
    "repr": (lambda kind, x: repr(kind.Out(logits=1)), SAME if SINCE_2_14 else BETTER),
    "copy": (lambda kind, x: copy.copy(kind.Out(logits=x)), BETTER),
    "out.copy()": (lambda kind, x: kind.Out(logits=x).copy(), BETTER),
    "a key of the base, as attribute": (
        key_of_the_base,
        ("left" if ORIGINAL_MAJOR == 4 else "wrong", "traced"),
    ),
    "vars": (lambda kind, x: vars(kind.Out(logits=x))["logits"], DIFFERS),
    "del": (deleted, DIFFERS),  # which ours refuses
    "object.__setattr__": (past_the_output, ("traced", "wrong")),  # likewise
    "super().to_tuple": (calling("to_tuple", lambda out, x: out.to_tuple()), TRACED),
    "super().keys": (calling("keys", lambda out, x: list(out.keys())), TRACED),
    "super().values": (calling("values", lambda out, x: list(out.values())), TRACED),
    "super().items": (calling("items", lambda out, x: list(out.items())), TRACED),
    "super().get": (calling("get", lambda out, x: out.get("logits")), TRACED),
    "super().__reversed__": (calling("__reversed__", lambda out, x: list(reversed(out))), TRACED),
    "super().__setattr__": (calling("__setattr__", set_loss), ("traced", "wrong")),
    "super().__setitem__": (calling("__setitem__", set_loss_by_key), TRACED),
    "super().__getitem__": (
        calling("__getitem__", lambda out, x: (out[0], out["attentions"])),
        TRACED,
    ),
    "super().__iter__": (calling("__iter__", lambda out, x: list(out)), TRACED),
    "super().__len__": (calling("__len__", lambda out, x: len(out)), TRACED),
}


def picture(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        items = [(key, picture(item)) for key, item in value.items()]
        fields = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
        return type(value), items, [picture(getattr(value, field.name)) for field in fields]
    return [picture(item) for item in value] if isinstance(value, (tuple, list)) else value


def outcome(function: Callable[[Any], Any]) -> Any:
    try:
        return picture(function(torch.arange(3.0)))
    except Exception as error:
        return type(error)


def ending(kind: Kind, name: str) -> str:
    """One graph, left to the interpreter with the right result, or wrong."""

    def function(x: Any) -> Any:
        return CASES[name][0](kind, x)

    def compiled(fullgraph: bool) -> Any:
        torch._dynamo.reset()
        return outcome(torch.compile(function, fullgraph=fullgraph, backend="eager"))

    eager, traced = outcome(function), compiled(fullgraph=True)
    if traced == eager:
        return "traced"
    is_left = traced is torch._dynamo.exc.Unsupported
    return "left" if is_left and compiled(fullgraph=False) == eager else "wrong"


@pytest.mark.parametrize("name", CASES)
def test_how_it_ends(name: str) -> None:
    for kind in OURS:  # from then on CPython refuses object.__setattr__ in derived classes, too
        KINDS[kind].Out()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of text, for one
        original, *ours = (ending(KINDS[kind], name) for kind in ("original", *OURS))
    assert (original, *ours) == (CASES[name][1][0], *[CASES[name][1][1]] * len(OURS))


def test_a_trace_sees_storage_in_what_it_makes() -> None:
    """Of a slots-only output, too, until the trace ends."""

    def function(x: Any) -> Any:
        out = KINDS["slots_only"].Out(logits=x)
        return len(dict.keys(out)), out

    torch._dynamo.reset()
    x = torch.ones(1)
    for run, seen in ((function, 0), (torch.compile(function, fullgraph=True, backend="eager"), 1)):
        count, out = run(x)
        assert (count, dict.__len__(out)) == (seen, 0)
