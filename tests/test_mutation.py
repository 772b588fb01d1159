"""Setting, taking out, and what is refused; a refused operation leaves everything as it was."""

from __future__ import annotations

from typing import Any

import pytest
from containers import ORIGINAL_MAJOR, Kind

from fastoutputs import OutputMutationError


def state(out: Any) -> tuple:
    return list(out.items()), out.to_tuple(), dict(vars(out)), list(dict.items(out))


@pytest.mark.parametrize("by_key", [True, False])
def test_a_set_field_is_seen_in_all_views(kind: Kind, by_key: bool) -> None:
    out = kind.Out(1)
    if by_key:
        out["logits"] = 2
    else:
        out.logits = 2
    assert out.logits == vars(out)["logits"] == 2
    if kind.is_original and ORIGINAL_MAJOR == 4 and not by_key:
        assert list(out) == ["loss"] and out.to_tuple() == (1,)
    else:
        assert out["logits"] == out[1] == 2 and list(out) == ["loss", "logits"]


@pytest.mark.parametrize("by_key", [True, False])
def test_none_takes_a_field_out_of_the_views(ours: Kind, by_key: bool) -> None:
    out = ours.Out(1, 2)
    if by_key:
        out["loss"] = None
    else:
        out.loss = None
    assert out.loss is None and "loss" not in out and out.to_tuple() == (2,) and len(out) == 1
    out.loss = 3
    assert list(out.items()) == [("loss", 3), ("logits", 2)]


def test_an_empty_tuple_is_present(kind: Kind) -> None:
    assert kind.Out(1, attentions=()).to_tuple() == (1, ())


def test_a_new_key_is_a_key_and_an_attribute(kind: Kind) -> None:
    out = kind.Out(1)
    out["target_size"] = (2, 3)
    assert out.target_size == out["target_size"] == out[-1] == (2, 3) and list(out) == [
        "loss",
        "target_size",
    ]


def test_a_new_attribute_is_an_attribute_only(kind: Kind) -> None:
    out = kind.Out(1)
    out.note = "n"
    assert out.note == "n" and "note" not in out and out.to_tuple() == (1,)
    del out.note
    assert not hasattr(out, "note")


REFUSED = {
    "__delitem__": lambda out: out.__delitem__("loss"),
    "del": lambda out: exec("del out['loss']", {"out": out}),
    "pop": lambda out: out.pop("loss"),
    "pop with default": lambda out: out.pop("nothing", None),
    "popitem": lambda out: out.popitem(),
    "clear": lambda out: out.clear(),
    "update": lambda out: out.update({"loss": 2}),
    "update by keyword": lambda out: out.update(loss=2),
    "setdefault": lambda out: out.setdefault("attentions", 2),
    "|=": lambda out: exec("out |= {'loss': 2}", {"out": out}),
    "delattr": lambda out: delattr(out, "loss"),
    "vars": lambda out: out.__dict__.pop("loss"),
    "vars popitem": lambda out: out.__dict__.popitem(),
    "vars clear": lambda out: out.__dict__.clear(),
}


@pytest.mark.parametrize("extra", [True, False])
@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_remedy(ours: Kind, name: str, extra: bool) -> None:
    out = ours.Out(1, 2)
    if extra:
        out["extra"] = 3
    before = state(out)
    with pytest.raises(OutputMutationError, match=r"Out\b.*(set|dict\(output\))") as caught:
        REFUSED[name](out)
    assert isinstance(caught.value, TypeError)
    assert state(out) == before


def test_a_key_that_is_no_string_is_refused_whole(ours: Kind) -> None:
    out = ours.Out(1)
    before = state(out)
    for key in (5, None, ("loss",), b"loss"):
        with pytest.raises(TypeError, match="attribute name must be string, not"):
            out[key] = 2
    assert state(out) == before


@pytest.mark.parametrize(("name", "value"), [("__dict__", 5), ("__class__", dict)])
def test_a_dict_or_class_that_does_not_fit_is_refused_whole(
    ours: Kind, name: str, value: Any
) -> None:
    out = ours.Out(1, attentions=2)
    before = state(out)
    with pytest.raises(TypeError):
        setattr(out, name, value)
    assert state(out) == before


def test_a_key_that_the_class_refuses_as_an_attribute_is_refused_whole(ours: Kind) -> None:
    class ReadOnly(ours.Out):
        @property
        def size(self) -> int:
            return 4

    out = ReadOnly(1)
    before = state(out)
    with pytest.raises(AttributeError):
        out["size"] = 5
    assert state(out) == before and out.size == 4


def test_merging_makes_a_new_output(kind: Kind) -> None:
    out = kind.Out(1, 2)
    merged = out | {"loss": 5, "extra": 6}
    assert type(merged) is kind.Out and dict(merged) == {"loss": 5, "logits": 2, "extra": 6}
    assert dict({"hidden_states": 7} | out) == {"loss": 1, "logits": 2, "hidden_states": 7}
    assert out.to_tuple() == (1, 2)
    with pytest.raises(TypeError):
        out | 5


def test_copy_and_fromkeys(kind: Kind) -> None:
    out = kind.Out(1, 2)
    out["extra"] = 3
    twin = out.copy()
    assert type(twin) is kind.Out and twin is not out and list(twin.items()) == list(out.items())
    twin.loss = 9
    assert out.loss == 1
    assert kind.Out.fromkeys(["loss", "attentions"], 0).to_tuple() == (0, 0)


def test_reinitialising_in_place(kind: Kind) -> None:
    out = kind.Out(1, 2)
    out.__init__(logits=3, attentions=4)
    assert out.logits == 3 and out.loss is None
