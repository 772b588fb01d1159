"""generate() of an encoder and a decoder, with the cache of both, and one pass by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import models
import torch


def run() -> Iterator[tuple[str, Any]]:
    model = models.t5()
    yield "tokens", model.generate(models.IDS, max_new_tokens=6)
    yield (
        "all",
        model.generate(
            models.IDS, max_new_tokens=4, return_dict_in_generate=True, output_scores=True
        ),
    )
    with torch.no_grad():
        encoded = model.get_encoder()(models.IDS)
        yield "encoded", encoded
        yield "decoded", model(encoder_outputs=encoded, decoder_input_ids=models.IDS[:, :2])
