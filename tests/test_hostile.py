"""Values and keys that raise, re-enter or mutate the container at the worst moment; tampering.

Nothing may crash, and what an operation leaves behind must be whole.
"""

from __future__ import annotations

import copy
import gc
import subprocess
import sys
import weakref
from dataclasses import dataclass, field, make_dataclass
from typing import Any

import pytest
from containers import Kind

from fastoutputs import ModelOutput


class Boom(Exception):
    pass


def boom(*args: Any) -> Any:
    raise Boom


def hostile(**methods: Any) -> Any:
    return type("Hostile", (), methods)()


def state(out: Any) -> tuple:
    return list(out.items()), len(out), list(dict.items(out)), [out[i] for i in range(len(out))]


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

    for operation in (lambda: out[Name("loss")], lambda: out.__setitem__(Name("new"), 1)):
        with pytest.raises(Boom):
            operation()
    assert state(out) == before and not hasattr(out, "new")


def test_a_str_subclass_names_the_same_field(ours: Kind) -> None:
    class Name(str):
        pass

    out = ours.Out(1)
    out[Name("logits")] = 2
    setattr(out, Name("attentions"), 3)
    assert out[Name("logits")] == 2 and Name("attentions") in out and out.to_tuple() == (1, 2, 3)
    assert [type(k) for k in out] == [str] * 3


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


@pytest.mark.parametrize("mirror", [True, False])
def test_a_deep_nest_is_dropped_without_recursion(mirror: bool) -> None:
    # In a process of its own: the failure would be a stack overflow.
    script = f"""
from dataclasses import dataclass
from typing import Any
from fastoutputs import ModelOutput
@dataclass
class Out(ModelOutput, mirror_dict={mirror}):
    a: Any = None
    b: Any = None
@dataclass
class Slotted(Out):
    __slots__ = ("c",)
for cls in (Out, Slotted):
    out = None
    for i in range(200_000):
        out = cls(i, (out,) if i % 3 else out)
    del out
print("done")
"""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", script], capture_output=True, text=True
    )
    assert done.stdout == "done\n", done.stderr


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
        dict.__new__(type("Bare", (ours.base,), {}))


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


def test_ten_thousand_classes_come_and_go() -> None:
    def make(i: int) -> weakref.ref:
        @dataclass
        class Out(ModelOutput):
            a: Any = None
            b: Any = None

        out = Out(i)
        out.b = Out
        return weakref.ref(Out)

    refs = [make(i) for i in range(300)]
    gc.collect()
    assert not any(ref() for ref in refs)
    if sys.platform == "linux":
        for _ in range(2):
            for i in range(2000):
                make(i)
            gc.collect()


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


def test_more_fields_than_the_compiled_constructor_binds(ours: Kind) -> None:
    fields = [(f"f{i}", Any, None) for i in range(300)]
    Wide = make_dataclass("Wide", fields, bases=(ours.base,))
    assert Wide(*range(300)).to_tuple() == tuple(range(300))
    assert Wide(f299=1).to_tuple() == (1,) and len(Wide(**{f"f{i}": i for i in range(300)})) == 300


def test_a_walk_over_extra_keys_while_fields_are_set_twice(ours: Kind) -> None:
    out, seen = ours.Out(1), []
    out["x"], out["y"] = 1, 2
    for k in out:
        seen.append(k)
        if k == "x":
            out.logits, out.hidden_states = 1, 2
    assert seen == ["loss", "x", "y"]


def test_merging_with_a_dict_whose_items_are_no_pairs(ours: Kind) -> None:
    class Odd(dict):
        def items(self) -> Any:
            return [1, 2]

    assert dict(ours.Out(1) | Odd(x=1)) == {"loss": 1, "x": 1}


def test_a_class_changed_while_it_is_compared_or_shown(ours: Kind) -> None:
    for operation in (
        repr,
        lambda o: o == type(o)(o.loss, 2),
        lambda o: hostile(__hash__=hash_of_loss) in o,
    ):

        @dataclass
        class Out(ours.base):
            loss: Any = None
            logits: Any = None

        @dataclass
        class Other(ours.base):
            loss: Any = None
            logits: Any = None

        out = Out(1, 2)

        def change(*args: Any, out: Any = out, cls: type = Other) -> Any:
            out.__class__ = cls
            gc.collect()
            return "changed"

        out.loss = hostile(__repr__=change, __eq__=change)
        del Out, Other, change
        operation(out)
        assert out.logits == 2


def hash_of_loss(self: Any) -> int:
    return hash("loss")


def test_patches_of_the_base_itself_take_effect() -> None:
    @dataclass
    class Out(ModelOutput):
        a: Any = None
        b: Any = None

    out, own = Out(1, 2), ModelOutput.to_tuple
    ModelOutput.to_tuple = lambda self: ("patched",)
    try:
        assert out[0] == "patched"
    finally:
        ModelOutput.to_tuple = own
    assert out[0] == 1
