"""What may be declared: the standard @dataclass on a subclass, and everything it allows."""

from __future__ import annotations

import dataclasses
import inspect
import pydoc
import subprocess
import sys
import typing
from dataclasses import InitVar, dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import pytest
from containers import Kind

from fastoutputs import ModelOutput, _core
from fastoutputs.model_output import subclasses

T = TypeVar("T")


def test_required_and_optional_fields(kind: Kind) -> None:
    assert kind.Required(1).to_tuple() == (1,)
    assert kind.Required(logits=1, attentions=2).to_tuple() == (1, 2)
    with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'logits'"):
        kind.Required(loss=1)


def test_default_factory(ours: Kind) -> None:
    @dataclass
    class Out(ours.base):
        logits: Any = None
        states: list = field(default_factory=list)

    a, b = Out(1), Out(1)
    assert a.states == [] and a.states is not b.states
    assert a.to_tuple() == (1, [])
    assert list(a) == ["logits", "states"]
    assert Out(states=(1,)).states == (1,)


def test_defaults_other_than_none(ours: Kind) -> None:
    @dataclass
    class Out(ours.base):
        loss: float = 0.5
        name: str = "n"
        hidden: Any = field(default=7, init=False)

    assert Out().to_tuple() == (0.5, "n", 7)
    assert Out(name=None).to_tuple() == (0.5, 7)
    assert dict(Out(1)) == {"loss": 1, "name": "n", "hidden": 7}


def test_several_required_fields(ours: Kind) -> None:
    @dataclass
    class Out(ours.base):
        a: Any
        b: Any

    assert Out(1, b=2).to_tuple() == (1, 2)
    with pytest.raises(TypeError, match=r"missing 2 required positional arguments: 'a' and 'b'"):
        Out()


def test_kw_only(ours: Kind) -> None:
    @dataclass
    class Out(ours.base):
        a: Any = None
        b: Any = field(default=None, kw_only=True)
        c: Any = None

    assert Out(1, 2, b=3).to_tuple() == (1, 3, 2)
    assert _core.layout(Out).compiled_init
    with pytest.raises(TypeError, match="takes from 1 to 3 positional arguments but 4 were given"):
        Out(1, 2, 3)


def test_subclasses_add_and_redeclare_fields(kind: Kind) -> None:
    names = [f.name for f in dataclasses.fields(kind.Redeclared)]
    assert names == [
        "loss",
        "logits",
        "hidden_states",
        "attentions",
        "cross_attentions",
        "router_logits",
    ]
    out = kind.Redeclared(1, 2, router_logits=3)
    assert out.to_tuple() == (1, 2, 3) and isinstance(out, kind.Out)


@pytest.mark.parametrize("base_used_first", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
def test_a_field_declared_again_without_default_keeps_the_inherited_one(
    kind: Kind, base_used_first: bool, frozen: bool
) -> None:
    @dataclass(frozen=frozen)
    class A(kind.base):
        loss: Any = None
        logits: Any = None

    if base_used_first:
        A(1)

    @dataclass(frozen=frozen)
    class B(A):
        logits: tuple

    assert B(logits=2).to_tuple() == (2,)
    assert dataclasses.fields(B)[1].default is None


@pytest.mark.parametrize("base_used_first", [True, False])
@pytest.mark.parametrize("decorator", [dataclass, lambda cls: cls])
def test_a_field_declared_again_takes_the_attribute_of_a_base_for_its_default(
    kind: Kind, base_used_first: bool, decorator: Any
) -> None:
    @dataclass
    class Out(kind.base):
        loss: Any = None
        logits: Any = None

    class A(Out):
        logits = 5

    A = decorator(A)
    if base_used_first:
        assert A(loss=1)[0] == 1

    @dataclass
    class B(A):
        logits: Any
        loss: Any

    assert [f.default for f in dataclasses.fields(B)] == [None, 5]


def test_a_required_field_declared_again_stays_required(ours: Kind) -> None:
    for frozen in (False, True):

        @dataclass(frozen=frozen)
        class A(ours.base):
            logits: Any

        A(1)

        @dataclass(frozen=frozen)
        class B(A):
            logits: int

        assert dataclasses.fields(B)[0].default is dataclasses.MISSING
        with pytest.raises(TypeError, match="missing 1 required"):
            B()


def test_class_variables_init_variables_and_properties(ours: Kind) -> None:
    @dataclass
    class Out(ours.base):
        version: ClassVar[int] = 3
        logits: Any = None
        scale: InitVar[int] = 2

        def __post_init__(self, scale: int) -> None:
            super().__post_init__()
            self.logits = self.logits * scale

        @property
        def doubled(self) -> Any:
            return self.logits * 2

    out = Out(5, scale=3)
    assert (out.logits, out.doubled, out.version) == (15, 30, 3)
    assert list(out) == ["logits"]


def test_an_inherited_field_may_become_a_property(ours: Kind) -> None:
    @dataclass
    class A(ours.base):
        loss: Any = None
        logits: Any = None

    @dataclass
    class B(A):
        @property
        def logits(self) -> Any:
            return "computed"

        @logits.setter
        def logits(self, value: Any) -> None:
            self.__dict__["stored"] = value

    out = B(1, 2)
    assert out.logits == "computed" and out.stored == 2


def test_overrides_win_and_may_call_super(kind: Kind) -> None:
    calls = []

    @dataclass
    class Out(kind.base):
        text: Any = None
        vision: Any = None

        def to_tuple(self) -> tuple:
            return tuple(self[k] if k == "text" else self[k].to_tuple() for k in self.keys())

        def __getitem__(self, key: Any) -> Any:
            calls.append(key)
            return super().__getitem__(key)

        def __setattr__(self, name: str, value: Any) -> None:
            calls.append(("set", name))
            super().__setattr__(name, value)

        def __post_init__(self) -> None:
            calls.append("post")
            super().__post_init__()

    out = Out("t", kind.Single(5))
    assert calls == [("set", "text"), ("set", "vision"), "post"]
    calls.clear()
    assert out[1] == (5,) and calls == [1, "text", "vision"]
    assert out[:] == ("t", (5,)) and out["text"] == "t"
    out.text = "u"
    assert calls[-1] == ("set", "text") and dict(out)["text"] == "u"


def test_an_overridden_init_runs(kind: Kind) -> None:
    @dataclass
    class Out(kind.base):
        a: Any = None
        b: Any = None

    @dataclass(init=False)
    class Mine(Out):
        def __init__(self, value: Any) -> None:
            super().__init__(a=value, b=value)
            self.seen = True

    out = Mine(3)
    assert out.to_tuple() == (3, 3) and out.seen and "seen" not in out
    assert not hasattr(Out(1), "seen")


def test_eq_repr_and_frozen_may_be_chosen(ours: Kind) -> None:
    @dataclass(eq=False, repr=False)
    class Plain(ours.base):
        a: Any = None
        b: Any = None

    text = "Plain({'a': 1})" if sys.version_info >= (3, 12) else "Plain([('a', 1)])"
    assert repr(Plain(1)) == text
    assert Plain(1) == Plain(1) and Plain(1) == {"a": 1} and Plain(1) != Plain(2)

    frozen = ours.Frozen(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        frozen.logits = 2
    frozen["attentions"] = 3
    assert frozen.to_tuple() == (1, 3) and hash(frozen) == hash(ours.Frozen(1, 3))
    assert dataclasses.replace(frozen, logits=None).to_tuple() == (3,)
    object.__setattr__(frozen, "logits", 9)
    assert dict(frozen) == {"logits": 9, "attentions": 3}


def test_order_and_hash_options(ours: Kind) -> None:
    @dataclass(order=True, unsafe_hash=True)
    class Out(ours.base):
        a: Any = None
        b: Any = None

    assert Out(1, 2) < Out(1, 3) and hash(Out(1)) == hash(Out(1)) and max(Out(1), Out(2)).a == 2


def test_generic_classes(ours: Kind) -> None:
    @dataclass
    class Out(ours.base, Generic[T]):
        value: T = None

    assert Out[int](3).value == 3 and Out(value=4).to_tuple() == (4,)
    assert typing.get_origin(Out[int]) is Out and Out.__parameters__ == (T,)


def test_slots_in_a_subclass(ours: Kind) -> None:
    @dataclass
    class Out(ours.base):
        __slots__ = ("cache",)
        a: Any = None
        b: Any = None

    @dataclass
    class More(Out):
        __slots__ = ("extra",)
        c: Any = None

    for cls in (Out, More):
        out = cls(1, 2)
        out.cache = 3
        assert (out.a, out.b, out.cache) == (1, 2, 3) and out.to_tuple() == (1, 2)
        assert "cache" not in out
    more = More(c=5)
    more.extra = 1
    assert more.to_tuple() == (5,) and not hasattr(more, "cache")


def test_dataclass_made_slots(ours: Kind) -> None:
    @dataclass(slots=True)
    class Out(ours.base):
        a: Any = None
        b: Any = None

    out = Out(1)
    out.b = 2
    assert out.to_tuple() == (1, 2) and dict(out) == {"a": 1, "b": 2}


class Mixin:
    def describe(self) -> str:
        return "-".join(self.keys())


@pytest.mark.parametrize("mixin_first", [True, False])
def test_plain_mixins(kind: Kind, mixin_first: bool) -> None:
    @dataclass
    class Out(*((Mixin, kind.base) if mixin_first else (kind.base, Mixin))):
        a: Any = None
        b: Any = None

    assert Out(1, 2).describe() == "a-b"


def test_up_to_200_fields(kind: Kind) -> None:
    Wide = dataclasses.make_dataclass(
        "Wide", [(f"f{i}", Any, None) for i in range(200)], bases=(kind.base,)
    )
    out = Wide(**{f"f{i}": i for i in range(0, 200, 2)})
    assert out.to_tuple() == tuple(range(0, 200, 2)) and out.f198 == 198 and out.f199 is None
    kind.fill(out, "f199", 1)
    assert list(out)[-1] == "f199" and len(out) == 101
    assert Wide(*range(200))[199] == 199


def test_a_subclass_without_the_decorator_is_refused(kind: Kind) -> None:
    class Bare(kind.base):
        pass

    message = (
        f"{Bare.__module__}.Bare is not a dataclass. This is a subclass of ModelOutput and so must use "
        "the @dataclass decorator."
    )
    for call in (Bare, lambda: Bare({"a": 1})):
        with pytest.raises(TypeError) as caught:
            call()
        assert str(caught.value) == message

    class Undecorated(kind.Out):
        pass

    assert Undecorated(1).to_tuple() == (1,)


def test_a_class_without_fields_is_refused(kind: Kind) -> None:
    @dataclass
    class Empty(kind.base):
        pass

    with pytest.raises(ValueError, match=r"Empty has no fields\."):
        Empty()
    made = Empty.__new__(Empty)  # as tracers make one
    assert list(made) == [] and made.to_tuple() == ()


def test_an_init_subclass_that_stops_the_chain_is_refused_with_the_remedy(ours: Kind) -> None:
    class Stops(ours.base):
        def __init_subclass__(cls) -> None:
            pass

    @dataclass
    class Out(Stops):
        a: Any = None

    with pytest.raises(TypeError, match=r"Out .*super\(\).__init_subclass__\(\)"):
        Out(1)


def test_class_keywords_reach_the_next_class(ours: Kind) -> None:
    class Registers:
        def __init_subclass__(cls, label: str = "", **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            cls.label = label

    @dataclass
    class Out(ours.base, Registers, label="x", mirror_dict=False):
        a: Any = None

    assert Out.label == "x" and dict.__len__(Out(1)) == 0
    with pytest.raises(TypeError, match="mirror_dict must be True or False, not 3"):
        type("Wrong", (ours.base,), {}, mirror_dict=3)


def test_patching_a_class_takes_effect(kind: Kind) -> None:
    @dataclass
    class Out(kind.base):
        a: Any = None
        b: Any = None

    out, seen = Out(1, 2), []
    Out.__post_init__ = lambda self: seen.append("post") or super(Out, self).__post_init__()
    assert Out(1).a == 1 and seen == ["post"]
    generated = Out.__init__
    Out.__init__ = lambda self, *args: seen.append("init") or generated(self, *args)
    assert Out(1).a == 1 and seen == ["post", "init", "post"]
    Out.to_tuple = lambda self: ("mine",)
    assert out[0] == "mine" and out[:] == ("mine",)
    Out.__repr__ = lambda self: "r"
    Out.__eq__ = lambda self, other: True
    assert repr(out) == "r" and out == Out(5)


def test_a_class_cannot_change_its_fields_after_first_use(ours: Kind) -> None:
    @dataclass
    class Out(ours.base):
        a: Any = None

    out = Out(1)
    Out.__annotations__["b"] = Any
    Out.b = None
    dataclass(Out)
    with pytest.raises(
        TypeError, match="Out changed its fields after its first use: declare a subclass"
    ):
        Out(1)
    assert out.a == 1


def test_reflection(kind: Kind) -> None:
    out = kind.Out(1, 2)
    assert dataclasses.is_dataclass(out)
    assert [f.name for f in dataclasses.fields(out)] == [
        "loss",
        "logits",
        "hidden_states",
        "attentions",
    ]
    assert dataclasses.asdict(kind.Out(logits=out))["logits"] == dataclasses.asdict(out)
    assert dataclasses.astuple(out) == (1, 2, None, None)
    assert dataclasses.replace(out, loss=None).to_tuple() == (2,)
    assert list(inspect.signature(kind.Out).parameters) == [
        "loss",
        "logits",
        "hidden_states",
        "attentions",
    ]
    assert typing.get_type_hints(kind.Out)["loss"] is Any
    page = pydoc.plain(pydoc.render_doc(kind.Out))
    assert "to_tuple" in page and "hidden_states" in page
    assert type(kind.Out) is type(kind.base) and kind.Out.__match_args__[0] == "loss"


def test_new_is_dicts_own(ours: Kind) -> None:
    # The graph tracer accepts nothing else.
    assert ours.Out.__new__ is dict.__new__ and type(ours.Out(1)).__new__ is dict.__new__
    assert dict.__new__(ours.Out).to_tuple() == ()


def test_user_code_in_a_string_is_not_taken_for_generated_code() -> None:
    # `python -c` gives user functions the file name that dataclasses gives its own.
    script = (
        "from dataclasses import dataclass; from fastoutputs import ModelOutput\n"
        "@dataclass(init=False)\nclass X(ModelOutput):\n    a: int = None\n    b: int = None\n"
        "    def __init__(self, a, b):\n        self.a = b; self.b = a\n"
        "print(X(1, 2).to_tuple())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "(2, 1)\n"


def test_the_base_takes_any_keys(kind: Kind) -> None:
    base = kind.base if not kind.name == "slots_only" else ModelOutput
    out = base({"x": 1, "y": 2})
    assert (out.x, out["y"], list(out), out[1], len(out)) == (1, 2, ["x", "y"], 2, 2)
    assert base(a=1).a == 1 and base([("a", 1)])["a"] == 1 and len(base()) == 0
    for wrong in (lambda: base(1), lambda: base(1, 2), lambda: base([1])):
        with pytest.raises(TypeError):
            wrong()


def test_subclasses_are_found_once_each_after_its_bases() -> None:
    class Root(ModelOutput):
        pass

    cls = Root
    for i in range(30):
        left, right = type(f"Left{i}", (cls,), {}), type(f"Right{i}", (cls,), {})
        cls = type(f"Both{i}", (left, right), {})
    found = subclasses(Root)
    assert len(found) == len(set(found)) == 90
    place = {each: i for i, each in enumerate(found)}
    assert all(place[base] < place[each] for each in found[2:] for base in each.__bases__)
