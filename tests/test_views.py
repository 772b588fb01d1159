"""Attribute, tuple and dict views of one output."""

from __future__ import annotations

import collections.abc
from typing import Any

import pytest
from containers import Kind


class Index:
    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


def make(kind: Kind) -> Any:
    return kind.Out(logits="L", attentions=("a",))


def test_attributes(kind: Kind) -> None:
    out = make(kind)
    assert out.logits == "L" and out.loss is None
    with pytest.raises(AttributeError):
        out.nothing  # noqa: B018


def test_index(kind: Kind) -> None:
    out = make(kind)
    assert [out[i] for i in (0, 1, -1, -2, Index(1), True)] == [
        "L",
        ("a",),
        ("a",),
        "L",
        ("a",),
        ("a",),
    ]
    for wrong in (2, -3, 10**30, -(10**30)):
        with pytest.raises(IndexError):
            out[wrong]
    for wrong in (None, 1.0, ("logits",), object()):
        with pytest.raises(TypeError, match="tuple indices must be integers or slices, not"):
            out[wrong]


@pytest.mark.parametrize(
    "cut",
    [
        *(slice(None), slice(1), slice(1, None), slice(None, None, -1), slice(-1, 9), slice(5)),
        *(slice(7, 2), slice(1, 0), slice(-(10**30), 10**30), slice(0, 2, 2), slice(False, True)),
        *(slice(Index(1), None), slice(None, Index(1), Index(1))),
    ],
)
def test_slice(kind: Kind, cut: slice) -> None:
    out = make(kind)
    assert out[cut] == ("L", ("a",))[cut] and type(out[cut]) is tuple
    out["extra"] = 1
    assert out[cut] == ("L", ("a",), 1)[cut]


def test_key(kind: Kind) -> None:
    out = make(kind)
    assert out["logits"] == "L" and out["".join(["log", "its"])] == "L"
    for absent in ("loss", "nothing"):
        with pytest.raises(KeyError, match=absent):
            out[absent]
    assert out.get("loss") is None and out.get("loss", 7) == 7 and out.get("logits", 7) == "L"
    with pytest.raises(TypeError):
        out.get()


def test_membership_and_length(kind: Kind) -> None:
    out = make(kind)
    assert "logits" in out and "loss" not in out and 5 not in out and None not in out
    assert len(out) == 2 and bool(out) and not kind.Out()
    with pytest.raises(TypeError, match="unhashable"):
        [] in out  # noqa: B015


def test_iteration(kind: Kind) -> None:
    out = make(kind)
    assert list(out) == ["logits", "attentions"] and list(reversed(out)) == ["attentions", "logits"]
    first, second = out
    assert (first, second) == ("logits", "attentions")
    assert [*out.to_tuple()] == ["L", ("a",)] and dict(**out) == dict(out) == {**out}


def test_views_are_live_and_act_as_sets(kind: Kind) -> None:
    out = make(kind)
    keys, values, items = out.keys(), out.values(), out.items()
    kind.fill(out, "hidden_states", "h")
    assert set(keys) == {"logits", "hidden_states", "attentions"} and len(values) == 3
    assert ("hidden_states", "h") in items and "hidden_states" in keys and "h" in values
    assert keys & {"logits", "x"} == {"logits"} and {"logits"} - keys == set()
    assert keys | {"x"} == {"logits", "attentions", "hidden_states", "x"} and keys - {
        "logits"
    } == keys ^ {"logits"}
    assert (
        keys == {"logits", "attentions", "hidden_states"}
        and keys >= {"logits"}
        and not keys < {"logits"}
    )
    assert keys.isdisjoint(["x"]) and not keys.isdisjoint(["logits"])
    assert (
        items & [("logits", "L")] == {("logits", "L")}
        and ("logits", "no") not in items
        and 5 not in items
    )
    assert items == dict(out).items() and keys == dict(out).keys() and items != keys
    assert isinstance(keys, collections.abc.KeysView) and isinstance(
        values, collections.abc.ValuesView
    )
    assert isinstance(items, collections.abc.ItemsView) and keys.mapping == out
    for view in (keys, values, items):
        assert list(reversed(view)) == list(view)[::-1]
    with pytest.raises(TypeError):
        hash(keys)


def test_a_walk_survives_writes(ours: Kind) -> None:
    for value, left in ((None, []), (5, ["loss", "logits", "hidden_states"])):
        out = ours.Out(1, 2, 3)
        assert [(k, out.__setitem__(k, value)) for k in out] == [
            (k, None) for k in ("loss", "logits", "hidden_states")
        ]
        assert list(out) == left
        out = ours.Out(1, 2, 3)
        seen = []
        for k, v in out.items():
            seen.append((k, v))
            setattr(out, k, value)
        assert seen == [("loss", 1), ("logits", 2), ("hidden_states", 3)]


def test_a_walk_over_extra_keys_survives_writes_but_not_new_keys(ours: Kind) -> None:
    out = ours.Out(1, 2)
    out["x"], out["y"] = 3, 4
    seen = []
    for k in out:
        seen.append(k)
        out.loss = out.loss is None or None
        out["x"] = 5
    assert seen == ["loss", "logits", "x", "y"]
    with pytest.raises(RuntimeError, match="new key during iteration"):
        for k in out:
            out[k + "_"] = 1


def test_equality(kind: Kind) -> None:
    assert make(kind) == make(kind) and not (make(kind) != make(kind))
    assert make(kind) != kind.Out(logits="L") and kind.Out() == kind.Out()
    assert make(kind) == {"logits": "L", "attentions": ("a",)} and {"logits": "L"} == kind.Out(
        logits="L"
    )
    assert make(kind) != 5 and not make(kind) == kind.Extended(logits="L", attentions=("a",))
    with pytest.raises(TypeError):
        hash(make(kind))


def test_repr_is_the_dataclass_one(kind: Kind) -> None:
    out = make(kind)
    fields = "loss=None, logits='L', hidden_states=None, attentions=('a',)"
    assert repr(out) == f"Out_{kind.name}({fields})"
    out.loss = out
    assert "loss=..." in repr(out)


def test_dir_and_vars(kind: Kind) -> None:
    out = make(kind)
    out.plain = 1
    assert {"loss", "logits", "attentions", "plain", "to_tuple"} <= set(dir(out))
    assert vars(out) == {
        "loss": None,
        "logits": "L",
        "hidden_states": None,
        "attentions": ("a",),
        "plain": 1,
    }
    out.__dict__["other"] = 2
    assert out.other == 2 and "other" not in out
    out.__dict__.update(logits="M")
    assert out.logits == "M"


def test_patterns(kind: Kind) -> None:
    match make(kind):
        case {"logits": logits, **rest}:
            assert logits == "L" and rest == {"attentions": ("a",)}
        case _:
            raise AssertionError
    match make(kind):
        case {"loss": _}:
            raise AssertionError
        case kind.Out(loss=None, logits=logits):
            assert logits == "L"


def test_extra_keys_come_last(ours: Kind) -> None:
    out = ours.Out(logits=1)
    out["extra"] = 2
    out.loss = 3
    assert list(out.items()) == [("loss", 3), ("logits", 1), ("extra", 2)]
    assert out[2] == out[-1] == out.extra == 2 and out.to_tuple() == (3, 1, 2) and len(out) == 3
