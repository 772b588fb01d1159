"""torch.compile(fullgraph=True) of every operation: the same as eager, and the same as the original's."""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import re
import sys
import threading
import types
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from unittest import mock

import pytest
from containers import BASES, KINDS, Kind
from programs import picture

from fastoutputs import ModelOutput, slots_only

torch = pytest.importorskip("torch")
pytree = pytest.importorskip("torch.utils._pytree")
CompileCounter = pytest.importorskip("torch._dynamo.testing").CompileCounter
pytestmark = pytest.mark.needs_torch

Operation = Callable[[Kind, Any, Any], Any]  # of the classes, a tensor, and an output made outside
OPERATIONS: dict[str, Operation] = {}


def operation(function: Operation) -> Operation:
    OPERATIONS[function.__name__] = function
    return function


def make(kind: Kind, x: Any) -> Any:
    return kind.Out(logits=x * 2, hidden_states=(x + 1, x + 2))


@operation
def by_keyword(kind: Kind, x: Any, out: Any) -> Any:
    return kind.Out(logits=x * 2)


@operation
def by_position(kind: Kind, x: Any, out: Any) -> Any:
    return kind.Out(x * 2, x + 1)


@operation
def from_a_mapping(kind: Kind, x: Any, out: Any) -> Any:
    return kind.Out({"logits": x * 2, "attentions": x})


@operation
def from_pairs(kind: Kind, x: Any, out: Any) -> Any:
    return kind.Out([("logits", x * 2), ("attentions", None), ("loss", x)])


@operation
def from_a_generator(kind: Kind, x: Any, out: Any) -> Any:
    return kind.Out((key, value) for key, value in {"logits": x * 2}.items())


@operation
def from_an_unpacked_mapping(kind: Kind, x: Any, out: Any) -> Any:
    return kind.Out(**{"logits": x * 2, "attentions": x})


@operation
def a_first_field_that_is_no_mapping(kind: Kind, x: Any, out: Any) -> Any:
    return [kind.Out(first) for first in ((x, x), [], "text", 3, (1, 2))]


@operation
def key_by_key(kind: Kind, x: Any, out: Any) -> Any:
    made = kind.Out()
    made["logits"] = x * 2
    return made


@operation
def of_a_subclass(kind: Kind, x: Any, out: Any) -> Any:
    return kind.Extended(logits=x * 2, cross_attentions=x), kind.Redeclared(router_logits=x)


@operation
def with_a_required_field(kind: Kind, x: Any, out: Any) -> Any:
    return kind.Required(x * 2)


@operation
def of_the_base(kind: Kind, x: Any, out: Any) -> Any:
    base = BASES["original"] if kind.is_original else ModelOutput
    return base({"a": x * 2}), base(b=x)


def counting(cls: type) -> type:
    @dataclasses.dataclass
    class Counting(cls):
        def __post_init__(self) -> None:
            super().__post_init__()
            self.count = len(self)

    return Counting


COUNTING = {name: counting(kind.Out) for name, kind in KINDS.items()}


@operation
def with_a_post_init_of_its_own(kind: Kind, x: Any, out: Any) -> Any:
    return COUNTING[kind.name](x * 2), COUNTING[kind.name]({"loss": x * 2, "logits": x})


@operation
def nested(kind: Kind, x: Any, out: Any) -> Any:
    return kind.Out(logits=kind.Out(loss=x * 2), hidden_states=(kind.Out(logits=x),))


@operation
def read_an_argument(kind: Kind, x: Any, out: Any) -> Any:
    return out.logits + out["hidden_states"][0], out[0] * out[-1][1], out[:1], out[0:2], out[::-1]


@operation
def return_an_argument(kind: Kind, x: Any, out: Any) -> Any:
    return out


@operation
def read_from_a_list(kind: Kind, x: Any, out: Any) -> Any:
    return [out, out][1].logits + 1


@operation
def views(kind: Kind, x: Any, out: Any) -> Any:
    made = make(kind, x)
    return [(list(o.keys()), list(o.values()), list(o.items()), list(o)) for o in (made, out)]


@operation
def get(kind: Kind, x: Any, out: Any) -> Any:
    made = make(kind, x)
    return made.get("logits"), made.get("loss"), made.get("other", 3), made.get("loss", x)


@operation
def membership(kind: Kind, x: Any, out: Any) -> Any:
    return [(key in make(kind, x), key in out) for key in ("logits", "loss", "other")]


@operation
def length_and_truth(kind: Kind, x: Any, out: Any) -> Any:
    return len(make(kind, x)), len(out), bool(out), bool(kind.Out()), 1 if make(kind, x) else 0


@operation
def backwards(kind: Kind, x: Any, out: Any) -> Any:
    return list(reversed(make(kind, x))), list(reversed(out))


@operation
def to_tuple(kind: Kind, x: Any, out: Any) -> Any:
    logits, hidden_states = make(kind, x).to_tuple()
    return logits, hidden_states, out.to_tuple()


@operation
def unpack_keys(kind: Kind, x: Any, out: Any) -> Any:
    first, second = make(kind, x)
    return first, second


@operation
def equality(kind: Kind, x: Any, out: Any) -> Any:
    one = kind.Out(logits=1)
    same, other = kind.Out(logits=1), kind.Out(logits=2)
    return one == same, one == other, one != other, one == 3, one == {"logits": 1}


@operation
def equality_of_the_base(kind: Kind, x: Any, out: Any) -> Any:
    base = BASES["original"] if kind.is_original else ModelOutput
    one = base(a=1)
    return one == base(a=1), one != base(a=2), one == {"a": 1}, one != {"a": 1}


@operation
def as_dict(kind: Kind, x: Any, out: Any) -> Any:
    def collect(**keywords: Any) -> Any:
        return keywords

    made = make(kind, x)
    return dict(made), collect(**made), {**made}, dict(out), collect(**out), {"a": 1, **out}


@operation
def set_attributes(kind: Kind, x: Any, out: Any) -> Any:
    made = make(kind, x)
    made.attentions = x
    made.logits = x * 3
    setattr(made, "hidden_states", x * 5)  # noqa: B010
    return made


@operation
def set_an_attribute_to_none(kind: Kind, x: Any, out: Any) -> Any:
    made = make(kind, x)
    made.hidden_states = None
    return made.hidden_states, made.logits, made


@operation
def set_keys(kind: Kind, x: Any, out: Any) -> Any:
    made = make(kind, x)
    made["attentions"] = x
    made["logits"] = x * 3
    return made


@operation
def set_out_of_order(kind: Kind, x: Any, out: Any) -> Any:
    made = make(kind, x)
    made["loss"] = x
    made.logits = None
    made.logits = x
    return made, list(made), made[1]


@operation
def set_a_key_to_none(kind: Kind, x: Any, out: Any) -> Any:
    made = make(kind, x)
    made["hidden_states"] = None
    return made.logits, made


@operation
def set_while_walking(kind: Kind, x: Any, out: Any) -> Any:
    made = make(kind, x)
    for key, _ in made.items():
        if key == "logits":
            made[key] = None
    return made.logits, len(made)


@operation
def new_keys(kind: Kind, x: Any, out: Any) -> Any:
    made = make(kind, x)
    made["new"] = x * 4
    made["other"] = 1
    return made.new, made["new"], list(made), made[2], made


@operation
def fields_after_a_new_key(kind: Kind, x: Any, out: Any) -> Any:
    made = make(kind, x)
    made["new"] = x * 4
    made.attentions = x
    made["hidden_states"] = x
    made.logits = None
    return list(made), made


@operation
def a_plain_attribute(kind: Kind, x: Any, out: Any) -> Any:
    made = make(kind, x)
    made.note = x * 4
    return made.note, "note" in made, made


@operation
def kinds_of_object(kind: Kind, x: Any, out: Any) -> Any:
    made = make(kind, x)
    asked = (dict, kind.Out, kind.base, tuple, collections.abc.Mapping)
    return [([isinstance(o, cls) for cls in asked], type(o) is kind.Out) for o in (made, out)]


@operation
def attributes_by_name(kind: Kind, x: Any, out: Any) -> Any:
    made = make(kind, x)
    return (
        hasattr(made, "logits"),
        hasattr(made, "absent"),
        getattr(made, "absent", 1),
        getattr(made, "loss", 1),
        hasattr(out, "absent"),
    )


@operation
def dataclass_tools(kind: Kind, x: Any, out: Any) -> Any:
    made = dataclasses.replace(make(kind, x), loss=x * 2)
    names = [field.name for field in dataclasses.fields(made)]
    return made, names, dataclasses.is_dataclass(out)


@operation
def trees(kind: Kind, x: Any, out: Any) -> Any:
    made = make(kind, x)
    doubled = pytree.tree_map(lambda leaf: leaf * 2, made)
    return doubled, pytree.tree_leaves(out), pytree.tree_map(torch.add, made, out)


@operation
def made_of_another(kind: Kind, x: Any, out: Any) -> Any:
    cls, made = type(out), make(kind, x)
    return (
        cls(dict(made.items())),
        cls(out),
        cls(**out),
        cls(**{**out, "logits": None}),
    )


@operation
def change_an_argument(kind: Kind, x: Any, out: Any) -> Any:
    out.logits = x * 7
    out["attentions"] = x
    return out.logits, out[1]


@operation
def empty_a_field_of_an_argument(kind: Kind, x: Any, out: Any) -> Any:
    out.hidden_states = None
    return len(out), x + 1


@operation
def a_new_key_of_an_argument(kind: Kind, x: Any, out: Any) -> Any:
    out["new"] = x * 7
    out.attentions = x
    return list(out), x + 1


@operation
def of_a_frozen_class(kind: Kind, x: Any, out: Any) -> Any:
    made = kind.Frozen(logits=x)
    made["attentions"] = x * 2
    try:
        made.logits = x
    except dataclasses.FrozenInstanceError:
        return made.logits, made[1], made
    return "not frozen"


@operation
def what_is_absent(kind: Kind, x: Any, out: Any) -> Any:
    found = []
    for key, error in (("loss", KeyError), ("other", KeyError), (7, IndexError)):
        try:
            out[key]
        except error as caught:
            found.append(type(caught).__name__)
    return found


@operation
def what_is_refused(kind: Kind, x: Any, out: Any) -> Any:
    found = 0
    for refused in ("update", "pop", "setdefault"):
        try:
            getattr(out, refused)("logits", x)
        except Exception:
            found += 1
    try:
        del out["logits"]
    except Exception:
        found += 1
    return found, out


@operation
def in_place_or(kind: Kind, x: Any, out: Any) -> Any:
    try:
        out |= {"logits": x}
    except TypeError as caught:
        return type(caught).__name__
    return out


def outcome(kind: Kind, name: str, backend: str | None) -> Any:
    """Pictures of what the operation returns and of the output that it was given."""
    out = kind.Out(logits=torch.ones(3), hidden_states=(torch.ones(3) + 1, torch.ones(3) + 2))

    def function(x: Any, out: Any) -> Any:
        return OPERATIONS[name](kind, x, out)

    if backend is not None:
        torch._dynamo.reset()
        function = torch.compile(function, fullgraph=True, backend=backend)
    results = function(torch.arange(3.0), out)
    storage = [list(dict.keys(o)) for o in (out, results) if isinstance(o, kind.base)]
    return picture(results), picture(out), storage


@functools.cache
def of_the_original(name: str, backend: str | None) -> Any:
    return outcome(KINDS["original"], name, backend)[:2]


# What a trace of it makes is not what it makes otherwise.
WRONG_IN_THE_ORIGINAL = {"of_the_base"}  # the keys are no attributes


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_traced_as_eager_and_as_the_original(ours: Kind, name: str, backend: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch deprecates is not ours
        eager, traced = outcome(ours, name, None), outcome(ours, name, backend)
        assert traced == eager
        if "original" in KINDS and name not in WRONG_IN_THE_ORIGINAL:
            if of_the_original(name, None) == eager[:2]:
                assert of_the_original(name, backend) == traced[:2]


@pytest.mark.slow
def test_every_operation_by_inductor(ours: Kind) -> None:
    """All in one graph, as code is generated for each."""

    def function(x: Any, outs: dict[str, Any]) -> Any:
        return [operation(ours, x, outs[name]) for name, operation in OPERATIONS.items()]

    def results(run: Any) -> Any:
        outs = {name: make(ours, torch.ones(3)) for name in OPERATIONS}
        return picture(run(torch.arange(3.0), outs)), picture(outs)

    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=True, backend="inductor")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert results(compiled) == results(function)


class Holds(torch.nn.Module):
    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.out = make(kind, torch.ones(3))
        self.outs = [make(kind, torch.zeros(3))]

    def forward(self, x: Any) -> Any:
        self.out.loss = x
        self.outs[0]["attentions"] = x * 2
        return self.out.logits + self.out[0], len(self.out), list(self.outs[0]), self.outs[0][-1]


def test_held_by_a_module(kind: Kind) -> None:
    x = torch.arange(3.0)
    torch._dynamo.reset()
    plain, compiled = Holds(kind), torch.compile(Holds(kind), fullgraph=True, backend="eager")
    for _ in range(2):
        assert picture(compiled(x)) == picture(plain(x))
    assert picture((compiled.out, compiled.outs)) == picture((plain.out, plain.outs))


@pytest.mark.parametrize("block", [nullcontext, slots_only])
def test_what_was_compiled_for_one_output_is_not_run_for_another(ours: Kind, block: Any) -> None:
    """torch checks nothing of a dict that is empty but its size; that of a slots-only output is."""
    compiles = CompileCounter()

    def read(out: Any) -> Any:
        return out.loss is None, out.hidden_states, len(out), list(out), out.to_tuple()[0] * 2

    def given(**fields: Any) -> Any:
        with block():
            return ours.Out(**fields)

    one_more = given(logits=torch.ones(2))
    one_more["new"] = torch.ones(2)
    outs = [
        given(logits=torch.ones(2)),
        given(logits=torch.ones(2), hidden_states=3),
        given(logits=torch.ones(2), hidden_states=4),
        given(loss=torch.ones(2)),
        given(logits=torch.ones(2, 3, dtype=torch.float64)),
        one_more,
    ]
    torch._dynamo.reset()
    traced = torch.compile(read, fullgraph=True, backend=compiles, dynamic=False)
    for _ in range(2):
        assert [picture(traced(out)) for out in outs] == [picture(read(out)) for out in outs]
    assert compiles.frame_count == len(outs)


def test_vars_is_left_to_the_interpreter(ours: Kind) -> None:
    def function(x: Any) -> Any:
        made = ours.Out(logits=x + 1)
        made.loss = x
        return dict(vars(made))

    x = torch.arange(3.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert picture(torch.compile(function, backend="eager")(x)) == picture(function(x))
        torch._dynamo.reset()
        with pytest.raises(torch._dynamo.exc.Unsupported, match="Use dict\\(output\\)"):
            torch.compile(function, backend="eager", fullgraph=True)(x)


BadInput = Callable[[Any], Callable[[Any], Any]]  # of a base; returns what is traced
BAD_INPUT: dict[str, BadInput] = {}
THINGS = {
    "file": sys.__stderr__,
    "generator": (key for key in ()),
    "lock": threading.Lock(),
    "view": memoryview(b"1"),
    "pattern": re.match("", ""),
}


def bad_input(function: BadInput) -> BadInput:
    BAD_INPUT[function.__name__] = function
    return function


def declared(base: Any) -> Any:
    """A class of which there has been no output yet."""

    @dataclasses.dataclass
    class Never(base):
        logits: Any
        loss: Any = None

    return Never


@bad_input
def a_class_that_was_never_made(base: Any) -> Any:
    cls = declared(base)
    return lambda x: cls(logits=x * 2)


@bad_input
def a_subclass_of_one_that_was_never_made(base: Any) -> Any:
    cls = type("Derived", (declared(base),), {})
    return lambda x: (cls({"logits": x * 2, "loss": x}), len(cls(x)), cls(x)[0])


@bad_input
def no_decorator(base: Any) -> Any:
    cls = type("Bad", (base,), {"logits": None})
    return lambda x: cls(logits=x * 2)


@bad_input
def no_fields(base: Any) -> Any:
    cls = dataclasses.dataclass(type("Bad", (base,), {}))
    return lambda x: (x + 1, cls())


@bad_input
def a_required_field_without_a_value(base: Any) -> Any:
    cls = declared(base)
    return lambda x: cls(loss=x * 2)


@bad_input
def a_field_that_there_is_not(base: Any) -> Any:
    cls = declared(base)
    return lambda x: cls(x * 2, other=x)


@bad_input
def a_pair_too_long(base: Any) -> Any:
    cls = declared(base)
    return lambda x: cls([("logits", 1), ("loss", 2, 3)])


@bad_input
def a_key_that_is_no_name(base: Any) -> Any:
    cls = declared(base)

    def function(x: Any) -> Any:
        made = cls(x * 2)
        made[3] = x
        return made

    return function


def holding(thing: Any) -> BadInput:
    def bad(base: Any) -> Any:
        cls = declared(base)
        outside = cls(torch.ones(3), thing)
        return lambda x: (cls(x * 2, thing), outside.logits * x, len(outside), outside["loss"])

    return bad


BAD_INPUT |= {f"holding a {name}": holding(thing) for name, thing in THINGS.items()}


@bad_input
def asking_a_file(base: Any) -> Any:
    out = declared(base)(1, THINGS["file"])
    return lambda x: (x * 2, out.loss.isatty())


CLEARER_THAN_THE_ORIGINAL = {"a_key_that_is_no_name"}  # with that, an assertion in torch fails


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_ends_as_without_a_trace(name: str) -> None:
    def ending(base: Any, **options: Any) -> Any:
        function = BAD_INPUT[name](base)
        if options:
            torch._dynamo.reset()
            function = torch.compile(function, backend="eager", **options)
        try:
            return picture(function(torch.arange(3.0)))
        except Exception as error:
            return type(error), str(error)

    eager, endings = ending(ModelOutput), []
    for base in BASES.values():
        assert ending(base) == eager
        if base is not BASES.get("original") or name not in CLEARER_THAN_THE_ORIGINAL:
            assert ending(base, fullgraph=False) == eager
            whole = ending(base, fullgraph=True)
            assert whole == eager or whole[0] is torch._dynamo.exc.Unsupported
            endings.append(whole if whole == eager else whole[0])
    assert all(one == endings[0] for one in endings)  # all traced whole, or all refused


REFUSED: dict[str, Callable[[Any], Any]] = {
    "del out[key]": lambda out: out.__delitem__("loss"),
    "out |= other": lambda out: out.__ior__({"loss": 1}),
    "pop": lambda out: out.pop("loss"),
    "popitem": lambda out: out.popitem(),
    "clear": lambda out: out.clear(),
    "update": lambda out: out.update(loss=1),
    "setdefault": lambda out: out.setdefault("loss", 1),
    "a key that is no str": lambda out: out.__setitem__(1, 2),
    "an index that is too large": lambda out: out[7],
    "a mixed first field": lambda out: type(out)([("loss", 1), 5]),
}


@pytest.mark.parametrize("operation", REFUSED.values(), ids=REFUSED)
def test_a_refusal_reads_the_same_in_a_trace(ours: Kind, operation: Callable[[Any], Any]) -> None:
    def run(x: Any) -> Any:
        out = ours.Out(x, x + 1)
        try:
            operation(out)
        except (TypeError, IndexError, ValueError) as error:
            return type(error).__name__, str(error)
        return None

    expected = run(torch.ones(1))
    torch._dynamo.reset()
    assert torch.compile(run, fullgraph=True, backend="eager")(torch.ones(1)) == expected
    assert expected is not None


def test_an_array_is_known_by_the_same_types_in_a_trace() -> None:
    """numpy's, and any that is looked up when its module is loaded: never taken apart, whatever it yields."""
    module = types.ModuleType("mlx.core")

    class array(list):  # as mlx calls it
        pass

    module.array = array  # type: ignore[attr-defined]
    pairs = array([("loss", 1)])
    assert KINDS["in_step"].Out(pairs).loss == 1
    with mock.patch.dict(sys.modules, {"mlx.core": module}):

        def make(x: Any) -> Any:
            return KINDS["in_step"].Out(pairs).loss is pairs, x + 1

        assert make(torch.ones(1))[0]
        torch._dynamo.reset()
        assert torch.compile(make, backend="eager")(torch.ones(1))[0]
