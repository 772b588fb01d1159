"""Let a model's code make compiled outputs, for as long as a block lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from transformers.utils import ModelOutput

import fastoutputs
from fastoutputs import modeling_outputs
from fastoutputs.models import bert

SOURCES: tuple[ModuleType, ...] = (modeling_outputs, bert)


def compiled(name: str) -> type[fastoutputs.ModelOutput] | None:
    """The compiled class of that name, if there is one."""
    for source in SOURCES:
        found = vars(source).get(name)
        if isinstance(found, type) and issubclass(found, fastoutputs.ModelOutput):
            return found
    return None


@contextmanager
def swapped(*modules: ModuleType) -> Iterator[dict[str, type[fastoutputs.ModelOutput]]]:
    """Put the compiled classes under the names of the original ones in these modules.

    Model code looks its output classes up by name each time it returns, so this is all it takes.
    Yields what was swapped in; afterwards every name is bound to what it was bound to before.
    """
    before: list[tuple[ModuleType, str, object]] = []
    used: dict[str, type[fastoutputs.ModelOutput]] = {}
    try:
        for module in modules:
            for name, original in list(vars(module).items()):
                if not (isinstance(original, type) and issubclass(original, ModelOutput)):
                    continue
                # The base class stays: model code asks isinstance() of it, and makes none of it.
                if original is ModelOutput or (ours := compiled(name)) is None:
                    continue
                before.append((module, name, original))
                setattr(module, name, ours)
                used[name] = ours
        yield used
    finally:
        for module, name, original in reversed(before):
            setattr(module, name, original)
