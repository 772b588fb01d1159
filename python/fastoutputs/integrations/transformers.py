"""Make transformers return compiled outputs: install(), uninstall(), installed().

Before transformers is imported there is little to do: its ModelOutput is replaced as soon as it is
defined, and every class derived from it then is a compiled one. Afterwards each class is made anew
on the compiled base (`rebuild`) and put where the old one was (`references`). In both cases a class
of transformers.modeling_outputs and its likes that declares just what ours does becomes ours.

Everything is prepared first; what goes wrong then has changed nothing.
"""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import sys
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from ..model_output import ModelOutput, subclasses
from .imports import is_importing, when_imported
from .rebuild import rebuild
from .references import Swap

__all__ = ["InstallError", "Report", "install", "installed", "is_supported", "uninstall"]

HOME = "transformers.utils.generic"  # where the original is defined
TESTED = ((5, 23), (4, 57))

# Where transformers declares what we declare, too.
TWINS = {
    "transformers.modeling_outputs": "fastoutputs.modeling_outputs",
    "transformers.modeling_tf_outputs": "fastoutputs.modeling_tf_outputs",
    "transformers.modeling_flax_outputs": "fastoutputs.modeling_flax_outputs",
    "transformers.models.bert.modeling_bert": "fastoutputs.models.bert",
    "transformers.models.bert.modeling_tf_bert": "fastoutputs.models.bert",
    "transformers.models.bert.modeling_flax_bert": "fastoutputs.models.bert",
}

_MIRROR_DICT = "__fastoutputs_mirror_dict__"  # the container looks it up along the bases


class InstallError(RuntimeError):
    """install() cannot work here; nothing has been changed."""


@dataclasses.dataclass
class Report:
    """What install() has done so far; it grows as more of transformers is imported."""

    version: str
    """Of transformers."""
    ours: dict[str, str] = dataclasses.field(default_factory=dict)
    """Full name of a class -> why that name is bound to a class of fastoutputs now."""
    rebuilt: list[str] = dataclasses.field(default_factory=list)
    """Classes that keep their own definition, on the compiled base."""
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    """Classes left as they were -> why."""
    modules: list[str] = dataclasses.field(default_factory=list)
    """Modules in which a name was bound anew."""
    live_instances: int = 0
    """Outputs made before, which stay what they are."""
    waiting: bool = False
    """Whether transformers is yet to be imported."""

    def __str__(self) -> str:
        if self.waiting:
            return (
                f"transformers {self.version}: not imported yet; its output classes will be "
                "compiled ones from the start"
            )
        lines = [
            f"transformers {self.version}: {len(self.ours)} classes are those of fastoutputs, "
            f"{len(self.rebuilt)} were made anew, in {len(self.modules)} modules"
        ]
        if self.live_instances:
            lines.append(
                f"{self.live_instances} outputs made before stay what they are: they are no "
                "instances of the new classes"
            )
        lines += [f"left as it was: {name}: {why}" for name, why in self.failed.items()]
        return "\n".join(lines)


class _State:
    """What is installed. In slots, where the search for references does not look."""

    __slots__ = ("forget", "original", "report", "swaps")

    def __init__(self, report: Report) -> None:
        self.report = report
        self.original: type | None = None
        self.swaps: list[Swap] = []
        self.forget: list[Callable[[], None]] = []


_lock = threading.RLock()
_state: _State | None = None
_warned: set[str] = set()


def full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def is_supported(version: str) -> bool:
    """Whether this version of transformers is one that the tests run."""
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) in TESTED


def _version() -> str:
    try:
        if importlib.util.find_spec("transformers") is None:
            raise ModuleNotFoundError
    except (ModuleNotFoundError, ValueError):
        raise InstallError(
            "transformers is not installed: there is nothing to install into"
        ) from None
    module = sys.modules.get("transformers")
    found = getattr(module, "__version__", None)
    return found if isinstance(found, str) else importlib.metadata.version("transformers")


def install(*, mirror_dict: bool = True) -> Report:
    """Make the compiled ModelOutput the base of every output class of transformers.

    It may be called before transformers is imported, after it, and after models were built. Calling
    it again changes no more than mirror_dict. Nothing on disk is changed.

    Args:
        mirror_dict: False makes all outputs of this process slots only, unless their class says
            otherwise: cheaper still, but C code that reads a dict directly sees them empty.

    Returns:
        What was done: see `Report`, or print it.

    Raises:
        InstallError: transformers is not there, is just being imported, or has no ModelOutput that
            could be replaced. Nothing has been changed then.
    """
    global _state
    with _lock:
        if _state is None:
            state = _State(Report(_version()))
            home = sys.modules.get(HOME)
            if home is not None and is_importing(home):
                raise InstallError(
                    "transformers is being imported at this moment: call install() before that, or after"
                )
            _warn_if_untested(state.report.version)
            _state = state
            try:
                if home is None:
                    state.report.waiting = True
                    state.forget.append(when_imported(HOME, _take_over))
                else:
                    _take_over(home)
            except BaseException:
                _state = None
                _put_back(state)
                raise
        _set_mirror_dict(mirror_dict)
        return _state.report


def uninstall() -> None:
    """Give transformers its own classes back; nothing happens if they were never replaced.

    Classes that transformers defined in between are made anew on its own base. What other code
    defined or imported in between, and outputs that were made, stay what they are.
    """
    global _state
    with _lock:
        state, _state = _state, None
        if state is not None:
            _put_back(state)
            _set_mirror_dict(True)


@contextmanager
def installed(*, mirror_dict: bool = True) -> Generator[Report, None, None]:
    """install() for the time of a block; if it was installed before, it stays so afterwards."""
    was_installed, had_mirror_dict = _state is not None, _mirror_dict()
    report = install(mirror_dict=mirror_dict)
    try:
        yield report
    finally:
        if was_installed:
            _set_mirror_dict(had_mirror_dict)
        else:
            uninstall()


def _mirror_dict() -> bool:
    return _MIRROR_DICT not in vars(ModelOutput)


def _set_mirror_dict(enabled: bool) -> None:
    if enabled == _mirror_dict():
        return
    if enabled:
        delattr(ModelOutput, _MIRROR_DICT)
    else:
        setattr(ModelOutput, _MIRROR_DICT, False)


def _warn_if_untested(version: str) -> None:
    if not is_supported(version) and version not in _warned:
        _warned.add(version)
        tested = " and ".join(f"{major}.{minor}" for major, minor in TESTED)
        warnings.warn(
            f"fastoutputs is tested with transformers {tested}, not with {version}: what cannot be "
            "replaced stays as it is, and the report of install() names it",
            stacklevel=3,
        )


# --- taking over ---------------------------------------------------------------------------------


def _take_over(home: ModuleType) -> None:
    """Replace the original, and all classes that derive from it by now."""
    with _lock:
        state = _state
        if state is None:
            return
        original = getattr(home, "ModelOutput", None)
        if not (isinstance(original, type) and issubclass(original, OrderedDict)):
            raise InstallError(
                f"transformers {state.report.version} has no {HOME}.ModelOutput derived from "
                "OrderedDict; is another patch at work?"
            )
        late = state.report.waiting
        state.report.waiting = False
        state.original = original
        classes = _replacements(original, subclasses(original), state.report)
        swap = Swap()
        state.swaps.append(swap)
        if late:  # nobody else can have seen it
            swap.in_modules(classes, [home])
        else:
            swap.everywhere(classes)
        _note(state, swap)
        for name in TWINS:
            module = sys.modules.get(name)
            if module is None:
                state.forget.append(when_imported(name, _use_twins))


def _use_twins(module: ModuleType) -> None:
    """Bind our classes in a module that has just defined, on our base, what we declare, too."""
    with _lock:
        state = _state
        if state is None or state.original is None:
            return
        defined = [
            cls
            for cls in subclasses(ModelOutput)
            if cls.__module__ == module.__name__ and vars(module).get(cls.__name__) is cls
        ]
        classes = _replacements(state.original, defined, state.report)
        classes.pop(state.original, None)
        swap = Swap()
        state.swaps.append(swap)
        swap.in_modules(classes, [module])
        _note(state, swap)


def _note(state: _State, swap: Swap) -> None:
    report = state.report
    report.modules = list(dict.fromkeys([*report.modules, *swap.modules]))
    report.live_instances += swap.live_instances


def _replacements(original: type, classes: Iterable[type], report: Report) -> dict[type, type]:
    """What each class becomes, bases before the classes derived from them."""
    found: dict[type, type] = {original: ModelOutput}
    for cls in classes:
        bases = tuple(found.get(base, base) for base in cls.__bases__)
        twin = _twin(cls, bases)
        if twin is not None:
            found[cls] = twin
            report.ours[full_name(cls)] = "same fields, order and defaults"
        elif bases != cls.__bases__:
            if original in (ancestor for base in bases for ancestor in base.__mro__):
                report.failed[full_name(cls)] = "one of its bases could not be replaced"
                continue
            try:
                found[cls] = rebuild(cls, bases)
            except Exception as error:
                report.failed[full_name(cls)] = f"{type(error).__name__}: {error}"
            else:
                report.rebuilt.append(full_name(cls))
    return found


def _twin(cls: type, bases: tuple[type, ...]) -> type | None:
    """Our class of that name, if it declares the same, and nothing else, on the same bases."""
    name = TWINS.get(cls.__module__)
    if name is None or "__dataclass_fields__" not in vars(cls):
        return None
    try:
        ours = getattr(importlib.import_module(name), cls.__name__, None)
    except ImportError:
        return None
    if not (isinstance(ours, type) and ours.__bases__ == bases):
        return None
    same = _declared(ours) == _declared(cls) and not _own_methods(cls)
    return ours if same and _is_frozen(ours) == _is_frozen(cls) else None


def _declared(cls: Any) -> list[tuple[Any, ...]]:
    return [
        (field.name, field.default, field.default_factory, field.init, field.kw_only)
        for field in dataclasses.fields(cls)
    ]


def _is_frozen(cls: Any) -> bool:
    return bool(cls.__dataclass_params__.frozen)


def _own_methods(cls: type) -> list[str]:
    """What the class body defines beside fields, and what a decorator did not put there."""
    fields = {field.name for field in dataclasses.fields(cls)}
    return [
        name
        for name in vars(cls)
        if name not in fields
        and not name.startswith("__")
        and name not in ("_flax_dataclass", "replace")
    ]


# --- putting back --------------------------------------------------------------------------------


def _put_back(state: _State) -> None:
    for forget in state.forget:
        forget()
    for swap in reversed(state.swaps):
        swap.undo()
    if state.original is None:
        return
    twins = _bound_twins()
    # Classes that transformers defined in the meantime, on our base.
    back: dict[type, type] = {ModelOutput: state.original}
    for cls in subclasses(ModelOutput):
        if _is_of_transformers(cls.__module__):
            theirs = (twins.get(base, base) for base in cls.__bases__)
            bases = tuple(back.get(base, base) for base in theirs)
            if not any(issubclass(base, ModelOutput) for base in bases):
                back[cls] = rebuild(cls, bases)
    del back[ModelOutput]  # others may well mean ours
    swap = Swap()
    if back:
        swap.everywhere(back)
    # What modules of transformers imported in the meantime.
    names = {ModelOutput: state.original}
    names.update((ours, back.get(theirs, theirs)) for ours, theirs in twins.items())
    swap.in_modules(
        names, [module for name, module in list(sys.modules.items()) if _is_of_transformers(name)]
    )


def _bound_twins() -> dict[type, type]:
    """Each of our classes -> the class that a module of transformers has in its place."""
    found: dict[type, type] = {}
    for name, our_name in TWINS.items():
        module, ours = sys.modules.get(name), sys.modules.get(our_name)
        if module is None or ours is None:
            continue
        for cls in list(vars(ours).values()):
            if isinstance(cls, type) and issubclass(cls, ModelOutput) and cls is not ModelOutput:
                theirs = vars(module).get(cls.__name__, cls)
                if theirs is not cls:
                    found[cls] = theirs
    return found


def _is_of_transformers(name: str) -> bool:
    return name == "transformers" or name.startswith("transformers.")
