"""The Python face of the compiled container: what is not hot, and how to choose slots only."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

try:
    from ._core import (
        ModelOutput,
        OutputMutationError,
        build_info,
        is_sealed,
        layout,
        set_slots_only,
        set_subclass_hook,
    )
except ModuleNotFoundError as error:
    raise ImportError(
        "the compiled part of fastoutputs (fastoutputs._core) is missing: install a wheel, or build it "
        "from a checkout with `pip install .`"
    ) from error

from . import aliases, twins  # noqa: F401  # aliases: for what it gives to _core  # pyright: ignore[reportUnusedImport]

__all__ = [
    "ModelOutput",
    "OutputMutationError",
    "build_info",
    "for_each_class",
    "seal_again",
    "slots_only",
    "subclasses",
]

OutputClass = type[ModelOutput]


def subclasses(base: type) -> list[type]:
    """Every class derived from base that is alive, each after its bases."""
    last_first: dict[type, None] = {}  # each before its bases
    path: list[tuple[type, Iterator[type]]] = [(base, reversed(type.__subclasses__(base)))]
    while path:
        cls, derived = path[-1]
        following = next((each for each in derived if each not in last_first), None)
        if following is None:
            last_first[cls] = None
            path.pop()
        else:
            path.append((following, reversed(type.__subclasses__(following))))
    return list(last_first)[-2::-1]


def seal_again(base: OutputClass = ModelOutput) -> None:
    """Have every used class derived from base take over what was set on a base since, such as aliases.

    A class does so by itself when it is next used; reading an attribute of an output is no such use.
    """
    for cls in (base, *subclasses(base)):
        if is_sealed(cls):
            # A class that somebody broke since then says so itself at its next use.
            with suppress(Exception):
                layout(cls)


_on_new_class: list[Callable[[OutputClass], object]] = []


def for_each_class(action: Callable[[OutputClass], object]) -> None:
    """Call action with ModelOutput, with every subclass that there is, and with each that comes."""
    _on_new_class.append(action)
    for cls in (ModelOutput, *subclasses(ModelOutput)):
        action(cls)


def _announce(cls: OutputClass) -> None:
    for action in _on_new_class:
        action(cls)


set_subclass_hook(_announce)


@contextmanager
def slots_only(enabled: bool = True) -> Generator[None, None, None]:
    """Make the outputs that this thread creates inside the block without dict storage.

    They are about twice as cheap to make, and every view of them works. C code that reads a dict
    directly sees them empty: `json.dumps`, `torch.jit.trace`, `tf.function`, orjson and the like
    must not be given one. ``slots_only(False)`` turns it off again inside such a block. Classes
    declared with ``mirror_dict=False`` are slots only everywhere.
    """
    before = set_slots_only(enabled)
    try:
        yield
    finally:
        set_slots_only(before)


def _display_method(name: str, doc: str) -> Callable[[ModelOutput], Any]:
    def method(self: ModelOutput) -> Any:
        theirs = getattr(super(ModelOutput, self), name, None)  # of a mixin behind ModelOutput
        if theirs is not None:
            return theirs()
        return getattr(import_module(".display", __package__), name.strip("_"))(self)

    method.__name__, method.__qualname__, method.__doc__ = name, f"ModelOutput.{name}", doc
    return method


twins.put_in_class()

# Set here, not in C++: display code is Python, and is loaded when first asked for.
for _name, _doc in (
    ("summary", "Name, dtype, shape and device of each present field, a line each."),
    ("_repr_html_", "The summary as a small table, for notebooks."),
    ("__rich_repr__", "The present fields, for rich's pretty printer."),
):
    setattr(ModelOutput, _name, _display_method(_name, _doc))
