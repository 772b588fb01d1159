"""What a late install() reaches: each kind of holder, while installed and after uninstall().

The classes are of a made-up library, so that this runs without torch and transformers.
"""

from __future__ import annotations

import abc
import collections
import contextlib
import copy
import copyreg
import dataclasses
import enum
import functools
import gc
import importlib.util
import inspect
import sys
import threading
import time
import types
import typing
import weakref
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar

import interpreter
import pytest

from fastoutputs.integrations.bookkeeping import Private, Table
from fastoutputs.integrations.references import Swap


def output_class(name: str) -> Any:
    """In the place of a library's class, and of the one that takes its place: with the same code."""

    class Output:
        @classmethod
        def make(cls) -> type:
            return __class__  # type: ignore[name-defined]

    Output.__name__ = name
    return Output


class Kept(Private):
    """Holds values where the search leaves them alone."""

    __slots__ = ("new", "old")


KEPT = Kept()
KEPT.old, KEPT.new = map(output_class, ("Old", "New"))


def swapped() -> Swap:
    swap = Swap()
    swap.everywhere(Table({KEPT.old: KEPT.new}))
    return swap


Look = Callable[[], Any]
"""Returns what should be the old class before and after, and the new one meanwhile."""

HOLDERS: dict[str, Callable[[Any], Look]] = {}


def holder(make: Callable[[Any], Look]) -> Callable[[Any], Look]:
    HOLDERS[make.__name__] = make
    return make


@holder
def value_of_a_dict(cls: Any) -> Look:
    held = {"a": 1, "x": cls}
    return lambda: held["x"]


@holder
def key_of_a_dict(cls: Any) -> Look:
    held = {int: "int", cls: "out", str: "str"}
    return lambda: (list(held)[1], [*held.values()] == ["int", "out", "str"])


@holder
def tuple_as_a_key(cls: Any) -> Look:
    held = {(1, cls): "out", 2: "two"}
    return lambda: next(iter(held))[1]


@holder
def ordered_dict(cls: Any) -> Look:
    held = collections.OrderedDict([("a", 1), ("x", cls)])
    return lambda: held["x"]


@holder
def key_of_an_ordered_dict(cls: Any) -> Look:
    held = collections.OrderedDict([(int, 1), (cls, 2), (str, 3)])
    held.move_to_end(int)
    return lambda: (
        next(iter(held)),
        list(held)[1:] == [str, int] and len(list(reversed(held))) == 3,
    )


@holder
def default_dict(cls: Any) -> Look:
    held: Any = collections.defaultdict(cls, x=cls)
    return lambda: (held["x"], held.default_factory)


@holder
def counter(cls: Any) -> Look:
    held = collections.Counter([cls, cls, int])
    return lambda: held.most_common(1)[0][0]


@holder
def chain_map(cls: Any) -> Look:
    held: Any = collections.ChainMap({}, {"x": cls, cls: 1})
    return lambda: (held["x"], list(held.maps[1])[1])


class DictOfMine(dict[Any, Any]):
    """Whose methods must not run."""

    def _refuse(self, *args: Any) -> Any:
        raise AssertionError("the search runs code of others")

    __setitem__ = __iter__ = items = keys = update = __delitem__ = _refuse


@holder
def dict_subclass(cls: Any) -> Look:
    held = DictOfMine(x=cls)
    dict.__setitem__(held, cls, "out")
    held.attribute = cls  # type: ignore[attr-defined]
    return lambda: (dict.get(held, "x"), list(dict.keys(held))[1], held.attribute)  # type: ignore[attr-defined]


@holder
def user_dict(cls: Any) -> Look:
    held = collections.UserDict(x=cls)
    return lambda: held["x"]


@holder
def mapping_proxy(cls: Any) -> Look:
    held = types.MappingProxyType({"x": cls})
    return lambda: held["x"]


@holder
def list_(cls: Any) -> Look:
    held = [1, cls, [cls]]
    return lambda: (held[1], held[2][0])  # type: ignore[index]


class ListOfMine(list[Any]):
    __setitem__ = __iter__ = None  # type: ignore[assignment]


@holder
def list_subclass(cls: Any) -> Look:
    held = ListOfMine([cls])
    return lambda: list.__getitem__(held, 0)


@holder
def deque(cls: Any) -> Look:
    held = collections.deque([1, cls], maxlen=2)
    return lambda: (held[1], held.maxlen == 2)


@holder
def set_(cls: Any) -> Look:
    held = {cls}
    return lambda: next(iter(held))


@holder
def frozen_set(cls: Any) -> Look:
    held = [frozenset([cls])]
    return lambda: next(iter(held[0]))


@holder
def tuples(cls: Any) -> Look:
    held = [(1, (cls, (2, cls)))]
    return lambda: (held[0][1][0], held[0][1][1][1])


class Pair(NamedTuple):
    first: Any
    second: Any


@holder
def named_tuple(cls: Any) -> Look:
    held = [Pair(cls, 2)]
    return lambda: (held[0].first, type(held[0]) is Pair)


class TupleOfMine(tuple[Any, ...]):
    pass


@holder
def tuple_subclass(cls: Any) -> Look:
    held = [TupleOfMine([cls])]
    held[0].more = cls  # type: ignore[attr-defined]
    return lambda: (held[0][0], held[0].more, type(held[0]) is TupleOfMine)  # type: ignore[attr-defined]


@holder
def nested_deeply(cls: Any) -> Look:
    value: Any = (cls,)
    for _ in range(5_000):
        value = (value,)
    held = [value]

    def look() -> Any:
        inner = held[0]
        while type(inner) is tuple:
            inner = inner[0]
        return inner

    return look


@holder
def slots(cls: Any) -> Look:
    class Base:
        __slots__ = ("first",)

    class Slotted(Base):
        __slots__ = ("empty", "second")

        def __setattr__(self, name: str, value: Any) -> None:
            raise AttributeError("frozen")

    held = Slotted()
    for name in ("first", "second"):
        object.__setattr__(held, name, cls)
    return lambda: (held.first, held.second)


@holder
def frozen_dataclass_with_slots(cls: Any) -> Look:
    @dataclasses.dataclass(frozen=True, slots=True)
    class Config:
        kind: Any

    held = Config(cls)
    return lambda: held.kind


@holder
def attributes(cls: Any) -> Look:
    held = types.SimpleNamespace(x=cls)

    class Thing:
        kind = cls
        kinds = (int, cls)

    thing = Thing()
    thing.own = cls  # type: ignore[attr-defined]
    return lambda: (held.x, Thing.kind, Thing.kinds[1], thing.own)  # type: ignore[attr-defined]


@holder
def attributes_of_a_module(cls: Any) -> Look:
    held = types.ModuleType("held")
    held.x = cls  # type: ignore[attr-defined]
    return lambda: held.x


@holder
def function(cls: Any) -> Look:
    def held(a: Any = cls, *, b: Any = cls) -> Any:
        return cls

    held.more = cls  # type: ignore[attr-defined]
    held.__annotations__ = {"a": cls, "return": list[cls]}
    return lambda: (
        *(held(), held.__defaults__[0], held.__kwdefaults__["b"], held.more),  # type: ignore[attr-defined, index]
        *(held.__annotations__["a"], typing.get_args(held.__annotations__["return"])[0]),
    )


@holder
def annotations_nobody_has_read(cls: Any) -> Look:
    space: dict[str, Any] = {"cls": cls}
    code = "def held(a: cls) -> list[cls]: ..."
    exec(compile(code, "<test>", "exec", dont_inherit=True), space)
    held = space["held"]
    if sys.version_info >= (3, 14):  # they are looked up when read
        return lambda: space["cls"]
    del space["cls"]
    was_swapped, own = [False], [cls]

    def look() -> Any:
        if own[0] is not KEPT.old:
            was_swapped[0] = True
        if not was_swapped[0]:  # to read them makes a dict of them
            return own[0]
        annotations = held.__annotations__
        return own[0], annotations["a"], typing.get_args(annotations["return"])[0]

    return look


@holder
def partial(cls: Any) -> Look:
    held = functools.partial(functools.partial(cls, 1), cls, k=cls)
    held.more = cls  # type: ignore[attr-defined]
    return lambda: (held.func, held.args[1], held.keywords["k"], held.more)  # type: ignore[attr-defined]


@holder
def partial_method(cls: Any) -> Look:
    class Thing:
        make = functools.partialmethod(lambda self, kind: kind, cls)

    return lambda: Thing().make()


@holder
def bound_method(cls: Any) -> Look:
    held = [cls.make, cls.mro, cls.__call__]
    return lambda: (held[0](), held[0].__self__, held[1].__self__, held[2].__self__)


@holder
def method_with_a_class_as_its_function(cls: Any) -> Look:
    held = [types.MethodType(cls, 1)]
    return lambda: held[0].__func__


@holder
def descriptors(cls: Any) -> Look:
    class Thing:
        static = staticmethod(cls)
        for_class = classmethod(cls)
        computed = property(cls)

    def look() -> Any:
        own = vars(Thing)  # on 3.15 it does not keep its class
        return (
            *(own["static"].__func__, own["static"].__wrapped__),
            *(own["for_class"].__func__, own["computed"].fget),
        )

    return look


@holder
def weak_reference(cls: Any) -> Look:
    called: list[Any] = []
    held = [weakref.ref(cls), weakref.ref(cls, called.append), weakref.proxy(cls)]
    return lambda: (held[0](), held[1](), held[2].mro()[0], held[1].__callback__ is not None)


@holder
def weak_dicts_and_sets(cls: Any) -> Look:
    by_key: Any = weakref.WeakKeyDictionary({cls: "out"})
    by_value: Any = weakref.WeakValueDictionary({"x": cls})
    members = weakref.WeakSet([cls])
    return lambda: (
        *(next(iter(by_key)), by_value["x"], next(iter(members))),
        len(by_key) == len(by_value) == len(members) == 1,
        by_key.get(next(iter(by_key))) == "out",
    )


@holder
def enum_member(cls: Any) -> Look:
    class Kinds(enum.Enum):
        PLAIN = (int, 1)
        OUT = (cls, 2)

    return lambda: (Kinds.OUT.value[0], Kinds((Kinds.OUT.value[0], 2)) is Kinds.OUT)


@holder
def slice_and_range_of_a_dict(cls: Any) -> Look:
    held = [slice(cls, None)]
    return lambda: held[0].start


@holder
def forms_of_typing(cls: Any) -> Look:
    T = TypeVar("T")

    class Box(Generic[T]):
        pass

    held = [
        typing.Optional[cls],  # noqa: UP045
        typing.Union[int, cls],  # noqa: UP007
        typing.List[cls],  # noqa: UP006
        typing.Dict[str, typing.Tuple[cls, ...]],  # noqa: UP006
        typing.Callable[[cls], cls],
        typing.ClassVar[cls],
        typing.Type[cls],  # noqa: UP006
        Annotated[cls, "note"],
        Annotated[int, cls],
        Box[cls],
        list[cls],
        cls | None,
        dict[str, tuple[cls, ...]],
        collections.abc.Callable[[cls], cls],
    ]
    kinds = list(map(type, held))

    def look() -> Any:
        found: list[Any] = []
        for form in held:
            pending = [form]
            while pending:
                part = pending.pop()
                if isinstance(part, type) and typing.get_origin(part) is None:
                    found += [part] if part.__name__ in ("Old", "New") else []
                elif isinstance(part, list):
                    pending += part
                else:
                    pending += typing.get_args(part)
        assert len(found) == 16, found
        assert list(map(type, held)) == kinds
        assert held[0] == typing.Optional[found[0]]  # noqa: UP045
        return tuple(found)

    return look


@holder
def text_in_literal_is_no_class(cls: Any) -> Look:
    held = [Literal["Old"], cls]
    return lambda: (held[1], held[0] == Literal["Old"])


@holder
def signature(cls: Any) -> Look:
    def function(a: Any = cls) -> Any: ...

    function.__annotations__ = {"a": cls, "return": cls}
    held = inspect.signature(function)
    return lambda: (
        *(held.return_annotation, held.parameters["a"].annotation),
        held.parameters["a"].default,
    )


@holder
def type_variable(cls: Any) -> Look:
    held = TypeVar("held", bound=cls)
    return lambda: held.__bound__


@holder
def typed_dict_and_fields(cls: Any) -> Look:
    typed = types.new_class(
        "Typed", (TypedDict,), {}, lambda space: space.update(__annotations__={"a": cls})
    )

    @dataclasses.dataclass
    class Data:
        a: cls  # type: ignore[valid-type]
        b: Any = dataclasses.field(default=cls, metadata={"kind": cls})
        c: Any = dataclasses.field(default_factory=cls)

    Data.__dataclass_fields__["a"].type = cls
    Data.__annotations__["a"] = cls
    a, b, c = dataclasses.fields(Data)
    return lambda: (
        *(typed.__annotations__["a"], a.type, Data.__annotations__["a"], Data.b),
        *(b.default, b.metadata["kind"], c.default_factory),
        Data.__init__.__defaults__[0],
    )


@holder
def cached_function(cls: Any) -> Look:
    calls: list[Any] = []
    own = [cls]

    @functools.lru_cache(maxsize=4)
    def bounded(kind: Any = None) -> Any:
        calls.append(kind)
        return own[0]

    @functools.cache
    def unbounded(kind: Any = None) -> Any:
        return kind or own[0]

    bounded(), bounded(cls), unbounded(), unbounded(cls)
    return lambda: (bounded(), bounded(own[0]), unbounded(), unbounded(own[0]))


@holder
def single_dispatch(cls: Any) -> Look:
    @functools.singledispatch
    def handle(value: Any) -> str:
        return "any"

    @handle.register(cls)
    def _(value: Any) -> str:
        return "out"

    own = [cls]
    assert handle.dispatch(cls)(1) == "out"
    return lambda: (
        own[0],
        handle.dispatch(own[0])(1) == "out" and handle.dispatch(KEPT.old)(1) == "out",
        handle.dispatch(int)(1) == "any",
    )


@holder
def abstract_class(cls: Any) -> Look:
    class Output(abc.ABC):  # noqa: B024
        pass

    class Other(abc.ABC):  # noqa: B024
        pass

    Output.register(cls)
    own = [cls]
    assert issubclass(cls, Output) and not issubclass(cls, Other)
    return lambda: (
        own[0],
        issubclass(own[0], Output) and issubclass(KEPT.old, Output),
        not issubclass(own[0], Other),
    )


@holder
def tables_of_copy_and_pickle(cls: Any) -> Look:
    own = [cls]
    copyreg.pickle(cls, lambda out: (str, ("reduced",)))

    def look() -> Any:
        both = [copy.copy(object.__new__(each)) for each in (own[0], KEPT.old)]
        return own[0], both == ["reduced", "reduced"]

    return look


@holder
def nested_in_all_of_these(cls: Any) -> Look:
    held = {"x": [collections.OrderedDict({"y": (frozenset([(cls, list[cls])]),)})]}
    return lambda: next(iter(held["x"][0]["y"][0]))[0]


@holder
def threads_own(cls: Any) -> Look:
    held = threading.local()
    held.x = cls
    return lambda: held.x


@holder
def pydantic_models(cls: Any) -> Look:
    pydantic = pytest.importorskip("pydantic")
    allowed = pydantic.ConfigDict(arbitrary_types_allowed=True)
    fields: Any = {"kind": (type[cls] | None, None), "out": (int | cls, 1)}
    Inner = pydantic.create_model("Inner", __config__=allowed, **fields)
    Outer = pydantic.create_model("Outer", __config__=allowed, inner=(Inner | None, None))
    adapter = pydantic.TypeAdapter(type[cls])
    own = [cls]

    plain = dataclasses.make_dataclass("Data", [("kind", type[cls])])
    Data = pydantic.dataclasses.dataclass(plain, config=allowed)

    def look() -> Any:
        now = own[0]
        other = KEPT.old if now is KEPT.new else KEPT.new
        for refused in (lambda: Inner(kind=other), lambda: adapter.validate_python(other)):
            with pytest.raises(pydantic.ValidationError):
                refused()
        return (
            *(Inner(kind=now).kind, type(Inner(out=now()).out), Data(now).kind),
            *(Outer(inner={"kind": now}).inner.kind, adapter.validate_python(now)),
            typing.get_args(Inner.model_fields["out"].annotation)[1],
        )

    return look


@holder
def beartype(cls: Any) -> Look:
    beartype = pytest.importorskip("beartype")
    own = [cls]

    def plain(out: Any) -> Any:
        return out

    plain.__annotations__ = {"out": cls, "return": typing.Optional[cls]}  # noqa: UP045
    checked = beartype.beartype(plain)

    def look() -> Any:
        other = KEPT.old if own[0] is KEPT.new else KEPT.new
        with pytest.raises(beartype.roar.BeartypeException):
            checked(other())
        return type(checked(own[0]()))

    return look


def agrees(seen: Any, cls: Any) -> bool:
    """Every class that was seen is this one, and every condition holds."""
    parts = seen if isinstance(seen, tuple) else (seen,)
    return all(part is True or part is cls for part in parts) and any(part is cls for part in parts)


@pytest.mark.parametrize("name", HOLDERS)
def test_holder(name: str) -> None:
    look = HOLDERS[name](KEPT.old)
    gc.collect()
    assert agrees(look(), KEPT.old)
    for _ in range(2):
        swap = swapped()
        if name == "type_variable" and sys.version_info >= (3, 12):
            assert "a typing.TypeVar" in swap.left
            assert agrees(look(), KEPT.old)
        else:
            assert not swap.left
            assert agrees(look(), KEPT.new), look()
        swap.undo()
        assert agrees(look(), KEPT.old), look()
    copyreg.dispatch_table.pop(KEPT.old, None)


@pytest.mark.parametrize("name", ["key_of_a_dict", "tuples", "slots", "weak_dicts_and_sets"])
def test_holder_that_is_frozen(name: str) -> None:
    look = HOLDERS[name](KEPT.old)
    sys.modules["holder_of_a_test"] = types.ModuleType("holder_of_a_test")
    sys.modules["holder_of_a_test"].look = look  # type: ignore[attr-defined]
    gc.collect()
    gc.freeze()
    try:
        swap = swapped()
        assert agrees(look(), KEPT.new)
        swap.undo()
        assert agrees(look(), KEPT.old)
    finally:
        gc.unfreeze()
        del sys.modules["holder_of_a_test"]


# --- what is left, and what is nobody's business ---------------------------------------------------


def test_what_cannot_be_changed_is_named_once() -> None:
    def generator(cls: Any) -> Iterator[Any]:
        yield
        yield cls

    held = [map(KEPT.old, ["a"]), map(KEPT.old, ["b"]), generator(KEPT.old)]
    next(held[-1])
    swap = swapped()
    assert swap.left == {
        "a map": "it cannot be changed",
        "the generator test_what_cannot_be_changed_is_named_once.<locals>.generator": (
            "its local variables are out of reach"
        ),
    }
    swap.undo()
    del held


def test_own_parts_of_a_class_stay() -> None:
    derived = type("Derived", (KEPT.old,), {})
    swap = swapped()
    for cls in (KEPT.old, KEPT.new):
        assert cls.make() is cls.mro()[0] and cls.__mro__ == (cls, object)
        assert any(each is cls for each in object.__subclasses__())
    assert derived.__bases__ == (KEPT.old,) and KEPT.old.__subclasses__() == [derived]
    assert KEPT.new.__subclasses__() == []
    assert not swap.left
    swap.undo()


def test_what_was_changed_in_between_stays() -> None:
    class Slotted:
        __slots__ = ("x",)
        kind = KEPT.old

    held = [KEPT.old, KEPT.old]
    table = {KEPT.old: 1, int: 2}
    slotted = Slotted()
    slotted.x = KEPT.old
    members = {KEPT.old}
    swap = swapped()
    held[0] = slotted.x = Slotted.kind = int
    table[KEPT.new] = 3
    members.add(str)
    swap.undo()
    assert held == [int, KEPT.old] and slotted.x is Slotted.kind is int
    assert list(table.items()) == [(KEPT.old, 3), (int, 2)] and members == {KEPT.old, str}
    held, table, members = [], {}, set()


def test_both_classes_in_one_table_stay_apart() -> None:
    table = {KEPT.old: "old", KEPT.new: "new"}
    members = {KEPT.old, KEPT.new}
    swap = swapped()
    assert table == {KEPT.old: "old", KEPT.new: "new"} and members == {KEPT.new}
    swap.undo()
    assert table == {KEPT.old: "old", KEPT.new: "new"} and members == {KEPT.old, KEPT.new}


def test_instances_are_counted_and_stay() -> None:
    made = [KEPT.old() for _ in range(3)]
    swap = swapped()
    assert swap.live_instances == 3 and all(type(each) is KEPT.old for each in made)
    swap.undo()


def test_the_search_asks_objects_in_c() -> None:
    """In Python each object took almost a microsecond."""
    held: list[Any] = [[] for _ in range(1_000_000)]
    start = time.process_time()
    swap = swapped()
    took = time.process_time() - start
    swap.undo()
    assert took / len(held) < 0.5e-6


# --- bad input -----------------------------------------------------------------------------------


class Unhashable(type):
    __hash__ = None  # type: ignore[assignment]


class Raising(type):
    def __getattribute__(cls, name: str) -> Any:
        raise RuntimeError("nobody may ask")

    def __instancecheck__(cls, instance: Any) -> bool:
        raise RuntimeError("nobody may ask")

    __subclasscheck__ = __instancecheck__
    __eq__ = __instancecheck__
    __hash__ = type.__hash__


class RaisingObject:
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("nobody may ask")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("nobody may ask")

    __hash__ = None  # type: ignore[assignment]


class RaisingModule(types.ModuleType):
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("nobody may ask")


class Key:
    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("nobody may compare")


def test_odd_objects_in_the_heap_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    def body(space: dict[str, Any]) -> None:
        space.update(kind=KEPT.old, kinds=(KEPT.old,))

    odd = [types.new_class("Odd", (), {"metaclass": each}, body) for each in (Unhashable, Raising)]
    instances = [object.__new__(each) for each in (*odd, RaisingObject)]
    for each in instances:
        object.__setattr__(each, "own", KEPT.old)
    module = RaisingModule("raising_module_of_a_test")
    types.ModuleType.__setattr__(module, "x", KEPT.old)
    monkeypatch.setitem(sys.modules, "raising_module_of_a_test", module)
    monkeypatch.setitem(sys.modules, "no_module_of_a_test", RaisingObject())  # type: ignore[arg-type]
    table = {Key(): 1, KEPT.old: 2}
    after = [KEPT.old]

    def seen() -> list[Any]:
        return [
            *(type.__getattribute__(each, "__dict__")["kind"] for each in odd),
            *(type.__getattribute__(each, "__dict__")["kinds"][0] for each in odd),
            *(object.__getattribute__(each, "own") for each in instances),
            types.ModuleType.__getattribute__(module, "x"),
            list(table)[1],
            after[0],
        ]

    swap = swapped()
    assert [each is KEPT.new for each in seen()] == [True] * len(seen())
    swap.undo()
    assert [each is KEPT.old for each in seen()] == [True] * len(seen())


def test_a_key_that_cannot_be_compared_loses_nothing() -> None:
    """Two with the same hash: to put them into a dict again asks whether they are equal."""
    keys = [Key(), Key()]
    table: dict[Any, Any] = {}
    with pytest.raises(RuntimeError):
        table.update(dict.fromkeys(keys))
    table = {keys[0]: 1, KEPT.old: 2}
    swap = swapped()
    swap.undo()
    assert list(table.values()) == [1, 2] and list(table)[1] is KEPT.old


def test_a_lazy_module_is_not_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    source = tmp_path / "lazy_module_of_a_test.py"
    source.write_text("raise AssertionError('imported')")
    spec = importlib.util.spec_from_file_location("lazy_module_of_a_test", source)
    assert spec is not None and spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    types.ModuleType.__getattribute__(module, "__dict__")["x"] = KEPT.old
    swap = swapped()
    assert types.ModuleType.__getattribute__(module, "__dict__")["x"] is KEPT.new
    assert type(module) is not types.ModuleType, "still lazy"
    swap.undo()
    assert types.ModuleType.__getattribute__(module, "__dict__")["x"] is KEPT.old


def test_other_threads_change_what_is_searched() -> None:
    stop, errors = threading.Event(), []
    tables: list[dict[Any, Any]] = [{} for _ in range(4)]

    def work(table: dict[Any, Any]) -> None:
        try:
            for turn in range(10**9):
                table[turn % 50] = [(KEPT.old, turn)]
                table[KEPT.old] = table.pop(KEPT.old, turn)
                table.pop((turn * 7) % 50, None)
                if stop.is_set():
                    return
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(table,)) for table in tables]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            swapped().undo()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not errors


@contextlib.contextmanager
def interrupted(at: int) -> Iterator[list[int]]:
    """Ctrl-C before the n-th line of ours that runs; the list has how many have run."""
    lines = [0]

    def trace(frame: Any, event: str, argument: Any) -> Any:
        if "fastoutputs" not in frame.f_code.co_filename:
            return None
        if event == "line":
            lines[0] += 1
            if lines[0] == at:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield lines
    finally:
        sys.settrace(before)


def test_ctrl_c_at_any_line_of_undo_loses_nothing() -> None:
    looks = [make(KEPT.old) for name, make in HOLDERS.items() if name not in NOT_AT_ONCE]
    seen = [agrees(look(), KEPT.old) for look in looks]
    assert all(seen)
    with interrupted(0) as lines:
        swapped().undo()
    for at in range(1, lines[0], max(1, lines[0] // 60)):
        swap = Swap()
        with contextlib.suppress(KeyboardInterrupt), interrupted(at):
            swap.everywhere(Table({KEPT.old: KEPT.new}))
            swap.undo()
        with contextlib.suppress(KeyboardInterrupt), interrupted(at % 50):
            swap.undo()
        swap.undo()
        assert [agrees(look(), KEPT.old) for look in looks] == seen, at
    copyreg.dispatch_table.pop(KEPT.old, None)


NOT_AT_ONCE = ("type_variable", "nested_deeply", "pydantic_models", "beartype")


program = functools.partial(interpreter.program, timeout=600)

needs_transformers = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("torch", "transformers"))), reason="a library to replace"
)

INTERRUPTED = """
    import contextlib, sys
    import transformers.modeling_outputs as theirs
    from transformers.models.clip import modeling_clip
    import fastoutputs
    from fastoutputs.integrations import install as integration

    def picture():
        return [
            {name: value for name, value in vars(module).items() if isinstance(value, type)}
            for module in (theirs, modeling_clip, transformers.utils, transformers.utils.generic)
        ]

    def interrupt(at):
        lines = [0]
        def trace(frame, event, argument):
            if "fastoutputs" not in frame.f_code.co_filename:
                return None
            if event == "line":
                lines[0] += 1
                if lines[0] == at:
                    sys.settrace(None)
                    raise KeyboardInterrupt
            return trace
        sys.settrace(trace)
        return lines

    def run(at, function):
        lines = interrupt(at)
        try:
            with contextlib.suppress(KeyboardInterrupt):
                function()
        finally:
            sys.settrace(None)
        return lines[0]

    import transformers.utils.generic
    before, out = picture(), theirs.CausalLMOutput(logits=1)
    fastoutputs.install()
    meanwhile = picture()
    fastoutputs.uninstall()
    assert picture() == before != meanwhile
    counts = {}
    for name, function in (("install", fastoutputs.install), ("uninstall", fastoutputs.uninstall)):
        counts[name] = run(0, function)
    assert picture() == before
    points = int(sys.argv[1])
    for name, count in counts.items():
        for at in range(1, count, max(1, count // points)):
            if name == "uninstall":
                fastoutputs.install()
                run(at, fastoutputs.uninstall)
                run(at % 40, fastoutputs.uninstall)  # and once more
                if at % 2:
                    fastoutputs.uninstall()
                    assert picture() == before, (name, at)
            else:
                run(at, fastoutputs.install)
                if not integration._active:
                    assert picture() == before, (name, at)
            fastoutputs.install()
            assert picture() == meanwhile, (name, at)
            fastoutputs.uninstall()
            assert picture() == before, (name, at)
            assert not integration._active and not vars(theirs.ModelOutput).keys() & {"__copy__"}
            assert out == theirs.CausalLMOutput(logits=1)
    print(counts)
"""


@needs_transformers
def test_before_the_import_nothing_else_is_imported() -> None:
    program(
        """
        import importlib.util  # which finds the library
        import sys
        import fastoutputs
        before = set(sys.modules)
        assert fastoutputs.install().waiting
        others = [name for name in set(sys.modules) - before if not name.startswith("fastoutputs.")]
        assert not others, others
        assert "fastoutputs.integrations.references" not in sys.modules
        """
    )


@needs_transformers
@pytest.mark.parametrize("lines", ["5", pytest.param("60", marks=pytest.mark.slow)])
def test_ctrl_c_at_any_line_of_install_and_uninstall(lines: str) -> None:
    assert "uninstall" in program(INTERRUPTED, lines)


@needs_transformers
def test_threads_that_import_meanwhile() -> None:
    program(
        """
        import importlib, sys, threading
        import transformers, transformers.modeling_outputs as theirs
        import fastoutputs
        sys.setswitchinterval(1e-4)
        names = ["bert", "clip", "gpt2", "t5", "vit", "wav2vec2", "xlnet"]
        errors, stop = [], threading.Event()

        def work(names):
            try:
                for name in names:
                    importlib.import_module(f"transformers.models.{name}.modeling_{name}")
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(names[i::2],)) for i in range(2)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            fastoutputs.install()
            assert issubclass(theirs.CausalLMOutput, fastoutputs.ModelOutput)
            fastoutputs.uninstall()
        for thread in threads:
            thread.join()
        assert not errors, errors
        from transformers.models.xlnet.modeling_xlnet import XLNetModelOutput
        assert not issubclass(XLNetModelOutput, fastoutputs.ModelOutput), XLNetModelOutput.__mro__
        fastoutputs.install()
        for name in names:
            module = sys.modules[f"transformers.models.{name}.modeling_{name}"]
            for found in list(vars(module).values()):
                if isinstance(found, type) and issubclass(found, dict) and hasattr(found, "to_tuple"):
                    assert issubclass(found, fastoutputs.ModelOutput), found
        """
    )


@needs_transformers
def test_a_table_and_a_dispatcher_of_the_user() -> None:
    program(
        """
        import functools
        import fastoutputs
        from transformers.modeling_outputs import BaseModelOutput
        from transformers.utils import ModelOutput

        table = {int: "int", BaseModelOutput: "out", str: "str"}

        @functools.singledispatch
        def f(value):
            return "any"

        @f.register(ModelOutput)
        def _(value):
            return "out"

        before = BaseModelOutput(1)
        for _ in range(3):
            assert table[BaseModelOutput] == f(BaseModelOutput(1)) == f(before) == "out"
            assert list(table.values()) == ["int", "out", "str"] and f(1) == "any"
            report = fastoutputs.install()
            assert not report.left, report
            out = BaseModelOutput(1)
            assert isinstance(out, fastoutputs.ModelOutput)
            assert table[BaseModelOutput] == f(out) == f(before) == "out" and f({}) == "any"
            assert list(table.values()) == ["int", "out", "str"]
            fastoutputs.uninstall()
        """
    )


MADE_BEFORE = """
    import copy, io, pickle, sys
    import torch, transformers.modeling_outputs as theirs
    from torch.utils import _pytree as pytree
    import fastoutputs, fastoutputs.modeling_outputs as ours

    original = theirs.CausalLMOutput
    values = {"logits": 1, "attentions": (2, 3)}
    before = [theirs.CausalLMOutput(**values), ours.CausalLMOutput(**values)]
    plain = fastoutputs.ModelOutput(a=1)

    def check(out, now):
        cls, new = type(out), now(**values)
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            for dumps in (pickle.dumps, pickle._dumps):
                back = pickle.loads(dumps(out, protocol))
                assert type(back) is now and back == new, (cls, type(back))
        file = io.BytesIO()
        torch.save([out], file)
        file.seek(0)
        assert type(torch.load(file, weights_only=False)[0]) is now
        for again in (copy.copy, copy.deepcopy, copy.copy(out).copy and copy.deepcopy):
            assert type(again(out)) is cls and again(out) == out and again(out) is not out
        nested = [[2], 3]
        assert copy.deepcopy(cls(logits=nested)).logits == nested
        assert copy.deepcopy(cls(logits=nested)).logits is not nested
        assert out == new and new == out and not out != new and not new != out
        assert out != now(logits=2) and now(logits=2) != out
        mapped = pytree.tree_map(lambda leaf: leaf + 1, out)
        assert type(mapped) is cls and mapped.to_tuple() == (2, (3, 4))
        assert isinstance(out, cls) and out.to_tuple() == (1, (2, 3)) and dict(out) == values

    for _ in range(3):
        fastoutputs.install()
        for out in before:
            check(out, theirs.CausalLMOutput)
        new = theirs.CausalLMOutput(**values)
        check(new, theirs.CausalLMOutput)
        assert type(pickle.loads(pickle.dumps(plain))) is type(plain)
        fastoutputs.uninstall()
        assert theirs.CausalLMOutput is original
        check(new, original)
        check(before[0], original)
        assert type(pickle.loads(pickle.dumps(before[1]))) is type(before[1])
        assert type(pickle.loads(pickle.dumps(plain))) is type(plain)
        assert not {"__copy__", "__deepcopy__", "__reduce_ex__"} & vars(theirs.ModelOutput).keys()
"""


@needs_transformers
def test_outputs_made_before_and_meanwhile_keep_working() -> None:
    program(MADE_BEFORE)


@needs_transformers
def test_outputs_of_classes_that_came_meanwhile_keep_working() -> None:
    program(
        """
        import copy, pickle
        import fastoutputs, fastoutputs.modeling_outputs as ours

        def again(out):
            return type(pickle.loads(pickle.dumps(out)))

        mine = ours.CausalLMOutput(logits=1)
        fastoutputs.install()
        assert again(mine) is type(mine)
        import transformers.modeling_outputs as theirs
        new = theirs.CausalLMOutput(logits=1)
        assert type(new) is not type(mine) and again(mine) is again(new) is type(new)
        assert mine == new and new == mine
        fastoutputs.uninstall()
        old = theirs.CausalLMOutput(logits=1)
        assert not isinstance(old, fastoutputs.ModelOutput)
        assert again(old) is again(new) is type(old) and again(mine) is type(mine)
        assert old == new and new == old
        fastoutputs.install()
        assert again(old) is again(new) is again(mine) is type(new) is theirs.CausalLMOutput
        assert type(copy.deepcopy(old)) is type(old)
        """
    )


@needs_transformers
@pytest.mark.parametrize("rounds", ["30", pytest.param("1000", marks=pytest.mark.slow)])
def test_rounds_leave_nothing_behind(rounds: str) -> None:
    """Objects, references and names; the first rounds fill caches."""
    program(ROUNDS, rounds)


ROUNDS = """
    import gc, sys
    import transformers.modeling_outputs as theirs, transformers.models.clip.modeling_clip as clip
    import fastoutputs, fastoutputs.modeling_outputs

    def figures():
        gc.collect()
        return len(gc.get_objects()), sys.getrefcount(theirs.CausalLMOutput), sys.getallocatedblocks()

    names = dict(vars(theirs))
    for turn in range(int(sys.argv[1]) + 10):
        if turn == 10:
            before = figures()
        fastoutputs.install()
        assert issubclass(clip.CLIPOutput, fastoutputs.ModelOutput)
        fastoutputs.uninstall()
        assert vars(theirs) == names
    after = figures()
    print(before, after)
    assert after[0] - before[0] < 20 and after[1] == before[1], (before, after)
    assert after[2] - before[2] < 200, (before, after)
"""
