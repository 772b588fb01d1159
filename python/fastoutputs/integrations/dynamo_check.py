"""A small function, traced and not, to see whether a torch that was never tested handles outputs right."""

# pyright: basic
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from .._core import ModelOutput
from ..model_output import slots_only

__all__ = ["problem"]


@dataclass
class _Out(ModelOutput):
    loss: Any = None
    logits: Any = None
    states: Any = None


class _Override(_Out):
    def keys(self) -> Any:
        return super().keys()


def _use(x: Any, given: Any, without: Any) -> Any:
    """Makes, reads, changes, takes and returns outputs."""
    made = _Override(logits=x * 2, states=given.to_tuple())
    made.loss = made[0] + given["logits"]
    given.states = made.loss
    made["extra"] = x
    seen = list(made.keys()), len(without), list(without), "loss" in without
    return made, without.logits * 3, seen, _Out({"loss": without[0]})


def _picture(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, ModelOutput):
        items = [(key, _picture(item)) for key, item in value.items()]
        return type(value), items, list(dict.keys(value)), _picture(vars(value))
    if isinstance(value, dict):
        return {key: _picture(item) for key, item in value.items()}
    return [_picture(item) for item in value] if isinstance(value, (tuple, list)) else value


def _results(run: Any) -> Any:
    x = torch.ones(2, device="cpu")
    given = _Out(logits=x)
    with slots_only():
        without = _Out(logits=x + 1)
    return _picture(run(x, given, without)), _picture((given, without))


def problem() -> str | None:
    """What went wrong, or None."""
    try:
        traced = _results(torch.compile(_use, backend="eager", fullgraph=True, dynamic=False))
    except Exception as error:
        return f"a trial failed: {type(error).__name__}: {str(error).splitlines()[0]}"
    return None if traced == _results(_use) else "a trial gave other results"
