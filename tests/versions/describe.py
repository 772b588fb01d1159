"""Any result as lines of text that are equal only if the results are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch


def describe(value: Any, label: str = "") -> Iterator[str]:
    """One line for each leaf: where it is, and what it is."""
    if isinstance(value, torch.Tensor):
        data = value.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        digest = hashlib.sha256(data).hexdigest()[:12]
        yield f"{label}: {value.dtype} {tuple(value.shape)} {digest}"
    elif isinstance(value, Mapping):
        yield f"{label}: {type(value).__name__} of {len(value)}"
        for key, item in value.items():
            yield from describe(item, f"{label}.{key}")
    elif isinstance(value, (tuple, list)):
        yield f"{label}: {type(value).__name__} of {len(value)}"
        for position, item in enumerate(value):
            yield from describe(item, f"{label}[{position}]")
    elif isinstance(value, BaseException):
        yield f"{label}: {type(value).__name__}"
    elif type(value).__module__.startswith("transformers."):  # a cache: its tensors count
        yield f"{label}: {type(value).__name__}"
        for name, item in vars(value).items():
            if isinstance(item, (torch.Tensor, list)) or name.endswith("_cache"):
                yield from describe(item, f"{label}.{name}")
    else:
        yield f"{label}: {value!r}"
