"""Overriding a method changes the same operations as it does in the original.

The grid overrides each method in every form and at every place. It runs all operations on an
output of ours and on one of the original, and compares the results. The tests after the grid are
cases that users would meet, with the values written out.
"""

from __future__ import annotations

import abc
import collections
import copy
import dataclasses
import functools
import json
import operator
import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, make_dataclass
from importlib.util import find_spec
from types import CodeType
from typing import Any, NamedTuple

import pytest
from containers import BASES, OURS, Kind, Original

from fastoutputs import ModelOutput

Method = Callable[..., Any]

# The items() of each container, which show what an output holds even if its class overrides items()
ITEMS = {base: base.items for base in (ModelOutput, Original) if base is not None}

needs_the_original = pytest.mark.skipif(Original is None, reason="transformers is not installed")


# --- the grid: what is overridden, how and where -------------------------------------------------


def overrides(base: type) -> dict[str, Method]:
    """For each method, an override whose result shows in every operation that calls it."""
    set_attribute, set_item, post_init = base.__setattr__, base.__setitem__, base.__post_init__

    def get_absent(self: Any, name: str) -> Any:
        if name == "z":
            return "absent"
        raise AttributeError(name)

    def get_attribute(self: Any, name: str) -> Any:
        return ("attribute", name) if name in ("a", "z") else object.__getattribute__(self, name)

    def set_b_last(self: Any) -> None:
        post_init(self)
        set_item(self, "b", "post")

    return {
        "__iter__": lambda self: iter(["B", "A"]),
        "__reversed__": lambda self: iter(["B", "A"]),
        "__len__": lambda self: 7,
        "__bool__": lambda self: False,
        "__contains__": lambda self, key: key == "z",
        "__getitem__": lambda self, key: ("got", str(key)),
        "keys": lambda self: ["b", "a"],
        "values": lambda self: ["vb", "va"],
        "items": lambda self: [("b", "ib"), ("a", "ia")],
        "get": lambda self, key, default=None: ("get", key, default),
        "to_tuple": lambda self: ("t0", "t1", "t2"),
        "__eq__": lambda self, other: "eq",
        "__ne__": lambda self, other: "ne",
        "__lt__": lambda self, other: "lt",
        "__hash__": lambda self: 5,
        "__repr__": lambda self: "repr!",
        "__str__": lambda self: "str!",
        "__format__": lambda self, spec: "format!",
        "__or__": lambda self, other: {"or": 1},
        "__ror__": lambda self, other: {"ror": 1},
        "__ior__": lambda self, other: {"ior": 1},
        "copy": lambda self: type(self)(a="copied"),
        "__copy__": lambda self: type(self)(a="copied"),
        "__deepcopy__": lambda self, memo: type(self)(a="copied"),
        "__reduce__": lambda self: (dict, ({"reduced": 1},)),
        "__reduce_ex__": lambda self, protocol: (dict, ({"reduced": 1},)),
        "__getstate__": lambda self: {"state": 1},
        "__setstate__": lambda self, state: None,
        "__getattr__": get_absent,
        "__getattribute__": get_attribute,
        "__setattr__": lambda self, name, value: set_attribute(self, name, ("set", value)),
        "__delattr__": lambda self, name: None,
        "__setitem__": lambda self, key, value: set_item(self, key, ("item", value)),
        "__delitem__": lambda self, key: None,
        "__dir__": lambda self: ["x"],
        "__sizeof__": lambda self: 9,
        "__post_init__": set_b_last,
        "pop": lambda self, *args: "popped",
        "popitem": lambda self, *args: "popped",
        "clear": lambda self: None,
        "update": lambda self, *args, **fields: None,
        "setdefault": lambda self, *args: "default",
    }


def wrapping(inherited: Method, override: Method) -> Method:
    """Calls the inherited method first, as decorators do. That must not call the wrapper again."""

    @functools.wraps(inherited)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        inherited(self, *args, **kwargs)
        return override(self, *args, **kwargs)

    return wrapper


FORMS: dict[str, Callable[[Method | None, Method], Any]] = {
    "function": lambda inherited, override: override,
    "wraps": wrapping,
    "partialmethod": lambda inherited, override: functools.partialmethod(override),
    "property": lambda inherited, override: property(
        lambda self: functools.partial(override, self)
    ),
    "staticmethod": lambda inherited, override: staticmethod(functools.partial(override, None)),
    "classmethod": lambda inherited, override: classmethod(override),
}

# "subclass": in a class derived from an output class. "parent": the other way round. "used class"
# and "base", which is ModelOutput itself, are patched after the first use.
PLACES = ("class", "mixin before", "mixin behind", "subclass", "parent", "used class", "base")
FORMS_AT = {
    "parent": ("function",),
    # Not all: each patch uses up a version tag of ModelOutput. A class has a limited number of them
    # from 3.12 on, and other tests need some.
    "base": ("function", "wraps", "property"),
}

# Their overrides use the output, which a static method or a class method does not get.
NEED_THE_OUTPUT = {
    *("copy", "__copy__", "__deepcopy__"),
    *("__getattribute__", "__setattr__", "__setitem__", "__post_init__"),
}


def inherited(base: type, name: str, place: str) -> Method | None:
    return getattr(dict if place == "mixin behind" else base, name, None)


def make_sense(name: str, form: str, place: str) -> bool:
    if form not in FORMS_AT.get(place, FORMS):
        return False
    if form in ("staticmethod", "classmethod"):
        return name not in NEED_THE_OUTPUT
    if form == "wraps":  # both need something to wrap, and no None as __hash__ is
        return all(callable(inherited(base, name, place)) for base in ITEMS)
    return True


@contextmanager
def overriding(base: type, name: str, what: Any, place: str) -> Iterator[type]:
    """An output class with the override. It is also put where pickle looks for it."""
    mixin = type("Mixin", (), {name: what})
    bases = {"mixin before": (mixin, base), "mixin behind": (base, mixin)}.get(place, (base,))

    def declare(fields: str, bases: tuple[type, ...], overridden: bool) -> type:
        """As a class statement does. make_dataclass would name the fields too late on 3.14."""
        namespace = {"__module__": __name__, "__annotations__": dict.fromkeys(fields, Any)}
        namespace |= dict.fromkeys(fields)
        if overridden:
            namespace[name] = what
        return dataclass(type(base)("Out", bases, namespace))

    cls = declare("abc", bases, place in ("class", "parent"))
    if place in ("subclass", "parent"):
        cls = declare("d", (cls,), place == "subclass")
    globals()["Out"] = cls
    with pytest.MonkeyPatch.context() as patch:
        if place in ("used class", "base"):
            list(cls(a=1, b=2))
            patch.setattr(cls if place == "used class" else base, name, what, raising=False)
        yield cls


METHODS = tuple(overrides(ModelOutput))
CASES = [
    (name, form, place)
    for name in METHODS
    for form in FORMS
    for place in PLACES
    if make_sense(name, form, place)
]


# --- the grid: what is compared ------------------------------------------------------------------


def stored(out: Any) -> list[tuple[str, Any]]:
    """What the output holds, even if its class overrides items()."""
    for cls in type(out).__mro__:
        if cls in ITEMS:
            return list(ITEMS[cls](out))
    return list(out.items())


def after(out: Any, *changes: Any) -> list[tuple[str, Any]]:
    """What the output holds after the changes. Python makes them as it evaluates the arguments."""
    return stored(out)


def noted(out: Any) -> Any:
    """With an attribute that is no field."""
    out.note = 1
    return out


def by_pattern(out: Any) -> Any:
    match out:
        case {"a": value, **rest}:
            return value, rest
        case _:
            return "no match"


def by_sequence_pattern(out: Any) -> Any:
    match out:
        case [first, second]:
            return first, second
        case _:
            return "no match"


def through_a_tree(out: Any) -> Any:
    import torch.utils._pytree as pytree

    leaves, structure = pytree.tree_flatten(out)
    back = pytree.tree_unflatten(leaves, structure)
    return leaves, stored(back), stored(pytree.tree_map(lambda leaf: leaf, out))


def compiled(*sources: str) -> dict[str, CodeType]:
    return {source: compile(source, "<operation>", "eval") for source in sources}


TREES = ("through_a_tree(o)",) if find_spec("torch") else ()
MODULES = (collections, copy, dataclasses, json, operator, pickle)
FUNCTIONS = (OrderedDict, after, by_pattern, by_sequence_pattern, noted, stored, through_a_tree)
SCOPE = {named.__name__: named for named in (*MODULES, *FUNCTIONS)}
# Each is evaluated in this scope, with a new output o = Out(a=1, b=2).
OPERATIONS = compiled(
    # size and iteration
    "len(o)",
    "bool(o)",
    "list(o)",
    "list(reversed(o))",
    "dict(o)",
    "{**o}",
    "dict(**o)",
    "(lambda first, second: (first, second))(*o)",
    "operator.length_hint(o)",
    # reading one value
    "o['a']",
    "o['z']",
    "o[0]",
    "o[-1]",
    "o[:2]",
    "o[9]",
    "o.get('a')",
    "o.get('z', 9)",
    "'a' in o",
    "'z' in o",
    "o.a",
    "o.z",
    "getattr(o, 'z', 3)",
    "hasattr(o, 'a')",
    "'a' in dir(o)",
    "dict(vars(o))",
    "by_pattern(o)",
    "by_sequence_pattern(o)",
    # views
    "list(o.keys())",
    "list(o.values())",
    "list(o.items())",
    "list(reversed(o.keys()))",
    "o.keys() & {'a'}",
    "'a' in o.keys()",
    "1 in o.values()",
    "('a', 1) in o.items()",
    "len(o.keys())",
    "o.to_tuple()",
    # comparing and showing
    "o == Out(a=1, b=2)",
    "o != Out(a=1, b=2)",
    "o == Out(a=1, b=3)",
    "o == {'a': 1, 'b': 2}",
    "{'a': 1, 'b': 2} == o",
    "o != {'a': 1, 'b': 2}",
    "o == OrderedDict(a=1, b=2)",
    "OrderedDict(a=1, b=2) == o",
    "[o] == [Out(a=1, b=2)]",
    "o < o",
    "hash(o)",
    "repr(o)",
    "str(o)",
    "f'{o}'",
    "o.__sizeof__() == 9",
    # copying and converting
    "stored(o | {'b': 5})",
    "sorted(stored({'b': 5} | o))",  # sorted: ours has its fields in declared order here, too
    "stored(copy.copy(o))",
    "stored(copy.deepcopy(o))",
    "stored(o.copy())",
    "stored(pickle.loads(pickle.dumps(o)))",
    "stored(pickle.loads(pickle.dumps(o, 2)))",
    "dict(vars(copy.copy(noted(o))))",
    "dict(vars(copy.deepcopy(noted(o))))",
    "dict(vars(pickle.loads(pickle.dumps(noted(o)))))",
    "json.loads(json.dumps(o))",
    "dataclasses.asdict(o)",
    "dataclasses.astuple(o)",
    "stored(dataclasses.replace(o, b=5))",
    "dict(collections.ChainMap(o))",
    "dict(collections.Counter(o))",
    "list(OrderedDict(o).items())",
    "operator.ior({'x': 1}, o)",
    *TREES,
    # creation
    "stored(Out(a=1))",
    "stored(Out({'a': 1, 'b': 3}))",
    "stored(Out([('a', 1)]))",
    "stored(Out(1, 2))",
    "stored(Out(o))",
    "stored(Out.__new__(Out))",
    # changes
    "after(o, operator.setitem(o, 'a', 5))",
    "after(o, operator.setitem(o, 'new', 5))",
    "after(o, setattr(o, 'a', 5))",
    "after(o, setattr(o, 'new', 5))",
    "after(o, operator.delitem(o, 'a'))",
    "(delattr(noted(o), 'note'), hasattr(o, 'note'))",
    "after(o, o.update(a=5))",
    "o.pop('a')",
    "o.setdefault('a', 1)",
)
# Ours refuses these unless they are overridden, and the original does not.
REFUSED_BY_OURS = {
    "popitem": compiled("o.popitem()"),
    "clear": compiled("after(o, o.clear())"),
    "__ior__": compiled("dict(operator.ior(o, {'b': 5}))"),
}
READ_THE_INNER_DICT = {"json.loads(json.dumps(o))", "OrderedDict(a=1, b=2) == o"}


def picture(value: Any) -> Any:
    """The value, without the names of types that the two do not share."""
    if type(value) in (tuple, list, set):
        return type(value).__name__, [picture(item) for item in value]
    if type(value) is dict:
        return "dict", [(picture(key), picture(item)) for key, item in value.items()]
    if value is None or value is NotImplemented or isinstance(value, (int, float)):
        return value
    text = value if isinstance(value, str) else type(value).__name__
    return text.replace("odict_", "").replace("output_", "")


def outcome(operation: Callable[[], Any]) -> Any:
    try:
        return picture(operation())
    except Exception as error:
        # OutputMutationError where the original raises a bare Exception
        refused = type(error).__name__ in ("Exception", "OutputMutationError")
        return "refused" if refused else f"raises {type(error).__name__}"


def outcomes(base: type, name: str, what: Any, place: str) -> dict[str, Any]:
    """The result of every operation."""
    with overriding(base, name, what, place) as Out:
        made = outcome(lambda: stored(Out(a=1, b=2)))
        if isinstance(made, str):  # it cannot be made
            return {"Out(a=1, b=2)": made}
        found = {}
        for operation, code in {**OPERATIONS, **REFUSED_BY_OURS.get(name, {})}.items():
            scope = {**SCOPE, "Out": Out, "o": Out(a=1, b=2)}
            found[operation] = outcome(lambda: eval(code, scope))
    return found


def outcomes_of(base: type, name: str, form: str, place: str) -> dict[str, Any]:
    what = FORMS[form](inherited(base, name, place), overrides(base)[name])
    return outcomes(base, name, what, place)


def differing(original: dict[str, Any], ours: dict[str, Any], mode: str) -> set[str]:
    """The operations that differ. Slots-only outputs do not support all of them."""
    found = {name for name in {**original, **ours} if original.get(name) != ours.get(name)}
    return found - (READ_THE_INNER_DICT if mode == "slots_only" else set())


# --- the grid: what is meant to differ -----------------------------------------------------------

# A mixin behind ModelOutput overrides nothing that ModelOutput has.
IN_FRONT = frozenset(PLACES) - {"mixin behind"}
BEHIND = frozenset({"mixin behind"})


class Difference(NamedTuple):
    """Each of the operations must differ, in each of these forms, places and modes."""

    method: str
    why: str
    operations: tuple[str, ...]
    places: frozenset[str] = IN_FRONT
    forms: frozenset[str] = frozenset(FORMS)
    modes: frozenset[str] = frozenset(OURS)


PICKLED = ("stored(pickle.loads(pickle.dumps(o)))", "stored(pickle.loads(pickle.dumps(o, 2)))")
WITH_A_DICT = ("o == {'a': 1, 'b': 2}", "{'a': 1, 'b': 2} == o", "o == OrderedDict(a=1, b=2)")
DECLARED_ORDER = "ours keeps fields in declared order, the original in the order they were set"
ONE_VALUE = (
    "the original pickles the value of the key and that of the attribute; ours has one value"
)
NO_COMPARISON = "slots-only: CPython compares the empty inner dict if the class has own comparisons"

DIFFERENCES = (
    Difference("items", DECLARED_ORDER, ("stored(o | {'b': 5})", "stored(Out(o))")),
    Difference("__post_init__", DECLARED_ORDER, ("stored(o.copy())",)),
    Difference("items", ONE_VALUE, PICKLED),
    Difference("__setitem__", ONE_VALUE, PICKLED),
    Difference(
        "__eq__",
        "an OrderedDict asks only its own subclasses first, and ours is none",
        ("OrderedDict(a=1, b=2) == o",),
        # At the other places, @dataclass gives the class another __eq__.
        places=frozenset({"class", "subclass", "used class"}),
        modes=frozenset({"in_step"}),
    ),
    Difference(
        "__getattribute__",
        "the original unpacks what the override returns for the first field, and raises KeyError",
        ("stored(o.copy())",),
        # From 3.14 on, dict does not define it, so a mixin behind ModelOutput overrides object's.
        places=IN_FRONT if "__getattribute__" in vars(dict) else frozenset(PLACES),
    ),
    Difference(
        "__setattr__",
        "unflattening sets items; in the original it calls the constructor",
        TREES,
    ),
    Difference(
        "__copy__",
        "the original has no __copy__: copy.copy finds the property object and cannot call it",
        ("stored(copy.copy(o))", "dict(vars(copy.copy(noted(o))))"),
        places=BEHIND,
        forms=frozenset({"property"}),
    ),
    *[
        Difference(
            name, "ours refuses it, and the original does not", tuple(operations), places, forms
        )
        for name, operations in REFUSED_BY_OURS.items()
        for places, forms in ((BEHIND, frozenset(FORMS)), (IN_FRONT, frozenset({"wraps"})))
    ],
    Difference("__ne__", NO_COMPARISON, WITH_A_DICT, modes=frozenset({"slots_only"})),
    Difference("__lt__", NO_COMPARISON, WITH_A_DICT, modes=frozenset({"slots_only"})),
)


def intended(name: str, form: str, place: str, mode: str) -> set[str]:
    return {
        operation
        for row in DIFFERENCES
        if row.method == name and form in row.forms and place in row.places and mode in row.modes
        for operation in row.operations
    }


def stores_what_getattr_gives(base: type) -> bool:
    """In transformers 4 and the first of 5, the original reads fields by getattr to store them."""
    override = overrides(base)["__getattribute__"]
    with overriding(base, "__getattribute__", override, "class") as Out:
        return ("a", 1) not in stored(Out(a=1, b=2))


# --- the grid ------------------------------------------------------------------------------------


@needs_the_original
@pytest.mark.parametrize(("name", "form", "place"), CASES)
def test_an_override_changes_what_it_changes_in_the_original(
    name: str, form: str, place: str
) -> None:
    if name == "__getattribute__" and stores_what_getattr_gives(Original):
        pytest.skip("this original stores what the override returns, and so differs in every view")
    original = outcomes_of(Original, name, form, place)
    # Slots-only outputs store less, but look methods up in the same way: one form is enough.
    for mode in OURS if form == "function" else ["in_step"]:
        ours = outcomes_of(BASES[mode], name, form, place)
        found, expected = differing(original, ours, mode), intended(name, form, place, mode)
        lines = [
            f"{operation}: {original.get(operation)} in the original, {ours.get(operation)} in ours"
            for operation in sorted(found - expected)
        ]
        assert not lines, "\n".join(lines)
        assert expected <= found, "rows of DIFFERENCES that no longer differ"


@needs_the_original
@pytest.mark.parametrize("mode", OURS)
def test_without_an_override_nothing_differs(mode: str) -> None:
    """Run after the others, this also shows that every patch of a base was undone."""
    original, ours = (outcomes(base, "nothing", None, "class") for base in (Original, BASES[mode]))
    assert differing(original, ours, mode) == set()


@pytest.mark.parametrize("mode", OURS)
@pytest.mark.parametrize("name", METHODS)
def test_every_override_shows(name: str, mode: str) -> None:
    """It changes some operation. The grid would not notice an override that both ignore."""
    before = outcomes(BASES[mode], name, None, "nowhere")
    assert outcomes_of(BASES[mode], name, "function", "class") != before
    assert outcomes(BASES[mode], name, None, "nowhere") == before


# --- outputs that iterate over their values ------------------------------------------------------


def multi_head(name: str, base: type) -> type:
    """Each class gets a name of its own: torch.export refers to classes by name."""

    @dataclass
    class MultiHead(base):
        __qualname__ = f"MultiHead_{name}"
        left: Any = None
        right: Any = None

        def __iter__(self) -> Iterator[Any]:
            return iter(self.to_tuple())

    setattr(sys.modules[__name__], MultiHead.__qualname__, MultiHead)
    return MultiHead


MULTI_HEAD = {name: multi_head(name, base) for name, base in BASES.items()}


@pytest.fixture
def MultiHead(kind: Kind) -> type:
    return MULTI_HEAD[kind.name]


def test_values_are_iterated_and_keys_stay_keys(MultiHead: type) -> None:
    out = MultiHead(left=1, right=2)
    left, right = out
    assert (left, right) == (1, 2) and list(out) == [1, 2]
    assert list(out.keys()) == ["left", "right"] and out.to_tuple() == (1, 2)
    assert dict(out.items()) == {"left": 1, "right": 2} and len(out) == 2


@pytest.mark.needs_torch
@pytest.mark.parametrize("library", ["_pytree", "_cxx_pytree"])
def test_values_iterated_and_trees_of_torch(MultiHead: type, library: str) -> None:
    if library == "_cxx_pytree":
        pytest.importorskip("optree")
    trees = pytest.importorskip(f"torch.utils.{library}")
    leaves, structure = trees.tree_flatten(MultiHead(left=1, right=(2, 3)))
    assert leaves == [1, 2, 3]
    back = trees.tree_unflatten([4, 5, 6], structure)
    assert type(back) is MultiHead and list(back.items()) == [("left", 4), ("right", (5, 6))]
    assert (back.left, back.right) == (4, (5, 6))
    mapped = trees.tree_map(lambda leaf: leaf * 10, MultiHead(right=2))
    assert type(mapped) is MultiHead and list(mapped.items()) == [("right", 20)]
    assert mapped.left is None


@pytest.mark.parametrize("mode", OURS)
def test_values_iterated_and_trees_of_optree(mode: str) -> None:
    optree, cls = pytest.importorskip("optree"), MULTI_HEAD[mode]
    leaves, structure = optree.tree_flatten(cls(left=1, right=2))
    assert leaves == [1, 2]
    back = optree.tree_unflatten(structure, [4, 5])
    assert type(back) is cls and list(back.items()) == [("left", 4), ("right", 5)]


@pytest.mark.needs_torch
# Deprecated by torch, and called by torch itself
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("strict", [True, False], ids=["strict", "not strict"])
def test_values_iterated_and_export(MultiHead: type, strict: bool) -> None:
    import torch

    class Heads(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return MultiHead(left=x + 1, right=x * 3)

    x = torch.tensor([1.0, 2.0])
    out = torch.export.export(Heads(), (x,), strict=strict).module()(x)
    assert type(out) is MultiHead and list(out.keys()) == ["left", "right"]
    assert out.left.tolist() == [2, 3] and out["right"].tolist() == [3, 6]


@pytest.mark.needs_torch
def test_values_iterated_and_vmap(MultiHead: type) -> None:
    import torch

    out = torch.vmap(lambda x: MultiHead(left=x.sum(), right=x * 3))(
        torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    )
    assert type(out) is MultiHead and list(out.keys()) == ["left", "right"]
    assert out.left.tolist() == [3, 7] and out["right"].tolist() == [[3, 6], [9, 12]]


# --- mixins --------------------------------------------------------------------------------------

MIXINS = {"plain": type("Mixin", (), {}), "abstract": abc.ABCMeta("Mixin", (), {})}


@pytest.mark.parametrize("mixin", MIXINS)
def test_vars_of_an_output_behind_a_mixin(kind: Kind, mixin: str) -> None:
    if mixin == "abstract" and kind.is_original and type(kind.base) is not type:
        pytest.skip("this original has a metaclass, which conflicts with that of ABC")

    @dataclass
    class Mixed(MIXINS[mixin], kind.base):
        a: Any = None
        b: Any = None

    out = Mixed(a=1)
    assert vars(out) == {"a": 1, "b": None}
    vars(out)["a"] = 2
    assert out.a == 2
    out.b = 3
    assert vars(out) == {"a": 2, "b": 3}
    if not kind.is_original:  # its keys do not follow
        assert out["a"] == 2 and out.to_tuple() == (2, 3)


# --- decorators around what @dataclass generates -------------------------------------------------


class Decorator(NamedTuple):
    source: str
    """The inner function begins on line 2, as the __init__ that dataclasses generates does."""
    show: Callable[[Any], tuple[Any, ...]]
    before: tuple[Any, ...]
    after: tuple[Any, ...]


DECORATORS = {
    "__init__": Decorator(
        """def decorate(method):
            @functools.wraps(method)
            def inner(self, *args, **fields):
                method(self, *args, **{name: value * 10 for name, value in fields.items()})
            return inner
        """,
        lambda Out: (Out(1).a, Out(a=1).a, Out(a=1, b=2).to_tuple(), copy.copy(Out(a=1)).a),
        before=(1, 1, (1, 2), 1),
        after=(1, 10, (10, 20), 10),
    ),
    "__eq__": Decorator(
        """def decorate(method):
            @functools.wraps(method)
            def inner(self, other):
                return "decorated" if method(self, other) is True else "not equal"
            return inner
        """,
        lambda Out: (Out(1) == Out(1), Out(1) == Out(2), [Out(1)] == [Out(2)]),
        before=(True, False, False),
        after=("decorated", "not equal", True),  # a list takes the text for true
    ),
    "__repr__": Decorator(
        """def decorate(method):
            @functools.wraps(method)
            def inner(self):
                return "decorated " + method(self)
            return inner
        """,
        lambda Out: (repr(Out(1)), str(Out(1)), f"{Out(1)}"),
        before=("Out(a=1, b=None)",) * 3,
        after=("decorated Out(a=1, b=None)",) * 3,
    ),
}


@pytest.mark.parametrize("name", DECORATORS)
@pytest.mark.parametrize("file", [__file__, "<string>"], ids=["file", "string"])
@pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
@pytest.mark.parametrize("of", ["itself", "subclass", "subclass with its own"])
def test_a_decorator_around_a_generated_method_takes_effect_at_once(
    kind: Kind, name: str, file: str, used: bool, of: str
) -> None:
    """Code in "<string>", as in `python -c`, must not be taken for generated code."""
    source, show, before, after = DECORATORS[name]
    scope = {"functools": functools}
    exec(compile(source, file, "exec"), scope)
    Out = cls = make_dataclass("Out", [(field, Any, None) for field in "ab"], bases=(kind.base,))
    if of == "subclass":
        cls = type(Out)("Out", (Out,), {})
    elif of == "subclass with its own":
        cls = make_dataclass("Out", [], bases=(Out,))
        after = before
    if used:
        assert show(Out) == before and show(cls) == before
    generated = vars(Out)[name]
    setattr(Out, name, scope["decorate"](generated))
    assert show(cls) == after
    setattr(Out, name, generated)
    assert show(cls) == before


# --- torch.compile -------------------------------------------------------------------------------


class Traced(NamedTuple):
    method: Method
    results: list[Any]
    """What read() must return, eager and compiled."""


def read(o: Any) -> list[Any]:
    return [o["a"], o[0], o.to_tuple(), list(o.keys()), len(o), "a" in o, list(o)]


# For an output with a=2 and b=3
TRACED = {
    "items": Traced(
        lambda self: [("a", self.a * 10), ("b", self.b * 10)],
        [20, 20, (20, 30), ["a", "b"], 2, True, ["a", "b"]],
    ),
    "__iter__": Traced(
        lambda self: iter((self.a, self.b)),
        [2, 2, (2, 3), ["a", "b"], 2, True, [2, 3]],
    ),
    "keys": Traced(
        lambda self: ["b", "a"],
        [2, 3, (3, 2), ["b", "a"], 2, True, ["a", "b"]],
    ),
    "__getitem__": Traced(
        lambda self, key: self.b * 10,
        [30, 30, (30, 30), ["a", "b"], 2, True, ["a", "b"]],
    ),
    "to_tuple": Traced(
        lambda self: (self.b, self.a),
        [2, 3, (3, 2), ["a", "b"], 2, True, ["a", "b"]],
    ),
    "__len__": Traced(
        lambda self: 5,
        [2, 2, (2, 3), ["a", "b"], 5, True, ["a", "b"]],
    ),
    "__contains__": Traced(
        lambda self, key: key == "z",
        [2, 2, (2, 3), ["a", "b"], 2, False, ["a", "b"]],
    ),
}


@pytest.mark.needs_torch
@pytest.mark.parametrize("made", ["outside", "inside"])
@pytest.mark.parametrize("name", TRACED)
def test_compiled_code_sees_an_override(kind: Kind, name: str, made: str) -> None:
    import torch

    method, expected = TRACED[name]
    Out = make_dataclass(
        "Out", [("a", Any, None), ("b", Any, None)], bases=(kind.base,), namespace={name: method}
    )

    def make(x: Any) -> Any:
        return Out(a=x + 1, b=x * 3)

    run = read if made == "outside" else lambda x: read(make(x))

    def argument() -> Any:
        x = torch.tensor(1.0)
        return make(x) if made == "outside" else x

    assert run(argument()) == expected
    torch._dynamo.reset()
    assert torch.compile(run, fullgraph=True, backend="eager")(argument()) == expected
