"""Outputs by pickle and back, with every protocol, and a cache among them."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import models
import torch


def run() -> Iterator[tuple[str, Any]]:
    with torch.no_grad():
        outs = {
            "bert": models.bert()(models.IDS),
            "gpt2": models.gpt2()(models.IDS, use_cache=True),
        }
    for name, out in outs.items():
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            back = pickle.loads(pickle.dumps(out, protocol))
            yield f"{name}, protocol {protocol}", back
            yield "class", type(back) is type(out)
