"""Sequences of operations on outputs, found by libFuzzer under the sanitizers.

The bytes of an input are choices, one each: the operation, the output, the value. Some values and keys
run further operations from the same bytes whenever they are asked anything, so the worst moment is
searched for, too. After every operation the views of each output must agree, and the raw dict be in step.

    python tests/fuzz/sequences.py [libFuzzer's options] [folder of inputs, or an input to run again]
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import gc
import pickle
import sys
import weakref
from collections.abc import Callable, Iterator
from dataclasses import make_dataclass, replace
from pathlib import Path
from typing import Any

import atheris
from atheris import core_with_libfuzzer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from containers import KINDS, OURS

from fastoutputs import ModelOutput, _core

FIELDS = ["loss", "logits", "hidden_states", "attentions", "sequences", "past_key_values"]
PLAIN = [None, 0, 1, True, 2.5, "L", (), ("a", 1), [], {}, {"loss": 1}, [("loss", 1), ("new", 2)]]
SHARED = [
    cls
    for kind in map(KINDS.__getitem__, OURS)
    for cls in (kind.Out, kind.Required, kind.Single, kind.Extended, kind.Frozen, kind.base)
]


class Boom(Exception):
    """What hostile objects raise."""


# What operations may raise. Others, a SystemError above all, are findings.
EXPECTED = (
    *(TypeError, ValueError, LookupError, AttributeError, RuntimeError),
    *(Boom, StopIteration, pickle.PickleError),
)


class Hostile:
    """Runs operations from the tape whenever a container asks it anything."""

    def __init__(self, world: World) -> None:
        self.world = world

    def __del__(self) -> None:
        self.world.meddle()

    def __eq__(self, other: object) -> Any:
        return self.world.meddle([True, False, NotImplemented])

    def __hash__(self) -> int:
        return self.world.meddle([0, hash("loss"), hash("new")])

    def __repr__(self) -> str:
        return self.world.meddle(["", "Hostile"])

    def __bool__(self) -> bool:
        return self.world.meddle([False, True])

    def __index__(self) -> int:
        return self.world.meddle([0, 1, -1, 1 << 70])

    def __iter__(self) -> Iterator[Any]:
        for pair in (("loss", 1), ("new", self)):
            self.world.meddle()
            yield pair

    def __reduce__(self) -> Any:
        return self.world.meddle([(int, ()), "FIELDS"])

    def __copy__(self) -> Any:
        return self.world.meddle([self, None])

    def __deepcopy__(self, memo: Any) -> Any:
        return self.world.meddle([self, None])


class HostileMapping(Hostile, dict):
    def keys(self) -> Any:
        return self.world.meddle([["loss"], ["loss", "new"], [1]])

    def items(self) -> Any:
        return self.world.meddle([[("loss", 1)], [("loss", 1), ("new", 2)], [1], None])

    def __getitem__(self, key: Any) -> Any:
        return self.world.meddle([1, None])


class Name(str):
    """As good a name as any."""


class HostileName(str):
    world: World

    def __hash__(self) -> int:
        return self.world.meddle([str.__hash__(self), 0])

    def __eq__(self, other: object) -> Any:
        return self.world.meddle([str.__eq__(self, other), True, False])


class World:
    """What one input works on."""

    def __init__(self, tape: bytes) -> None:
        self.tape, self.depth, self.tampered = iter(tape), 0, False
        self.spent = self.watching = False
        self.outs: list[Any] = []
        self.held: list[Any] = []  # views, walks, weak references
        self.made: list[type] = []  # classes of this input's own

    def byte(self) -> int:
        byte = next(self.tape, None)
        self.spent = self.spent or byte is None
        return byte or 0

    def choose(self, options: Any) -> Any:
        if not options:
            raise Boom
        return options[self.byte() % len(options)]

    def out(self) -> Any:
        if not self.outs:
            self.outs.append(self.cls()(1, 2))
        return self.choose(self.outs)

    def keep(self, out: Any) -> None:
        if isinstance(out, ModelOutput):
            self.outs = [*self.outs[-3:], out]

    def hold(self, thing: Any) -> None:
        self.held = [*self.held[-3:], thing]

    def cls(self) -> Any:
        return self.choose(SHARED + self.made)

    def value(self) -> Any:
        number = self.byte()
        if number < 128:
            return PLAIN[number % len(PLAIN)]
        return self.choose([Hostile, HostileMapping, World.out, World.name, World.cycle])(self)

    def cycle(self) -> Any:
        return [Hostile(self), self.out()]

    def name(self) -> Any:
        text = self.choose([*FIELDS, "new", "extra", "é"])
        made = self.choose([str, str, str, Name, HostileName])(text)
        if type(made) is HostileName:
            made.world = self
        return made

    def key(self) -> Any:
        number = self.byte()
        return self.name() if number < 200 else self.value() if number < 220 else number % 12 - 6

    def pairs(self) -> list[Any]:
        return [(self.name(), self.value()) for _ in range(self.byte() % 4)]

    def meddle(self, answers: Any = (None,)) -> Any:
        """One operation from the middle of another; then an answer, or an error."""
        if self.watching:
            return answers[0]
        if self.depth < 4 and not self.spent:
            self.depth += 1
            try:
                self.step()
            finally:
                self.depth -= 1
            if self.byte() > 240:
                raise Boom
        return self.choose(answers)

    def step(self) -> None:
        with contextlib.suppress(*EXPECTED):
            self.choose(OPERATIONS)(self)

    def agree(self) -> None:
        self.watching = True
        for out in () if self.tampered else self.outs:
            agree(out)
        self.watching = False


def same(left: Any, right: Any) -> bool:
    """By identity, so that no value is asked."""
    return list(map(id, left)) == list(map(id, right))


def agree(out: Any) -> None:
    own = ModelOutput  # whatever the class overrides
    names, attributes = _core.layout(type(out)).fields, vars(out)
    keys, values = list(own.keys(out)), list(own.values(out))
    present = [name for name in names if attributes[name] is not None]
    count = len(present)
    assert keys[:count] == present
    assert same(values[:count], [attributes[name] for name in present])
    assert not any(str.__str__(key) in names for key in keys[count:])
    assert len(keys) == len(values) == own.__len__(out)
    items = list(own.items(out))
    assert same([k for k, _ in items], keys) and same([v for _, v in items], values)
    assert same(own.__iter__(out), keys) and same(own.__reversed__(out), keys[::-1])
    assert same(own.to_tuple(out), values) and same(own.__getitem__(out, slice(None)), values)
    assert same([own.__getitem__(out, i) for i in range(len(keys))], values)
    raw = list(dict.items(out))
    assert bool(raw) or len(keys) == count
    if raw:
        assert same([k for k, _ in raw], keys) and same([v for _, v in raw], values)


def make(w: World) -> None:
    cls, how = w.cls(), w.byte() % 8
    if how == 0:
        w.keep(cls(**dict(w.pairs())))
    elif how == 1:
        w.keep(cls(*(w.value() for _ in range(w.byte() % 6))))
    elif how == 2:
        w.keep(cls(dict(w.pairs())))
    elif how == 3:
        w.keep(cls((name, value) for name, value in w.pairs()))
    elif how == 4:
        w.keep(cls(w.value()))
    elif how == 5:
        w.keep(cls.fromkeys([name for name, _ in w.pairs()], w.value()))
    elif how == 6:
        w.keep(cls.__new__(cls))
    else:
        w.keep(cls(w.value(), **dict(w.pairs())))


def make_class(w: World) -> None:
    names = dict.fromkeys(w.choose(FIELDS) for _ in range(w.byte() % 4 + 1))
    options = w.byte()
    factory = w.choose([None, None, lambda: w.meddle([1, None])])
    fields = [(name, Any, None) for name in names]
    namespace = w.choose([{}, {}, overridden(w)])
    bases = (w.cls(),)
    cls = make_dataclass(
        "Made",
        fields,
        bases=bases,
        namespace=namespace,
        frozen=issubclass(bases[0], tuple(k.Frozen for k in map(KINDS.get, OURS))),
        eq=options & 1 == 0,
        repr=options & 2 == 0,
    )
    if factory:
        cls.__post_init__ = lambda self: factory()
    w.made = [*w.made[-2:], cls]


def overridden(w: World) -> dict[str, Any]:
    """One method of an output, overridden, or one of Python's hooks."""
    name = w.choose([*OVERRIDES, "__del__", "__missing__", "__getattr__", "__post_init__"])

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        w.meddle()
        inherited = getattr(ModelOutput, name, None)
        return inherited(self, *args, **kwargs) if inherited and w.depth < 4 else None

    return {name: method}


OVERRIDES = """__init__ __setattr__ __setitem__ __getitem__ __iter__ __len__ __contains__ __reduce__ __eq__
    __setstate__ __deepcopy__ keys values items get to_tuple copy""".split()


def patch(w: World) -> None:
    cls = w.choose(w.made)
    how, method = w.byte() % 4, overridden(w)
    if how == 0:
        type.__delattr__(cls, w.choose([*FIELDS, *method]))
    elif how == 1:
        cls.__bases__ = (w.cls(),)
    elif how == 2:
        setattr(cls, w.choose(FIELDS), w.value())
    else:
        for name, function in method.items():
            setattr(cls, name, function)


def walk(w: World) -> None:
    out = w.out()
    w.hold(w.choose([out.keys, out.values, out.items, out.__iter__, out.__reversed__, vars])())


def walk_on(w: World) -> None:
    thing, how = w.choose(w.held), w.byte() % 8
    if how == 0:
        w.hold(iter(thing))
    elif how == 1:
        w.hold(reversed(thing))
    elif how == 2:
        list(thing)
    elif how == 3:
        w.choose([thing.__and__, thing.__or__, thing.__sub__, thing.__xor__])(
            w.choose([[w.value()], w.out(), thing])
        )
    elif how == 4:
        w.value() in thing  # noqa: B015
    elif how == 5:
        w.choose([thing.__eq__, thing.__le__, thing.isdisjoint])(w.choose(w.held))
    elif how == 6:
        repr(thing)
    else:
        next(thing)


def plain_attributes(w: World) -> None:
    out, how = w.out(), w.byte() % 8
    attributes = vars(out)
    if how == 0:
        attributes.update(w.pairs())
    elif how == 1:
        attributes[w.name()] = w.value()
    elif how == 2:
        attributes.pop(w.name())
    elif how == 3:
        attributes.setdefault(w.name(), w.value())
    elif how == 4:
        out.__dict__ = dict(w.pairs())
    elif how == 5:
        attributes |= dict(w.pairs())
    elif how == 6:
        w.hold(attributes)
    else:
        out.__dict__ = w.value()


def duplicate(w: World) -> None:
    out, how = w.out(), w.byte() % 12
    if how < 6:
        w.keep(pickle.loads(pickle.dumps(out, how)))
    else:
        w.keep(
            w.choose(
                [
                    copy.copy,
                    copy.deepcopy,
                    lambda o: o.copy(),
                    lambda o: replace(o, **dict(w.pairs())),
                ]
            )(out)
        )


def compare(w: World) -> None:
    out, other = w.out(), w.choose([w.out(), w.value(), dict(w.pairs())])
    w.choose([out.__eq__, out.__ne__, other.__eq__])(other)


def tamper(w: World) -> None:
    out = w.out()
    w.tampered = True
    w.choose([dict.__setitem__, dict.setdefault, lambda o, k, v: dict.pop(o, k), dict.get])(
        out, w.key(), w.value()
    )


def drop(w: World) -> None:
    w.choose([w.outs, w.held, w.made]).pop()


def eager(w: World) -> None:
    gc.set_threshold(w.choose([1, 7, 700]))


def collect(w: World) -> None:
    gc.collect(w.choose([0, 1, 2]))


def from_state(w: World) -> None:
    state = w.choose([w.value(), (dict(w.pairs()), dict(w.pairs()), dict(w.pairs()))])
    w.out().__setstate__(state)


def descriptor(w: World) -> None:
    found = w.cls().__dict__[w.choose(FIELDS)]
    w.choose([found.__get__, lambda o: found.__set__(o, w.value()), found.__delete__])(
        w.choose([w.out(), w.value()])
    )


def cut(w: World) -> None:
    ends = [w.choose([None, w.byte() % 10 - 5, w.value()]) for _ in range(3)]
    w.out()[slice(*ends)]


OPERATIONS: list[Callable[[World], Any]] = [
    make,
    make,
    make_class,
    patch,
    walk,
    walk_on,
    walk_on,
    plain_attributes,
    duplicate,
    compare,
    tamper,
    drop,
    eager,
    collect,
    from_state,
    descriptor,
    cut,
    lambda w: setattr(w.out(), w.name(), w.value()),
    lambda w: object.__setattr__(w.out(), w.choose(FIELDS), w.value()),
    lambda w: delattr(w.out(), w.name()),
    lambda w: w.out().__setitem__(w.key(), w.value()),
    lambda w: w.out().__setitem__(w.name(), w.value()),
    lambda w: w.out()[w.key()],
    lambda w: w.out().get(w.key(), w.value()),
    lambda w: w.value() in w.out(),
    lambda w: w.keep(w.choose([w.out().__or__, w.out().__ror__])(w.choose([w.value(), w.out()]))),
    lambda w: (dict(w.out()), {**w.out()}),
    lambda w: w.choose([w.out().pop, w.out().update, w.out().setdefault])(w.key()),
    lambda w: repr(w.out()),
    lambda w: (hash(w.out()), sys.getsizeof(w.out())),
    lambda w: setattr(w.out(), "__class__", w.cls()),
    lambda w: w.out().__init__(*(w.value() for _ in range(w.byte() % 4)), **dict(w.pairs())),
    lambda w: w.hold(weakref.ref(w.out(), lambda _: w.meddle())),
    lambda w: _core.set_slots_only(w.choose([False, True])),
]


def run_one(data: bytes) -> None:
    world, unseen = World(data), []
    sys.unraisablehook = lambda raised: unseen.append(raised.exc_value)
    try:
        while not world.spent:
            world.step()
            world.agree()
    finally:
        world.spent = True
        _core.set_slots_only(False)
        gc.set_threshold(700)
        made = bool(world.made)
        world.outs, world.held, world.made = [], [], []
        if made:
            gc.collect()
    for error in unseen:  # in a finalizer or a callback
        if not isinstance(error, EXPECTED):
            raise error


def count_edges_for_libfuzzer() -> None:
    """Hand it the counters of edges.cpp, as what Clang compiles would do by itself."""
    core, libfuzzer = ctypes.CDLL(_core.__file__), ctypes.CDLL(core_with_libfuzzer.__file__)
    size = ctypes.c_size_t.in_dll(core, "fastoutputs_edges_size").value
    counters = ctypes.addressof((ctypes.c_uint8 * size).in_dll(core, "fastoutputs_edges"))
    libfuzzer.__sanitizer_cov_8bit_counters_init(
        ctypes.c_void_p(counters), ctypes.c_void_p(counters + size)
    )
    # A program counter and flags for each; libFuzzer counts what it saw by them.
    table = (ctypes.c_size_t * (2 * size))(*(n for i in range(size) for n in (i + 1, 0)))
    count_edges_for_libfuzzer.table = table  # stays
    start = ctypes.addressof(table)
    libfuzzer.__sanitizer_cov_pcs_init(
        ctypes.c_void_p(start), ctypes.c_void_p(start + ctypes.sizeof(table))
    )


if __name__ == "__main__":
    _core.set_subclass_hook(lambda cls: None)  # classes made here shall die
    gc.collect()
    gc.freeze()
    count_edges_for_libfuzzer()
    atheris.Setup(sys.argv, run_one)
    atheris.Fuzz()
