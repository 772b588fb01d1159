"""A user's own greedy loop, with each way to read the cache that programs have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import models
import torch

READ = {
    "attribute": lambda out: out.past_key_values,
    "getattr": lambda out: getattr(out, "past_key_values", None),
    "get": lambda out: out.get("past_key_values"),
    "key": lambda out: out["past_key_values"] if "past_key_values" in out else None,
    "index": lambda out: out[1],
}


def run() -> Iterator[tuple[str, Any]]:
    model = models.gpt2()
    for name, read in READ.items():
        ids, cache, tokens = models.IDS, None, []
        for _ in range(6):
            with torch.no_grad():
                out = model(ids, past_key_values=cache, use_cache=True)
            cache = read(out)
            ids = out.logits[:, -1:].argmax(-1)
            tokens.append(ids)
        yield name, torch.cat(tokens, 1)
        yield f"{name}, last", out.logits
