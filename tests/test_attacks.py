"""Attacks on the memory of outputs by plain Python: each ends in a defined result or in an exception.

Every one of these, or its like, ended a release build when a class was first laid out at its creation. Each runs in a
process of its own, as what it breaks may show later.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

BEFORE = """
import dataclasses, gc, sys, weakref
from dataclasses import dataclass, field, make_dataclass
from typing import Any
from fastoutputs import ModelOutput, _core

set_class = object.__dict__["__class__"].__set__
MANY = {f"z{i}": Any for i in range(20)}

class Stop:
    def __init_subclass__(cls, **kwargs): pass

def make(names="ab", cls="Out", **kwargs):
    return make_dataclass(cls, [(n, Any, None) for n in names], bases=(ModelOutput,), **kwargs)

def add_many(cls):
    cls.__annotations__ = {**cls.__dict__.get("__annotations__", {}), **MANY}
    for name in MANY:
        setattr(cls, name, None)
    return dataclass(cls)

def refused(function, *args):
    try:
        function(*args)
    except (TypeError, AttributeError):
        return True
    return False

def rubbish():
    return [bytes(k) for k in range(64, 1024, 8) for _ in range(8)]
"""

ATTACKS = {
    "the slot of a field is deleted by its old descriptor": """
D = dataclass(slots=True)(make())
kept = D.__dict__["a"]
out = D(1, 2)
assert refused(kept.__set__, out, 5) and refused(kept.__delete__, out)
assert out.to_tuple() == (1, 2) and dict(out) == {"a": 1, "b": 2}
""",
    "a descriptor is hidden before the class is laid out": """
saved = {}
class Hides:
    def __set_name__(self, owner, name):
        saved["q"] = owner.__dict__["q"]
        del owner.q
class Y(ModelOutput):
    __slots__ = ("p", "q")
    z = Hides()
    a: Any = None
Y = dataclass(Y)
out = Y(1)
saved["q"].__set__(out, "mine")
assert out.a == 1 and list(out) == ["a"] and saved["q"].__get__(out) == "mine"
saved["q"].__delete__(out)
assert out.to_tuple() == (1,)
""",
    "an object of a class without a layout becomes one of another": """
A = make(); A(1)
S = type("S", (Stop, A), {})
out = dict.__new__(S)
assert refused(set_class, out, A) and refused(setattr, out, "__class__", A)
assert refused(set_class, A(1), S) and len(out) == 0
""",
    "an object becomes one of a class that grows at its first use": """
A = make("a"); U = type("U", (ModelOutput,), {"__annotations__": {"a": Any}, "a": None})
out = A(1)
assert refused(set_class, out, U)
add_many(U)(1)
gc.collect()
assert out.to_tuple() == (1,)
""",
    "a base grows under a class in creation": """
class Base(ModelOutput): a: Any = None
Base = add_many(Base)
class Meta(type):
    def mro(cls):
        global grew
        grew = not refused(Base, 1)
        return type.mro(cls)
class Sub(Stop, Base, metaclass=Meta): pass
assert not grew
out = dict.__new__(Sub)
gc.collect()
assert refused(getattr, out, "z9") or out.z9 is None
""",
    "a base that is in the order of bases alone grows": """
class Other(ModelOutput): __annotations__ = {}
class Meta(type):
    def mro(cls): return [cls, Other, ModelOutput, dict, object]
class X(ModelOutput, metaclass=Meta): a: Any = None
X = dataclass(X)
assert refused(add_many(Other), 1)
outs = [X(a=i) for i in range(100)]
for out in outs:
    for name in MANY:
        repr(getattr(out, name, 0))
""",
    "a class without a layout is laid out by hand under a subclass": """
class S(Stop, ModelOutput): __annotations__ = dict(MANY)
class T(S): pass
out = dict.__new__(T)
assert refused(lambda: super(Stop, S).__init_subclass__())
gc.collect()
""",
    "an instance that is hidden from the collector's lists": """
gc.get_objects, keep = (lambda *a: 5), []
class Makes:
    def __set_name__(self, owner, name):
        keep.append(dict.__new__(owner))
        gc.freeze()
assert refused(type, "Out", (ModelOutput,), {"__annotations__": dict(MANY), "one": Makes()})
gc.unfreeze(); gc.collect()
assert list(keep[0]) == []
""",
    "a class goes away while it is sealed through its output": """
Stays = make(cls="Stays"); Stays(1); armed = False
class Proxy:
    def __init__(self, field): self.field = field
    def __getattr__(self, name):
        global armed
        if armed and name == "kw_only":
            armed = False; out.__class__ = Stays; gc.collect(); self.rubbish = rubbish()
        return getattr(self.field, name)
for use in (lambda o: o.to_tuple(), lambda o: o[0], lambda o: o.copy(), lambda o: o.__reduce__(),
            lambda o: o.__post_init__(), lambda o: o | {}):
    X = make(cls="X")
    X.__dataclass_fields__ = {k: Proxy(f) for k, f in X.__dataclass_fields__.items()}
    out = X(1, 2); X.patched = 1; del X; gc.collect(); armed = True
    use(out)
    assert out.to_tuple() == (1, 2)
""",
    "a factory that takes the class away": """
Stays = make(cls="Stays"); Stays(1)
def factory():
    global out
    if out is not None:
        out.__class__ = Stays; gc.collect(); out.rubbish = rubbish()
    return 5
def renew():
    global out
    out = None
    X = make_dataclass("X", [("a", Any, None), ("b", Any, field(default_factory=factory))], bases=(ModelOutput,))
    out = X(1, 2)
renew()
out | {}
assert out.to_tuple() == (1, 2) and type(out) is Stays
""",
    "a key whose hash takes the class away": """
Stays = make(cls="Stays"); Stays(1)
class Key:
    armed = False
    def __hash__(self):
        if Key.armed:
            Key.armed = False; out.__class__ = Stays; gc.collect(); self.rubbish = rubbish()
        return 7
for use in (lambda: out == {}, lambda: out.__reduce__(), lambda: setattr(out, "__dict__", {"a": 5})):
    X = make(cls="X"); out = X(1, 2); del X
    for _ in range(3):
        dict.__setitem__(out, Key(), 1)
    Key.armed = True
    use()
    assert out.b == 2
""",
    "a first field that moves the output to a class with no field": """
class Z(ModelOutput): a: Any
class SubZ(Z): pass
del Z.__annotations__["a"]
Z = dataclass(Z); _core.layout(Z)
X = make("a", "X")
class First:
    def __iter__(self):
        found = [o for o in gc.get_objects() if type(o) is X]
        refused(setattr, found[0], "__class__", Z)
        return iter([("a", 1)])
X(First())
""",
    "annotations that are cleared while they are read": """
class Evil:
    @property
    def __class__(self):
        names.clear(); self.rubbish = rubbish()
        return int
names = {}
names.update({"x" * 200 + str(i): Evil() for i in range(3)})
type("Out", (ModelOutput,), {"__annotations__": names})
""",
    "no __init__ in the slot": """
class Key(str):
    def __hash__(self): return hash("__init__")
    def __eq__(self, other):
        if armed: raise RuntimeError
        return False
armed = False
X = type("X", (ModelOutput,), {"__annotations__": {"a": Any}, "a": None, Key("zz"): 1})
armed = True
try:
    type("Y", (X,), {})(1)
except (RuntimeError, TypeError):
    pass
""",
    "a name of a class that is no str": """
armed = False
class Meta(type):
    def __getattribute__(cls, name):
        return 5 if armed and name in ("__qualname__", "__name__") else type.__getattribute__(cls, name)
class X(ModelOutput, metaclass=Meta): a: Any = None
out = dataclass(X)(1)
armed = True
assert repr(out) == "5(a=1)" and ModelOutput.__repr__(out).startswith("5(")
""",
    "a key of the class's dict that cannot be compared": """
class Key(str):
    def __hash__(self): return hash("a")
    def __eq__(self, other):
        if armed: raise RuntimeError("cannot be compared")
        return str.__eq__(self, other)
armed = False
X = dataclass(type("X", (ModelOutput,), {"__annotations__": {"a": Any, "b": Any}, "b": None, Key("zz"): 1, "a": None}))
armed = True
for use in (lambda: X(1, 2), lambda: _core.layout(X)):
    try:
        use()
    except RuntimeError as error:
        assert str(error) == "cannot be compared"
""",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", BEFORE + ATTACKS[name]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-3000:]
