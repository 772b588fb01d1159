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

BASE_GOES = """
refs = {}
def go():
    B1 = make("ab", "B1"); B2 = make("ab", "B2")
    X = type("X", (B1,), {"__annotations__": {}})
    X = dataclass(eq=False, repr=False)(X)
    B1(1); B2(1)
    refs.update(B2=B2, X=X)
go()
X = refs["X"]
imp = sys.modules["builtins"].__import__
seen = 0
def hook(name, *a, **k):
    global seen
    if name == "dataclasses" and armed == seen:
        X.__bases__ = (refs["B2"],); gc.collect(); gc.collect()
        global junk
        junk = [bytes(k) for k in range(600, 1600, 8) for _ in range(5)]
    seen += name == "dataclasses"
    return imp(name, *a, **k)
armed = TIMES
sys.modules["builtins"].__import__ = hook
try: print(_core.layout(X))
except Exception as e: print(repr(e))
sys.modules["builtins"].__import__ = imp
"""

EMPTIED = """
class V:
    def __init__(self): self.x = [1] * 50

def setter(self, value):
    if type(value) is V:
        for found in gc.get_referrers(value):
            if isinstance(found, (dict, list)) and found is not globals() and type(found) is not X:
                found.clear()
        del value, found
        globals()["junk"] = rubbish()

X = make(cls="X")
X.a = property(lambda self: 5, setter)
X(b=1)
MAKE
try:
    CHANGE
except (TypeError, KeyError):
    pass
assert [repr(value) for value in out.to_tuple()] is not None
"""

BARE = "out = dict.__new__(X)"
DEEPLY = """
class W:
    def __deepcopy__(self, memo): return V()
out = X(b=1)
out["a"] = W()
"""
WAYS_IN = {
    "init": (BARE, 'ModelOutput.__init__(out, {"a": V()})'),
    "copy": (DEEPLY, 'out = __import__("copy").deepcopy(out)'),
    "update": (BARE, 'vars(out).update({"a": V()})'),
    "or": (BARE, 'out | {"a": V()}'),
    "set dict": (BARE, 'out.__dict__ = {"a": V()}'),
}

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
    "a class grows in a finalizer, where its subclass is in no list": """
class X(ModelOutput): a: Any = None
KEEP = []
class F:
    def __del__(self):
        KEEP.append(self.o)
        add_many(X)(1)          # X grows: nobody depends on it, says has_dependents
def go():
    @dataclass
    class Y(X): q: Any = None
    f = F(); f.o = Y(q=1); f.me = f; Y.f = f
go(); gc.collect()
o = KEEP[0]

junk = [bytes([65])*k for k in range(64, 512, 8) for _ in range(16)]
for n in MANY:
    try: repr(X.__dict__[n].__get__(o))
    except AttributeError: pass
""",
    "an instance holds the last reference to its class, which is then laid out by hand": """
out = None
def go():
    global out
    out = dict.__new__(type("S", (Stop, ModelOutput), {"__annotations__": MANY, **dict.fromkeys(MANY)}))
go()
gc.collect()
assert refused(ModelOutput.__dict__["__init_subclass__"].__get__(None, type(out)))
""",
    "the parameters become keyword-only while the defaults are compared": """
X = make_dataclass("X", [(n, Any, None) for n in "abcdefgh"], bases=(ModelOutput,))
X(1)
imp = sys.modules["builtins"].__import__
count = 0; armed = -1
def hook(name, *a, **k):
    global armed, count
    f = sys._getframe(1)
    if name == "dataclasses" and armed >= 0:
        if armed == 0:
            armed = -1
            for fl in X.__dataclass_fields__.values(): fl.kw_only = True
            X.patched = 2
            _core.layout(X)
        else: armed -= 1
    return imp(name, *a, **k)
sys.modules["builtins"].__import__ = hook
for n in range(0, 12):
    for fl in X.__dataclass_fields__.values(): fl.kw_only = False
    X.patched = n
    armed = n
    try: _core.layout(X)
    except Exception as e: print(n, type(e), e)
""",
    **{
        f"a property empties what its value came in: {way}": EMPTIED.replace("MAKE", make).replace(
            "CHANGE", change
        )
        for way, (make, change) in WAYS_IN.items()
    },
    "the key of keys() empties the list of keys": """
class K:
    def __init__(s): s.x = [1]*50
    def __index__(self):
        for d in gc.get_referrers(self):
            if type(d) is list: d.clear()
        return 2**100
class X(ModelOutput):
    a: Any = None
    n = 0
    def keys(self):
        X.n += 1
        return iter((K(),)) if X.n == 1 else iter(("a",))
X = dataclass(X)
try: X(1).to_tuple()
except (IndexError, SystemError) as e: assert type(e) is IndexError
""",
    "isinstance changes the class of the first field": """
import types
class Meta(type):
    def __instancecheck__(cls, v):
        if type(v).__name__ == "Temp":
            v.__class__ = Other; gc.collect(); return True
        return False
class Tensor(metaclass=Meta): pass
m = types.ModuleType("torch"); m.Tensor = Tensor; sys.modules["torch"] = m
class Other:
    def __iter__(self): return iter([("a", 1)])
def temp():
    class Temp:
        def __iter__(self): return iter([("a", 1)])
    return Temp()
X = make("ab", "X"); X(b=1)
X(temp())
""",
    "the hash of a key empties the list of outputs that pickle follows": """
X = make("ab", "X"); X(b=1)
class Key:
    armed = False
    def __hash__(s):
        if Key.armed:
            for l in gc.get_objects():
                if type(l) is list and l and type(l[0]) is X and l is not mine: l.clear()
        return 7
    def __eq__(s, o): return s is o
inner1, inner2 = X(a=1, b=2), X(a=3)
mine = []
dict.__setitem__(inner1, Key(), 1)
out = X(a=inner1, b=inner2)
Key.armed = True
try: out.__reduce__()
except Exception as e: print(repr(e))
""",
    **{
        f"the base that has the method goes: {times}": BASE_GOES.replace("TIMES", str(times))
        for times in (4, 5, 6)
    },
    "the cell of an __init__ with aliases is replaced while it is compared": """
class E:
    def __init__(s): s.x=[1]*9
    def __eq__(self, other):
        cell.cell_contents = {}
        return NotImplemented
class X(ModelOutput, aliases={"old": "a"}):
    a: Any = None
X = dataclass(X)
X(old=1)
init = X.__init__
i = init.__code__.co_freevars.index("renamed")
cell = init.__closure__[i]
cell.cell_contents = E()
X.patched = 1
X(1)
""",
    "the declared aliases change after they were checked": """
armed = False
class Key(str):
    def __hash__(self): return hash("__fastoutputs_alias_used__")
    def __eq__(self, other):
        if armed: decl.clear(); decl[1.5] = 2.5; decl["x"] = object()
        return False
decl = {"old": "a"}
X = dataclass(type("X", (ModelOutput,), {"__annotations__": {"a": Any}, "a": None, Key("zz"): 1, "__fastoutputs_aliases__": decl}))
armed = True
try: X(1)
except BaseException as e: print(repr(e))
""",
    "an instance of the class in creation, while the fields of its base are read": """
KEEP = []
class Proxy:
    def __init__(s, f): s.f = f
    def __getattr__(s, n):
        if n == "kw_only" and B.__subclasses__() and not KEEP:
            KEEP.append(dict.__new__(B.__subclasses__()[0]))
        return getattr(s.f, n)
class B(ModelOutput): a: Any = None
add_many(B)
B.__dataclass_fields__ = {k: Proxy(f) for k, f in B.__dataclass_fields__.items()}
try:
    class Y(B): y: Any = None

except TypeError as e: print(e)

if KEEP:
    o = KEEP[0]

    gc.collect()
    try: B(1)
    except TypeError as e: print(e)
    for n in MANY:
        try: repr(B.__dict__[n].__get__(o))
        except Exception as e: pass
""",
    "keys() gives an index": """
class X(ModelOutput):
    a: Any = None
    def keys(self): return [0]
X = dataclass(X)
for read in (lambda: X(1).to_tuple(), lambda: X(1)[0]):
    try:
        read()
    except RecursionError:
        continue
    raise AssertionError
""",
    "a slot of a class behind one that was never laid out": """
class T(ModelOutput):
    __slots__ = ("p",)
    a: Any = None
T = dataclass(T); T(1)
class U(Stop, T): pass
class V: pass
v = V(); w = weakref.ref(v)
u = dict.__new__(U); T.p.__set__(u, v); del v, u; gc.collect()
assert w() is None
""",
    "a callback of the collector empties lists and dicts of names": """
keep = []; L = 300; NF = 25
busy = False; hits = 0
def cb(phase, info):
    global busy, hits
    if busy: return
    busy = True
    objs = gc.get_objects()
    if any(type(o) is list and len(o) >= 2 and type(o[0]) is str and o[0].startswith("field n") for o in objs):
        hits += 1
        for o in objs:
            if type(o) is list and o and type(o[0]) is str and o[0][:1] == "n" and len(o[0]) > L: o.clear()
            elif type(o) is dict and any(type(k) is str and len(k) > L and k[0] == "n" for k in list(o)[:3]): o.clear()
    keep.extend([] for _ in range(9)); busy = False
for k in range(60):
    ns = {"__annotations__": {f"n{k}_{i}" + "x"*L: Any for i in range(NF)}}
    gc.callbacks.append(cb)
    gc.set_threshold(1 + k % 3, 1, 1)
    pad = [[] for _ in range(k % 5)]
    try: C = type("Out", (ModelOutput,), ns)
    except Exception as e: print(repr(e)[:100])
    gc.callbacks.clear(); gc.set_threshold(700, 10, 10)
    junk = [bytes(j) for j in range(300, 500, 8) for _ in range(4)]
    try: C.__annotations__ = {}; dataclass(C); C()
    except ValueError as e: pass
""",
    "a garbage instance is in no list while a finalizer first uses its class": """
class X(ModelOutput): a: Any = None
class F:
    def __del__(self): add_many(X)(1)
def go():
    try:
        o = dict.__new__(X)
    except TypeError:  # before 3.15 it asks the class
        return
    f = F(); f.o = o; f.me = f
junk = [bytes([65])*k for k in range(32, 512, 8) for _ in range(16)]
del junk
go()
gc.collect()
""",
    "a class is laid out by hand before it has any bases": """
class Meta(type):
    def mro(cls):
        hook = ModelOutput.__dict__["__init_subclass__"].__get__(None, cls)
        assert refused(hook) and refused(lambda: hook(aliases={"b": "a"})) and refused(_core.layout, cls)
        return super().mro()

@dataclass
class Out(ModelOutput, metaclass=Meta):
    a: Any = None
assert Out(1).to_tuple() == (1,)
""",
    "a base that the order of bases leaves out grows": """
class Meta(type):
    def mro(cls):
        return [cls, Stop, ModelOutput, dict, object] if cls.__name__ == "U" else type.mro(cls)

class X(ModelOutput, metaclass=Meta):
    a: Any = None
U = Meta("U", (Stop, X), {})
outs = [dict.__new__(U) for _ in range(50)]
junk = rubbish()
assert refused(lambda: add_many(X)(1))
del outs
gc.collect()
""",
    "a base grows into the place of a field of a class that leaves it out": """
class Meta(type):
    def mro(cls):
        return [cls, ModelOutput, dict, object] if cls.__name__ == "U" else type.mro(cls)

class X(ModelOutput, metaclass=Meta):
    a: Any = None
U = dataclass(Meta("U", (X,), {"__annotations__": {"c": Any}, "c": None}))
out = U(c=3)
X.__annotations__, X.d = {"a": Any, "d": Any}, None
assert refused(dataclass(X), 1, 2) and refused(set_class, out, X) and out.to_tuple() == (3,)
""",
    "a class that was refused has an instance": """
A = make("ab")
A(1)
U = type("U", (Stop, A), {})
out = dict.__new__(U)
assert refused(ModelOutput.__dict__["__init_subclass__"].__get__(None, U))
class W(A): pass
assert refused(set_class, out, W) and type(out) is U
""",
    "a class is used while it is looked for what depends on it": """
X = dataclass(type("X", (ModelOutput,), {"__annotations__": MANY, **dict.fromkeys(MANY)}))
full = X.__dataclass_fields__
X.__dataclass_fields__ = {"z0": full["z0"]}
def callback(phase, info):
    gc.callbacks.clear()
    X.__dataclass_fields__ = full
    _core.layout(X)
gc.callbacks.append(callback)
refused(_core.layout, X)
gc.callbacks.clear()
X.patched = 1
outs = [X(**{name: [i] for name in MANY}) for i in range(200)]
gc.collect()
assert all(len(repr(out)) > 100 for out in outs)
""",
    "a class in creation is laid out while its base is about to shrink": """
X = dataclass(type("X", (ModelOutput,), {"__annotations__": MANY, **dict.fromkeys(MANY)}))
full = X.__dataclass_fields__
def callback(phase, info):
    gc.callbacks.clear()
    X.__dataclass_fields__ = full
    ModelOutput.__dict__["__init_subclass__"].__get__(None, new)()
class Takes:
    def __set_name__(self, owner, name):
        global new
        new = owner
        gc.callbacks.append(callback)
        X.__dataclass_fields__ = {"z0": full["z0"]}
Y = type("Y", (X,), {"__annotations__": {"y": Any}, "y": None, "one": Takes()})
gc.callbacks.clear()
X.__dataclass_fields__ = full
Y = dataclass(Y)
outs = [Y(**{name: [i] for name in MANY}, y=[i]) for i in range(200)]
gc.collect()
assert all(out.y == [i] == out.z19 for i, out in enumerate(outs))
""",
    "a keyword comes twice": """
import functools
class Odd:
    armed = False
    def __hash__(self): return hash(name)
    def __eq__(self, other):
        if Odd.armed and isinstance(other, str) and other == name:
            Odd.armed = False
            twice[name] = 1
        return False

names = [f"f{i}" for i in range(256)]
for name in names:  # it depends on the hash whether the place is used again
    first, second = Odd(), Odd()
    twice = {first: 1, second: 2}
    del twice[first]
    Odd.armed = True
    twice[name] = 2
    del twice[second]
    if list(twice) == [name, name]:
        break
assert list(twice) == [name, name]
for fields, default in (([name, "other"], None), (names, 1)):
    X = make_dataclass("X", [(each, Any, default) for each in fields], bases=(ModelOutput,))
    X(1)
    call = functools.partial(X)
    call.__setstate__((X, (), twice, None))
    before = sys.getrefcount(None)
    assert sum(refused(call) for _ in range(1000)) in (0, 1000)
    assert abs(sys.getrefcount(None) - before) < 100
""",
    "the name of a slot is still read after the class was laid out": """
class X(ModelOutput):
    __slots__ = ("__private_name_of_a_slot",)
    a: Any = None
junk = [bytes([65]) * k for k in range(32, 128) for _ in range(64)]
X = dataclass(X)
try:
    X.__dict__["_X__private_name_of_a_slot"].__get__(X(1))
except AttributeError as error:
    assert "_X__private_name_of_a_slot" in str(error)
""",
    "a dict is found before it is filled": """
class V:
    def __init__(self): self.x = [1] * 50
held = []
class Mapping:
    def keys(self): return ["a", "b"]
    def __getitem__(self, key):
        if key == "b":
            held.extend(d for d in gc.get_objects() if type(d) is dict and type(d.get("a")) is V)
            return 1
        return V()

def setter(self, value):
    if type(value) is V:
        del value
        for found in held:
            found.clear()
        globals()["junk"] = rubbish()

X = make(cls="X")
X.a = property(lambda self: 5, setter)
X(b=1)
out = dict.__new__(X)
ModelOutput.__init__(out, Mapping())
assert type(out["a"]) is V and out["a"].x == [1] * 50
""",
    "a list is found before it is filled": """
class Key:
    def __init__(self): self.x = [1] * 50
    def __index__(self):
        for found in held:
            found.clear()
        return 2**100
held = []
class X(ModelOutput):
    a: Any = None
    depth = 0
    def keys(self):
        X.depth += 1
        if X.depth > 1:
            return (yield "a")
        yield Key()
        held.extend(x for x in gc.get_objects() if type(x) is list and x and type(x[0]) is Key)
X = dataclass(X)
for _ in range(20):
    X.depth = 0
    held.clear()
    try:
        X(1).to_tuple()
    except (IndexError, TypeError, RecursionError) as error:
        repr(error)
""",
    "a key of a class's dict goes away while it is looked up": """
@dataclass
class A(ModelOutput, aliases={"old": "a"}):
    a: Any = None
A(1)
prop = A.__dict__["old"]
class Key(str):
    left = 0
    def __hash__(self):
        Key.left -= 1
        if Key.left == 0:
            for found in gc.get_referrers(self):
                if type(found) is dict and found is not globals():
                    found.clear()
            globals()["junk"] = rubbish()
        return hash("zzfoo")
    __eq__ = str.__eq__

for at in range(1, 30):
    Key.left = 0
    X = dataclass(type("X", (A,), {"__annotations__": {"b": Any}, "b": None, Key("zzfoo"): prop}))
    Key.left = at
    try:
        X(1)
    except Exception as error:
        repr(error)
""",
    "a field is found under a name that is no str": """
import copy
B = make("ab", "B")
X = dataclass(repr=False)(type("X", (B,), {"__annotations__": {}}))
fields = {name: copy.copy(each) for name, each in B.__dataclass_fields__.items()}
fields["a"].name = 5
B.__dataclass_fields__ = fields
assert X(1).to_tuple() == (1,)
""",
    "a class is not in its own order of bases": """
class Meta(type):
    def mro(cls): return type.mro(cls)[armed:]
armed = 0
@dataclass
class B(ModelOutput, aliases={"old": "a"}):
    a: Any = None
X = Meta("X", (B,), {"__annotations__": {}})
armed = 1
X.__bases__ = X.__bases__
assert refused(_core.layout, X)
""",
    "a tuple is found before it is filled": """
X = make_dataclass("X", [(f"f{i}", Any, None) for i in range(37)], bases=(ModelOutput,))
X(1)
def callback(phase, info):
    for found in gc.get_objects(0):
        if type(found) is tuple and len(found) == 37:
            list(found)
pads = []
for k in range(40):
    gc.collect()
    gc.callbacks[:] = [callback]
    gc.set_threshold(40, 1000, 1000)
    pads += [[] for _ in range(k)]
    assert len(_core.layout(X).fields) == 37
    gc.set_threshold(700, 10, 10)
    gc.callbacks.clear()
""",
    "an interrupt while array types are looked up": """
class Module:
    def __getattr__(self, name): raise KeyboardInterrupt
class Pairs:
    def __iter__(self): return iter([("a", 1)])
sys.modules["jax"] = Module()
try:
    make()(Pairs())
except KeyboardInterrupt:
    pass
else:
    raise AssertionError
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


def test_a_collector_that_was_patched_before_the_import() -> None:
    program = (
        f"import gc; gc.get_objects = gc.collect = lambda *args: []{BEFORE}"
        + ATTACKS["a base that is in the order of bases alone grows"]
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
