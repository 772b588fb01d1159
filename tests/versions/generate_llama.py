"""generate() of a decoder: greedy, sampled, in beams; with everything that it can return."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import models
import torch

KINDS = {
    "greedy": {"do_sample": False},
    "sampled": {"do_sample": True},
    "beams": {"do_sample": False, "num_beams": 3},
}


def run() -> Iterator[tuple[str, Any]]:
    model = models.llama()
    mask = torch.ones_like(models.IDS)
    for name, options in KINDS.items():
        yield (
            name,
            model.generate(
                models.IDS,
                attention_mask=mask,
                max_new_tokens=6,
                return_dict_in_generate=True,
                output_scores=True,
                output_hidden_states=True,
                **options,
            ),
        )
