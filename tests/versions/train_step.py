"""Steps of training: the loss read in three ways, its gradient, and the weights after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import models
import torch


def run() -> Iterator[tuple[str, Any]]:
    model = models.llama().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for read in (lambda out: out.loss, lambda out: out["loss"], lambda out: out[0]):
        optimizer.zero_grad()
        loss = read(model(models.IDS, labels=models.IDS))
        loss.backward()
        optimizer.step()
        yield "loss", loss
        yield "gradients", [p.grad for p in model.parameters() if p.grad is not None][:3]
    yield "weights", list(model.parameters())
