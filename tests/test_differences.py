"""The intended differences from the original: one table, each row shown on both.

docs/behaviour.md prints the same table; the last test keeps the two together.
"""

from __future__ import annotations

import copy
import gc
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from containers import KINDS, ORIGINAL_MAJOR, OURS, Kind


class Difference(NamedTuple):
    title: str
    show: Callable[[Kind], Any]
    original: Any
    ours: Any
    original_of_4: Any = ...
    """What that of transformers 4 gives, if it is something else."""


def raised(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        return type(error).__name__


def after(out: Any, *steps: Callable[[Any], Any]) -> Any:
    for step in steps:
        step(out)
    return list(out.items())


class Unregistered:
    def __init_subclass__(cls) -> None:
        """Keeps the class out of torch's trees, which would hold it for good."""


def two_bases(kind: Kind) -> None:
    type("Both", (Unregistered, kind.Single, kind.Required), {})
    gc.collect()


def several_required(kind: Kind) -> Any:
    @dataclass
    class Out(kind.base):
        a: Any
        b: Any

    return Out(1, 2).to_tuple()


def class_attribute(kind: Kind) -> Any:
    kind.Out(1)
    return kind.Out.logits is None


def frozen_from_mapping(kind: Kind) -> Any:
    return kind.Frozen({"logits": 1}).to_tuple()


def drifted_copy(kind: Kind) -> Any:
    out = kind.Out(1)
    out["new"] = 1
    out.new = 2
    return copy.copy(out).new


def pairs_copy(kind: Kind) -> Any:
    out = kind.Out()
    out.loss = [("logits", 1)]
    return dict(copy.copy(out))


def half_done(kind: Kind) -> Any:
    out = kind.Out(1)
    raised(lambda: out.__setitem__(5, 2))
    return list(out)


def key_kept(kind: Kind) -> Any:
    class Name(str):
        pass

    out = kind.Out(1)
    out[Name("new")] = 2
    return type(list(out)[-1]).__name__


DIFFERENCES = [
    Difference(
        "A field set to None leaves the dict and tuple views",
        lambda kind: after(kind.Out(1, 2), lambda o: setattr(o, "loss", None)),
        [("loss", 1), ("logits", 2)],
        [("logits", 2)],
    ),
    Difference(
        "A field set to None by key leaves the views, too",
        lambda kind: after(kind.Out(1, 2), lambda o: o.__setitem__("loss", None)),
        [("loss", None), ("logits", 2)],
        [("logits", 2)],
    ),
    Difference(
        "Order is declared order, however fields were set",
        lambda kind: after(kind.Out(logits=2), lambda o: setattr(o, "loss", 1)),
        [("logits", 2), ("loss", 1)],
        [("loss", 1), ("logits", 2)],
        original_of_4=[("logits", 2)],  # an absent field that is set by attribute gets no key
    ),
    Difference(
        "Extra keys come after the fields",
        lambda kind: list(kind.Out({"size": 1, "loss": 2})),
        ["size", "loss"],
        ["loss", "size"],
    ),
    Difference(
        "Refused operations raise OutputMutationError, a TypeError",
        lambda kind: [
            raised(lambda: kind.Out(1).pop("loss")),
            raised(lambda: kind.Out(1).update(loss=2)),
            raised(lambda: kind.Out(1).setdefault("loss", 2)),
            raised(lambda: kind.Out(1).__delitem__("loss")),
        ],
        ["Exception"] * 4,
        ["OutputMutationError"] * 4,
    ),
    Difference(
        "clear, popitem and in-place or are refused, too",
        lambda kind: [
            raised(lambda: kind.Out(1).clear()),
            raised(lambda: kind.Out(1).popitem()),
            raised(lambda: list(kind.Out(1).__ior__({"x": 1}))),
        ],
        [None, ("loss", 1), ["loss", "x"]],
        ["OutputMutationError"] * 3,
    ),
    Difference(
        "A field cannot be deleted as an attribute",
        lambda kind: raised(lambda: delattr(kind.Out(1), "loss")),
        None,
        "OutputMutationError",
    ),
    Difference(
        "It is a dict, not an OrderedDict",
        lambda kind: (
            isinstance(kind.Out(), OrderedDict),
            hasattr(kind.Out(), "move_to_end"),
            isinstance(kind.Out(), dict),
        ),
        (True, True, True),
        (False, False, True),
    ),
    Difference(
        "A field read on a used class is its descriptor, not the default",
        class_attribute,
        True,
        False,
    ),
    Difference(
        "object.__setattr__ is refused unless the class has a __setattr__ of its own",
        lambda kind: (
            raised(lambda: object.__setattr__(kind.Out(1), "loss", 2))
            in ("TypeError", "AttributeError")
        ),
        False,
        True,
    ),
    Difference(
        "__class__ can only become a class with the same fields, declared by classes of the same bases",
        lambda kind: raised(lambda: setattr(kind.Out(1), "__class__", kind.Extended)),
        None,
        "TypeError",
    ),
    Difference(
        "A class cannot have two bases that both bring fields of their own",
        lambda kind: raised(lambda: two_bases(kind)),
        None,
        "TypeError",
    ),
    Difference(
        "Several required fields and other defaults than None are allowed",
        lambda kind: raised(lambda: several_required(kind)),
        "ValueError",
        (1, 2),
    ),
    Difference(
        "A frozen class can be made from a mapping",
        lambda kind: raised(lambda: frozen_from_mapping(kind)),
        "FrozenInstanceError",
        (1,),
    ),
    Difference(
        "A copy keeps an attribute that was set apart from the extra key of its name",
        drifted_copy,
        1,
        2,
        original_of_4=2,  # it is not set apart: the attribute sets the key
    ),
    Difference(
        "A copy never unpacks its first field",
        pairs_copy,
        {"logits": 1, "loss": [("logits", 1)]},
        {"loss": [("logits", 1)]},
        original_of_4={"logits": 1},
    ),
    Difference(
        "A key that is no string leaves nothing behind",
        half_done,
        ["loss", 5],
        ["loss"],
    ),
    Difference(
        "A key of a subclass of str is taken for the plain str",
        key_kept,
        "Name",
        "str",
    ),
    Difference(
        "keys, values and items name their own types",
        lambda kind: type(kind.Out().keys()).__name__,
        "odict_keys",
        "output_keys",
    ),
]


@pytest.mark.parametrize("mode", OURS)
@pytest.mark.parametrize("difference", DIFFERENCES, ids=[d.title for d in DIFFERENCES])
def test_ours(difference: Difference, mode: str) -> None:
    assert difference.show(KINDS[mode]) == difference.ours


@pytest.mark.skipif("original" not in KINDS, reason="transformers is not installed here")
@pytest.mark.parametrize("difference", DIFFERENCES, ids=[d.title for d in DIFFERENCES])
def test_the_original(difference: Difference) -> None:
    assert difference.original != difference.ours
    expected = difference.original
    if ORIGINAL_MAJOR == 4 and difference.original_of_4 is not ...:
        expected = difference.original_of_4
    assert difference.show(KINDS["original"]) == expected


def test_the_documentation_has_the_same_table() -> None:
    page = (Path(__file__).parents[1] / "docs" / "behaviour.md").read_text(encoding="utf-8")
    rows = [
        line.split("|")[1].strip().replace("`", "")
        for line in page.splitlines()
        if line.startswith("| ")
    ]
    titles = [d.title for d in DIFFERENCES]
    assert [row for row in rows if row in titles] == titles
