"""What is replaced in one library, at once or as more of it is imported, and how it is put back."""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from types import ModuleType

from ..model_output import ModelOutput, subclasses
from .imports import is_importing, when_imported
from .library import InstallError, Library, is_of_a_library
from .references import Swap
from .replacements import is_made_anew, on_other_base, replacements
from .report import Report

__all__ = ["Installation", "lock"]

lock = threading.RLock()
"""Held while anything is replaced or put back; an import, in any thread, may be what starts it."""


class Installation:
    """What is replaced in one library. In slots, where the search for references does not look."""

    __slots__ = ("_forget", "_is_active", "_original", "_swaps", "library", "report")

    def __init__(self, library: Library) -> None:
        self.library = library
        self.report = Report(library.name, library.version())
        self._is_active = False
        self._original: type | None = None
        self._swaps: list[Swap] = []
        self._forget: list[Callable[[], None]] = []
        home = sys.modules.get(library.home)
        if home is not None and is_importing(home):
            raise InstallError(
                f"{library.name} is being imported at this moment: call install() before that, or after"
            )

    def start(self) -> None:
        self._is_active = True
        home = sys.modules.get(self.library.home)
        if home is None:
            self.report.waiting = True
            self._forget.append(when_imported(self.library.home, self._take_over))
        else:
            self._take_over(home)

    # --- taking over -----------------------------------------------------------------------------

    def _take_over(self, home: ModuleType) -> None:
        """Replace the original, and all classes that derive from it by now."""
        with lock:
            if not self._is_active:
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
            classes = replacements(library, original, subclasses(original), report)
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
        with lock:
            if not self._is_active or self._original is None:
                return
            defined = [
                cls
                for cls in subclasses(self.library.compiled)
                if cls.__module__ == module.__name__ and vars(module).get(cls.__name__) is cls
            ]
            classes = replacements(self.library, self._original, defined, self.report)
            classes.pop(self._original, None)
            swap = Swap()
            self._swaps.append(swap)
            swap.in_modules(classes, [module])
            self._note(swap)

    def _patch(
        self, change: Callable[[ModuleType], Callable[[], None]], module: ModuleType
    ) -> None:
        with lock:
            if self._is_active:
                self._forget.append(change(module))

    def _note(self, swap: Swap) -> None:
        self.report.modules = list(dict.fromkeys([*self.report.modules, *swap.modules]))
        self.report.live_instances += swap.live_instances

    # --- putting back ----------------------------------------------------------------------------

    def put_back(self) -> None:
        self._is_active = False
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
            if is_of_a_library(cls.__module__) and not is_made_anew(cls):
                theirs = (twins.get(base, base) for base in cls.__bases__)
                bases = tuple(back.get(base, base) for base in theirs)
                if not any(issubclass(base, ModelOutput) for base in bases):
                    back[cls] = on_other_base(cls, bases)
        del back[compiled]  # others may well mean ours
        swap = Swap()
        if back:
            swap.everywhere(back)
        # What their modules imported in the meantime.
        names: dict[type, type] = {compiled: self._original}
        names.update((ours, back.get(theirs, theirs)) for ours, theirs in twins.items())
        modules = [module for name, module in list(sys.modules.items()) if is_of_a_library(name)]
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
