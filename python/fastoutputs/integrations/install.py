"""Make transformers, and diffusers, return compiled outputs: install(), uninstall(), installed().

Before a library is imported there is little to do: the base of its output classes is replaced as soon
as it is defined, and every class derived from it then is a compiled one. Afterwards each class is made
anew on the compiled base (`rebuild`) and put where the old one was (`references`). In both cases a
class that declares just what one of ours does (`Library.twins`) becomes ours.

Everything is prepared first; what goes wrong then has changed nothing.
"""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import dataclasses
import sys
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

from ..model_output import ModelOutput, subclasses
from .imports import is_importing, when_imported
from .library import InstallError, Library, NotInstalledError
from .rebuild import rebuild
from .references import Swap

__all__ = [
    "LIBRARIES",
    "InstallError",
    "NotInstalledError",
    "Report",
    "find_library",
    "install",
    "installed",
    "uninstall",
]

LIBRARIES = ("transformers", "diffusers")  # a module beside this one for each

_MIRROR_DICT = "__fastoutputs_mirror_dict__"  # the container looks it up along the bases


@dataclasses.dataclass
class Report:
    """What install() has done so far; it grows as more of the library is imported."""

    library: str
    version: str
    """Of the library."""
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
    """Whether the library is yet to be imported."""
    diffusers: Report | None = None
    """In the report on transformers: the one on diffusers, if that was asked for."""

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> list[str]:
        what = f"{self.library} {self.version}:"
        more = self.diffusers._lines() if self.diffusers else []
        if self.waiting:
            return [
                f"{what} not imported yet; its output classes will be compiled ones from the start",
                *more,
            ]
        lines = [
            f"{what} {len(self.ours)} classes are those of fastoutputs, "
            f"{len(self.rebuilt)} were made anew, in {len(self.modules)} modules"
        ]
        if self.live_instances:
            lines.append(
                f"{self.live_instances} outputs made before stay what they are: they are no "
                "instances of the new classes"
            )
        lines += [f"left as it was: {name}: {why}" for name, why in self.failed.items()]
        return lines + more


class _Counterpart:
    """The same class on the other base, and what its body was when that was made."""

    __slots__ = ("body", "cls")

    def __init__(self, cls: type, of: type) -> None:
        self.cls = cls
        self.body = tuple(vars(of).items())

    def is_current(self, of: type) -> bool:
        now = tuple(vars(of).items())
        return len(now) == len(self.body) and all(
            name == before and value is original
            for (name, value), (before, original) in zip(now, self.body)
        )


# Classes made anew are used again: torch's trees keep each class that they have seen.
_counterparts: dict[type, _Counterpart] = {}

_lock = threading.RLock()
_active: dict[str, _Installation] = {}  # by library, in the order in which they came
_warned: set[tuple[str, str]] = set()


def find_library(name: str) -> Library:
    """One of LIBRARIES."""
    found: Library = import_module(f".{name}", __package__).LIBRARY
    return found


def full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def install(*, mirror_dict: bool = True, diffusers: bool = False) -> Report:
    """Make the compiled ModelOutput the base of every output class of transformers.

    It may be called before transformers is imported, after it, and after models were built. Calling
    it again changes mirror_dict, and may add diffusers. Nothing on disk is changed.

    Args:
        mirror_dict: False makes all outputs of this process slots only, unless their class says
            otherwise: cheaper still, but C code that reads a dict directly sees them empty.
        diffusers: True puts the output classes of diffusers on a compiled base, too.

    Returns:
        What was done; see `Report`, or print it.

    Raises:
        NotInstalledError: the library is not there. This is an InstallError and an ImportError.
        InstallError: the library is just being imported, or has no base of its output classes that
            could be replaced. Nothing has been changed then.
    """
    with _lock:
        names = LIBRARIES if diffusers else LIBRARIES[:1]
        new = [_Installation(find_library(name)) for name in names if name not in _active]
        for installation in new:
            _warn_if_untested(installation)
        try:
            for installation in new:
                _active[installation.library.name] = installation
                installation.start()
        except BaseException:
            _remove(new)
            raise
        _set_mirror_dict(mirror_dict)
        report = _active["transformers"].report
        if diffusers:
            report.diffusers = _active["diffusers"].report
        return report


def uninstall() -> None:
    """Give the libraries their own classes back; nothing happens if they were never replaced.

    Classes that they defined in between are made anew on their own base. What other code defined or
    imported in between, and outputs that were made, stay what they are.
    """
    with _lock:
        if _active:
            _remove(list(_active.values()))
            _set_mirror_dict(True)


@contextmanager
def installed(
    *, mirror_dict: bool = True, diffusers: bool = False
) -> Generator[Report, None, None]:
    """install() for the time of a block; what was installed before stays so afterwards."""
    before, had_mirror_dict = list(_active), _mirror_dict()
    report = install(mirror_dict=mirror_dict, diffusers=diffusers)
    try:
        yield report
    finally:
        with _lock:
            _remove([found for name, found in _active.items() if name not in before])
            _set_mirror_dict(had_mirror_dict)


def _remove(installations: list[_Installation]) -> None:
    """The last that came goes first, as it may have replaced what another had put there."""
    for installation in reversed(installations):
        if _active.pop(installation.library.name, None):
            installation.put_back()
    if "transformers" in _active and "diffusers" not in _active:
        _active["transformers"].report.diffusers = None


def _mirror_dict() -> bool:
    return _MIRROR_DICT not in vars(ModelOutput)


def _set_mirror_dict(enabled: bool) -> None:
    if enabled == _mirror_dict():
        return
    if enabled:
        delattr(ModelOutput, _MIRROR_DICT)
    else:
        setattr(ModelOutput, _MIRROR_DICT, False)


def _warn_if_untested(installation: _Installation) -> None:
    library, version = installation.library, installation.report.version
    if not library.is_tested(version) and (library.name, version) not in _warned:
        _warned.add((library.name, version))
        warnings.warn(
            f"fastoutputs is tested with {library.name} {library.tested_versions()}, not with "
            f"{version}: what cannot be replaced stays as it is, and the report of install() names it",
            stacklevel=3,
        )


class _Installation:
    """What is replaced in one library. In slots, where the search for references does not look."""

    __slots__ = ("_forget", "_original", "_swaps", "library", "report")

    def __init__(self, library: Library) -> None:
        self.library = library
        self.report = Report(library.name, library.version())
        self._original: type | None = None
        self._swaps: list[Swap] = []
        self._forget: list[Callable[[], None]] = []
        home = sys.modules.get(library.home)
        if home is not None and is_importing(home):
            raise InstallError(
                f"{library.name} is being imported at this moment: call install() before that, or after"
            )

    def start(self) -> None:
        home = sys.modules.get(self.library.home)
        if home is None:
            self.report.waiting = True
            self._forget.append(when_imported(self.library.home, self._take_over))
        else:
            self._take_over(home)

    def _is_active(self) -> bool:
        return _active.get(self.library.name) is self

    # --- taking over -----------------------------------------------------------------------------

    def _take_over(self, home: ModuleType) -> None:
        """Replace the original, and all classes that derive from it by now."""
        with _lock:
            if not self._is_active():
                return
            library, report = self.library, self.report
            original = getattr(home, library.base, None)
            if not (isinstance(original, type) and issubclass(original, OrderedDict)):
                raise InstallError(
                    f"{library.name} {report.version} has no {library.home}.{library.base} derived "
                    "from OrderedDict; is another patch at work?"
                )
            late, report.waiting = report.waiting, False
            self._original = original
            classes = self._replacements(original, subclasses(original))
            swap = Swap()
            self._swaps.append(swap)
            if late:  # nobody else can have seen it
                swap.in_modules(classes, [home])
            else:
                swap.everywhere(classes, vars(home).get(library.registry))
            self._note(swap)
            for name in library.twins:
                if name not in sys.modules:
                    self._forget.append(when_imported(name, self._use_twins))
            for name, change in library.patches.items():
                self._forget.append(when_imported(name, partial(self._patch, change)))

    def _use_twins(self, module: ModuleType) -> None:
        """Bind our classes in a module that has just defined, on our base, what we declare, too."""
        with _lock:
            if not self._is_active() or self._original is None:
                return
            defined = [
                cls
                for cls in subclasses(self.library.compiled)
                if cls.__module__ == module.__name__ and vars(module).get(cls.__name__) is cls
            ]
            classes = self._replacements(self._original, defined)
            classes.pop(self._original, None)
            swap = Swap()
            self._swaps.append(swap)
            swap.in_modules(classes, [module])
            self._note(swap)

    def _patch(
        self, change: Callable[[ModuleType], Callable[[], None]], module: ModuleType
    ) -> None:
        with _lock:
            if self._is_active():
                self._forget.append(change(module))

    def _note(self, swap: Swap) -> None:
        self.report.modules = list(dict.fromkeys([*self.report.modules, *swap.modules]))
        self.report.live_instances += swap.live_instances

    def _replacements(self, original: type, classes: Iterable[type]) -> dict[type, type]:
        """What each class becomes, bases before the classes derived from them."""
        report = self.report
        found: dict[type, type] = {original: self.library.compiled}
        for cls in classes:
            bases = tuple(found.get(base, base) for base in cls.__bases__)
            twin = self._twin(cls, bases)
            if twin is not None:
                found[cls] = twin
                report.ours[full_name(cls)] = "same fields, order and defaults"
            elif any(issubclass(base, original) for base in bases):
                report.failed[full_name(cls)] = "one of its bases could not be replaced"
            elif bases != cls.__bases__:
                try:
                    found[cls] = _on_other_base(cls, bases)
                except Exception as error:
                    report.failed[full_name(cls)] = f"{type(error).__name__}: {error}"
                else:
                    report.rebuilt.append(full_name(cls))
        return found

    def _twin(self, cls: type, bases: tuple[type, ...]) -> type | None:
        """Our class of that name, if it declares the same, and nothing else, on the same bases."""
        name = self.library.twins.get(cls.__module__)
        if name is None or "__dataclass_fields__" not in vars(cls):
            return None
        try:
            ours = getattr(import_module(name), cls.__name__, None)
        except ImportError:
            return None
        if not (isinstance(ours, type) and ours.__bases__ == bases):
            return None
        same = _declared(ours) == _declared(cls) and not _own_methods(cls)
        return ours if same and _is_frozen(ours) == _is_frozen(cls) else None

    # --- putting back ----------------------------------------------------------------------------

    def put_back(self) -> None:
        for forget in self._forget:
            forget()
        for swap in reversed(self._swaps):
            swap.undo()
        if self._original is None:
            return
        compiled, twins = self.library.compiled, self._bound_twins()
        # Classes that the libraries defined in the meantime, on our base.
        back: dict[type, type] = {compiled: self._original}
        for cls in subclasses(compiled):
            if _is_of_a_library(cls.__module__) and cls not in _counterparts:
                theirs = (twins.get(base, base) for base in cls.__bases__)
                bases = tuple(back.get(base, base) for base in theirs)
                if not any(issubclass(base, ModelOutput) for base in bases):
                    back[cls] = _on_other_base(cls, bases)
        del back[compiled]  # others may well mean ours
        swap = Swap()
        if back:
            swap.everywhere(back)
        # What their modules imported in the meantime.
        names: dict[type, type] = {compiled: self._original}
        names.update((ours, back.get(theirs, theirs)) for ours, theirs in twins.items())
        modules = [module for name, module in list(sys.modules.items()) if _is_of_a_library(name)]
        swap.in_modules(names, modules)

    def _bound_twins(self) -> dict[type, type]:
        """Each of our classes -> the class that a module of the library has in its place."""
        found: dict[type, type] = {}
        for name, our_name in self.library.twins.items():
            module, ours = sys.modules.get(name), sys.modules.get(our_name)
            if module is None or ours is None:
                continue
            for cls in list(vars(ours).values()):
                if (
                    isinstance(cls, type)
                    and issubclass(cls, ModelOutput)
                    and cls is not ModelOutput
                ):
                    theirs = vars(module).get(cls.__name__, cls)
                    if theirs is not cls:
                        found[cls] = theirs
        return found


def _is_of_a_library(module: str) -> bool:
    return module.partition(".")[0] in LIBRARIES


def _on_other_base(cls: type, bases: tuple[type, ...]) -> type:
    known = _counterparts.get(cls)
    if known is not None and known.cls.__bases__ == bases and known.is_current(cls):
        return known.cls
    made = rebuild(cls, bases)
    trees = sys.modules.get(f"{__package__}.torch")
    if trees is not None:
        trees.name_means(cls)  # the swap that follows can be undone
    _counterparts[cls] = _Counterpart(made, cls)
    _counterparts[made] = _Counterpart(cls, made)
    return made


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
