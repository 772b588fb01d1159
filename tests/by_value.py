"""Output classes that no module has, how they are pickled by value, and what can be seen of one in any process."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from typing import Any, ClassVar

import cloudpickle
import dill

from fastoutputs import ModelOutput

__all__ = ["PROTOCOLS", "declare", "dumps", "look"]


def _knows_this_python(dump: Callable[..., bytes]) -> bool:
    try:
        dump(lambda: None)
    except AttributeError:  # those of 2026 ask for co_lnotab, which 3.15 does not have
        return False
    return True


dumps: dict[str, Callable[..., bytes]] = {
    name: dump
    for name, dump in {"cloudpickle": cloudpickle.dumps, "dill": dill.dumps}.items()
    if _knows_this_python(dump)
}
PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)


def declare(base: Any) -> dict[str, Any]:
    """Classes that no module has, of each form that differs in what its first use does to it."""

    @dataclass
    class Plain(base):
        a: Any = None
        b: Any = None

    @dataclass
    class Sub(Plain):
        d: Any = None
        a: Any = "again"

        @property
        def twice(self) -> Any:
            return self.a * 2

    @dataclass
    class Required(base):
        a: Any
        b: Any = None

    @dataclass(frozen=True)
    class Frozen(base):
        a: Any = None

    @dataclass
    class Stores(base):
        a: Any = None

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value * 10 if isinstance(value, int) else value)

    @dataclass
    class Checked(base):
        a: Any = None
        limit: ClassVar[int] = 9
        given: InitVar[Any] = None

        def __post_init__(self, given: Any) -> None:
            super().__post_init__()
            assert self.a < self.limit
            self.note = given

    @dataclass
    class Part:
        m: Any = "m"

    @dataclass
    class Mixed(Part, base):
        a: Any = None

    class Plainly:
        def hello(self) -> str:
            return "hello"

    @dataclass
    class Behind(Plainly, base):
        a: Any = None

    class Undecorated(Plain):
        """A value in its body is no default, and it has an __init__ of its own."""

        b = 5

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

    found = {name: cls for name, cls in locals().items() if name not in ("base", "Part", "Plainly")}
    if issubclass(base, ModelOutput):

        @dataclass
        class Aliased(base, aliases={"old": "new"}):
            a: Any = None
            new: Any = None

        @dataclass
        class SubAliased(Aliased):
            b: Any = None

        @dataclass(slots=True)
        class Slotted(base):
            a: Any = None

        @dataclass
        class Defaults(Plain):
            c: Any = 5
            d: Any = field(default_factory=list)
            e: Any = field(default=6, kw_only=True)

        found |= {
            "Aliased": Aliased,
            "SubAliased": SubAliased,
            "Slotted": Slotted,
            "Defaults": Defaults,
        }
    return found


def look(cls: Any) -> list[Any]:
    """What can be seen of a class and an output of it."""
    out = cls(a=3)
    seen = [
        repr(out).rpartition(".")[2],
        list(out.items()),
        out[0],
        vars(out),
        out == cls(a=3),
        dict(out),
    ]
    seen += [[f.name for f in dataclasses.fields(cls)], cls.__doc__, cls.__match_args__]
    seen += [getattr(out, "twice", None), getattr(out, "note", None), cls.__mro__[1].__name__]

    if hasattr(out, "old"):
        seen += [cls(old=7).new, out.old]
    return seen
