"""Torch as nobody has seen it yet: a private name gone, changed or failing costs speed and never a result."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from types import FunctionType, SimpleNamespace
from typing import Any

import pytest

import fastoutputs
from fastoutputs import ModelOutput, slots_only

torch = pytest.importorskip("torch")
pytest.importorskip("torch._dynamo.testing")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.needs_torch

from fastoutputs.integrations import dynamo, dynamo_pieces  # noqa: E402

CompileCounter = sys.modules["torch._dynamo.testing"].CompileCounter
variables: Any = torch._dynamo.variables
guards: Any = sys.modules["torch._dynamo.guards"]
Tracker = variables.UserDefinedDictVariable
IS_DICT = issubclass(Tracker, variables.ConstDictVariable)  # from torch 2.15 on


@dataclasses.dataclass
class Out(ModelOutput):
    loss: Any = None
    logits: Any = None


class Override(Out):
    def keys(self) -> Any:
        return super().keys()


@pytest.fixture
def put_in_place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Any]]:
    """Puts the pieces in place anew, as if torch had just been imported."""
    before = dynamo._tracing
    before.take_back("for a test")
    fresh = dynamo._Tracing()
    monkeypatch.setattr(dynamo, "_tracing", fresh)

    def put() -> Any:
        fresh.put_in_place(before.pieces)
        return fresh

    yield put
    fresh.take_back("after a test")
    before.missing.clear()
    before.put_in_place(before.pieces)
    torch._dynamo.reset()


@pytest.fixture(scope="module")
def bert() -> Iterator[Any]:
    """A real model that returns our outputs."""
    with fastoutputs.installed():
        config = transformers.BertConfig(
            vocab_size=16,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            intermediate_size=8,
            max_position_embeddings=8,
        )
        yield transformers.BertForSequenceClassification(config).eval()


def use(x: Any, given: Any) -> Any:
    """Makes, reads, changes, takes and returns outputs."""
    made = Override(logits=x * 2)
    made.loss = given["logits"] + 1
    given.loss = x
    return made, list(made.keys()), {**given}, given.logits * 2, len(given)


def anew(function: Any) -> Any:
    """The same code in an object of its own: torch remembers code that it gave up on."""
    return FunctionType(function.__code__.replace(co_name="anew"), function.__globals__)


def picture(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, ModelOutput):
        items = [(key, picture(item)) for key, item in value.items()]
        return type(value), items, list(dict.keys(value)), picture(vars(value))
    if isinstance(value, dict):
        return {key: picture(item) for key, item in value.items()}
    return [picture(item) for item in value] if isinstance(value, (tuple, list)) else value


def results_of_use(run: Any, without: bool) -> Any:
    x = torch.arange(2.0)
    if without:
        with slots_only():
            given = Out(logits=x)
            return picture((run(x, given), given))
    given = Out(logits=x)
    return picture((run(x, given), given))


def assert_all_is_right(bert: Any, warned: int = 1) -> str:
    """Compiles a model and `use`; an InternalTorchDynamoError would fail. Returns what was warned of."""
    ids, labels = torch.arange(8).reshape(2, 4), torch.tensor([0, 1])
    torch._dynamo.reset()
    with torch.no_grad(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        graphs = CompileCounter()
        compiled = torch.compile(bert, backend=graphs)
        for _ in range(2):
            made = compiled(ids, labels=labels)
            assert picture(made) == picture(bert(ids, labels=labels))
        assert graphs.frame_count > 0
        compiled = torch.compile(anew(use), backend="eager")
        for without in (False, True, False, True):
            assert results_of_use(compiled, without) == results_of_use(use, without)
    messages = [one for one in caught if "fastoutputs does not know" in str(one.message)]
    assert len(messages) == warned, [str(one.message) for one in messages]
    for message in messages:
        assert message.filename == __file__
    return str(messages[0].message) if messages else ""


def without(owner: Any, name: str) -> Callable[[], Any]:
    """Take a name away. Returns what puts it back: torch itself needs it to run."""
    home = next(cls for cls in getattr(owner, "__mro__", (owner,)) if name in vars(cls))
    value = vars(home)[name]
    delattr(home, name)
    return functools.partial(setattr, home, name, value)


EXC, SOURCE = sys.modules["torch._dynamo.exc"], sys.modules["torch._dynamo.source"]
READ = "tp_getattro_impl" if hasattr(Tracker, "tp_getattro_impl") else "var_getattr"
NAMES: list[tuple[Any, str]] = [
    (EXC, "Unsupported"),
    (EXC, "SkipFrame"),
    (EXC, "unimplemented"),
    (variables, "UserDefinedDictVariable"),
    (variables, "ConstDictVariable"),
    (variables, "SuperVariable"),
    (variables, "VariableTracker"),
    (variables.ConstDictVariable, "has_new_items"),
    (Tracker, "needs_slow_setattr"),
    (Tracker, READ),
    (variables.SuperVariable, "call_method"),
    (variables.SuperVariable, "_resolved_getattr_and_source"),
    (variables.VariableTracker, "build"),
    (variables.VariableTracker, "call_function"),
    (guards, "GuardBuilder"),
    (guards.GuardBuilder, "SEQUENCE_LENGTH"),
    (guards.GuardBuilder, "requires_key_order_guarding"),
    (guards.GuardBuilder, "get"),
    (guards.GuardBuilder, "get_guard_manager"),
]
if IS_DICT:
    NAMES += [
        (variables, "ConstantVariable"),
        (variables, "LazyVariableTracker"),
        (variables.ConstantVariable, "create"),
        (variables.LazyVariableTracker, "create"),
        (SOURCE, "AttrSource"),
    ]
else:
    NAMES += [(Tracker, "_base_vt"), (variables.ConstDictVariable, "_nonvar_fields")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "name"), NAMES, ids=[f"{owner.__name__}.{name}" for owner, name in NAMES]
)
def test_a_name_that_is_gone(owner: Any, name: str, put_in_place: Any, bert: Any) -> None:
    put_back = []
    while hasattr(owner, name):
        put_back.append(without(owner, name))
    try:
        tracing = put_in_place()
    finally:
        for put in reversed(put_back):
            put()
    assert tracing.missing
    assert_all_is_right(bert)


METHODS = [(owner, name) for owner, name in NAMES if inspect.isroutine(getattr(owner, name, None))]
METHODS = [(owner, name) for owner, name in METHODS if inspect.isclass(owner)]
METHODS.append((Tracker, "__init__"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "name"), METHODS, ids=[f"{owner.__name__}.{name}" for owner, name in METHODS]
)
def test_a_method_that_takes_other_arguments(
    owner: Any, name: str, put_in_place: Any, bert: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, lambda other, arguments: None)
        tracing = put_in_place()
    assert tracing.missing
    assert_all_is_right(bert)


class Lacking:
    """Another object, in which our own code no longer finds one attribute."""

    def __init__(self, other: Any, name: str) -> None:
        self._other, self._lacks = other, name

    def __getattr__(self, name: str) -> Any:
        if name == self._lacks and sys._getframe(1).f_code.co_filename == dynamo_pieces.__file__:
            raise AttributeError(f"no {name} any more")
        return getattr(self._other, name)


# A method that we replace, which of its arguments lacks something, and what that lacks.
ATTRIBUTES = [
    (variables.SuperVariable, "call_method", 0, "objvar"),
    (guards.GuardBuilder, "SEQUENCE_LENGTH", 1, "user_stack"),
    (guards.GuardBuilder, "SEQUENCE_LENGTH", 1, "name"),
    (Tracker, "needs_slow_setattr", 0, "value"),
    (Tracker, READ, 0, "value"),
]
if IS_DICT:
    ATTRIBUTES += [(Tracker, "has_new_items", 0, "value"), (Tracker, "has_new_items", 0, "items")]


@pytest.mark.parametrize(("owner", "name", "position", "attribute"), ATTRIBUTES)
def test_an_attribute_that_instances_lack(
    owner: Any,
    name: str,
    position: int,
    attribute: str,
    put_in_place: Any,
    bert: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracing = put_in_place()
    ours = vars(owner)[name]

    @functools.wraps(ours)
    def lacking(*args: Any, **kwargs: Any) -> Any:
        given = list(args)
        given[position] = Lacking(given[position], attribute)
        return ours(*given, **kwargs)

    def read_vars(out: Any) -> Any:
        return vars(out)["logits"] * 2

    monkeypatch.setattr(owner, name, lacking)
    if name == READ:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert torch.compile(read_vars, backend="eager")(Out(logits=torch.ones(1))).item() == 2
    else:
        assert_all_is_right(bert)
    monkeypatch.undo()
    assert tracing.missing


def test_an_inner_dict_that_is_elsewhere(
    put_in_place: Any, bert: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys are read at the end of a trace (before torch 2.15, it is looked for at the start)."""

    def layout(cls: type) -> Any:
        raise AttributeError("no items any more")

    tracing = put_in_place()
    monkeypatch.setattr(dynamo_pieces, "_core", SimpleNamespace(layout=layout))
    assert_all_is_right(bert)
    assert tracing.missing


@pytest.fixture
def untested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamo, "TESTED", ())


@pytest.mark.usefixtures("untested")
class TestATorchThatWasNeverTested:
    def test_says_nothing_where_a_trial_works(self, put_in_place: Any, bert: Any) -> None:
        tracing = put_in_place()
        assert_all_is_right(bert, warned=0)
        assert not tracing.missing and tracing.is_settled
        torch._dynamo.reset()
        whole = torch.compile(anew(use), backend="eager", fullgraph=True)
        for without in (False, True):
            assert results_of_use(whole, without) == results_of_use(use, without)

    def test_gets_its_own_back_where_a_trial_differs(self, put_in_place: Any, bert: Any) -> None:
        had = vars(Tracker).get("needs_slow_setattr")
        tracing = put_in_place()
        tracker_method = Tracker.needs_slow_setattr
        Tracker.needs_slow_setattr = lambda self: True  # it asks another question now
        try:
            message = assert_all_is_right(bert)
        finally:
            Tracker.needs_slow_setattr = tracker_method
            tracing.take_back("")
            if had is None:
                del Tracker.needs_slow_setattr
            else:
                Tracker.needs_slow_setattr = had
        assert not tracing.replaced and "fullgraph and strict export" in message
        assert "a trial" in message and torch.__version__ in message

    def test_where_outputs_are_not_noticed(
        self, put_in_place: Any, bert: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Tracker, "__init__", lambda other, arguments: None)
            tracing = put_in_place()
        assert not tracing.replaced  # nothing to try them before they are used
        assert_all_is_right(bert)

    def test_strict_export_tries_first(self, put_in_place: Any, bert: Any) -> None:
        tracing, ids = put_in_place(), torch.arange(8).reshape(2, 4)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(bert, (ids,), strict=True)
        assert tracing.is_settled and not tracing.missing
        assert type(program.module()(ids)) is type(bert(ids))


def test_versions() -> None:
    assert dynamo.is_tested("2.13.0+cpu") and dynamo.is_tested("2.15.1")
    for other in ("2.12.1", "2.16.0", "2.15.0a0+git1234567", "2.15.0.dev20261101", "2.15", "three"):
        assert not dynamo.is_tested(other)


def test_the_tests_run_with_a_tested_version() -> None:
    assert dynamo.is_tested(torch.__version__), f"add {torch.__version__} to dynamo.TESTED"
    assert set(dynamo.status().values()) == {None}


def test_a_program_that_never_compiles_sees_nothing() -> None:
    program = """
import warnings
warnings.simplefilter("error")
import torch, torch._dynamo
from torch._dynamo import variables
known = variables.UserDefinedDictVariable
del variables.UserDefinedDictVariable
from fastoutputs.modeling_outputs import CausalLMOutput as Out
variables.UserDefinedDictVariable = known
out = Out(logits=torch.ones(1))
assert out[0] is out.logits
assert torch.compile(lambda x: x + 1, backend="eager")(out.logits).item() == 2
"""
    subprocess.run([sys.executable, "-c", program], check=True)
