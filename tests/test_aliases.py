"""Aliases: other names of fields, beside transformers 5.24, which has them for `cache`.

Where an older transformers is installed, or none, the same assertions hold for ours alone.
"""

from __future__ import annotations

import copy
import functools
import gc
import inspect
import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from typing import Any

import pytest
from containers import BASES, FREE_THREADED, OURS
from hypothesis import given
from hypothesis import strategies as st

from fastoutputs import _core, model_output, modeling_outputs

OLD = {"past_key_values": "cache", "cache_params": "cache"}
NOTICES: list[tuple[str, str, str]] = []


def note(cls: type, alias: str, name: str) -> None:
    NOTICES.append((cls.__name__, alias, name))


class Kind:
    """Output classes with aliases over one base, at module level so that they pickle."""

    def __init__(self, name: str, base: Any) -> None:
        self.name, self.is_original = name, name == "original"
        if not self.is_original:
            base = type("Renamed", (base,), {"__fastoutputs_alias_used__": note}, aliases=OLD)
        self.base = base

        @dataclass
        class Out(base):
            __qualname__ = f"Aliased_{name}"
            loss: Any = None
            cache: Any = None
            hidden_states: Any = None

        @dataclass(frozen=True)
        class Frozen(base):
            loss: Any = None
            cache: Any = None

        self.Out, self.Frozen = Out, Frozen
        setattr(sys.modules[__name__], Out.__qualname__, Out)


KINDS = {
    name: Kind(name, base)
    for name, base in BASES.items()
    if name in OURS or hasattr(base, "past_key_values")
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture(params=OURS)
def ours(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture(autouse=True)
def no_notices_yet() -> None:
    NOTICES.clear()


aliases = pytest.mark.parametrize("alias", OLD)

# --- reading and writing --------------------------------------------------------------------------


@aliases
def test_read(kind: Kind, alias: str) -> None:
    out = kind.Out(cache=1)
    assert getattr(out, alias) == getattr(out, alias, 7) == out[alias] == out.get(alias, 7) == 1
    assert alias in out and hasattr(out, alias)
    absent = kind.Out(loss=1)
    assert getattr(absent, alias) is getattr(absent, alias, 7) is None
    assert absent.get(alias) is None and absent.get(alias, 7) == 7 and alias not in absent
    with pytest.raises(KeyError, match=r"^'cache'$"):
        absent[alias]


@aliases
def test_write(kind: Kind, alias: str) -> None:
    out = kind.Out(loss=0, cache=1)
    setattr(out, alias, 2)
    assert out.cache == out["cache"] == 2 and out.to_tuple() == (0, 2)
    out[alias] = 3
    assert out.cache == out["cache"] == 3 and dict(out) == {"loss": 0, "cache": 3}
    late = kind.Out(loss=0)
    late[alias] = 4
    setattr(late, alias, 5)
    assert list(late.items()) == [("loss", 0), ("cache", 5)]


def test_set_to_none_by_an_alias_is_as_by_the_field(ours: Kind) -> None:
    out = ours.Out(loss=0, cache=1, hidden_states=2)
    out.past_key_values = None
    assert list(out) == ["loss", "hidden_states"] and out.cache is None
    out.past_key_values = 3
    assert out.to_tuple() == (0, 3, 2), "in its declared place"
    out["cache_params"] = None
    assert out.to_tuple() == (0, 2)


def test_no_view_shows_an_alias(kind: Kind) -> None:
    out = kind.Out(loss=0, past_key_values=1)
    out.past_key_values = 2
    out["cache_params"] = 3
    items = {"loss": 0, "cache": 3}
    assert dict(out) == {**out} == dict(out.items()) == items and list(out) == list(items)
    assert "past_key_values" not in out.keys() and ("past_key_values", 3) not in out.items()
    assert list(out.keys()) == list(reversed(list(reversed(out)))) == list(items)
    assert [name for name in vars(out) if name in OLD] == [] and "past" not in repr(out)
    assert not [f.name for f in fields(out) if f.name in OLD]
    for made in (copy.copy(out), copy.deepcopy(out), pickle.loads(pickle.dumps(out))):
        assert dict(made) == items and made.past_key_values == 3
    assert b"past_key_values" not in pickle.dumps(out)


def test_an_alias_cannot_be_deleted(kind: Kind) -> None:
    out = kind.Out(cache=1)
    with pytest.raises(AttributeError):
        del out.past_key_values
    with pytest.raises(Exception, match=r"__delitem__|does not support `del"):
        del out["past_key_values"]
    assert out.cache == 1


def test_a_key_of_a_subclass_of_str(kind: Kind) -> None:
    class Key(str):
        __slots__ = ()

    out, key = kind.Out(cache=1), Key("past_key_values")
    assert out[key] == out.get(key) == 1 and key in out
    out[key] = 2
    assert dict(out) == {"cache": 2}


def test_replace_and_match(kind: Kind) -> None:
    out = kind.Out(loss=0, cache=1)
    with pytest.raises(ValueError, match="both `cache` and `past_key_values`"):
        replace(out, past_key_values=2)  # it passes the field as well
    assert dict(replace(out, cache=2)) == {"loss": 0, "cache": 2}
    match out:
        case kind.Out(past_key_values=found):
            assert found == 1
    match out:
        case {"cache_params": found}:
            assert found == 1


def test_a_frozen_output(kind: Kind) -> None:
    out = kind.Frozen(past_key_values=1)
    assert out.cache == out.past_key_values == out["past_key_values"] == 1
    with pytest.raises(FrozenInstanceError):
        out.past_key_values = 2
    with pytest.raises(FrozenInstanceError):
        del out.past_key_values
    assert dict(out) == {"cache": 1}
    if not kind.is_original:  # which asks the frozen class
        out["past_key_values"] = 2
        assert out.cache == out["cache"] == 2


# --- construction ---------------------------------------------------------------------------------


@aliases
def test_construct(kind: Kind, alias: str) -> None:
    out = kind.Out(0, **{alias: 1})
    assert out.cache == 1 and list(out.items()) == [("loss", 0), ("cache", 1)]
    assert dict(kind.Out({alias: 1, "loss": 0})) == {"cache": 1, "loss": 0}
    assert dict(kind.Out([("loss", 0), (alias, 1)])) == {"cache": 1, "loss": 0}
    with pytest.raises(ValueError) as caught:
        kind.Out(cache=1, **{alias: 2})
    text = f"You cannot specify both `cache` and `{alias}`. use `cache` only."
    assert str(caught.value) == text
    with pytest.raises(TypeError, match="multiple values for argument 'cache'"):
        kind.Out(0, 1, **{alias: 2})
    with pytest.raises(TypeError, match="unexpected keyword argument 'unknown'"):
        kind.Out(unknown=1, **{alias: 2})


def test_two_aliases_of_one_field_are_refused(kind: Kind) -> None:
    for both in (
        {"past_key_values": 1, "cache_params": 2},
        {"cache_params": 1, "past_key_values": 2},
    ):
        with pytest.raises(TypeError, match="unexpected keyword argument 'cache_params'"):
            kind.Out(**both)
        with pytest.raises(TypeError, match="unexpected keyword argument 'cache_params'"):
            kind.Out.__init__(kind.Out(), **both)


def test_the_generated_init_takes_aliases(kind: Kind) -> None:
    out = kind.Out()
    kind.Out.__init__(out, past_key_values=1)
    assert dict(out) == {"cache": 1}

    class ByHand(kind.Out):
        def __init__(self, value: Any) -> None:
            super().__init__(cache_params=value)

    @dataclass
    class Never(kind.base):
        """Used through its subclass only."""

        cache: Any = None

    class Through(Never):
        def __init__(self, value: Any) -> None:
            super().__init__(past_key_values=value)

    assert dict(ByHand(1)) == dict(Through(1)) == {"cache": 1}
    assert str(inspect.signature(kind.Out)).startswith("(loss: 'Any' = None, cache: 'Any' = None")


def test_an_init_of_the_users_takes_its_own_names(kind: Kind) -> None:
    @dataclass(init=False)
    class Mine(kind.base):
        loss: Any = None
        cache: Any = None

        def __init__(self, cache: Any = None) -> None:
            self.cache = cache

    assert Mine(cache=1).past_key_values == 1
    with pytest.raises(TypeError, match="unexpected keyword argument 'past_key_values'"):
        Mine(past_key_values=1)


def test_with_a_post_init_of_the_users(kind: Kind) -> None:
    @dataclass
    class Mine(kind.base):
        loss: Any = None
        cache: Any = None

        def __post_init__(self) -> None:
            super().__post_init__()
            self.seen = self.past_key_values

    out = Mine(past_key_values=1)
    assert out.seen == 1 and dict(out) == {"cache": 1}


def test_with_other_defaults(ours: Kind) -> None:
    @dataclass
    class Mine(ours.base):
        loss: Any
        cache: Any = field(default_factory=list)
        more: Any = 3

    assert dict(Mine(1)) == {"loss": 1, "cache": [], "more": 3}
    assert dict(Mine(past_key_values=2, loss=1)) == {"loss": 1, "cache": 2, "more": 3}
    assert _core.layout(Mine).compiled_init


# --- what a user's class has to say ---------------------------------------------------------------


def test_overrides_see_the_alias_and_super_knows_it(kind: Kind) -> None:
    calls: list[Any] = []

    @dataclass
    class Mine(kind.base):
        loss: Any = None
        cache: Any = None

        def __getitem__(self, key: Any) -> Any:
            calls.append(("get", key))
            return super().__getitem__(key)

        def __setitem__(self, key: Any, value: Any) -> None:
            calls.append(("set", key))
            super().__setitem__(key, value)

        def __contains__(self, key: Any) -> bool:
            calls.append(("in", key))
            return super().__contains__(key)

    out = Mine(loss=0, cache=1)
    calls.clear()
    assert out["past_key_values"] == 1 and "past_key_values" in out
    out["past_key_values"] = 2
    assert [call for call in calls if call[1] == "past_key_values"] == [
        ("get", "past_key_values"),
        ("in", "past_key_values"),
        ("set", "past_key_values"),
    ]
    assert dict(out.items()) == {"loss": 0, "cache": 2}


def test_a_setattr_of_the_users_is_entered_once(kind: Kind) -> None:
    calls: list[str] = []

    @dataclass
    class Mine(kind.base):
        cache: Any = None
        loss: Any = None

        def __setattr__(self, name: str, value: Any) -> None:
            calls.append(name)
            super().__setattr__(name, value)

    out = Mine(loss=1)
    calls.clear()
    out.past_key_values = 2
    assert calls == ["past_key_values"] and out.cache == out["cache"] == 2
    out["past_key_values"] = 3
    assert calls == ["past_key_values"] and out.cache == 3


def test_an_attribute_of_the_users_is_read_in_its_place(kind: Kind) -> None:
    @dataclass
    class Mine(kind.base):
        cache: Any = None
        loss: Any = None

        @property
        def past_key_values(self) -> str:
            return "mine"

        def cache_params(self) -> str:
            return "my method"

    out = Mine(cache=1, loss=0)
    assert out.past_key_values == "mine" and out.cache_params() == "my method"
    assert out["past_key_values"] == out.get("cache_params") == 1
    assert Mine(past_key_values=2).cache == 2


def test_a_field_of_the_users_is_a_field(ours: Kind) -> None:
    @dataclass
    class Mine(ours.base):
        past_key_values: Any = None
        cache: Any = None

    @dataclass
    class Sub(ours.Out):
        past_key_values: Any = None

    for cls in (Mine, Sub):
        out = cls(past_key_values=1, cache=2)
        assert (out.past_key_values, out.cache, out["past_key_values"]) == (1, 2, 1)
        out.past_key_values, out["cache_params"] = 3, 4
        assert sorted(out.items()) == [("cache", 4), ("past_key_values", 3)]
        assert _core.layout(cls).aliases == (("cache_params", "cache"),)
    assert ours.Out(past_key_values=1).cache == 1, "the base keeps its alias"


def test_the_property_is_nobodys_default(ours: Kind) -> None:
    assert ours.Out(cache=1).past_key_values == 1, "the base is used, and has the property"
    with pytest.raises(TypeError, match="non-default argument 'past_key_values'"):

        @dataclass
        class Wrong(ours.Out):
            past_key_values: Any

    @dataclass
    class Mine(ours.Out):
        past_key_values: Any = field(kw_only=True)
        cache_params: Any = field(kw_only=True, default=7)

    with pytest.raises(TypeError, match="past_key_values"):
        Mine()
    out = Mine(past_key_values=1)
    assert (out.past_key_values, out.cache, out.cache_params) == (1, None, 7)

    class Undecorated(ours.Out):
        past_key_values: Any

    assert Undecorated(cache=1).past_key_values == 1


def test_without_the_field_it_is_a_name_like_any(ours: Kind) -> None:
    @dataclass
    class Mine(ours.base):
        loss: Any = None

    out = Mine(loss=1)
    assert not hasattr(out, "past_key_values") and "past_key_values" not in out
    with pytest.raises(TypeError, match="unexpected keyword argument 'past_key_values'"):
        Mine(past_key_values=1)
    out["past_key_values"] = 2
    out.cache_params = 3
    assert dict(out) == {"loss": 1, "past_key_values": 2} and out.cache_params == 3
    assert not NOTICES and _core.layout(Mine).aliases == ()


# --- declaring ------------------------------------------------------------------------------------


def test_aliases_are_inherited_and_the_nearer_class_wins(ours: Kind) -> None:
    @dataclass
    class Mine(ours.Out, aliases={"states": "hidden_states", "cache_params": "loss"}):
        more: Any = None

    out = Mine(cache_params=0, past_key_values=1, states=2)
    assert dict(out) == {"loss": 0, "cache": 1, "hidden_states": 2}
    assert (out.cache_params, out.past_key_values, out.states) == (0, 1, 2)
    assert ours.Out(cache=1).cache_params == 1
    assert dict(_core.layout(Mine).aliases) == {
        **OLD,
        "states": "hidden_states",
        "cache_params": "loss",
    }


def test_an_alias_of_an_alias_is_none(ours: Kind) -> None:
    @dataclass
    class Mine(ours.base, aliases={"older": "past_key_values"}):
        cache: Any = None

    with pytest.raises(TypeError, match="unexpected keyword argument 'older'"):
        Mine(older=1)
    assert not hasattr(Mine(), "older")


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (3, r"Wrong: aliases must be a dict of other names to field names, not 3"),
        ({"old": 3}, r"Wrong: the alias 'old' must be a str and name a field by a str, not 3"),
        ({3: "new"}, r"Wrong: the alias 3 must be a str and name a field by a str, not 'new'"),
        ({"same": "same"}, r"Wrong: 'same' cannot be an alias of itself"),
    ],
)
def test_what_is_no_alias_is_refused(ours: Kind, declared: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        type("Wrong", (ours.base,), {}, aliases=declared)

    @dataclass
    class Wrong(ours.base):
        loss: Any = None

    Wrong()
    Wrong.__fastoutputs_aliases__ = declared  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=message):
        Wrong()
    del Wrong.__fastoutputs_aliases__  # type: ignore[attr-defined]
    assert Wrong(loss=1).loss == 1


def test_they_come_and_go_with_the_attribute(ours: Kind) -> None:
    base: Any = type("Base", (BASES[ours.name],), {})

    @dataclass
    class Mine(base):
        loss: Any = None
        cache: Any = None

    out, generated = Mine(loss=0, cache=1), Mine.__init__
    for _ in range(2):
        assert "past_key_values" not in out and not hasattr(out, "past_key_values")
        with pytest.raises(TypeError):
            Mine(past_key_values=1)
        base.__fastoutputs_aliases__ = OLD
        assert out["past_key_values"] == out.past_key_values == 1
        assert Mine(past_key_values=2).cache == 2 and _core.layout(Mine).compiled_init
        assert Mine.__init__ is not generated
        del base.__fastoutputs_aliases__
        assert "past_key_values" not in out
        assert not hasattr(out, "past_key_values") and Mine.__init__ is generated


def test_seal_again_reaches_outputs_that_are_only_read(ours: Kind) -> None:
    base: Any = type("Base", (BASES[ours.name],), {})

    @dataclass
    class Mine(base):
        cache: Any = None

    out = Mine(cache=1)
    base.__fastoutputs_aliases__ = OLD
    model_output.seal_again(base)
    assert out.past_key_values == 1
    del base.__fastoutputs_aliases__
    model_output.seal_again(base)
    assert not hasattr(out, "past_key_values")


def test_an_extra_key_that_is_there_already_stays_one(ours: Kind) -> None:
    base: Any = type("Base", (BASES[ours.name],), {})

    @dataclass
    class Mine(base):
        loss: Any = None
        cache: Any = None

    out = Mine(cache=1)
    out["past_key_values"] = 2
    base.__fastoutputs_aliases__ = OLD
    assert [out[key] for key in out] == [1, 2] and out["cache_params"] == 1
    out["past_key_values"] = 3
    assert dict(out) == {"cache": 1, "past_key_values": 3}


def test_it_is_known_as_ours() -> None:
    made = vars(KINDS[OURS[0]].Out)["past_key_values"]
    assert isinstance(made, property) and _core.is_alias_property(made)
    assert made is vars(KINDS[OURS[1]].Out)["past_key_values"], "shared by all classes"
    assert not _core.is_alias_property(property(made.fget)) and not _core.is_alias_property(3)


# --- generated methods ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["__init__", "__repr__", "__eq__"])
@pytest.mark.parametrize("is_used", [False, True])
def test_a_wrapper_of_the_users_is_called(ours: Kind, name: str, is_used: bool) -> None:
    @dataclass
    class Mine(ours.base):
        cache: Any = None

    if is_used:
        Mine(past_key_values=1)
    calls = []
    method = getattr(Mine, name)

    @functools.wraps(method)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        return method(self, *args, **kwargs)

    setattr(Mine, name, wrapper)
    out = Mine(1)
    assert out.cache == 1 and repr(out).endswith("(cache=1)") and out == Mine(1)
    assert set(calls) == {name}


# --- the notice -----------------------------------------------------------------------------------


def uses(out: Any, cls: Any) -> Iterator[Callable[[], Any]]:
    yield lambda: out.past_key_values
    yield lambda: out["past_key_values"]
    yield lambda: out.get("past_key_values")
    yield lambda: "past_key_values" in out
    yield lambda: setattr(out, "past_key_values", 2)
    yield lambda: out.__setitem__("past_key_values", 2)
    yield lambda: cls(past_key_values=1)
    yield lambda: cls({"past_key_values": 1})
    yield lambda: cls.__init__(cls(), past_key_values=1)


def test_the_notice_comes_with_each_use(ours: Kind) -> None:
    out = ours.Out(loss=0, cache=1)
    for use in uses(out, ours.Out):
        use()
        assert NOTICES.pop() == (ours.Out.__name__, "past_key_values", "cache") and not NOTICES


def test_no_notice_without_an_alias(ours: Kind) -> None:
    out = ours.Out(loss=0, cache=1)
    out.cache, out["cache"] = 2, 3
    assert (out.cache, out["cache"], out.get("cache"), "cache" in out) == (3, 3, 3, True)
    assert list(out.items()) and "past_key_values" not in out.keys() and out.get("other") is None
    assert copy.deepcopy(pickle.loads(pickle.dumps(out))) == out and repr(out) and vars(out)
    with pytest.raises(ValueError, match="cannot specify both"):
        ours.Out(cache=1, past_key_values=2)
    assert not NOTICES


def test_a_notice_that_raises_stops_the_use(ours: Kind) -> None:
    def refuse(cls: type, alias: str, name: str) -> None:
        raise DeprecationWarning(alias)

    base: Any = type("Base", (ours.base,), {"__fastoutputs_alias_used__": refuse}, aliases=OLD)

    @dataclass
    class Mine(base):
        loss: Any = None
        cache: Any = None

    out, value = Mine(loss=0, cache=1), object()
    held, held_value = sys.getrefcount(Mine), sys.getrefcount(value)
    for use in uses(out, Mine):
        with pytest.raises(DeprecationWarning, match="past_key_values"):
            use()
        assert list(out.items()) == [("loss", 0), ("cache", 1)]
    for fails in (
        lambda: setattr(out, "past_key_values", value),
        lambda: out.__setitem__("past_key_values", value),
        lambda: Mine(past_key_values=value),
    ):
        with pytest.raises(DeprecationWarning):
            fails()
    del use, fails
    gc.collect()
    assert sys.getrefcount(value) == held_value
    assert FREE_THREADED or sys.getrefcount(Mine) == held


def test_a_notice_may_change_anything(ours: Kind) -> None:
    base: Any = type("Base", (BASES[ours.name],), {}, aliases=OLD)

    @dataclass
    class Mine(base):
        loss: Any = None
        cache: Any = None

    def change(cls: type, alias: str, name: str) -> None:
        out.cache = object()
        del base.__fastoutputs_aliases__, base.__fastoutputs_alias_used__
        Mine(loss=1)  # seals it without
        gc.collect()

    out = Mine(loss=0)
    for position, _ in enumerate(uses(out, Mine)):
        base.__fastoutputs_aliases__, base.__fastoutputs_alias_used__ = dict(OLD), change
        Mine(loss=1)
        list(uses(out, Mine))[position]()
        assert list(out) == ["loss", "cache"] and "past_key_values" not in out


def test_a_notice_belongs_to_the_class_that_declares(ours: Kind) -> None:
    @dataclass
    class Mine(ours.Out, aliases={"states": "hidden_states"}):
        pass

    assert Mine(states=1).states == 1 and not NOTICES
    Mine.__fastoutputs_alias_used__ = 3  # type: ignore[attr-defined]
    with pytest.raises(
        TypeError, match=r"Mine\.__fastoutputs_alias_used__ must be callable, not 3"
    ):
        Mine()


# --- many, and together ---------------------------------------------------------------------------

names = st.sampled_from(["loss", "cache", "past_key_values", "cache_params", "hidden_states"])
steps = st.lists(
    st.tuples(st.sampled_from(["attribute", "key", "read", "views", "new"]), names, st.integers()),
    max_size=12,
)


def played(cls: Any, program: list[tuple[str, str, int]], rename: dict[str, str]) -> list[Any]:
    """What is seen on the way; by the names that rename gives."""
    out, seen = cls(loss=0), []
    for step, name, value in program:
        name = rename.get(name, name)
        if step == "attribute":
            setattr(out, name, value)
        elif step == "key":
            out[name] = value
        elif step == "new":
            out = cls(**{name: value})
        elif step == "read":
            seen.append((getattr(out, name), name in out, out.get(name, "none")))
        else:
            seen.append((sorted(out.items()), sorted(vars(out).items(), key=str), len(out)))
    return seen


@given(steps)
def test_by_aliases_and_by_names(program: list[tuple[str, str, int]]) -> None:
    for kind in KINDS.values():
        expected = played(kind.Out, program, OLD)
        assert played(kind.Out, program, {}) == expected
        assert expected == played(KINDS[OURS[0]].Out, program, OLD)


def test_nothing_is_kept(ours: Kind) -> None:
    cls = ours.Out
    value, out = object(), cls(loss=0)

    def once() -> None:
        out.cache = 1
        for use in uses(out, cls):
            use()
        out.past_key_values = value
        out["cache_params"] = value
        assert cls(past_key_values=value).past_key_values is value
        cls([("cache_params", value)])
        cls.__init__(out, past_key_values=value)
        out.cache = None
        NOTICES.clear()

    once()
    gc.collect()
    held, held_value, before = sys.getrefcount(cls), sys.getrefcount(value), len(gc.get_objects())
    for _ in range(100):
        once()
    gc.collect()
    assert sys.getrefcount(value) == held_value
    assert abs(len(gc.get_objects()) - before) < 20
    assert FREE_THREADED or sys.getrefcount(cls) == held


def test_a_class_with_aliases_dies(ours: Kind, forgettable_classes: None) -> None:
    import weakref

    def make() -> Any:
        @dataclass
        class Mine(BASES[ours.name], aliases={"old": "loss"}):
            loss: Any = None

            @staticmethod
            def __fastoutputs_alias_used__(cls: type, alias: str, name: str) -> None:
                assert Mine  # a cycle through the class layout

        assert Mine(old=1).old == 1
        return weakref.ref(Mine)

    made = make()
    gc.collect()
    assert made() is None


# --- the classes of fastoutputs.modeling_outputs --------------------------------------------------

STANDALONE = [
    cls
    for cls in map(vars(modeling_outputs).get, modeling_outputs.__all__)
    if {"past_key_values", "cache"} & {each.name for each in fields(cls)}
]


@pytest.mark.parametrize("cls", STANDALONE, ids=lambda cls: cls.__name__)
def test_standalone_classes_know_both_names(cls: Any) -> None:
    declared = {each.name for each in fields(cls)}
    name, other = (
        ("cache", "past_key_values") if "cache" in declared else ("past_key_values", "cache")
    )
    out = cls(**{other: 1})
    assert dict(out) == {name: 1} and vars(out)[name] == 1
    assert getattr(out, other) == out[other] == out.get(other) == 1 and other in out
    setattr(out, other, 2)
    out[other] += 1
    assert dict(out) == {name: 3} and other not in vars(out)
    assert _core.layout(cls).compiled_init
    with pytest.raises(ValueError, match=f"both `{name}` and `{other}`"):
        cls(cache=1, past_key_values=2)


def test_which_those_are() -> None:
    assert len(STANDALONE) == 23
    declared = [
        cls.__name__ for cls in STANDALONE if "cache" in {each.name for each in fields(cls)}
    ]
    assert all(name.startswith("Multimodal") for name in declared) and len(declared) == 4


def test_multimodal_outputs_as_tuples() -> None:
    image = modeling_outputs.BaseModelOutputWithPooling(1, pooler_output=2)
    out = modeling_outputs.MultimodalCausalLMOutputWithPast(logits=0, image_outputs=image)
    assert out.to_tuple() == out[:] == (0, (1, 2)) and out.image_outputs is image
    assert out.cache_params is None and out[1] == (1, 2)
    with pytest.raises(ValueError, match="has no fields"):
        modeling_outputs.MultimodalModelOutput()


# --- in a trace -----------------------------------------------------------------------------------


def _set_attribute(cls: Any, out: Any, x: Any) -> Any:
    out.past_key_values = x + 1
    return out.cache * 2, out["cache_params"] * 3


def _set_item(cls: Any, out: Any, x: Any) -> Any:
    out["past_key_values"] = x + 1
    return out.cache * 2, list(out)


def _set_none(cls: Any, out: Any, x: Any) -> Any:
    out.past_key_values = None
    return x + 1, list(out), "past_key_values" in out


def _make_and_set(cls: Any, out: Any, x: Any) -> Any:
    made = cls(loss=x)
    made.cache_params = x + 1
    return made, made.past_key_values * 2


def _make_by_hand(cls: Any, out: Any, x: Any) -> Any:
    made = cls(loss=x)
    cls.__init__(made, past_key_values=x + 1)
    return made


TRACED: dict[str, Callable[[Any, Any, Any], Any]] = {
    "attribute": lambda cls, out, x: out.past_key_values + x,
    "getattr": lambda cls, out, x: getattr(out, "past_key_values", None) + x,
    "key": lambda cls, out, x: out["past_key_values"] + x,
    "get": lambda cls, out, x: out.get("past_key_values") + out.get("none", x),
    "in": lambda cls, out, x: x + 1 if "cache_params" in out else x + 2,
    "keyword": lambda cls, out, x: cls(past_key_values=x + 1),
    "keyword and read": lambda cls, out, x: cls(x, cache_params=x + 1).past_key_values + 1,
    "mapping": lambda cls, out, x: cls({"past_key_values": x + 1}),
    "pairs": lambda cls, out, x: cls([("loss", x), ("cache_params", x + 1)]),
    "set attribute": _set_attribute,
    "set item": _set_item,
    "set to none": _set_none,
    "make and set": _make_and_set,
    "init": _make_by_hand,
}


def picture(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: picture(each) for key, each in value.items()}, picture(
            list(vars(value).values())
        )
    if isinstance(value, (list, tuple)):
        return [picture(each) for each in value]
    return value.tolist() if hasattr(value, "tolist") else value


@pytest.mark.needs_torch
@pytest.mark.parametrize("name", TRACED)
@pytest.mark.parametrize("is_new", [False, True], ids=["used before", "first used in the trace"])
def test_in_a_trace(ours: Kind, name: str, is_new: bool, forgettable_classes: None) -> None:
    import torch

    @dataclass
    class New(ours.base):
        loss: Any = None
        cache: Any = None

    cls: Any = New if is_new else ours.Out
    x, operation = torch.ones(2), TRACED[name]
    torch._dynamo.reset()
    compiled = torch.compile(operation, fullgraph=True, backend="eager")
    seen = []
    for run in (compiled, operation):
        NOTICES.clear()
        out = ours.Out(loss=x, cache=x + 10) if is_new else cls(loss=x, cache=x + 10)
        result = run(cls, out, x)
        seen.append((picture(result), picture(out), list(out)))
        assert bool(NOTICES) == (run is operation), "no notice in a trace"
    assert seen[0] == seen[1]
