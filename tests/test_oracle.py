"""Random operation sequences on the original and on ours, every view compared after every step.

Two intended differences are undone before comparing, and only where they apply: the original keeps
a stale key for a field that became None, and orders its keys by history. All else must be equal.

The original of transformers 4 has a third, and the undoing is to write to it what that of 5 has: for an
attribute that is set it adds no key if the field was absent, and changes the key if it is an extra one.
"""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from dataclasses import asdict, astuple, fields, replace
from typing import Any

import pytest
from containers import KINDS, ORIGINAL_MAJOR, OURS
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

pytest.importorskip("transformers")
ORIGINAL = KINDS["original"]
LAYOUTS = ["Out", "Required", "Single", "Extended", "Redeclared"]

values = st.one_of(
    st.none(),
    st.integers(-2, 2),
    st.sampled_from(["", "L", 1.5, (), ("a", "b"), [], [1], b"x", True, {"k": 1}, range(3)]),
)
extra_names = st.sampled_from(["target_size", "new", "é"])


def outcome(call: Any) -> tuple[str, Any]:
    """What a call gives or raises, in a form that can be compared across the two classes."""
    try:
        result = call()
    except Exception as error:
        return "raised", (type(error), str(error).replace("_original", "").replace("in_step", ""))
    return "gave", result


class Twins(RuleBasedStateMachine):
    mode: str
    layout: str

    def both(self, operation: Any) -> tuple[tuple[str, Any], tuple[str, Any]]:
        return outcome(lambda: operation(self.original)), outcome(lambda: operation(self.ours))

    def same(self, operation: Any) -> None:
        """Run operation on both; equal results, or errors of equal type."""
        (how, theirs), (how_ours, mine) = self.both(operation)
        assert how == how_ours, (theirs, mine)
        if how == "gave":
            assert theirs == mine
            assert type(theirs) is type(mine)
        else:
            assert theirs[0] is mine[0], (theirs, mine)

    @property
    def names(self) -> list[str]:
        return [f.name for f in fields(self.ours)]

    @initialize(
        count=st.integers(0, 6),
        data=st.data(),
        how=st.sampled_from(["keywords", "positions", "mapping", "pairs"]),
    )
    def make(self, count: int, data: st.DataObject, how: str) -> None:
        theirs, mine = getattr(ORIGINAL, self.layout), getattr(KINDS[self.mode], self.layout)
        names = [f.name for f in fields(mine)][:count]
        given = {name: data.draw(values) for name in names}
        pairs = list(given.items()) + (
            [("extra", 7)] if how in ("mapping", "pairs") and data.draw(st.booleans()) else []
        )
        arguments = {
            "keywords": ((), given),
            "positions": (tuple(given.values()), {}),
            "mapping": ((dict(pairs),), {}),
            "pairs": ((pairs,), {}),
        }[how]
        made = [
            outcome(lambda cls=cls: cls(*arguments[0], **arguments[1])) for cls in (theirs, mine)
        ]
        if made[0][0] == "raised":
            assert made[1][0] == "raised"
            assert made[0][1][0] is made[1][1][0]
            made = [("gave", cls(1)) for cls in (theirs, mine)]
        assert made[1][0] == "gave", made[1]
        self.original, self.ours = made[0][1], made[1][1]
        self.reordered = self.stale = False
        self.compare()

    def compare(self) -> None:
        original, mine = self.original, self.ours
        names = self.names
        for name in names:
            assert getattr(mine, name) == getattr(original, name)
        items = list(original.items())
        stale = [name for name in names if name in original and getattr(original, name) is None]
        assert self.stale or not stale
        expected = [(k, v) for k, v in items if k not in stale]
        in_order = sorted(
            expected, key=lambda item: names.index(item[0]) if item[0] in names else len(names)
        )
        assert self.reordered or in_order == expected
        keys = [k for k, _ in in_order]
        tuple_view = tuple(v for _, v in in_order)

        assert list(mine.items()) == in_order
        assert list(mine) == list(mine.keys()) == keys
        assert list(reversed(mine)) == keys[::-1]
        assert list(mine.values()) == list(tuple_view)
        assert mine.to_tuple() == mine[:] == tuple_view
        assert len(mine) == len(keys)
        assert bool(mine) == bool(keys)
        assert dict(mine) == dict(in_order) == {**mine}
        assert [mine[i] for i in range(len(keys))] == list(tuple_view)
        assert [mine[k] for k in keys] == list(tuple_view)
        assert asdict(mine) == asdict(original)
        assert astuple(mine) == astuple(original)
        assert {k: v for k, v in vars(mine).items() if k not in names} == {
            k: v for k, v in vars(original).items() if k not in names
        }
        assert repr(mine) == repr(original).replace("_original", f"_{self.mode}")
        raw = list(dict.items(mine))
        assert raw == in_order or (self.mode == "slots_only" and not raw)

    def wrote(self, name: str, value: Any) -> None:
        """Note which intended differences a write of a field can bring."""
        self.stale |= value is None
        self.reordered |= name not in self.original

    def same_set(self, name: str, value: Any) -> None:
        """Set an attribute of both."""
        keys = dict(self.original)
        self.same(lambda o: setattr(o, name, value))
        if ORIGINAL_MAJOR == 4 and value is not None:
            if name in self.names:
                assert (name in self.original) == (name in keys)
                OrderedDict.__setitem__(self.original, name, value)
            elif name in keys:
                assert self.original[name] == value
                OrderedDict.__setitem__(self.original, name, keys[name])

    @rule(data=st.data(), value=values)
    def set_attribute(self, data: st.DataObject, value: Any) -> None:
        name = data.draw(st.sampled_from(self.names))
        self.wrote(name, value)
        self.same_set(name, value)
        self.compare()

    @rule(data=st.data(), value=values)
    def set_item(self, data: st.DataObject, value: Any) -> None:
        name = data.draw(st.sampled_from(self.names))
        self.wrote(name, value)
        self.same(lambda o: o.__setitem__(name, value))
        self.compare()

    @rule(name=extra_names, value=values)
    def set_extra(self, name: str, value: Any) -> None:
        self.reordered = True
        self.same(lambda o: o.__setitem__(name, value))
        self.compare()

    @rule(name=extra_names, value=values)
    def set_plain_attribute(self, name: str, value: Any) -> None:
        self.same_set(name, value)
        self.same(lambda o: getattr(o, name))
        self.compare()

    @rule(
        key=st.one_of(
            extra_names,
            st.sampled_from(["loss", "logits", "nothing"]),
            st.none(),
            st.integers(-9, 9),
        )
    )
    def look_up(self, key: Any) -> None:
        stale = (
            isinstance(key, str) and key in self.original and getattr(self.original, key, 0) is None
        )
        if not stale or key not in self.names:
            self.same(lambda o: key in o)
            self.same(lambda o: o.get(key))
            self.same(lambda o: o.get(key, 5))
            if isinstance(key, str) or key is None:
                self.same(lambda o: o[key])

    @rule(cut=st.slices(6), key=st.integers(-8, 8))
    def index(self, cut: slice, key: int) -> None:
        if not self.stale and not self.reordered:
            self.same(lambda o: o[cut])
            self.same(lambda o: o[key])
        assert self.ours[cut] == self.ours.to_tuple()[cut]

    @rule(how=st.sampled_from(["copy", "deepcopy", *range(6)]))
    def duplicate(self, how: Any) -> None:
        make = {"copy": copy.copy, "deepcopy": copy.deepcopy}.get(
            how, lambda o: pickle.loads(pickle.dumps(o, how))
        )
        first = getattr(self.original, self.names[0])
        self.reordered |= self.stale  # a stale key goes to the end of the original's copy
        drifted = any(getattr(self.original, k) != v for k, v in self.original.items())
        if drifted or not isinstance(first, (int, float, type(None))):
            # The original's copy goes through its constructor, which unpacks or empties a first field,
            # and then sets its items, attributes of the same name with them.
            twin = make(self.ours)
            assert twin is not self.ours
            assert type(twin) is type(self.ours)
            self.ours = twin
        else:
            self.original, self.ours = make(self.original), make(self.ours)
        self.compare()

    @rule(data=st.data(), value=st.integers())
    def replaced(self, data: st.DataObject, value: int) -> None:
        name = data.draw(st.sampled_from(self.names))
        if isinstance(getattr(self.original, self.names[0]), (int, float, type(None))):
            self.original = replace(self.original, **{name: value})
            self.ours = replace(self.ours, **{name: value})
            self.stale = False
            self.compare()

    @rule()
    def refused(self) -> None:
        before = list(self.ours.items())
        for operation in (
            lambda o: o.pop("loss"),
            lambda o: o.update(loss=1),
            lambda o: o.setdefault("loss", 1),
            lambda o: o.__delitem__("loss"),
        ):
            (how, theirs), (how_ours, mine) = self.both(operation)
            assert how == how_ours == "raised"
            assert theirs[0] is Exception
            assert issubclass(mine[0], TypeError)
        assert list(self.ours.items()) == before

    @rule(other=st.sampled_from([{}, {"loss": 1}, 5, None, ()]))
    def compared(self, other: Any) -> None:
        assert self.ours == copy.copy(self.ours)
        if not self.stale:
            self.same(lambda o: o == other)
            self.same(lambda o: o != other)
            assert (self.ours == dict(self.ours)) == (self.original == dict(self.original))


@pytest.mark.parametrize("mode", OURS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_view_equals_the_originals_after_every_step(mode: str, layout: str) -> None:
    machine = type(f"Twins_{mode}_{layout}", (Twins,), {"mode": mode, "layout": layout})
    run_state_machine_as_test(machine)
