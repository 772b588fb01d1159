"""The kinds of result, and how one takes over from another within transformers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import fastoutputs

from ..contenders import ORIGINAL, SLOTS, STEP

PLAIN, PLAIN_STEP = "return_dict=False", "return_dict=False, in step"
KINDS = (ORIGINAL, STEP, PLAIN, PLAIN_STEP)
OUTPUTS = (ORIGINAL, STEP)

Switch = Callable[[str], None]


@contextmanager
def switching() -> Iterator[tuple[Switch, dict[type, type]]]:
    """install() for the time of a block. Gives a function by which a kind takes over in microseconds,
    and what each class of the original becomes."""

    def names() -> tuple[tuple[dict[str, Any], str, type], ...]:
        return tuple(
            (vars(module), name, value)
            for module in list(sys.modules.values())
            if getattr(module, "__name__", "").partition(".")[0] == "transformers"
            for name, value in list(vars(module).items())
            if isinstance(value, type)
        )

    before = names()  # install() would look into a list or a dict, and replace what is there, too
    with fastoutputs.installed():
        changed = [
            (scope, name, original, scope[name])
            for scope, name, original in before
            if scope[name] is not original
        ]
        if not changed:
            raise RuntimeError("install() has been called before: there is no original to measure")
        ours = {original: replaced for _, _, original, replaced in changed}

        def switch(kind: str) -> None:
            is_ours = kind in (STEP, PLAIN_STEP)
            for scope, name, original, replaced in changed:
                scope[name] = replaced if is_ours else original

        try:
            yield switch, ours
        finally:
            switch(STEP)  # or leaving the block would not find what it has put there


def check(kind: str, out: Any) -> None:
    """Raises if that is not what `kind` says."""
    is_ours = isinstance(out, fastoutputs.ModelOutput)
    right = {
        ORIGINAL: hasattr(out, "to_tuple") and not is_ours,
        STEP: is_ours and dict.__len__(out) > 0,
        SLOTS: is_ours and dict.__len__(out) == 0,
    }
    if not right.get(kind, type(out) is tuple):
        raise RuntimeError(f"{kind} gave a {type(out)}")
