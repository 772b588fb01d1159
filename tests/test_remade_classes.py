"""Classes that are made again from another: by type(), by decorators, by a reload, by a second run of a notebook cell.

Both classes work, used or not, and neither knows anything of the other: as with the original.
"""

from __future__ import annotations

import abc
import copy
import dataclasses
import functools
import gc
import importlib
import pickle
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from unittest import mock

import pytest
from containers import KINDS, OURS, Kind, Original

from fastoutputs import _core
from fastoutputs.declared import as_declared

PER_CLASS = {"__dict__", "__weakref__"}


def declare(base: Any, is_used: bool) -> Any:
    @dataclass
    class Out(base):
        """What it is."""

        a: Any = None
        b: Any = None

        def twice(self) -> Any:
            return self.a * 2

    if is_used:
        assert Out(a=1)["a"] == 1
    return Out


def test_a_patch_of_a_used_class_that_is_undone(ours: Kind) -> None:
    """What is put back is a descriptor, and still means what it did."""
    Out = declare(ours.base, is_used=True)
    unused = body(declare(ours.base, is_used=False)).keys()
    for patched in (5, None, 6):
        with mock.patch.object(Out, "a", patched):
            assert Out(b=1).b == 1 and as_declared(Out)["a"] is patched
        assert as_declared(Out)["a"] is None and body(Out).keys() == unused
        assert Out(b=1).b == 1 and as_declared(Out)["a"] is None

        @dataclass
        class Again(Out):
            a: Any

        assert Again().a is None
    del Out.a
    assert "a" not in as_declared(Out) and Out(a=1).a == 1 and "a" not in as_declared(Out)


def test_a_class_that_is_patched_often_does_not_grow(ours: Kind) -> None:
    Out = declare(ours.base, is_used=True)

    def patch() -> None:
        for value in range(100):
            Out.a = value
            Out(b=1)

    patch()
    before = len(gc.get_objects())
    patch()
    assert len(gc.get_objects()) - before < 10


def body(cls: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(cls).items() if name not in PER_CLASS}


def look(cls: Any) -> list[Any]:
    """What can be seen of a class, or the error that says why it makes no outputs."""
    try:
        out = cls(a=3)
        return [
            repr(out).rpartition(".")[2],
            list(out.items()),
            (out[0], out.a, out.b, out.twice()),
            (out == cls(a=3), out != cls(a=3), out == cls(a=4)),
            cls(1, 2).to_tuple(),
            cls({"a": 7}).a,
            [field.name for field in dataclasses.fields(cls)],
            cls.__doc__,
            list(copy.copy(out).items()),
        ]
    except Exception as error:
        return [type(error).__name__]


def clone(cls: Any) -> Any:
    return type(cls)("Clone", cls.__bases__, dict(vars(cls)))


def used_clone_of_a_clone(cls: Any) -> Any:
    first = clone(cls)
    first(a=1)
    return clone(first)


def add_metaclass(cls: Any) -> Any:
    """As six does."""
    return type("Meta", (type(cls),), {})(cls.__name__, cls.__bases__, body(cls))


def attribute_by_attribute(cls: Any) -> Any:
    new = type(cls)("New", cls.__bases__, {})
    for name, value in body(cls).items():
        setattr(new, name, value)
    return new


def with_a_patched_init(cls: Any) -> Any:
    init = cls.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self.b = "patched"

    cls.__init__ = __init__
    return clone(cls)


def abstract(cls: Any) -> Any:
    class Base(abc.ABC):
        @abc.abstractmethod
        def do(self) -> None: ...

    meta = type("Meta", (type(Base), type(cls)), {})
    new = meta("New", (Base, *cls.__bases__), body(cls))
    new.do = lambda self: None
    return abc.update_abstractmethods(new)


def ordered(cls: Any) -> Any:
    cls.__lt__ = lambda self, other: self.a < other.a
    ordered = functools.total_ordering(cls)
    assert ordered(a=1) < ordered(a=2)
    return ordered


def protocol(cls: Any) -> Any:
    @runtime_checkable
    class Doubles(Protocol):
        def twice(self) -> Any: ...

    meta = type("Meta", (type(Doubles), type(cls)), {})
    new = meta("New", (*cls.__bases__, Doubles), body(cls))
    return dataclass(new)


def renamed(cls: Any) -> Any:
    cls.__name__ = cls.__qualname__ = "Renamed"
    return cls


REMAKES: list[Callable[[Any], Any]] = [
    clone,
    used_clone_of_a_clone,
    add_metaclass,
    attribute_by_attribute,
    with_a_patched_init,
    abstract,
    ordered,
    protocol,
    renamed,
    dataclass,
    dataclass(slots=True),
    lambda cls: dataclass(clone(cls)),
    lambda cls: clone(clone(cls)),
    lambda cls: type(cls)("Sub", (cls,), dict(vars(cls))),
    lambda cls: dataclass(type(cls)("Sub", (cls,), {"__annotations__": {"c": Any}, "c": None})),
    lambda cls: types.new_class(
        "New", cls.__bases__, {"metaclass": type(cls)}, lambda ns: ns.update(body(cls))
    ),
    lambda cls: dataclasses.make_dataclass("Made", [("c", Any, None)], bases=(cls,)),
]


@pytest.mark.skipif(Original is None, reason="compares with the original")
@pytest.mark.parametrize("is_used", [False, True])
@pytest.mark.parametrize("remake", REMAKES)
@pytest.mark.parametrize("name", OURS)
def test_as_the_original(name: str, remake: Callable[[Any], Any], is_used: bool) -> None:
    seen = []
    for base in (KINDS["original"].base, KINDS[name].base):
        cls = declare(base, is_used)
        new = remake(cls)
        seen.append((look(new), look(cls), look(new)))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("is_used", [False, True])
@pytest.mark.parametrize("remake", REMAKES)
def test_both_work(ours: Kind, remake: Callable[[Any], Any], is_used: bool) -> None:
    cls = declare(ours.base, is_used)
    new = remake(cls)
    for each in (new, cls, new):
        out = each(a=3)
        assert out["a"] == out[0] == out.a == 3 and out.twice() == 6
    if new is not cls:
        assert _core.layout(new) is not _core.layout(cls)
        new.a = property(lambda self: "of the new one")
        assert cls(a=1).a == 1


def test_a_clone_has_defaults_before_its_first_use(ours: Kind) -> None:
    cls = declare(ours.base, True)
    new = clone(cls)
    assert new.a is None and "a" in vars(new)

    @dataclass
    class Again(new):
        a: Any
        c: Any = None

    assert repr(Again(c=1)).endswith("(a=None, b=None, c=1)")


MODULE = """
from dataclasses import dataclass
from typing import Any
from BASE import ModelOutput

@dataclass
class Out(ModelOutput):
    a: Any = None
    b: Any = None
"""


@pytest.mark.parametrize("base", ["fastoutputs", "transformers.utils"])
def test_a_module_that_is_reloaded(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if Original is None and base != "fastoutputs":
        pytest.skip("compares with the original")
    (tmp_path / "declares_out.py").write_text(MODULE.replace("BASE", base))
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("declares_out")
    monkeypatch.delitem(sys.modules, "declares_out")
    monkeypatch.setitem(sys.modules, "declares_out", module)
    old = module.Out
    before = old(a=1)
    data = pickle.dumps(before)
    importlib.reload(module)
    new = module.Out
    assert new is not old and old(a=2)["a"] == new(a=2)["a"] == 2
    assert type(pickle.loads(data)) is new and pickle.loads(pickle.dumps(new(b=3))).b == 3
    assert not before == new(a=1) and before == old(a=1)
    with pytest.raises(pickle.PicklingError):
        pickle.dumps(before)


def test_a_cell_that_is_run_twice(kind: Kind) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    source = MODULE.replace("from BASE import ModelOutput", "")
    found = []
    for _ in range(2):
        exec(source, namespace | {"ModelOutput": kind.base}, namespace)
        found.append((namespace["Out"], namespace["Out"](a=1)))
    (old, first), (new, second) = found
    assert old is not new and first["a"] == second["a"] == 1 and not first == second
    assert isinstance(old(a=2), old) and not isinstance(old(a=2), new)
