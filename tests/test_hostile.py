"""Values and keys that raise, re-enter or mutate the container at the worst moment; tampering.

Nothing may crash, and what an operation leaves behind must be whole.
"""

from __future__ import annotations

import copy
import gc
import pickle
import random
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, make_dataclass, replace
from textwrap import dedent
from typing import Any

import pytest
from containers import ORIGINAL_MAJOR, Kind

from fastoutputs import ModelOutput, slots_only


class Boom(Exception):
    pass


def boom(*args: Any) -> Any:
    raise Boom


def hostile(**methods: Any) -> Any:
    return type("Hostile", (), methods)()


def state(out: Any) -> tuple:
    by_index = [out[i] for i in range(len(out))]
    return list(out.items()), len(out), list(dict.items(out)), by_index, dict(vars(out))


def survives(script: str, *args: Any) -> None:
    """Run it in a process of its own, since the failure would be the end of the process."""
    prelude = """
        import copy, gc, pickle, sys
        from dataclasses import dataclass, field, make_dataclass
        from typing import Any
        from fastoutputs import ModelOutput, slots_only
    """
    command = [sys.executable, "-X", "faulthandler", "-c", dedent(prelude) + dedent(script), *args]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("done\n"), done.stdout + done.stderr


def whole(out: Any) -> None:
    items = list(out.items())
    assert len(out) == len(items) and out.to_tuple() == tuple(v for _, v in items)
    raw = list(dict.items(out))
    assert raw == items or not raw


@pytest.mark.parametrize("by_key", [True, False])
def test_a_replaced_value_whose_del_writes_to_the_output(ours: Kind, by_key: bool) -> None:
    out = ours.Out(1)

    def meddle(self: Any) -> None:
        out.loss, out.logits, out.hidden_states = None, "late", "late"

    out.logits = hostile(__del__=meddle)
    if by_key:
        out["logits"] = 5
    else:
        out.logits = 5
    gc.collect()
    assert (out.loss, out.logits, out.hidden_states) == (None, "late", "late")
    whole(out)


def test_an_index_that_empties_the_output(ours: Kind) -> None:
    out = ours.Out(1, 2, 3)

    def index(self: Any) -> int:
        out.loss = out.logits = out.hidden_states = None
        return 1

    with pytest.raises(IndexError):
        out[hostile(__index__=index)]
    out.loss = 1
    assert out[: hostile(__index__=index)] == (1,)  # as the original: the tuple comes first
    whole(out)
    with pytest.raises(Boom):
        out[hostile(__index__=boom)]


def test_an_equality_that_empties_the_output(ours: Kind) -> None:
    out, twin = ours.Out(1, 2, 3), ours.Out(1, 2, 3)

    def equal(self: Any, other: Any) -> bool:
        out.loss = out.logits = out.hidden_states = None
        twin.hidden_states = None
        gc.collect()
        return True

    out.logits = hostile(__eq__=equal)
    assert out == twin or out != twin
    whole(out)
    out.logits = hostile(__eq__=boom)
    for operation in (
        lambda: out == twin,
        lambda: out == {"logits": 1},
        lambda: out.items() == [("logits", 1)],
    ):
        try:
            operation()
        except Boom:
            pass
    whole(out)


def test_keys_with_hostile_hash_and_equality(ours: Kind) -> None:
    out = ours.Out(1, 2)
    before = state(out)
    for key in (hostile(__hash__=boom), hostile(__hash__=lambda s: hash("loss"), __eq__=boom)):
        for operation in (
            lambda: key in out,
            lambda: out.get(key),
            lambda: ("loss", 1) in out.items(),
        ):
            try:
                operation()
            except Boom:
                pass
    equal = hostile(__hash__=lambda s: hash("loss"), __eq__=lambda s, o: o == "loss")
    assert equal in out and out.get(equal) == 1
    assert state(out) == before

    class Name(str):
        __hash__ = boom

    assert out[Name("loss")] == 1 and Name("new") not in out
    out[Name("new")] = 3
    assert out.new == out["new"] == 3 and type(list(out)[-1]) is str


def test_a_str_subclass_names_the_same_field(ours: Kind) -> None:
    class Name(str):
        pass

    out = ours.Out(1)
    out[Name("logits")] = 2
    setattr(out, Name("attentions"), 3)
    assert out[Name("logits")] == 2 and Name("attentions") in out and out.to_tuple() == (1, 2, 3)
    assert [type(k) for k in out] == [str] * 3
    vars(out)[Name("loss")] = 4
    assert out.loss == out["loss"] == 4
    vars(out).update({Name("logits"): 5})
    out.__dict__ = {Name("attentions"): 6}
    assert out.to_tuple() == (4, 5, 6)
    with pytest.raises(TypeError):
        del vars(out)[Name("loss")]


def test_no_code_of_an_attribute_name_runs_while_it_is_set(ours: Kind) -> None:
    class Name(str):
        def __hash__(self) -> int:
            out.__dict__ = {}  # the dict that is being written to
            return str.__hash__(self)

    out = ours.Out(1)
    out.plain = 1
    setattr(out, Name("new"), 2)
    vars(out)[Name("more")] = 3
    assert (out.plain, out.new, out.more) == (1, 2, 3)
    assert {type(name) for name in vars(out)} == {str}


def test_a_first_field_that_meddles_while_it_is_unpacked(ours: Kind) -> None:
    seen = []

    def pairs() -> Any:
        yield "logits", 1
        for candidate in gc.get_referrers(seen):
            if isinstance(candidate, ModelOutput):
                candidate.loss = 5
        yield "attentions", seen
        gc.collect()

    assert set(ours.Out(pairs())) >= {"logits", "attentions"}
    for wrong in (hostile(__iter__=boom), hostile(__iter__=lambda s: iter(boom, 1))):
        with pytest.raises(Boom):
            ours.Out(wrong)
    assert ours.Out(first := hostile(__iter__=None)).loss is first
    assert ours.Out(first := hostile(__getitem__=lambda s, i: [][i])).loss is None and first


def test_a_factory_that_raises_or_looks_at_what_is_being_made(ours: Kind) -> None:
    @dataclass
    class Raising(ours.base):
        a: Any = None
        b: Any = field(default_factory=boom)

    with pytest.raises(Boom):
        Raising(1)
    assert Raising(1, 2).to_tuple() == (1, 2)

    @dataclass
    class Looking(ours.base):
        a: Any = None
        b: Any = field(
            default_factory=lambda: [len(o) for o in gc.get_objects() if type(o) is Looking]
        )

    assert type(Looking(1).b) is list


def test_contents_that_raise_in_repr(ours: Kind) -> None:
    out = ours.Out(hostile(__repr__=boom), 2)
    for operation in (
        repr,
        lambda o: repr(o.items()),
        lambda o: repr(o.keys() | o.keys()) and repr(o.values()),
    ):
        with pytest.raises(Boom):
            operation(out)
    assert "Hostile" in out.summary() and "Hostile" in out._repr_html_()


def test_an_output_in_itself(ours: Kind) -> None:
    out = ours.Out(1)
    out.logits = out
    assert "logits=..." in repr(out) and "..." in out.summary()
    assert copy.deepcopy(out).logits.logits.loss == 1
    with pytest.raises(RecursionError):
        assert out == ours.Out(1, ours.Out(1, out))
        raise RecursionError  # equal without a recursion: identity was enough
    out.logits = None
    assert out.to_tuple() == (1,)


LINKS = {
    "field": "cls(i, (out,) if i % 3 else out)",
    "extra": "cls({'extra': out})",
    "attribute": "set_plain(cls(i), out)",
    "keys": "cls(i, out.keys())",
    "iterator": "cls(i, iter(out.items()))",
    "vars": "cls(i, vars(out))",
}


@pytest.mark.parametrize("link", LINKS)
def test_a_deep_nest_is_dropped_without_recursion(link: str) -> None:
    survives(
        """
        def classes(mirror):
            @dataclass
            class Out(ModelOutput, mirror_dict=mirror):
                a: Any = None
                b: Any = None
            @dataclass
            class Slotted(Out):
                __slots__ = ("c",)
            @dataclass
            class Finalized(Out):
                def __del__(self): pass
            return Out, Slotted, Finalized
        def set_plain(out, value):
            out.plain = value
            return out
        for cls in (*classes(True), *classes(False)):
            out = cls(0)
            for i in range(60_000):
                out = LINK
            del out
        print("done")
        """.replace("LINK", LINKS[link])
    )


# On 3.15 a repr goes deeper before it is refused, and this takes over a minute.
long_on_new = pytest.mark.slow if sys.version_info >= (3, 15) else lambda test: test


@long_on_new
def test_a_deep_nest_is_too_deep_to_repr_or_compare() -> None:
    survives("""
        @dataclass
        class Out(ModelOutput):
            a: Any = None
            b: Any = None
        def nest():
            out = Out(1)
            for _ in range(50_000):
                out = Out(b=out)
            return out
        left, right = nest(), nest()
        # Where there is no GIL, the memory of the strings that such a repr makes is not used again: of any repr.
        deep_repr = (lambda: repr(left)) if getattr(sys, "_is_gil_enabled", lambda: True)() else (lambda: None)
        for operation in (
            deep_repr, lambda: left == right, lambda: left != right, lambda: left.summary(),
            lambda: pickle.dumps(left), lambda: copy.deepcopy(left), lambda: left == {"b": right},
        ):
            try:
                operation()
            except RecursionError:
                pass
        assert copy.copy(left).b is left.b and left.to_tuple() == (left.b,)
        print("done")
    """)


def test_tampering_with_the_raw_dict_never_touches_the_fields(ours: Kind) -> None:
    for tamper in (
        lambda o: dict.clear(o),
        lambda o: dict.__setitem__(o, "loss", 9),
        lambda o: dict.__setitem__(o, "x", 9),
        lambda o: dict.__init__(o, {"a": 1}),
        lambda o: dict.pop(o, "loss", None),
        lambda o: dict.popitem(o) if dict.__len__(o) else None,
        lambda o: dict.update(o, zip("abcdefghij", range(10))),
    ):
        out = ours.Out(1, 2)
        tamper(out)
        assert (out.loss, out.logits, out["loss"], out["logits"]) == (1, 2, 1, 2)
        for operation in (
            repr,
            list,
            len,
            dict,
            copy.copy,
            lambda o: o.to_tuple(),
            lambda o: list(o.items()),
        ):
            operation(out)
        out.loss = None
        out.attentions = 3
        out.loss = 4
        out["extra"] = 5
        assert (out.loss, out.attentions, out["extra"]) == (4, 3, 5)


def test_instances_made_without_init(ours: Kind) -> None:
    for make in (
        lambda: ours.Out.__new__(ours.Out),
        lambda: dict.__new__(ours.Out),
        lambda: ours.Out.__new__(ours.Out, 1),
    ):
        out = make()
        assert len(out) == 0 and out.loss is None
        out.logits = 1
        whole(out)
    with pytest.raises(TypeError):
        object.__new__(ours.Out)
    with pytest.raises(TypeError):
        dict.__new__(type("Bare", (ours.base,), {})).a = 1


def test_methods_and_descriptors_on_foreign_objects(ours: Kind) -> None:
    out = ours.Out(1)
    frozen = ours.Frozen(1)
    for foreign in ({}, 5, ours.Single(1)):
        for name in (
            "to_tuple",
            "keys",
            "get",
            "__setattr__",
            "__reduce__",
            "__post_init__",
            "copy",
        ):
            if not isinstance(foreign, ModelOutput):
                with pytest.raises(TypeError):
                    getattr(ModelOutput, name)(foreign, "x")
        for descriptor in (vars(type(out))["hidden_states"], vars(type(frozen))["attentions"]):
            with pytest.raises((TypeError, AttributeError)):
                descriptor.__get__(foreign, type(foreign))
            with pytest.raises((TypeError, AttributeError)):
                descriptor.__set__(foreign, 1)
    with pytest.raises(AttributeError):
        vars(type(out))["loss"].__set__(out, 2)
    assert out.to_tuple() == (1,)


def test_class_assignment(ours: Kind) -> None:
    class Same(ours.Out):
        def shout(self) -> str:
            return "!"

    out = ours.Out(1, 2)
    out.__class__ = Same
    assert out.shout() == "!" and type(out) is Same and out.to_tuple() == (1, 2)
    for other in (ours.Extended, ours.Single, ours.Frozen, ModelOutput, dict, int, 5):
        with pytest.raises(TypeError, match="__class__"):
            out.__class__ = other
    with pytest.raises(TypeError):
        del out.__class__
    assert out.shout() == "!"


@pytest.mark.parametrize("sealed", [True, False])
def test_no_way_round_the_guard_reaches_past_the_row(ours: Kind, sealed: bool) -> None:
    Small = make_dataclass("Small", [("a", Any, None), ("b", Any, None)], bases=(ours.base,))
    Large = make_dataclass("Large", [(name, Any, None) for name in "abcde"], bases=(ours.base,))
    Sub = type("Sub", (Small,), {})
    sub, small = Sub(1, 2), Small(1, 2)
    if sealed:
        Large(1)
        with pytest.raises(TypeError, match="__bases__ assignment"):
            Sub.__bases__ = (Large,)
    with pytest.raises(TypeError, match="__class__ assignment"):
        object.__dict__["__class__"].__set__(small, Large)
    assert type(small) is Small and small.to_tuple() == sub.to_tuple() == (1, 2)
    Sub.__bases__ = (Small, object)
    assert sub.b == 2


def test_a_class_that_gets_a_setattr_later(ours: Kind) -> None:
    @dataclass
    class Out(ours.base):
        a: Any = None
        b: Any = None

    out, calls = Out(1), []

    def setattr_(self: Any, name: str, value: Any) -> None:
        calls.append(name)
        ours.base.__setattr__(self, name, value)

    Out.__setattr__ = setattr_
    out.b = 2
    late = Out(3, b=4)
    late.a = 5
    assert calls == ["b", "a", "b", "a"] and out.to_tuple() == (1, 2) and late.to_tuple() == (5, 4)
    whole(out), whole(late)
    del Out.__setattr__
    late.b = None
    assert calls == ["b", "a", "b", "a"] and late.to_tuple() == (5,)


def test_descriptors_deleted_or_replaced(ours: Kind) -> None:
    @dataclass
    class Out(ours.base):
        a: Any = None
        b: Any = None

    out = Out(1, 2)
    del Out.a
    assert out["a"] == 1 and Out(3).a == 3
    Out.b = property(lambda self: "mine")
    assert out.b == "mine" and out["b"] == 2
    whole(out)


def test_fields_that_shadow_methods_and_odd_names(ours: Kind) -> None:
    @dataclass
    class Out(ours.base):
        keys: Any = None
        items: Any = None
        get: Any = None
        é: Any = None
        _private: Any = None
        __mangled: Any = None

    out = Out(1, items=2, é=3, _private=4)
    assert (out.keys, out.items, out.é, out[0], out["items"], len(out)) == (1, 2, 3, 1, 2, 4)
    assert out[:] == (1, 2, 3, 4) and list(out) == ["keys", "items", "é", "_private"]
    whole_dict = {k: out[k] for k in out}
    assert whole_dict == {"keys": 1, "items": 2, "é": 3, "_private": 4}


def test_contents_are_carried_and_never_asked(ours: Kind) -> None:
    asked = ("bool", "eq", "hash", "len", "index", "iter", "getitem", "contains", "repr", "int")
    value = hostile(**{f"__{name}__": boom for name in asked})
    out = ours.Out(0, value, attentions=value)
    out["logits"] = out["extra"] = out.hidden_states = value
    for view in (
        out.to_tuple()[1:],
        out[1:],
        tuple(out.values())[1:],
        tuple(v for _, v in out.items())[1:],
        tuple(dict(out).values())[1:],
        tuple(copy.copy(out).values())[1:],
        (*replace(out, loss=1).to_tuple()[1:], value),
        tuple((out | {}).values())[1:],
        (out[1], out.logits, out["logits"], out.get("logits")),
    ):
        assert len(view) == 4 and all(each is value for each in view)
    assert "logits" in out and len(out) == 5
    out.logits = out["extra"] = None
    assert len(out) == 4


@pytest.mark.parametrize("number", [2**31, 2**63, 2**64, 10**30])
def test_a_huge_index(ours: Kind, number: int) -> None:
    out = ours.Out(1, 2)
    for index in (number, -number, -number - 1, number - 1):
        with pytest.raises(IndexError):
            out[index]
    assert out[-number:number] == out[::-1][::-1] == (1, 2) and out[number:] == ()
    with pytest.raises(ValueError):
        out[::0]
    for wrong in (1.0, None, object(), b"loss", (0,)):
        with pytest.raises(TypeError):
            out[wrong]


def test_a_weakref_callback_that_writes(ours: Kind) -> None:
    out = ours.Out(1, Value := hostile())

    def meddle(ref: Any) -> None:
        out.loss, out.hidden_states = None, "late"

    ref = weakref.ref(Value, meddle)
    del Value
    out.logits = 2
    assert ref() is None and out.to_tuple() == (2, "late")
    whole(out)


def test_values_that_write_while_they_are_copied(ours: Kind) -> None:
    out = ours.Out(1, 2, attentions=3)

    def meddle(self: Any, *args: Any) -> Any:
        out.loss = out.hidden_states = None
        out.logits = "late"
        out["extra"] = 5
        return (int, ())

    for method, operation in {
        "__deepcopy__": copy.deepcopy,
        "__reduce_ex__": lambda o: pickle.loads(pickle.dumps(o)),
    }.items():
        out.loss, out.hidden_states = hostile(**{method: meddle}), 4
        twin = operation(out)
        assert out.logits == "late" and len(out) == 3
        whole(out), whole(twin)


def test_an_error_while_values_are_copied(ours: Kind) -> None:
    out = ours.Out(1, hostile(__deepcopy__=boom, __reduce_ex__=boom))
    out["extra"] = 2
    before = state(out)
    for operation in (copy.deepcopy, pickle.dumps):
        with pytest.raises(Boom):
            operation(out)
        assert state(out) == before


def test_an_iterator_outlives_its_output(ours: Kind) -> None:
    walks = [iter(ours.Out(1, 2)), iter(ours.Out(1, 2).items()), iter(ours.Out(1, 2).values())]
    views = [ours.Out(1, 2).keys(), ours.Out(1, 2).items()]
    gc.collect()
    assert [list(walk) for walk in walks] == [
        ["loss", "logits"],
        [("loss", 1), ("logits", 2)],
        [1, 2],
    ]
    assert [len(view) for view in views] == [2, 2]
    for walk in walks:
        assert list(walk) == []


def test_a_walk_over_extra_keys_gives_each_once_whatever_is_set(ours: Kind) -> None:
    fresh = {"loss": 1, "x": 1, "y": 2}
    for writes in (
        [("logits", 1), ("attentions", 2)],
        [("loss", None), ("loss", 2)],
        [("loss", None), ("loss", 2), ("logits", 3)],
        [("logits", 1), ("logits", None), ("attentions", 3), ("logits", 1), ("loss", None)],
    ):
        for at in fresh:
            out, seen = ours.Out(fresh), []
            for key in out:
                seen.append(key)
                if key == at and seen.count(at) == 1:
                    for name, value in writes:
                        out[name] = value
            assert [key for key in seen if key in fresh] == list(fresh), (writes, at)


@pytest.mark.parametrize("count", [256, 257, 300, 2000])
def test_more_fields_than_the_compiled_constructor_binds(ours: Kind, count: int) -> None:
    names, values = [f"f{i}" for i in range(count)], tuple(range(count))
    Wide = make_dataclass("Wide", [(name, Any, None) for name in names], bases=(ours.base,))
    for out in (
        Wide(*values),
        Wide(*values[:-1], **{names[-1]: values[-1]}),
        Wide(**dict(reversed([*zip(names, values)]))),
    ):
        assert out.to_tuple() == values and dict(out) == dict(zip(names, values))
        assert getattr(out, names[-1]) == out[-1] == values[-1]
        whole(out)
    assert Wide(**{names[-1]: 1}).to_tuple() == (1,)
    for wrong in (lambda: Wide(*values, 1), lambda: Wide(*values, f0=1), lambda: Wide(1, f0=1)):
        with pytest.raises(TypeError):
            wrong()


MOMENTS = {
    "__repr__": "repr(out)",
    "__eq__": "out == new(Hostile(), 2, 3)",
    "__ne__ __eq__": "out != new(Hostile(), 2, 3)",
    "__deepcopy__": "copy.deepcopy(out)",
    "__del__": "setattr(out, 'a', None)",
    "__index__": "out[out.a]",
    "__eq__ in": "Key() in out",
    "__eq__ get": "out.get(Key())",
    "__eq__ item": "('a', Key()) in out.items()",
    "__iter__": "new({'a': 1}.items() and out.a)",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_class_that_goes_away_in_the_middle(moment: str) -> None:
    """The values move each output to another class, and the one it was made by is collected."""
    survives(
        """
        def new_class():
            return make_dataclass("Out", [(n, Any, None) for n in "abcdefgh"], bases=(ModelOutput,))
        def new(*values):
            with slots_only(mode == "slots only"):
                made.append(classes[0](*values))
            return made[-1]
        def meddle(self, *args):
            for out in made:
                out.__class__ = stays
            classes.clear()
            gc.collect()
            rubbish = [bytes(n) for n in range(64, 1024, 8) for _ in range(8)]
            rubbish += [new_class()(1) for _ in range(4)]
            return iter(()) if "__iter__" in METHODS else "repr" if "__repr__" in METHODS else 1
        METHODS = sys.argv[1].split()
        Hostile = type("Hostile", (), {name: meddle for name in METHODS if name[0] == "_"})
        Key = type("Key", (), {"__eq__": meddle, "__hash__": lambda self: hash("a")})
        stays = new_class()
        stays(1)
        for mode in ("in step", "slots only"):
            classes, made = [new_class()], []
            out = new(1 if "Key" in sys.argv[2] else Hostile(), 2, 3)
            eval(sys.argv[2])
            assert type(out) is stays and out.b == 2 and out["c"] == 3 and list(out)[-2:] == ["b", "c"]
        print("done")
        """,
        moment,
        MOMENTS[moment],
    )


@pytest.mark.parametrize("operation", ["vars(out)", "vars(out).pop(name)", "copy.copy(out)"])
def test_attribute_names_that_replace_the_attributes(operation: str) -> None:
    survives(
        """
        @dataclass
        class Out(ModelOutput):
            a: Any = None
            b: Any = None
        class Name(str):
            armed = False
            __hash__ = lambda self: hash("a")
            def __eq__(self, other):
                if Name.armed:
                    out.__dict__ = {}
                    rubbish = [{i: i for i in range(n)} for n in range(20)]
                return self is other
        for count in range(12):
            Name.armed, out, name = False, Out(1), Name("x")
            held = vars(out)
            for i in range(count):
                vars(out)[f"plain{i}"] = i
            vars(out)[name] = 1
            Name.armed = True
            try:
                OPERATION
            except (RuntimeError, KeyError):
                pass
            Name.armed = False
            assert out.to_tuple() == (1,)
        print("done")
        """.replace("OPERATION", operation)
    )


class Unstable(str):
    """A key that hashes a few times, and then no more."""

    left = 0

    def __hash__(self) -> int:
        Unstable.left -= 1
        if Unstable.left < 0:
            raise Boom
        return str.__hash__(self)


WRITES = {
    "key": lambda out, key: out.__setitem__(key, 5),
    "vars": lambda out, key: vars(out).__setitem__(key, 5),
    "all vars": lambda out, key: setattr(out, "__dict__", {"loss": 9, key: 9}),
    "state": lambda out, key: out.__setstate__({"loss": 9, key: 5}),
    "get": lambda out, key: out.get(key),
    "in": lambda out, key: key in out.keys(),
}


@pytest.mark.parametrize("how", WRITES)
@pytest.mark.parametrize("extra", [True, False])
def test_a_key_that_stops_hashing_leaves_nothing_behind(ours: Kind, how: str, extra: bool) -> None:
    for times in range(12):
        out = ours.Out(1, 2)
        out.plain = 3
        if extra:
            out["extra"] = 4
        before = state(out)
        Unstable.left = times
        try:
            WRITES[how](out, Unstable("new"))
        except Boom:
            Unstable.left = 99
            assert state(out) == before, times
        Unstable.left = 99
        whole(out)


@pytest.mark.parametrize(
    "wrong",
    [({"loss": 9}, {5: 1}, {}), ({"loss": 9, 5: 1}, {}, {}), ({"loss": 9}, {"x": 1, 5: 1}, {})],
)
def test_a_wrong_state_is_refused_whole(ours: Kind, wrong: tuple) -> None:
    out = ours.Out(1, 2)
    before = state(out)
    with pytest.raises(TypeError):
        out.__setstate__(wrong)
    assert state(out) == before


def test_a_factory_that_writes_to_what_is_being_made(ours: Kind) -> None:
    def find_and_write() -> str:
        for out in gc.get_objects():
            if type(out) is Out:
                out.c = "early"
        return "made"

    @dataclass
    class Out(ours.base):
        a: Any = field(default_factory=find_and_write)
        b: Any = field(default_factory=find_and_write)
        c: Any = None

    out = Out()
    assert (out.a, out.b) == ("made", "made")
    whole(out)


@pytest.mark.parametrize("pairs", [[1, 2], ["xy"], [()], [("a",)], [("a", 1, 2)], [None], "ab", 5])
def test_an_own_items_that_gives_no_pairs(ours: Kind, pairs: Any) -> None:
    class Wrong(dict):
        def items(self) -> Any:
            return pairs

    @dataclass
    class WrongOut(ours.Single):
        loss: Any = None

        def items(self) -> Any:
            return pairs

    assert dict(ours.Out(1) | Wrong(x=1)) == {"loss": 1, "x": 1}
    for wrong in (Wrong(x=1), WrongOut(1, 2)):
        for operation in (
            lambda: ours.Out(1) | wrong,
            lambda: wrong | ours.Out(1),
            lambda: ours.Out(1) == wrong,
            lambda: wrong != ours.Out(1),
            lambda: ours.Out(wrong),
            lambda: ours.base(wrong),
            lambda: ModelOutput.__repr__(wrong),
        ):
            try:
                operation()
            except (TypeError, ValueError, KeyError):
                pass


def test_fields_named_like_methods_do_not_break_comparison(kind: Kind) -> None:
    if kind.is_original and ORIGINAL_MAJOR == 4:
        pytest.skip("the original of transformers 4 calls self.keys() to set an attribute")

    @dataclass
    class Out(kind.base):
        keys: Any = None
        items: Any = None

    out, twin = Out(1, 2), Out(1, 2)
    assert out == twin and not out != twin and out != Out(1, 3)
    assert out != {} and {} != out and not out == {}


def test_super_reads_the_field_of_that_name(ours: Kind) -> None:
    @dataclass
    class First(ours.base):
        a: Any = None
        b: Any = None

    First(1)  # used, so that it has descriptors

    @dataclass
    class Slotted(First):
        __slots__ = ("mine",)

        def by_super(self) -> tuple:
            return super().a, super().b

    out = Slotted(1, 2)
    out.mine = "mine"
    assert out.by_super() == (1, 2) and out.mine == "mine"


@pytest.mark.parametrize(
    "patch", ["to_tuple", "__post_init__", "__setattr__", "__setitem__", "keys"]
)
def test_a_patch_of_the_root_class_takes_effect(
    kind: Kind, patch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, called = kind.base.__mro__[-4 if kind.is_original else -3], []

    @dataclass
    class Out(kind.base):
        a: Any = None
        b: Any = None

    Out(1, 2)[0]
    original = getattr(root, patch)

    def patched(self: Any, *args: Any) -> Any:
        called.append(patch)
        return original(self, *args)

    monkeypatch.setattr(root, patch, patched)
    out = Out(1, 2)
    out.a = 3
    out["b"] = 4
    assert out[:] == (3, 4) and called
    monkeypatch.undo()
    called.clear()
    assert Out(1, 2)[:] == (1, 2) and not called


def test_the_hidden_types_cannot_be_made_by_hand(ours: Kind) -> None:
    out, frozen = ours.Out(1), ours.Frozen(1)
    hidden = [out.keys(), out.values(), out.items(), iter(out), vars(ours.Frozen)["logits"]]
    hidden += [each for each in gc.get_referents(ours.Out) if "layout" in type(each).__name__]
    assert len(hidden) == 6 and frozen.logits == 1
    for cls in map(type, hidden):
        for make in (cls, lambda: cls.__new__(cls), lambda: object.__new__(cls)):
            with pytest.raises(TypeError):
                make()
        with pytest.raises(TypeError):
            type("Sub", (cls,), {})
    for each in hidden:
        if each is vars(ours.Frozen)["logits"]:
            assert copy.copy(each) is None, "the default that it stands for"
            continue
        with pytest.raises(TypeError):
            copy.copy(each)


def test_an_attribute_dict_belongs_to_an_output(ours: Kind) -> None:
    attributes = vars(ours.Out(1))
    cls = type(attributes)
    for make in (
        cls,
        lambda: cls.__new__(cls),
        lambda: dict.__new__(cls),
        lambda: cls.fromkeys("a"),
    ):
        with pytest.raises(TypeError):
            make()
    with pytest.raises(TypeError):
        type("Sub", (cls,), {})
    attributes["loss"] = 2  # it has outlived its only name, not its output
    assert type(copy.copy(attributes)) is dict and copy.copy(attributes)["loss"] == 2


def test_preparing_a_class_again(ours: Kind) -> None:
    @dataclass
    class Out(ours.base):
        a: Any = None
        b: Any = None

    out = Out(1, 2)
    for cls in (Out, ours.base, ModelOutput):
        cls.__init_subclass__()
        with pytest.raises(TypeError):
            cls.__init_subclass__(mirror_dict="no")
        with pytest.raises(TypeError):
            cls.__init_subclass__(5)
    assert Out(1, 2) == out and ModelOutput({"a": 1}).a == 1
    whole(out), whole(Out(1))
    for cls in (Out, type("Unused", (Out,), {})):
        with pytest.raises(TypeError, match="__class__ assignment"):
            object.__dict__["__class__"].__set__(ModelOutput({"a": 1}), cls)


@pytest.fixture
def eager_collector() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Runs a function at every allocation that may collect: before 3.12, in the middle of anything."""
    before, hooked = gc.get_threshold(), []

    def start(function: Callable[[], None]) -> None:
        hooked.append(lambda phase, info: function())
        gc.callbacks.extend(hooked)
        gc.set_threshold(1, 1, 1)

    yield start
    gc.set_threshold(*before)
    for hook in hooked:
        gc.callbacks.remove(hook)


OPERATIONS = {
    "to_tuple": lambda cls, o: o.to_tuple(),
    "slice": lambda cls, o: o[::-1],
    "items": lambda cls, o: list(o.items()),
    "reversed": lambda cls, o: list(reversed(o)),
    "views": lambda cls, o: (o.keys() | {1}, o.keys() == {"loss"}, repr(o.items())),
    "copy": lambda cls, o: o.copy(),
    "deepcopy": lambda cls, o: copy.deepcopy(o),
    "pickle": lambda cls, o: pickle.loads(pickle.dumps(o)),
    "replace": lambda cls, o: replace(o, loss=7),
    "merge": lambda cls, o: o | {"loss": 7, "more": 8},
    "make": lambda cls, o: cls(1, attentions=2),
    "from dict": lambda cls, o: cls({"logits": 1, "new": 2}),
    "from pairs": lambda cls, o: cls((k, 1) for k in ("attentions", "loss", "new")),
    "dict": lambda cls, o: (dict(o), {**o}),
    "vars": lambda cls, o: vars(o).update(plain=1, hidden_states=2),
    "all vars": lambda cls, o: setattr(o, "__dict__", {"loss": 5, "plain": 6}),
    "state": lambda cls, o: o.__setstate__({"loss": 5, "plain": 7}),
    "compare": lambda cls, o: (o == cls(1), o != cls(1), o == {"loss": 1}),
    "repr": lambda cls, o: (repr(o), ModelOutput.__repr__(o)),
    "set": lambda cls, o: setattr(o, "logits", 5),
    "set none": lambda cls, o: setattr(o, "loss", None),
    "set first": lambda cls, o: o.__setitem__("loss", 5),
    "set extra": lambda cls, o: o.__setitem__("more", 5),
    "set plain": lambda cls, o: setattr(o, "plain", 5),
    "class": lambda cls, o: setattr(o, "__class__", cls),
    "again": lambda cls, o: o.__init__(1, attentions=3),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_code_that_the_collector_runs_may_write(
    ours: Kind, name: str, eager_collector: Callable
) -> None:
    chance, outs, busy = random.Random(0), [], []

    def meddle() -> None:
        if busy:
            return
        busy.append(1)
        for out in outs:
            key, value = (
                chance.choice(["loss", "logits", "attentions", "extra"]),
                chance.choice([1, None]),
            )
            if value or key != "extra":
                out[key] = value
        busy.clear()

    eager_collector(meddle)
    for _ in range(100):
        with slots_only(chance.random() < 0.3):
            outs[:] = [ours.Out(1, 2), ours.Out(attentions=1)]
        if chance.random() < 0.3:
            outs[0]["extra"] = 1
        try:
            made = OPERATIONS[name](ours.Out, outs[0])
        except RuntimeError as error:
            assert "during iteration" in str(error)
        outs += [made] if isinstance(made, ours.Out) else []
        checked = outs[:]
        outs.clear()
        for out in checked:
            whole(out)
