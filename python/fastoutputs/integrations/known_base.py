"""Compare the base of a library's output classes, part by part, with what the compiled container does.

A part is a method, a property or a constant of the class body, or a method of the metaclass. It is known
if its source is that of a tested release: comments, docstrings and layout aside, and with the functions
of the same module that it calls, but for `Library.assumed`. Source that cannot be read is unknown.
"""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import dataclasses
import dis
import hashlib
import inspect
import io
import sys
import textwrap
import tokenize
import types
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from .library import Generation, InstallError, Library

__all__ = ["Findings", "compare", "parts_of", "significant"]

# What every class has, or what its decorators and the interpreter leave in it.
_NEUTRAL = {
    "__module__",
    "__qualname__",
    "__name__",
    "__doc__",
    "__dict__",
    "__weakref__",
    "__annotations__",
    "__annotate_func__",
    "__annotations_cache__",
    "__firstlineno__",
    "__static_attributes__",
    "__orig_bases__",
    "__parameters__",
    "__type_params__",
    "__abstractmethods__",
    "__slotnames__",  # copyreg's, once an instance was pickled
    "_abc_impl",
}
_LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
_DELETE_KEYS = {"__delitem__", "pop", "popitem", "clear"}
_UNREADABLE = "?"


@dataclasses.dataclass(frozen=True)
class Findings:
    """What is known of a base."""

    generation: Generation
    """The tested form of the base that this one is nearest to."""
    unknown: tuple[str, ...]
    """Parts that no tested release has."""
    carried: tuple[str, ...]
    """Those in the class body, and the known ones that refer to them: they have to run as written."""
    keeps_metaclass: bool


def compare(library: Library, base: type) -> Findings:
    """What is known of base; InstallError for what cannot run on the compiled container."""
    _refuse_what_cannot_be_carried(library, base)
    parts = parts_of(library, base)

    def matches(generation: Generation) -> int:
        known = generation.parts
        alike = sum(parts.get(name) in known[name] for name in known)
        return alike - len(parts.keys() ^ known.keys())

    nearest = max(library.generations, key=matches)
    missing = sorted(nearest.parts.keys() - parts)
    if missing:
        raise InstallError(
            f"{library.home}.{library.base} of this {library.name} no longer defines "
            f"{', '.join(missing)}: fastoutputs cannot tell what it does instead. Nothing has been changed."
        )
    unknown = [name for name in parts if parts[name] not in nearest.parts.get(name, ())]
    in_metaclass = [name for name in unknown if name.startswith(_OF_METACLASS)]
    carried = {name for name in unknown if name not in in_metaclass}
    own = {name: value for name, value in vars(base).items() if name in parts}
    while True:  # a known part that refers to a carried one cannot be the container's either
        more = {name for name, value in own.items() if carried & set(_uses(name, value))} - carried
        if not more:
            break
        carried |= more
    if carried:  # they may call what only the original's body has
        carried |= own.keys() - set(dir(library.compiled)) - nearest.aliases.keys()
    deletes = [name for name in carried & _DELETE_KEYS if "super" in _names(own[name])]
    if deletes:
        raise InstallError(
            f"{library.home}.{library.base} of this {library.name} deletes keys in {', '.join(deletes)}, and "
            "a compiled output has a key for each field that is not None. Nothing has been changed."
        )
    return Findings(
        nearest,
        tuple(unknown),
        tuple(name for name in own if name in carried),
        bool(in_metaclass),
    )


def _refuse_what_cannot_be_carried(library: Library, base: type) -> None:
    where = f"{library.home}.{library.base}"
    if not any(parent in (OrderedDict, dict) for parent in base.__bases__):
        parents = ", ".join(parent.__name__ for parent in base.__bases__)
        raise InstallError(
            f"{where} derives from {parents}, not from OrderedDict: fastoutputs cannot take its place. "
            "Nothing has been changed."
        )
    if "__dataclass_fields__" in vars(base):
        raise InstallError(
            f"{where} declares fields of its own: fastoutputs cannot take its place. Nothing has been changed."
        )


_OF_METACLASS = "metaclass "


def parts_of(library: Library, base: type) -> dict[str, str]:
    """The parts of a base -> their fingerprints."""
    source = _Source(library)
    found = {name: source.fingerprint(value) for name, value in _body(base)}
    metaclass: type = type(base)
    for meta in metaclass.__mro__:
        if meta not in (type, object):
            for name, value in _body(meta):
                found.setdefault(_OF_METACLASS + name, source.fingerprint(value))
    for parent in base.__bases__:
        if parent is not OrderedDict:
            found[f"base {parent.__name__}"] = _UNREADABLE
    return found


def _body(cls: type) -> Iterator[tuple[str, Any]]:
    for name, value in vars(cls).items():
        is_slot = isinstance(value, types.MemberDescriptorType)  # of `__slots__`, which is a part
        if name not in _NEUTRAL and not is_slot and not (name == "__hash__" and value is None):
            yield name, value


class _Source:
    """The source of parts that are defined in a library's module."""

    def __init__(self, library: Library) -> None:
        self._home = vars(sys.modules[library.home])
        self._assumed = library.assumed

    def fingerprint(self, part: Any) -> str:
        try:
            text = self._text(part, set())
        except (OSError, TypeError, SyntaxError, tokenize.TokenError):
            return _UNREADABLE
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def _text(self, part: Any, seen: set[str]) -> str:
        """The source of a part and of what it calls; TypeError for what has none."""
        if isinstance(part, property):
            return "\n".join(self._text(f, seen) for f in (part.fget, part.fset, part.fdel) if f)
        if isinstance(part, (classmethod, staticmethod)):
            return type(part).__name__ + self._text(part.__func__, seen)
        if part is None or isinstance(part, (bool, int, float, str)):
            return repr(part)
        if not isinstance(part, types.FunctionType) or part.__globals__ is not self._home:
            raise TypeError("not defined in this module")
        code = part.__code__
        if set(code.co_freevars) - {"__class__"}:
            raise TypeError("wrapped by a decorator")
        text = significant(inspect.getsource(code))  # a function's would be that of what it wraps
        for name in dict.fromkeys(_names_in(code)):
            called = self._home.get(name)
            if isinstance(called, types.FunctionType) and called.__globals__ is self._home:
                if name not in seen and name not in self._assumed:
                    seen.add(name)
                    text += self._text(called, seen)
        return text


def significant(source: str) -> str:
    """The tokens of a function, without comments, docstrings and layout."""
    lines = textwrap.dedent(source)
    kept: list[str] = []
    line: list[tokenize.TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(lines).readline):
        if token.type == tokenize.NEWLINE:
            if not (len(line) == 1 and line[0].type == tokenize.STRING):
                kept += [part.string for part in line] + ["\n"]
            line = []
        elif token.type not in _LAYOUT:
            line.append(token)
    return "".join(kept)


def _uses(name: str, value: Any) -> Iterator[str]:
    """The parts that one relies on."""
    yield from _names(value)
    if name == "__reduce__":  # a copy is made by the constructor, and then item by item
        yield from ("__init__", "__post_init__", "__setattr__", "__setitem__")


def _names(value: Any) -> Iterator[str]:
    """The names that a part's code uses."""
    if isinstance(value, property):
        for part in (value.fget, value.fset, value.fdel):
            yield from _names(part)
    elif isinstance(value, (classmethod, staticmethod)):
        yield from _names(value.__func__)
    elif isinstance(value, types.FunctionType):
        yield from _names_in(value.__code__)


def _names_in(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    if any(step.opname == "STORE_SUBSCR" for step in dis.get_instructions(code)):
        yield "__setitem__"
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_in(constant)
