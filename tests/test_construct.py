"""Calling a class: arguments, a mapping or pairs as the only first argument, and what is wrong."""

from __future__ import annotations

import collections
import types
from dataclasses import make_dataclass
from typing import Any

import pytest
from containers import Kind
from hypothesis import given
from hypothesis import strategies as st


def test_positional_keyword_and_mixed(kind: Kind) -> None:
    for out in (
        kind.Out(1, 2),
        kind.Out(loss=1, logits=2),
        kind.Out(1, logits=2),
        kind.Out(*(1,), **{"logits": 2}),
    ):
        assert out.to_tuple() == (1, 2) and list(out) == ["loss", "logits"]


FILLINGS = {
    "dict": lambda pairs: dict(pairs),
    "list": list,
    "tuple": tuple,
    "lists": lambda pairs: [list(pair) for pair in pairs],
    "generator": lambda pairs: (pair for pair in pairs),
    "items": lambda pairs: dict(pairs).items(),
    "ordered": collections.OrderedDict,
}


@pytest.mark.parametrize("form", FILLINGS)
def test_pairs_fill_the_fields(kind: Kind, form: str) -> None:
    fill = FILLINGS[form]
    out = kind.Out(fill([("loss", 1), ("logits", None), ("attentions", (2,))]))
    assert dict(out) == {"loss": 1, "attentions": (2,)} and out.logits is None
    with_extra = kind.Out(fill([("target_size", 9), ("logits", 3)]))
    assert with_extra.target_size == 9 and with_extra["target_size"] == 9
    assert with_extra.loss is None and set(with_extra) == {"logits", "target_size"}
    assert kind.Single(fill([("sequences", 4)])).to_tuple() == (4,)


def test_an_output_fills_another(kind: Kind) -> None:
    assert kind.Extended(kind.Out(1, 2)).to_tuple() == (1, 2)


@pytest.mark.parametrize(
    "value", ["L", (1, 2), [1, 2], {1, 2}, 1.5, object(), range(3), b"ab", (("a", 1, 2),), [(1, 2)]]
)
def test_any_other_value_is_the_first_field(kind: Kind, value: Any) -> None:
    assert kind.Out(value).loss is value
    assert kind.Out(loss=value)["loss"] is value


@pytest.mark.parametrize(
    "mapping", [types.MappingProxyType({"loss": 1}), collections.UserDict(loss=1)]
)
def test_a_mapping_that_is_no_dict_is_a_value(kind: Kind, mapping: Any) -> None:
    assert kind.Out(mapping).loss is mapping


@pytest.mark.parametrize("empty", [(), [], {}, "", set()])
def test_an_empty_iterable_as_the_only_value_is_nothing(kind: Kind, empty: Any) -> None:
    assert len(kind.Out(empty)) == 0
    assert kind.Out(None, empty)["logits"] == empty


def test_with_a_second_field_nothing_is_unpacked(kind: Kind) -> None:
    assert kind.Out({"logits": 3}, 2).loss == {"logits": 3}
    assert kind.Out(None, {"loss": 3}).logits == {"loss": 3}


def test_a_mixed_iterable_is_refused(kind: Kind) -> None:
    with pytest.raises(
        ValueError, match=r"Cannot set key/value for 3. It needs to be a tuple \(key, value\)\."
    ):
        kind.Out([("loss", 1), 3])


def test_an_iterable_that_raises_is_heard(kind: Kind) -> None:
    def pairs() -> Any:
        yield "loss", 1
        raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        kind.Out(pairs())


WRONG_CALLS = [
    lambda cls: cls(1, 2, 3, 4, 5),
    lambda cls: cls(1, loss=2),
    lambda cls: cls(nothing=1),
    lambda cls: cls(**{"é": 1}),
    lambda cls: cls(1, 2, 3, 4, 5, nothing=1),
    lambda cls: cls(loss=1, **{"loss": 2}),
    lambda cls: cls(**{1: 2}),
]


@pytest.mark.parametrize("number", range(len(WRONG_CALLS)))
def test_wrong_calls_raise_what_a_dataclass_raises(ours: Kind, number: int) -> None:
    call = WRONG_CALLS[number]
    fields = [
        ("loss", Any, None),
        ("logits", Any, None),
        ("hidden_states", Any, None),
        ("attentions", Any, None),
    ]
    plain = make_dataclass(ours.Out.__qualname__, fields)
    plain.__module__ = ours.Out.__module__
    with pytest.raises(Exception) as expected:
        call(plain)
    with pytest.raises(type(expected.value)) as caught:
        call(ours.Out)
    assert str(caught.value) == str(expected.value)


@given(
    given_fields=st.dictionaries(
        st.sampled_from(["loss", "logits", "hidden_states", "attentions"]),
        st.integers() | st.none(),
    )
)
def test_keywords_in_any_order_give_declared_order(given_fields: dict[str, Any]) -> None:
    from containers import KINDS

    for kind in KINDS.values():
        out = kind.Out(**given_fields)
        declared = ["loss", "logits", "hidden_states", "attentions"]
        assert list(out.items()) == [
            (k, given_fields[k]) for k in declared if given_fields.get(k) is not None
        ]


def test_a_keyword_that_is_a_str_subclass(kind: Kind) -> None:
    class Name(str):
        pass

    assert kind.Out(**{Name("logits"): 3}).logits == 3
    assert kind.Out([(Name("logits"), 3)])["logits"] == 3
