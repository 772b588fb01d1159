"""copy, deepcopy and pickle; old pickles; what subclasses may override on the way."""

from __future__ import annotations

import copy
import copyreg
import io
import pickle
from dataclasses import dataclass
from typing import Any

import containers
import pytest
from containers import KINDS, Kind

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def full(kind: Kind) -> Any:
    out = kind.Out(1, hidden_states=[2])
    out["target_size"] = (3, 4)
    out.note = "n"
    return out


def pickled(out: Any) -> Any:
    return pickle.loads(pickle.dumps(out))


COPIES = (copy.copy, copy.deepcopy, pickled)


def assert_equal(twin: Any, out: Any) -> None:
    assert type(twin) is type(out) and twin is not out
    assert list(twin.items()) == list(out.items()) and vars(twin) == vars(out)
    assert dict.__len__(twin) == dict.__len__(out)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pickle(kind: Kind, protocol: int) -> None:
    for out in (full(kind), kind.Required(1), kind.Single(), kind.Redeclared(1, router_logits=2)):
        assert_equal(pickle.loads(pickle.dumps(out, protocol)), out)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pickle_frozen_and_base(ours: Kind, protocol: int) -> None:
    base = containers.ModelOutput({"a": 1})
    for out in (ours.Frozen(1, 2), base):
        assert_equal(pickle.loads(pickle.dumps(out, protocol)), out)


def test_pickle_by_pythons_own_pickler(ours: Kind) -> None:
    for protocol in PROTOCOLS:
        stream = io.BytesIO()
        pickle._Pickler(stream, protocol).dump(full(ours))
        assert_equal(pickle._Unpickler(io.BytesIO(stream.getvalue())).load(), full(ours))


def test_copy_shares_and_deepcopy_does_not(kind: Kind) -> None:
    out = full(kind)
    assert_equal(copy.copy(out), out)
    assert copy.copy(out).hidden_states is out.hidden_states
    deep = copy.deepcopy(out)
    assert_equal(deep, out)
    assert deep.hidden_states is not out.hidden_states
    memo = {id(out.hidden_states): "kept"}
    assert copy.deepcopy(out, memo).hidden_states == "kept"


def test_a_first_field_of_pairs_comes_back_as_it_was(ours: Kind) -> None:
    out = ours.Out()
    out.loss = [("logits", 1)]
    for make in COPIES:
        twin = make(out)
        assert twin.loss == [("logits", 1)] and twin.logits is None


def test_an_output_that_contains_itself(ours: Kind) -> None:
    out = ours.Out(1)
    out.logits = [out]
    for twin in (copy.deepcopy(out), pickled(out)):
        assert twin.logits[0] is twin and twin.loss == 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_outputs_that_hold_each_other(ours: Kind, protocol: int) -> None:
    """The original ends in a RecursionError. What only leads to such a ring is called with its items."""
    first, second, outside = ours.Out(1), ours.Out(2), ours.Out(3)
    first.logits, second.logits, outside.logits = second, first, first
    twin = pickle.loads(pickle.dumps(outside, protocol))
    assert twin.loss == 3 and twin.logits.logits.loss == 2
    assert twin.logits.logits.logits is twin.logits and twin.logits.loss == 1
    assert outside.__reduce__()[0] is type(outside) is not first.__reduce__()[0]


@pytest.mark.skipif("original" not in KINDS, reason="transformers is not installed here")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_of_the_original_loads(ours: Kind, protocol: int) -> None:
    class Mapped(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            return super().find_class(module, name.replace("_original", f"_{ours.name}"))

    for make in (
        full,
        lambda kind: kind.Redeclared(1, router_logits=2),
        lambda kind: kind.Required({"a": 1}, 2),
    ):
        data = pickle.dumps(make(KINDS["original"]), protocol)
        assert_equal(Mapped(io.BytesIO(data)).load(), make(ours))


def test_what_a_pickle_calls(ours: Kind) -> None:
    """The class with a dict, or, where that would come back as another output, the way without it."""
    assert full(ours).__reduce__()[:2] == (
        ours.Out,
        ({"loss": 1, "hidden_states": [2], "target_size": (3, 4)},),
    )
    assert ours.Out(logits=1).__reduce__() == (ours.Out, ({"loss": None, "logits": 1},))
    none_by_key = ours.Out(1)
    none_by_key["new"] = None
    for out in (ours.Frozen(1, 2), none_by_key):
        call, args, state, _, items = out.__reduce__()
        assert (call, args) == (copyreg.__newobj__, (type(out),))  # type: ignore[attr-defined]
        assert state == dict(vars(out)) and dict(items) == dict(out)


@pytest.mark.parametrize("state", [None, 5, (), [], "loss", ({}, {}), ({}, {}, {})])
def test_a_state_of_another_form_is_refused(ours: Kind, state: Any) -> None:
    out = ours.Out(1)
    with pytest.raises(TypeError, match=r"Out.* is a dict of attributes, not a "):
        out.__setstate__(state)
    assert out.to_tuple() == (1,)
    out.__setstate__({1: 2})  # odd, but an instance dict takes any key
    assert out.to_tuple() == (1,)


@dataclass
class Stateful(containers.ModelOutput):
    a: Any = None
    b: Any = None

    def __getstate__(self) -> str:
        return "state"

    def __setstate__(self, state: Any) -> None:
        self.came_back = state


@dataclass
class Reducing(containers.ModelOutput):
    a: Any = None
    b: Any = None

    def __reduce__(self) -> Any:
        return Reducing, (self.b, self.a)


def test_overridden_pickling_wins() -> None:
    for make in COPIES:
        twin = make(Stateful(1, 2))
        assert twin.came_back == "state" and twin.to_tuple() == (1, 2)
        assert make(Reducing(1, 2)).to_tuple() == (2, 1)


def test_reduction_of_copyreg_wins(ours: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(copyreg.dispatch_table, ours.Out, lambda out: (ours.Out, (out.logits,)))
    for make in COPIES:
        assert make(ours.Out(1, 2)).to_tuple() == (2,)


def test_a_patched_reduction_wins(ours: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    out = ours.Out(1, [2])
    assert copy.deepcopy(out) == out
    monkeypatch.setattr(ours.Out, "__reduce_ex__", lambda self, protocol: "as it is")
    assert copy.deepcopy(out) is copy.copy(out) is out


def test_deepcopy_takes_everything_along(kind: Kind) -> None:
    out = kind.Out(loss=[1])
    out["extra"] = [2]
    out.__dict__["plain"] = out.loss
    twin = copy.deepcopy(out)
    assert_equal(twin, out)
    assert twin.plain is twin.loss is not out.loss and twin["extra"] is twin.extra is not out.extra
