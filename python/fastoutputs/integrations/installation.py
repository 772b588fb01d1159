"""What is replaced in one library, at once or as more of it is imported, and how it is put back."""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import importlib
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING

from ..model_output import ModelOutput, seal_again, subclasses
from ..schema import documented_by
from .bookkeeping import Private, Table
from .imports import is_importing, when_imported
from .library import InstallError, Library, is_of_a_library
from .report import Report
from .users_level import users_level

# An install() before the library is imported takes no time for what it will need then.
if TYPE_CHECKING:
    from .known_base import Findings
    from .references import Swap

__all__ = ["Installation", "lock", "wait_for_imports"]

lock = threading.RLock()
"""Held while anything is replaced or put back; an import, in any thread, may be what starts it."""

ALIASES, NOTICE = "__fastoutputs_aliases__", "__fastoutputs_alias_used__"
"""Attributes of an output class: what the container takes for the name of a field, and what it calls then."""

# Made again, they would not be the classes that torch's trees know.
_carried: dict[type, type] = Table()


def _call_as(cls: type, module: str) -> None:
    """Have pickles and saved trees name cls as a class of this module."""
    cls.__module__ = module
    trees = sys.modules.get(f"{__package__}.torch")
    if trees is not None:
        trees.rename(cls)


def _remove(cls: type, name: str) -> None:
    if name in vars(cls):
        delattr(cls, name)


def wait_for_imports(library: Library) -> None:
    """Let other threads finish the imports that an Installation has to follow.

    Not while the lock is held: an import may need that, too.
    """
    for name in (*library.shared, *library.shared.values(), *library.patches):
        module = sys.modules.get(name)
        if module is not None and is_importing(module):
            with suppress(Exception):  # the importer sees it
                importlib.import_module(name)


class Installation(Private):
    """What is replaced in one library."""

    __slots__ = (
        "_back",
        "_base",
        "_forget",
        "_meanwhile",
        "_original",
        "_replaced",
        "_swaps",
        "is_active",
        "library",
        "report",
    )

    def __init__(self, library: Library) -> None:
        self.library = library
        self.report = Report(library.name, library.version())
        self.is_active = False
        self._original: type | None = None
        self._base: type = library.compiled
        # Classes of the library -> what took their place.
        self._replaced: dict[type, type] = Table()
        # Classes that came meanwhile, found once, as what takes their place derives from the same base.
        self._meanwhile: dict[type, None] | None = None
        self._back: dict[type, type] = Table()
        self._swaps: list[Swap] = []
        self._forget: list[Callable[[], None]] = []
        home = sys.modules.get(library.home)
        if home is not None and is_importing(home):
            raise InstallError(
                f"{library.name} is being imported at this moment: call install() before that, or after"
            )

    def start(self) -> None:
        """Replace what there is of the library, and the rest as it is imported."""
        self.is_active = True
        home = sys.modules.get(self.library.home)
        if home is None:
            self.report.waiting = True
            self._forget.append(when_imported(self.library.home, self._take_over))
        else:
            self._take_over(home)

    # --- taking over -----------------------------------------------------------------------------

    def _take_over(self, home: ModuleType) -> None:
        """Replace the original, and all classes that derive from it by now: all of them, or none."""
        with lock, self.report.timed():
            if not self.is_active:
                return
            try:
                self._replace(home)
            except BaseException:
                self.put_back()
                raise

    def _replace(self, home: ModuleType) -> None:
        from . import ordered
        from .known_base import compare
        from .made_before import follow, teach
        from .references import Swap
        from .replacements import replacements

        library, report = self.library, self.report
        original = getattr(home, library.base, None)
        if not isinstance(original, type):
            raise InstallError(
                f"{library.name} {report.version} has no class {library.home}.{library.base}; "
                "is another patch at work? Nothing has been changed."
            )
        findings = compare(library, original)
        late, report.waiting = report.waiting, False
        self._base = self._compiled_base(original, findings, vars(home).get(library.registry))
        known_metaclass = type if findings.keeps_metaclass else type(original)
        self._original = original
        self._replaced = replacements(
            {original: self._base}, subclasses(original), report, known_metaclass
        )
        classes: dict[type, type] = Table(self._replaced)
        for name in library.shared:
            classes.update(self._shared(name, classes))
        swap = Swap()
        self._swaps.append(swap)
        if self._base is library.compiled:
            swap.undone_by(_call_as, self._base, self._base.__module__)
            _call_as(self._base, original.__module__)
        teach(swap, original)
        follow(swap, classes, library.compiled)
        if late:
            # Only torch's trees can have seen it: up to 5.0 the library registers its base as it is imported.
            swap.in_modules(classes, [home])
            swap.in_names_of_trees(classes)
        else:
            swap.everywhere(classes, vars(home).get(library.registry))
        self._note(swap)
        for name, our_name in library.shared.items():
            if name not in sys.modules or our_name not in sys.modules:
                for module in (name, our_name):
                    self._forget.append(when_imported(module, partial(self._share, name)))
        for name, change in library.patches.items():
            self._forget.append(when_imported(name, partial(self._patch, change)))
        for name in ordered.MODULES:
            self._forget.append(ordered.watch(name))

    def _compiled_base(self, original: type, findings: Findings, registry: object) -> type:
        """The library's compiled base; where there is something unknown, a class of its own with that."""
        from .carried_base import carried_base

        generation, base = findings.generation, self.library.compiled
        if findings.unknown:
            self.report.unknown = list(findings.unknown)
            if original not in _carried:
                _carried[original] = carried_base(
                    original, base, findings.carried, findings.keeps_metaclass, registry
                )
            base = _carried[original]
            warnings.warn(
                f"{self.library.name} {self.report.version} has parts in {original.__qualname__} that "
                f"fastoutputs does not know: {', '.join(findings.unknown)}. Outputs stay correct, as these "
                "run as written, but are slower. Upgrade fastoutputs, or see `fastoutputs doctor`.",
                stacklevel=users_level(self.library.name),
            )
        if generation.aliases:
            attributes: dict[str, object] = {ALIASES: dict(generation.aliases)}
            if generation.notice is not None:
                attributes[NOTICE] = staticmethod(generation.notice(original))
            for name, value in attributes.items():
                self._forget.append(partial(_remove, base, name))
                setattr(base, name, value)
            self._forget.append(partial(seal_again, base))
            seal_again(base)
        return base

    def _shared(
        self, name: str, replaced: dict[type, type], just_run: ModuleType | None = None
    ) -> dict[type, type]:
        """What classes of ours, and those derived from them, mean beside the library's module of this name."""
        from .replacements import same_classes, with_subclasses

        ours, theirs = sys.modules.get(self.library.shared[name]), sys.modules.get(name)
        if ours is None or theirs is None:
            return {}
        if any(is_importing(module) for module in (ours, theirs) if module is not just_run):
            return {}
        same = same_classes(ours, theirs, replaced)
        documented_by.update((other, weakref.ref(mine)) for mine, other in same.items())
        self.report.shared.update(
            (f"{mine.__module__}.{mine.__name__}", f"{name}.{mine.__name__}") for mine in same
        )
        return with_subclasses(same, self.report)

    def _share(self, name: str, module: ModuleType) -> None:
        """Once both modules are there, let our names mean the library's classes; module has just run."""
        from .made_before import follow
        from .references import Swap

        with lock, self.report.timed():
            classes = self._shared(name, {}, module) if self.is_active else {}
            if classes:
                swap = Swap()
                self._swaps.append(swap)
                follow(swap, classes, self.library.compiled)
                if module.__name__ == name:
                    swap.everywhere(classes)
                else:  # nobody else can have seen ours
                    swap.in_modules(classes, [module])
                self._note(swap)

    def _patch(
        self, change: Callable[[ModuleType], Callable[[], None]], module: ModuleType
    ) -> None:
        with lock, self.report.timed():
            if self.is_active:
                self._forget.append(change(module))

    def _note(self, swap: Swap) -> None:
        self.report.modules = list(dict.fromkeys([*self.report.modules, *swap.modules]))
        self.report.live_instances += swap.live_instances
        self.report.left.update(swap.left)

    # --- putting back ----------------------------------------------------------------------------

    def put_back(self) -> None:
        """Give the library its classes back. It goes on where it was interrupted, if it was."""
        self.is_active = False
        while self._forget:
            self._forget[0]()
            del self._forget[0]
        while self._swaps:
            self._swaps[-1].undo()
            self._swaps.pop()
        if self._original is None:
            return
        from .made_before import follow
        from .references import Swap
        from .replacements import full_name, is_made_anew, on_other_base

        theirs: dict[type, type] = Table((new, old) for old, new in self._replaced.items())
        # Classes that the libraries defined in the meantime, on our base.
        if self._meanwhile is None:
            self._meanwhile = Table.fromkeys(
                cls
                for cls in subclasses(self._base)
                if is_of_a_library(cls.__module__) and not is_made_anew(cls)
            )
        for cls in self._meanwhile:
            bases = tuple(
                self._back.get(base) or theirs.get(base) or base for base in cls.__bases__
            )
            if not any(issubclass(base, ModelOutput) for base in bases):
                try:
                    self._back[cls] = on_other_base(cls, bases)
                except Exception as error:
                    self.report.failed[full_name(cls)] = f"{type(error).__name__}: {error}"
        swap = Swap()  # for good
        if self._back:
            follow(swap, self._back, self.library.compiled)
            swap.everywhere(self._back)
        # What their modules imported in the meantime.
        modules = [module for name, module in list(sys.modules.items()) if is_of_a_library(name)]
        swap.in_modules(theirs, modules)
        self._original = None
