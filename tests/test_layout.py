"""How a class is laid out: a slot for each field, from the moment the class is created."""

from __future__ import annotations

import dataclasses
import gc
import struct
import sys
import weakref
from dataclasses import KW_ONLY, InitVar, dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import pytest
from containers import NEW_ASKS_THE_CLASS, Kind

from fastoutputs import ModelOutput, _core
from fastoutputs.model_output import subclasses

WORD = struct.calcsize("P")
T = TypeVar("T")


def slots(cls: type) -> int:
    """How many words an instance has behind those of ModelOutput."""
    return (cls.__basicsize__ - ModelOutput.__basicsize__) // WORD


def check(cls: type, *names: str) -> None:
    """Every field has a slot of its own, and reads what it was given, by whichever way."""
    out = cls(**{name: name for name in names})
    layout = _core.layout(cls)
    assert layout.fields == names and len(set(layout.offsets)) == len(names)
    assert all(ModelOutput.__basicsize__ <= o < cls.__basicsize__ for o in layout.offsets)
    assert out.to_tuple() == names == tuple(out) == tuple(getattr(out, name) for name in names)
    assert [out[i] for i in range(len(names))] == [*names] and dict.__len__(out) in (0, len(names))
    gc.collect()
    assert all(sys.getrefcount(name) > 1 for name in out.values())


# --- which slots ---------------------------------------------------------------------------------


def test_a_slot_for_each_field(ours: Kind) -> None:
    @dataclass
    class Out(ours.base):
        a: Any = None
        b: Any = None
        known: ClassVar[int] = 3
        passed: InitVar[int] = 5
        _: KW_ONLY
        c: Any = None

        def __post_init__(self, passed: int) -> None:
            assert passed == 5

    assert slots(Out) == 3
    check(Out, "a", "b", "c")
    assert Out.known == 3


def test_a_subclass_adds_only_what_is_new(ours: Kind) -> None:
    class Plain(ours.Out):
        not_a_field: int = 3

    @dataclass
    class Again(ours.Out):
        logits: Any = 5
        more: Any = None

    Plain(1)  # the annotation was taken for a field until then
    assert slots(ours.Out) == slots(Plain) == 4 and slots(Again) == 5
    check(Again, "loss", "logits", "hidden_states", "attentions", "more")
    assert _core.layout(Again).offsets[:4] == _core.layout(ours.Out).offsets


def test_text_that_only_looks_like_a_class_variable(ours: Kind) -> None:
    @dataclass
    class Out(ours.base):
        a: "list[ClassVarious]" = None  # noqa: F821, UP037
        b: "Unknown.ClassVar[int]" = None  # noqa: F821, UP037

    class Sub(Out):
        pass

    check(Out, "a", "b")
    check(Sub, "a", "b")


@pytest.mark.parametrize("mixin_first", [True, False])
@pytest.mark.parametrize("is_dataclass", [True, False])
def test_mixins(ours: Kind, mixin_first: bool, is_dataclass: bool) -> None:
    class Mixin:
        m: Any = None

    if is_dataclass:
        Mixin = dataclass(Mixin)

    @dataclass
    class Out(*((Mixin, ours.base) if mixin_first else (ours.base, Mixin))):
        a: Any = None

    @dataclass
    class Sub(*((Mixin, ours.Single) if mixin_first else (ours.Single, Mixin))):
        a: Any = None

    names = ["m", "a"] if is_dataclass else ["a"]
    assert slots(Out) == len(names)
    check(Out, *names)
    before = ["sequences"] if not is_dataclass or mixin_first else []
    after = ["sequences"] if is_dataclass and not mixin_first else []
    check(Sub, *before, *names[:-1], *after, "a")


def test_generic_and_diamond(ours: Kind) -> None:
    @dataclass
    class Left(ours.Out, Generic[T]):
        left: Any = None

    class Right(ours.Out):
        pass

    @dataclass
    class Both(Left[int], Right):
        both: Any = None

    check(Both, "loss", "logits", "hidden_states", "attentions", "left", "both")
    assert slots(Both) == 6


def test_many_diamonds_are_laid_out_in_no_time(ours: Kind) -> None:
    cls = ours.Single
    for i in range(60):
        left, right = type(f"Left{i}", (cls,), {}), type(f"Right{i}", (cls,), {})
        cls = type(f"Both{i}", (left, right), {})
    assert cls(5).to_tuple() == (5,)
    found = subclasses(ours.Single)
    assert len(set(found)) == len(found) >= 180
    assert all(
        found.index(each) < found.index(cls)
        for cls in found
        for each in cls.__mro__[1:]
        if each in found
    )


def test_two_bases_with_fields_of_their_own_are_refused(ours: Kind) -> None:
    A = dataclasses.make_dataclass("A", [("a", Any, None)], bases=(ours.base,))
    B = dataclasses.make_dataclass("B", [("b", Any, None)], bases=(ours.base,))
    for used in ((), (A,), (A, B)):
        for cls in used:
            cls(1)
        with pytest.raises(TypeError, match="multiple bases have instance lay-out conflict"):
            type("Both", (A, B), {})
    for cls in (A, B):
        assert cls(1).to_tuple() == (1,)


@pytest.mark.parametrize("count", [65, 300, 3000])
def test_many_fields(ours: Kind, count: int) -> None:
    names = [f"f{i}" for i in range(count)]
    Wide = dataclasses.make_dataclass("Wide", [(n, Any, None) for n in names], bases=(ours.base,))
    out = Wide(f0=1)
    assert slots(Wide) == count
    setattr(out, names[-1], 2)
    assert out.to_tuple() == (1, 2) and getattr(out, names[-1]) == out[names[-1]] == 2
    assert type(vars(Wide)[names[-1]]).__name__ == "member_descriptor"


# --- __slots__ -----------------------------------------------------------------------------------


def test_slots_beside_fields(ours: Kind) -> None:
    @dataclass
    class Out(ours.base):
        __slots__ = ("mine", "zz")
        a: Any = None

    @dataclass
    class Sub(Out):
        __slots__ = ("more",)
        b: Any = None

    assert (slots(Out), slots(Sub)) == (3, 5)
    check(Out, "a")
    check(Sub, "a", "b")
    out, value = Sub(1, 2), {1}
    with pytest.raises(AttributeError):
        out.mine  # noqa: B018
    out.mine, out.more = value, value
    assert out.mine is out.more is value and out.to_tuple() == (1, 2)
    assert (
        gc.get_referents(out).count(value) == 2
    )  # each once: the collector subtracts what it sees
    del out.more
    assert not hasattr(out, "more") and out.mine is value
    held = sys.getrefcount(value)
    del out
    assert sys.getrefcount(value) == held - 1


def test_slots_named_like_fields_are_the_slots_of_the_fields(ours: Kind) -> None:
    @dataclass(slots=True)
    class Out(ours.base):
        b: Any = None
        a: Any = None

    @dataclass(slots=True)
    class Sub(Out):
        c: Any = None

    assert (slots(Out), slots(Sub)) == (2, 3)
    check(Out, "b", "a")
    check(Sub, "b", "a", "c")
    assert type(vars(Out)["a"]).__name__ == "member_descriptor"
    out = Sub(1, 2, 3)
    with pytest.raises((AttributeError, TypeError)):
        vars(Sub)["c"].__set__(out, 5)  # past the inner dict
    out.c = None
    assert dict(out) == {"b": 1, "a": 2}


def test_a_cycle_through_a_slot_is_collected(ours: Kind) -> None:
    class Value:
        pass

    @dataclass
    class Out(ours.base):
        __slots__ = ("mine",)
        a: Any = None

    out, value = Out(), Value()
    out.mine, value.out = value, out
    died = weakref.ref(value)
    del out, value
    gc.collect()
    assert died() is None


# --- annotations and fields that come late -------------------------------------------------------


def late(base: type, **fields: Any) -> type:
    """A class whose annotations were added to it, as decorators that run before @dataclass do."""
    cls = type("Late", (base,), {"__module__": __name__, **fields})
    cls.__annotations__ = dict.fromkeys(fields, Any)
    return cls


def test_annotations_between_creation_and_dataclass(ours: Kind) -> None:
    cls = dataclass(late(ours.Single, x=None, y=2))
    assert cls(1).to_tuple() == (1, 2) and slots(cls) == 3
    check(cls, "sequences", "x", "y")
    assert slots(type("Sub", (cls,), {})) == 3


@pytest.mark.usefixtures("forgettable_classes")
def test_annotations_after_a_subclass_was_made(ours: Kind) -> None:
    cls = late(ours.Single, x=None)
    Sub = type("Sub", (cls,), {})
    dataclass(cls)
    for _ in range(2):
        with pytest.raises(TypeError, match=r"Late got the field 'x' after a subclass or an inst"):
            cls(1)
    assert slots(cls) == slots(Sub) == 1
    assert Sub(1, 2).to_tuple() == (1, 2) and slots(Sub) == 2  # it has room of its own
    del Sub
    gc.collect()
    assert cls(1, 2).to_tuple() == (1, 2)


def test_a_base_that_was_never_used_before_its_subclass(ours: Kind) -> None:
    """From 3.14 on, make_dataclass adds the annotations after it has created the class."""
    Base = dataclasses.make_dataclass("Base", [("a", Any, None)], bases=(ours.base,))
    Late = dataclass(late(ours.base, x=None, y=None))
    for cls, names in ((Base, "a"), (Late, "xy")):
        Sub = dataclasses.make_dataclass("Sub", [("z", Any, None)], bases=(cls,))
        Slotted = type("Slotted", (Sub,), {"__slots__": ("mine",)})
        check(Slotted, *names, "z")
        check(Sub, *names, "z")
        check(cls, *names)
        out = Slotted(1)
        out.mine = 2
        assert out.to_tuple() == (1,) and out.mine == 2


@pytest.mark.parametrize("how", ["inherited", "taken"])
def test_an_init_with_the_defaults_of_another_class(kind: Kind, how: str) -> None:
    @dataclass
    class First(kind.base):
        a: Any = None
        b: Any = 5 if not kind.is_original else None

    @dataclass(init=how == "taken")
    class Second(First):
        b: Any = None

    if how == "taken":
        Second.__init__ = First.__init__
    assert Second(1).b == First(1).b


@pytest.mark.parametrize("how", ["added", "removed", "renamed"])
def test_fields_edited_before_first_use(ours: Kind, how: str) -> None:
    body = {"__annotations__": dict.fromkeys("abc", Any), **dict.fromkeys("abc")}
    cls = dataclass(type("Out", (ours.base,), body))
    fields = cls.__dataclass_fields__
    if how == "added":
        fields["d"] = fields["c"]
        with pytest.raises(TypeError, match="declares the field 'c' twice"):
            cls(1)
        return
    if how == "removed":
        del fields["a"]
    else:
        fields["a"].name = "z"
    out = cls(b=2)
    assert list(out) == ["b"] and slots(cls) == (2 if how == "removed" else 3)


@pytest.mark.parametrize("name", [5, None, ("a",), b"a"])
def test_a_field_whose_name_is_no_str(ours: Kind, name: Any) -> None:
    cls = dataclasses.make_dataclass("Out", [("a", Any, None)], bases=(ours.base,))
    cls.__dataclass_fields__["a"].name = name
    with pytest.raises(TypeError, match="Out has a field whose name is no str"):
        cls()


# --- instances before there is a layout ----------------------------------------------------------


class MakesOne:
    """Makes an instance of the class that it is put into, when the class is created."""

    def __init__(self, keep: bool = True) -> None:
        self.keep = keep

    def __set_name__(self, owner: type, name: str) -> None:
        made = dict.__new__(owner)
        if self.keep:
            self.made = made


def test_an_instance_made_while_the_class_is_created(ours: Kind) -> None:
    for base in (ours.base, ours.Out):
        attribute = MakesOne()
        with pytest.raises(
            TypeError, match="has an instance or a subclass before it has room for its fields"
        ):
            type("Out", (base,), {"__annotations__": {"a": Any}, "a": None, "one": attribute})
        assert len(attribute.made) == 0 and list(attribute.made) == []
        with pytest.raises(TypeError):
            attribute.made.a = 1
        cls = type(
            "Out", (base,), {"__annotations__": {"a": Any}, "a": None, "one": MakesOne(False)}
        )
        assert dataclass(cls)(a=1).a == 1


class Early:
    """A mixin whose own preparation comes first, and makes an instance."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        cls.early = [dict.__new__(cls)]
        super().__init_subclass__(**kwargs)


class Later:
    """One that makes an instance once the class is laid out."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.later = [dict.__new__(cls)]


def test_an_instance_made_by_another_init_subclass(ours: Kind) -> None:
    with pytest.raises(
        TypeError, match="has an instance or a subclass before it has room for its fields"
    ):
        type("Out", (Early, ours.base), {"__annotations__": {"a": Any}, "a": None})
    body = {"__annotations__": {"a": Any}, "a": None}
    if NEW_ASKS_THE_CLASS:
        with pytest.raises(TypeError, match="is not a dataclass"):
            type("Out", (Later, ours.base), body)
    else:
        cls = dataclass(type("Out", (Later, ours.base), body))
        cls.later[0].a = 1
        assert cls(2).to_tuple() == (2,) and cls.later[0].to_tuple() == (1,)


# --- what stands where ---------------------------------------------------------------------------


def test_nothing_of_a_layout_stands_in_the_class(ours: Kind) -> None:
    cls = dataclasses.make_dataclass("Out", [("a", Any, None)], bases=(ours.base,))
    before = set(vars(cls))
    cls(1)
    assert set(vars(cls)) == before | {"a"}
    assert not any("fastoutputs" in name for name in vars(cls))


def test_a_class_made_from_the_dict_of_another(ours: Kind) -> None:
    cls = dataclasses.make_dataclass("Out", [(n, Any, None) for n in "ab"], bases=(ours.base,))
    cls(1)
    for body in (dict(vars(cls)), {**vars(cls), "__slots__": ("x",)}):
        body = {k: v for k, v in body.items() if k not in ("__dict__", "__weakref__")}
        Twin = type("Twin", cls.__bases__, body)
        out = Twin(1, 2)
        assert out.to_tuple() == (1, 2) == (out.a, out.b) and type(out) is Twin
        check(Twin, "a", "b")
        check(cls, "a", "b")


def test_slots_true_of_a_class_that_was_used(ours: Kind) -> None:
    cls = dataclasses.make_dataclass("Out", [(n, Any, None) for n in "ab"], bases=(ours.base,))
    cls(1)
    Slotted = dataclass(slots=True)(cls)
    assert Slotted is not cls and slots(Slotted) == 2
    check(Slotted, "a", "b")
    check(cls, "a", "b")


@pytest.mark.usefixtures("forgettable_classes")
def test_names_are_given_back(ours: Kind) -> None:
    """The descriptors of a class point at what belongs to the class, and goes with it."""

    # CPython's cache of lookups keeps names.
    clear = getattr(sys, "_clear_internal_caches", None) or getattr(sys, "_clear_type_cache")  # noqa: B009

    def blocks() -> int:
        gc.collect()
        clear()
        return sys.getallocatedblocks()

    def growth(base: type, start: int) -> int:
        before = blocks()
        for i in range(start, start + 300):
            names = [(f"name_{i}_{j}", Any, None) for j in range(3)]
            cls = dataclasses.make_dataclass("Out", names, bases=(base,))
            cls(1)
        name = names[0][0]
        assert base is object or vars(cls)[name].__name__ == name
        del cls
        return blocks() - before

    growth(ours.base, 0), growth(object, 1000)
    # From 3.12 on, dataclasses keep some of what they generate.
    assert growth(ours.base, 2000) < growth(object, 3000) + 100


def test_a_default_and_a_factory_meet_no_half_made_output(ours: Kind) -> None:
    found: list[Any] = []

    def factory() -> list:
        found.extend(o for o in gc.get_objects() if type(o) is Out)
        return []

    @dataclass
    class Out(ours.base):
        a: Any = None
        b: Any = field(default_factory=factory)
        c: Any = 3

    out = Out(1)
    assert not found and out.to_tuple() == (1, [], 3)


@pytest.mark.skipif(
    sys.version_info < (3, 12), reason="a class has as many version tags as it wants"
)
def test_a_class_that_is_patched_more_often_than_there_are_version_tags(ours: Kind) -> None:
    cls = dataclasses.make_dataclass("Out", [(n, Any, None) for n in "ab"], bases=(ours.base,))
    for i in range(3000):
        cls.patched = i
        assert cls(1, 2)[1] == 2
    out = cls(1, b=2)
    cls.to_tuple = lambda self: ("patched",)
    assert out[0] == "patched"
    del cls.to_tuple
    assert (
        out[0] == 1
        and out.to_tuple() == (1, 2) == cls(1, 2).to_tuple()
        and {**out} == {"a": 1, "b": 2}
    )
    cls.__post_init__ = lambda self: setattr(self, "b", "post")
    assert cls(1).b == "post"
