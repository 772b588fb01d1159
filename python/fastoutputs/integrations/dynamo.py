"""torch.compile and torch.export: have them look into outputs.

They are told, by a public function, what to trace in the place of each compiled method
(`substitutes`). What they would do with any object that is a dict, and must not with ours, is
replaced in torch itself (`dynamo_pieces`). A torch that was never tested must first show, when it
traces an output for the first time, that the pieces work (`dynamo_check`); if not, they are taken back.
"""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch

from .. import twins
from ..model_output import ModelOutput
from .dynamo_pieces import (
    MEETING,
    READING_SLOTS_ONLY,
    STORING,
    NotAsExpected,
    Piece,
    Tracer,
    find_pieces,
    is_slots_only,
)
from .substitutes import substitutes
from .tested import TORCH
from .users_level import users_level

__all__ = ["TESTED", "is_tested", "register", "status"]

TESTED = TORCH

STORES = ("__setattr__", "__setitem__", "__post_init__")


def is_tested(version: str) -> bool:
    """Whether the tests ran with that release; never with a pre-release."""
    release = re.fullmatch(r"(\d+)\.(\d+)\.\d+", version.partition("+")[0])
    return release is not None and tuple(map(int, release.groups())) in TESTED


class _Tracing:
    """Which pieces are in place, and why the others are not."""

    def __init__(self) -> None:
        self.missing: dict[Piece, str] = {}
        self.pieces: tuple[Piece, ...] = ()
        self.replaced: list[tuple[Any, str, Any, Any]] = []
        self.is_settled = self.has_told = False

    def put_in_place(self, pieces: tuple[Piece, ...]) -> None:
        self.pieces = pieces
        tracer = Tracer(self.meet, self.within)
        try:
            errors = import_module("torch._dynamo.exc")
            self.unsupported, self.skip_frame = errors.Unsupported, errors.SkipFrame
        except (ImportError, AttributeError) as error:
            # The pieces could not break a graph where they have to.
            self.missing = dict.fromkeys(pieces, str(error))
            return
        for piece in pieces:
            try:
                replacements = piece.find(tracer)
            except (NotAsExpected, AttributeError, TypeError, ValueError) as error:
                self.missing[piece] = str(error)
                continue
            for owner, name, function in replacements:
                self.replaced.append((owner, name, vars(owner).get(name), function))
                setattr(owner, name, function)
        if MEETING in self.missing and not is_tested(torch.__version__):
            self.take_back("outputs are not noticed, so nothing can be checked")

    def take_back(self, reason: str) -> None:
        """Leave torch as it was, where nobody else has changed it since."""
        for owner, name, before, ours in reversed(self.replaced):
            if vars(owner).get(name) is not ours:
                continue
            if before is None:
                delattr(owner, name)
            else:
                setattr(owner, name, before)
        self.replaced.clear()
        self.missing = {piece: self.missing.get(piece, reason) for piece in self.pieces}

    @contextmanager
    def within(self, builds_guards: bool = False) -> Iterator[None]:
        try:
            yield
        except self.unsupported:
            raise
        except Exception as error:
            self.take_back(f"{type(error).__name__}: {error}")
            self.tell()
            # A trace that is under way began with the pieces, so it must not be repeated without: skip
            # the frame, rather than break its graph. Once it has ended, only the latter is possible.
            leave = self.unsupported if builds_guards else self.skip_frame
            raise leave(self.reason(str(error))) from error

    def meet(self, output: ModelOutput, comes_from_outside: bool) -> None:
        """A trace has met an output."""
        self.settle()
        if comes_from_outside and is_slots_only(output) and not self.has_all(READING_SLOTS_ONLY):
            raise self.unsupported(self.reason("a slots-only output cannot be traced"))

    def settle(self) -> None:
        """Before the first output is traced: see whether the pieces work, and warn if not."""
        if self.is_settled:
            return
        self.is_settled = True
        if not is_tested(torch.__version__) and self.replaced:
            problem = import_module(".dynamo_check", __package__).problem()
            if problem:
                self.take_back(problem)
        self.tell()

    def has_all(self, pieces: tuple[Piece, ...]) -> bool:
        return not any(piece in self.missing for piece in pieces)

    def can_store(self) -> bool:
        """Whether outputs that a trace makes or changes come out right."""
        self.settle()
        return self.has_all(STORING)

    @staticmethod
    def reason(what: str) -> str:
        return f"fastoutputs does not know torch {torch.__version__}: {what}"

    def tell(self) -> None:
        """Warn of what does not work, once."""
        if self.has_told or not self.missing:
            return
        self.has_told = True
        why = "; ".join(dict.fromkeys(self.missing.values()))
        lost = "; ".join(dict.fromkeys(piece.lost for piece in self.missing))
        message = (
            f"fastoutputs does not know torch {torch.__version__}: {why}. With it, {lost}. Results are "
            "right. Upgrade fastoutputs, or see `fastoutputs doctor`."
        )
        try:
            warnings.warn(message, stacklevel=users_level("torch"))
        except UserWarning:  # an error in a trace would be one of torch's own
            logging.getLogger(__name__).error(message)


_tracing = _Tracing()


def status() -> dict[str, str | None]:
    """Each piece -> None if it is in place, or why not."""
    return {piece.name: _tracing.missing.get(piece) for piece in _tracing.pieces}


def register() -> None:
    """Make outputs traceable."""
    traceables = substitutes()
    _tracing.put_in_place(find_pieces(traceables))
    for name in STORES:
        compiled = twins.compiled[name]
        traceables[compiled] = _unless_unsafe(traceables[compiled])
    traceables[ModelOutput.copy] = _left_to_the_interpreter
    for compiled, traceable in traceables.items():
        torch.compiler.substitute_in_graph(compiled, skip_signature_check=True)(traceable)


def _left_to_the_interpreter(self: Any) -> None:
    _break_graph()


def _unless_unsafe(store: Callable[..., Any]) -> Callable[..., Any]:
    """A traceable function that breaks the graph where torch would not store what store does."""

    @torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
    def can_store() -> bool:
        return _tracing.can_store()

    def stored(self: Any, *args: Any) -> Any:
        if not can_store():
            _break_graph()
        return store(self, *args)

    return stored


# Last, since it imports torch._dynamo, whose import calls register().
@torch.compiler.disable(reason="fastoutputs leaves this to the interpreter")  # type: ignore[no-untyped-call,untyped-decorator]
def _break_graph() -> None:
    pass
