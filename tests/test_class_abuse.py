"""Classes treated as no class should be: each has a defined outcome, and none is a crash.

Where the original has an outcome, too, it is the same (`kind`), or is said to differ in behaviour.md.
"""

from __future__ import annotations

import gc
import keyword
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass, make_dataclass
from typing import Any

import pytest
from containers import Kind

from fastoutputs import ModelOutput


def make(base: type, names: Any = "ab", cls: str = "Out") -> type:
    return make_dataclass(cls, [(name, Any, None) for name in names], bases=(base,))


def set_class(out: Any, cls: Any) -> None:
    """As `out.__class__ = cls`, past a __class__ of the object's own."""
    object.__dict__["__class__"].__set__(out, cls)


# --- other bases and classes: CPython refuses them by itself ---------------------------------------


class Stopping:
    def __init_subclass__(cls) -> None:
        """Does not call super()."""


@pytest.mark.parametrize("large_is_used", [True, False])
def test_bases_that_reach_further_than_an_instance(ours: Kind, large_is_used: bool) -> None:
    Small, Large = make(ours.base), make(ours.base, "abcdefghijklmnop")
    Sub, Through = type("Sub", (Small,), {}), type("Through", (Large,), {})
    sub = Sub(1, 2)
    if large_is_used:
        Large(1)
    for bases in ((Large,), (Large, Small), (Small, Large), (Small, Through), (ours.base,)):
        with pytest.raises(TypeError, match=r"__bases__ assignment|lay-out conflict"):
            Sub.__bases__ = bases
        assert Sub.__bases__ == (Small,)
    Sub.__bases__ = (type("Between", (Small,), {}), object)
    Large(1)
    with pytest.raises(TypeError, match="doesn't apply to a 'Sub' object"):
        vars(Large)["p"].__get__(sub)
    assert sub.to_tuple() == (1, 2) == Sub(1, 2).to_tuple() and not hasattr(sub, "p")


def test_no_instance_of_another_class_is_reached_past_its_end(ours: Kind) -> None:
    Large = make(ours.base, "abcdefghijklmnop")
    Large(1)
    for out, cls in (
        (make(ours.base)(1), Large),
        (make(ours.base)(1), type("Unused", (Large,), {})),
        (ModelOutput(a=1), type("Unused", (Large,), {})),
        (ModelOutput(a=1), Large),
        (ModelOutput(a=1).copy(), make(ours.base)),
    ):
        for assign in (set_class, lambda out, cls: setattr(out, "__class__", cls)):
            with pytest.raises(TypeError, match="__class__ assignment"):
                assign(out, cls)
        assert out.a == out["a"] == 1


@pytest.mark.parametrize("count", [1, 16, 64, 65, 300])
@pytest.mark.parametrize("slots", [False, True])
def test_a_class_that_was_never_prepared_reads_nothing(ours: Kind, count: int, slots: bool) -> None:
    """Its __init_subclass__ stops before ours, so its instances have no row."""
    Base = make(ours.base, names := [f"f{i}" for i in range(count)])
    Base(1)
    if slots:
        Base = type("Slotted", (Base,), {"__slots__": ("mine",)})
        Base(1)
    Out = type("Out", (Stopping, Base), {})
    with pytest.raises(TypeError, match=r"make it do so"):
        Out(1)
    out = Out.__new__(Out)
    for name in names:
        for read in (getattr, object.__getattribute__, lambda o, n: Base.__dict__[n].__get__(o)):
            try:
                assert read(out, name) is None  # from 3.15 on
            except AttributeError:
                pass
    assert len(out) == 0 and list(out) == [] and vars(out) == {}
    for operation in (out.to_tuple, lambda: out[0], lambda: setattr(out, "f0", 1)):
        with pytest.raises(TypeError, match=r"make it do so"):
            operation()
    assert Base(5).f0 == 5 and sys.getsizeof(Base(5)) > 0


def test_a_class_with_other_fields_in_as_many_slots(ours: Kind) -> None:
    Out, used = make(ours.base, "ab"), []
    out = Out(1, 2)
    for names in ("xy", "ba", "abc", "a"):
        Other = make(ours.base, names, "Other")
        for cls in (Other, type("Sub", (Other,), {})):
            for assign in (set_class, lambda out, cls: setattr(out, "__class__", cls)):
                with pytest.raises(TypeError, match="__class__ assignment"):
                    assign(out, cls)
            used.append(cls(1))
    Same = make(ours.base, "ab", "Same")
    with pytest.raises(TypeError, match="deallocator differs"):
        set_class(out, Same)  # never used, so CPython cannot know
    out.__class__ = Same
    assert type(out) is Same and list(out) == ["a", "b"] and out.to_tuple() == (1, 2)


# --- methods and descriptors ---------------------------------------------------------------------

FOREIGN: dict[str, Callable[[Kind], Any]] = {
    "int": lambda kind: 5,
    "none": lambda kind: None,
    "str": lambda kind: "loss",
    "dict": lambda kind: {"loss": 1},
    "class": lambda kind: type("Out", (kind.Out,), {}),  # it does not keep what is set on it here
    "another": lambda kind: kind.Single(1),
    "base": lambda kind: ModelOutput(loss=1),
    "uninitialised": lambda kind: kind.Out.__new__(kind.Out),
    "views": lambda kind: kind.Out(1).items(),
}
# Run for all classes that are not ours, which have them from elsewhere, too.
CLASS_METHODS = ("__init_subclass__", "fromkeys", "__class_getitem__")


@pytest.mark.parametrize("foreign", FOREIGN)
def test_every_method_on_a_foreign_object(ours: Kind, foreign: str) -> None:
    for name, method in {**vars(ModelOutput), **vars(ours.Out)}.items():
        if not callable(method) or name in CLASS_METHODS:
            continue
        for args in ((), ("loss",), ("loss", 5), ((),), ({},), (5, 5, 5)):
            out = FOREIGN[foreign](ours)
            try:
                method(out, *args)
            except (TypeError, AttributeError, KeyError, ValueError, IndexError):
                pass
            if isinstance(out, ModelOutput):
                assert len(out) == len(list(out)) == len(out.to_tuple())


@pytest.mark.parametrize("foreign", FOREIGN)
def test_every_descriptor_on_a_foreign_object(ours: Kind, foreign: str) -> None:
    for owner in (ModelOutput, ours.Out, ours.Frozen, ours.Extended):
        for descriptor in vars(owner).values():
            if not hasattr(type(descriptor), "__get__") or callable(descriptor):
                continue
            for operation in ("__get__", "__set__", "__delete__"):
                out = FOREIGN[foreign](ours)
                args = (5,) if operation == "__set__" else ()
                try:
                    getattr(descriptor, operation)(out, *args)
                except (TypeError, AttributeError):
                    pass
                if isinstance(out, ModelOutput):
                    assert len(out) == len(list(out)) == len(out.to_tuple())


def test_new_of_other_types(ours: Kind) -> None:
    for wrong in (
        lambda: object.__new__(ours.Out),
        lambda: dict.__new__(int),
        lambda: dict.__new__(5),
    ):
        with pytest.raises(TypeError):
            wrong()
    Bare = type("Bare", (ModelOutput,), {})
    for make_one in (lambda: dict.__new__(Bare), lambda: Bare.__new__(Bare, a=1)):
        with pytest.raises(TypeError, match="Bare is not a dataclass"):
            make_one().a = 1
    with pytest.raises(TypeError, match="Bare is not a dataclass"):
        Bare()


# --- patches -------------------------------------------------------------------------------------


def test_a_patched_init_and_a_later_post_init(kind: Kind) -> None:
    Out, calls = make(kind.base), []
    Out(1)
    before = Out.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        calls.append("init")
        before(self, *args, **kwargs)

    def post(self: Any) -> None:
        calls.append("post")
        super(Out, self).__post_init__()

    Out.__init__ = init
    assert Out(1).a == 1 and calls == ["init"]
    Out.__post_init__ = post
    assert Out(1, b=2).to_tuple() == (1, 2) and calls == ["init", "init", "post"]
    Out.__init__ = before
    del Out.__post_init__
    assert Out({"b": 5}).to_tuple() == (5,) and len(calls) == 3


def test_annotations_and_fields_edited_after_use(ours: Kind) -> None:
    for edit in (
        lambda cls: cls.__annotations__.update(c=Any),
        lambda cls: cls.__annotations__.clear(),
        lambda cls: cls.__dataclass_fields__["a"].__setattr__("type", int),
    ):
        Out = make(ours.base)
        out = Out(1, 2)
        edit(Out)
        assert Out(1, 2) == out and out.to_tuple() == (1, 2) and not hasattr(out, "c")
    for edit in (
        lambda cls: cls.__dataclass_fields__.clear(),
        lambda cls: cls.__dataclass_fields__.pop("b"),
        lambda cls: cls.__dataclass_fields__.update(c=cls.__dataclass_fields__["a"]),
        lambda cls: setattr(cls.__dataclass_fields__["a"], "name", "z"),
        lambda cls: setattr(cls, "__dataclass_fields__", {}),
    ):
        Out = make(ours.base)
        out = Out(1, 2)
        edit(Out)
        Out.changed = (
            True  # a dict that is edited tells nobody: it is read again when the class changes
        )
        for ask_the_class in (lambda: Out(1, 2), out.to_tuple, lambda: out[0]):
            with pytest.raises(TypeError, match="Out changed its fields after its first use"):
                ask_the_class()
        assert (out.a, out["b"], len(out)) == (1, 2, 2) and list(out.items()) == [
            ("a", 1),
            ("b", 2),
        ]


def test_fields_that_are_no_fields(ours: Kind) -> None:
    for wrong in (5, None, {"a": 5}, {5: 5}, [], "ab"):
        Out = make(ours.base)
        Out.__dataclass_fields__ = wrong
        with pytest.raises((TypeError, AttributeError)):
            Out(1)


def test_a_deleted_descriptor(ours: Kind) -> None:
    Out = make(ours.base)
    out = Out(1, 2)
    del Out.a
    assert not hasattr(out, "a") and out["a"] == out[0] == 1
    assert Out(3).a == 3 == Out(3)["a"] and out.a == 1  # the next one made brings it back


# --- names ---------------------------------------------------------------------------------------


def make_with_any(base: type, names: list[str]) -> type:
    """Past the checks of make_dataclass, as `type` and `setattr` do."""
    body = {"__annotations__": dict.fromkeys(names, Any), "__module__": __name__}
    return dataclass(type("Out", (base,), body | dict.fromkeys(names)))


@pytest.mark.parametrize(
    "names",
    [
        ["keys", "items", "get"],
        ["values", "to_tuple", "copy"],
        ["update", "pop", "clear"],
        ["__len__", "__iter__"],
        ["__getitem__", "__contains__"],
        ["ünïcödé", "数", "b"],
        ["_private", "__mangled"],
        ["x" * 1000, "y" * 5000],
        ["self", "cls"],
        ["mapping", "__weakref__"],
        ["__dict__", "b"],
        ["__class__", "b"],
        ["__reduce__", "__setstate__"],
        ["__eq__", "__repr__"],
        ["__init__", "b"],
        ["__post_init__", "b"],
        ["__setattr__", "b"],
        ["__dataclass_fields__", "b"],
    ],
    ids=lambda names: names[0][:20],
)
def test_field_names_that_mean_something_else(ours: Kind, names: list[str]) -> None:
    """A class either works by name, or is refused with an error; it never crashes."""
    Out = ours.base
    try:
        Out = make_with_any(ours.base, names)
        out = Out(1, 2)
    except (TypeError, AttributeError, ValueError):
        assert names[0].startswith("__")
        return
    for operation in (
        lambda: (list(out), out[names[0]], out[:], repr(out), {**out}, len(out), out == out),
        lambda: setattr(out, names[0], 5),
        lambda: out.__class__,
        lambda: vars(out),
        lambda: gc.collect(),
    ):
        try:
            operation()
        except (TypeError, AttributeError, ValueError, KeyError):
            assert names[0].startswith("__") or names[0] == "keys"  # which {**out} asks for
    if not names[0].startswith("__"):
        assert Out(1, 2).to_tuple() == (1, 2) if "to_tuple" not in names else Out(1, 2)[:] == (1, 2)
        assert (getattr(out, names[0]), out[names[0]]) == (5, 5)


@pytest.mark.parametrize("name", keyword.kwlist)
def test_a_keyword_as_a_field(ours: Kind, name: str) -> None:
    if name in ("None", "True", "False"):
        return
    with pytest.raises(TypeError):
        make(ours.base, [name])
    # The decorator alone writes an __init__ with that parameter, which is no Python.
    with pytest.raises((SyntaxError, TypeError)):
        make_with_any(ours.base, [name, "b"])(1)


# --- lifetimes -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("forgettable_classes")
def test_an_instance_keeps_its_class(kind: Kind) -> None:
    Out = make(kind.base)
    out, died = Out(1, 2), weakref.ref(Out)
    del Out
    gc.collect()
    assert died() is type(out) and out.a == 1 and list(out.items()) == [("a", 1), ("b", 2)]
    if kind.is_original:
        return  # torch's trees keep its classes
    del out
    gc.collect()
    assert died() is None


@pytest.mark.usefixtures("forgettable_classes")
def test_ten_thousand_classes_come_and_go_without_growth() -> None:
    def come_and_go(count: int) -> None:
        body = {"__annotations__": {"a": Any, "b": Any}, "a": None, "b": None}
        for _ in range(count):
            cls = type("Out", (Parent,), dict(body))
            cls(1, 2).a = cls

    Parent = make(ModelOutput)
    come_and_go(2000)
    gc.collect()
    before = sys.getallocatedblocks()
    come_and_go(10_000)
    gc.collect()
    assert not Parent.__subclasses__() and sys.getallocatedblocks() - before < 1000
