"""The one registry of cases: what is asked of every contender, and what the right answer is."""

from __future__ import annotations

import copy
import pickle
import sys
import tracemalloc
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from . import trees
from .contenders import FIELDS, ORIGINAL, Contender, Missing, present


class Value:
    """Stands for a tensor. Tracked by the collector as one is, or the dicts among the peers would
    be let off: a dict of untracked values is untracked itself."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return type(other) is Value and self.name == other.name

    __hash__ = None  # type: ignore[assignment]


LETTERS = "abcde"  # what statements call them
A, B, C, D, E = VALUES = tuple(Value(name) for name in FIELDS)


@dataclass(frozen=True)
class Case:
    """One question. `statement` is timed with `out` made of the first two fields, and `full` of all; in
    a case whose `unit` is "byte", `measure` is asked instead."""

    key: str
    title: str
    statement: str
    right: Callable[[Any, Any], bool]
    """(what the expression gave, or the names after a statement; `out` afterwards) -> is it right?"""
    unit: str = "ns"
    measure: Callable[[Contender], float] | None = None
    library: str | None = None
    """Whose `tree_flatten` and `tree_unflatten` are in the statement."""


def load(keys: Iterable[str]) -> tuple[list[Case], list[Missing]]:
    """The cases that can be asked here, and those whose library is not installed."""
    found: list[Case] = []
    missing: list[Missing] = []
    for case in map(CASES.__getitem__, keys):
        try:
            if case.library:
                import_module(case.library)
        except ImportError as error:
            missing.append(Missing(case.title, str(error)))
        else:
            found.append(case)
    return found, missing


def names(
    case: Case, contender: Contender, values: tuple[Any, ...] | None = None
) -> dict[str, Any]:
    """What the statement may mention; the values are those to time the contender with, unless given."""
    values = values or contender.values or VALUES
    pair = dict(zip(FIELDS, values[:2]))
    functions: dict[str, Any] = {}
    if case.library:
        library = import_module(case.library)
        functions = {"flatten": library.tree_flatten, "unflatten": library.tree_unflatten}
        trees.register(contender.make, contender.name == ORIGINAL, case.library)
    return {
        **functions,
        "make": contender.make,
        "out": contender.make(**pair),
        "twin": contender.make(**pair),
        "full": contender.make(**dict(zip(FIELDS, values))),
        "mapping": pair,
        **dict(zip(LETTERS, values, strict=True)),
        "shallow": copy.copy,
        "deep": copy.deepcopy,
        "dumps": pickle.dumps,
        "loads": pickle.loads,
    }


def statement(case: Case, contender: Contender) -> str:
    return contender.spelling.get(case.key, case.statement)


def answer(case: Case, contender: Contender) -> bool:
    """Run the case once: is the contender's answer the right one?"""
    scope = names(case, contender, VALUES)
    if case.measure:
        return case.measure(contender) > 0
    code = statement(case, contender)
    try:
        result = eval(code, scope)
    except SyntaxError:  # a statement
        exec(code, scope)
        result = scope
    return case.right(result, scope["out"])


def _getsizeof(contender: Contender) -> float:
    """What the interpreter says of the object alone, its collector header included."""
    return sys.getsizeof(names(CASES["bytes"], contender)["out"])


def _allocated(contender: Contender, count: int = 2000) -> float:
    """What the allocator says of the object and all that comes with it: an instance `__dict__`, a
    raw dict, whatever `__sizeof__` claims."""
    pile: list[Any] = [None] * count
    loss, logits, *_ = contender.values or VALUES
    contender.make(loss=loss, logits=logits)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for place in range(count):
            pile[place] = contender.make(loss=loss, logits=logits)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (after - before) / count


TWO, FIVE = (A, B), VALUES
ITEMS = [("loss", A), ("logits", B)]
_torch = "unflatten(*flatten(out))"
_optree = f"unflatten(*flatten(out, namespace={trees.NAMESPACE!r})[::-1])"


def _tree(key: str, title: str, library: str, statement: str) -> Case:
    return Case(key, title, statement, lambda got, _: present(got) == TWO, library=library)


def _given(letters: str) -> str:
    """The arguments, by keyword."""
    return ", ".join(f"{FIELDS[LETTERS.index(letter)]}={letter}" for letter in letters)


def _made(key: str, title: str, arguments: str, values: tuple[Value, ...] = TWO) -> Case:
    return Case(key, title, f"make({arguments})", lambda got, _: present(got) == values)


CASES = {
    case.key: case
    for case in (
        _made("make", "make, 2 of 5 given", _given("ab")),
        _made("make_none", "make, none given", "", ()),
        # Not the first: the original looks into a first value that comes alone and is no tensor.
        _made("make_one", "make, 1 given", _given("b"), (B,)),
        _made("make_three", "make, 3 given", _given("abc"), (A, B, C)),
        _made("make_four", "make, 4 given", _given("abcd"), (A, B, C, D)),
        _made("make_five", "make, all 5 given", _given("abcde"), FIVE),
        _made("positional", "make(a, b)", "a, b"),
        _made("positional_five", "make(a, b, c, d, e)", "a, b, c, d, e", FIVE),
        _made("mapping", "make(**mapping)", "**mapping"),
        Case("read", "out.logits", "out.logits", lambda got, _: got is B),
        # With c, as it was not there before. What is set and unset is as it was for the next turn; no case
        # deletes a key, as the original refuses to.
        Case("set", "out.logits = x", "out.logits = c", lambda _, out: present(out) == (A, C)),
        Case(
            "set_key",
            'out["logits"] = x',
            "out['logits'] = c",
            lambda _, out: present(out) == (A, C),
        ),
        Case(
            "set_absent",
            "set absent, unset",
            "out.attentions = c; out.attentions = None",
            lambda _, out: present(out) == TWO,
        ),
        Case(
            "set_none",
            "set to None, set",
            "out.logits = None; out.logits = c",
            lambda _, out: present(out) == (A, C),
        ),
        Case("index", "out[0]", "out[0]", lambda got, _: got is A),
        Case("last", "out[-1]", "out[-1]", lambda got, _: got is B),
        Case("key", 'out["logits"]', "out['logits']", lambda got, _: got is B),
        # Of all five: a tuple of two would give itself.
        Case("slice", "out[:2], of 5", "full[:2]", lambda got, _: tuple(got) == TWO),
        Case("rest", "out[1:], of 5", "full[1:]", lambda got, _: tuple(got) == FIVE[1:]),
        Case("to_tuple", "out.to_tuple()", "out.to_tuple()", lambda got, _: got == TWO),
        Case(
            "values_tuple", "tuple(out.values())", "tuple(out.values())", lambda got, _: got == TWO
        ),
        Case(
            "two",
            "a, b = out.to_tuple()",
            "x, y = out.to_tuple()",
            lambda after, _: (after["x"], after["y"]) == TWO,
        ),
        Case("len", "len(out)", "len(out)", lambda got, _: got == 2),
        Case("in", '"logits" in out', "'logits' in out", lambda got, _: got is True),
        Case("keys", "out.keys()", "out.keys()", lambda got, _: list(got) == ["loss", "logits"]),
        Case("values", "out.values()", "out.values()", lambda got, _: tuple(got) == TWO),
        Case(
            "iterate",
            "for key in out: pass",
            "for key in out: pass",
            lambda after, _: after["key"] == "logits",
        ),
        Case("list", "list(out)", "list(out)", lambda got, _: got == ["loss", "logits"]),
        Case("items", "list(out.items())", "list(out.items())", lambda got, _: got == ITEMS),
        Case("get", 'out.get("logits")', "out.get('logits')", lambda got, _: got is B),
        Case("unpack", "{**out}", "{**out}", lambda got, _: list(got.items()) == ITEMS),
        Case("dict", "dict(out)", "dict(out)", lambda got, _: list(got.items()) == ITEMS),
        Case("eq", "out == twin", "out == twin", lambda got, _: got is True),
        Case("copy", "copy.copy", "shallow(out)", lambda got, _: present(got) == TWO),
        Case("deepcopy", "copy.deepcopy", "deep(out)", lambda got, _: present(got) == TWO),
        Case(
            "pickle", "pickle and back", "loads(dumps(out, 5))", lambda got, _: present(got) == TWO
        ),
        _tree("torch_tree", "torch's trees", "torch.utils._pytree", _torch),
        _tree("cpp_tree", "torch's, in C++", "torch.utils._cxx_pytree", _torch),
        _tree("optree", "optree's trees", "optree", _optree),
        _tree("jax_tree", "JAX's trees", "jax.tree_util", "unflatten(*flatten(out)[::-1])"),
        _made("drop", "drop", _given("ab")),
        Case("bytes", "bytes (getsizeof)", "", lambda *_: True, "byte", _getsizeof),
        Case("allocated", "bytes (allocated)", "", lambda *_: True, "byte", _allocated),
    )
}
