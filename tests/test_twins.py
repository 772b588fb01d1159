"""The methods that tracers read: never run by an operator, and they do what the operators do."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import programs
import pytest
from containers import KINDS, OURS
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import Functions, Program

from fastoutputs import ModelOutput, _core, twins

try:
    import torch
    from torch._dynamo.testing import CompileCounter

    from fastoutputs.integrations import substitutes
except ImportError:
    torch = None

TWINS = {name: vars(ModelOutput)[name] for name in twins.compiled}

Out = KINDS["in_step"].Out


class WithMethods(Out):
    def scaled(self, factor: int) -> int:
        return self.logits * factor


WithMethods.added_later = lambda self: self.scaled(2)


class WithItsOwnLength(Out):
    def __len__(self) -> int:
        return 7


CLASSES = {
    "the base": ModelOutput,
    "methods of its own": WithMethods,
    "one special method of its own": WithItsOwnLength,
    **{
        f"{name}, {kind.name}": getattr(kind, name)
        for kind in KINDS.values()
        if not kind.is_original
        for name in ("Out", "Extended", "Redeclared", "Frozen")
    },
}

# With the class as `make`, two equal outputs, their items, and a function to call.
STATEMENTS = """
make(); make(logits=1); make(**items); make(items); make([("logits", 1)])
out.logits; out["logits"]; out[0]; out[-1]; out[:1]
len(out); bool(out); not out; "logits" in out; "loss" in out; out.get("logits")
list(out); [key for key in out]; list(reversed(out)); sorted(out); max(out); first, *rest = out; call(*out)
dict(out); {**out}; call(**out); list(out.keys()); list(out.items()); list(out.values()); out.to_tuple()
out == same; out != same; out == items; items != out; out == 1; out != None
"%(logits)s" % out; repr(out); copy.copy(out); copy.deepcopy(out); pickle.loads(pickle.dumps(out))
out["logits"] = 1; out["loss"] = None; out["new"] = 2
"""
ATTRIBUTES = """out.logits = 1; setattr(out, "loss", None); out.note = 1"""
REFUSED = (
    """del out["logits"]; out |= items; out["loss"]; out[7]; out[1.5]; out[None] = 1; out < same"""
)


def split(statements: str) -> list[str]:
    return [part.strip() for line in statements.splitlines() for part in line.split(";") if part]


@pytest.fixture
def calls() -> Iterator[list[str]]:
    """Names of the twins, a name for each call. Nothing that the interpreter looks at is changed."""
    seen: list[str] = []

    def noting(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **kwargs: Any) -> Any:
            seen.append(name)
            return method(*args, **kwargs)

        return noted

    cells = {name: twin.__closure__[0] for name, twin in TWINS.items()}
    methods = {name: cell.cell_contents for name, cell in cells.items()}
    for name, cell in cells.items():
        cell.cell_contents = noting(name, methods[name])
    yield seen
    for name, cell in cells.items():
        cell.cell_contents = methods[name]


def repeat(statement: str, cls: Any, refused: bool = False, times: int = 2000) -> None:
    """Run a statement often, in code of its own, as the interpreter specialises code for one class."""
    source = f"""
def run(make, out, same, items, call):
    for _ in range({times}):
        try:
            {statement}
        except Exception:
            if not {refused}:
                raise
        else:
            assert not {refused}
"""
    scope = {"copy": copy, "pickle": pickle}
    exec(source, scope)
    items = {"logits": 1}
    scope["run"](cls, cls(**items), cls(**items), items, lambda *args, **kwargs: None)


@pytest.mark.parametrize("name", CLASSES)
def test_no_operator_runs_a_twin(name: str, calls: list[str]) -> None:
    cls = CLASSES[name]
    refused = split(REFUSED) + (split(ATTRIBUTES) if name.startswith("Frozen") else [])
    for statement in split(STATEMENTS + ATTRIBUTES + "\n" + REFUSED):
        repeat(statement, cls, statement in refused)
        if cls is ModelOutput and statement in split(ATTRIBUTES):
            # Its slot is CPython's own, or object.__setattr__ would be refused for derived classes.
            assert set(calls) == {"__setattr__"}
            calls.clear()
        assert calls == [], statement


def test_no_operator_runs_a_twin_once_a_patch_is_undone() -> None:
    """In a process of its own: a patch of the base reaches every class that another test has left."""
    program = """if True:
        from unittest import mock
        from test_twins import TWINS, ModelOutput, Out, calls
        calls = calls.__wrapped__()
        seen = next(calls)
        for cls in (ModelOutput, Out):
            for method in ("__getitem__", "__setitem__", "__delitem__", "__len__", "__eq__", "__iter__"):
                with mock.patch.object(ModelOutput, method, lambda *args: TWINS[method](*args)):
                    cls(logits=1)["logits"] = 2
                seen.clear()
                out = cls(logits=1)
                out["loss"] = 3
                assert out["logits"] == 1 and len(out) == len([*out]) == 2 and out != {}
                assert seen == [], (cls, method)
        """
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


class Deferring(Out):
    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key)


def test_twins_that_run_are_noticed(calls: list[str]) -> None:
    """Or the test above would show nothing."""
    out, one, two = Out(logits=1), ("logits",), ("logits", 1)
    arguments = {
        **dict.fromkeys(("__setattr__", "__setitem__"), two),
        **dict.fromkeys(("__getitem__", "__contains__", "__eq__", "__ne__"), one),
        **dict.fromkeys(("__delitem__", "__ior__"), one),
    }
    for name, twin in TWINS.items():
        with pytest.raises(TypeError) if name in ("__delitem__", "__ior__") else nullcontext():
            twin(out, *arguments.get(name, ()))
        assert calls.pop() == name and not calls
    assert type(out).__getitem__(out, 0) == 1 and calls == ["__getitem__"]
    repeat("out['logits']", Deferring, times=300)
    assert calls == ["__getitem__"] * 301


PROGRAM_CLASSES = programs.classes()
METHODS = {*programs.OPERATORS, *TWINS}


def substituted(cls: Any) -> tuple[Any, Functions]:
    """What a trace makes of the class, as plain Python: a dict with the substitutes as its methods."""
    found = substitutes.substitutes()
    methods = {
        name: found[twins.compiled.get(name) or getattr(ModelOutput, name)] for name in METHODS
    }
    fields = [(field.name, Any, None) for field in dataclasses.fields(cls)]
    made = dataclasses.make_dataclass("Out", fields, bases=(dict,), namespace=methods, eq=False)
    return made, methods


@settings(max_examples=30)
@given(
    program=programs.programs,
    construction=programs.constructions,
    is_argument=st.booleans(),
    of_tensors=st.booleans(),
    base=st.sampled_from(OURS),
)
def test_operators_twins_substitutes_and_traces_agree(
    program: Program, construction: Any, is_argument: bool, of_tensors: bool, base: str
) -> None:
    cls = PROGRAM_CLASSES[base]
    x: Any = torch.arange(1.0, 4.0) if torch and of_tensors else 5
    way, fields = construction
    given = {name: factor and x * factor for name, factor in fields.items()}

    def result(out: Any, seen: Any, has_storage: bool = True) -> Any:
        storage = list(dict.keys(out)) if has_storage else None
        out.attentions = x  # what was left behind still works
        return programs.picture(seen), programs.picture(out), storage

    def by_operators(x: Any, out: Any) -> Any:
        out = out if is_argument else programs.make(cls, way, given)
        return out, programs.perform(program, out, x)

    def by_functions(cls: Any, functions: Functions) -> Any:
        out = programs.make_by(functions, cls, way, given)
        return out, programs.perform(program, out, x, functions)

    expected = result(*by_operators(x, programs.make(cls, way, given)))
    by_twins = by_functions(cls, {name: getattr(ModelOutput, name) for name in METHODS})
    assert result(*by_twins) == expected
    if not torch:
        return
    plain_dict, functions = substituted(cls)
    layouts = SimpleNamespace(layout=lambda _: _core.layout(cls), array_types=_core.array_types)
    with mock.patch.object(substitutes, "_core", layouts):
        by_substitutes = result(*by_functions(plain_dict, functions), base == "in_step")
        assert by_substitutes == (*expected[:2], expected[2] if base == "in_step" else None)
    torch._dynamo.reset()
    compiles = CompileCounter()

    @torch.compile(fullgraph=True, backend=compiles)
    def traced(out: Any, some: Any) -> Any:
        some.add_(1)  # a graph of nothing would not be run
        return by_operators(x, out)

    made = traced(programs.make(cls, way, given) if is_argument else None, torch.ones(1))
    assert result(*made) == expected and compiles.frame_count == 1
