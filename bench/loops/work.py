"""The loops themselves: single steps, whole calls of `generate`, batches through an encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import StaticCache

from .kinds import PLAIN, PLAIN_STEP, check
from .models import CACHE, TOKENS

BATCHES = 4  # of a pipeline


class Work:
    """What one kind of result is asked to do, a call at a time."""

    kind: str
    period = 1
    """Calls until it begins anew."""
    tokens_per_call = 1

    def __call__(self) -> Any:
        raise NotImplementedError

    def tokens(self) -> list[int]:
        """A whole period, looked at: raises if it is not of the kind that it says."""
        raise NotImplementedError

    @property
    def is_plain(self) -> bool:
        return self.kind in (PLAIN, PLAIN_STEP)


class Steps(Work):
    """Greedy decoding in single steps, so that the kinds take turns token by token."""

    period = TOKENS

    def __init__(self, kind: str, forward: Callable[..., Any], cache: Any = None) -> None:
        self.kind, self.forward, self.static = kind, forward, cache
        self.asked = {"return_dict": False} if self.is_plain else {}
        self.start = torch.tensor([[1]])
        self.place = TOKENS

    def __call__(self) -> Any:
        if self.place == TOKENS:
            self.place, self.token, self.cache = 0, self.start, self.static
            if self.static is not None:
                self.static.reset()
        out = self.forward(self.token, self.cache, **self.asked)
        if self.asked:
            logits, self.cache = out[0], out[1]
        else:
            logits, self.cache = out.logits, getattr(out, CACHE)
        self.token = logits[:, -1].argmax(-1, keepdim=True)
        self.place += 1
        return out

    def tokens(self) -> list[int]:
        found = []
        for _ in range(TOKENS):
            check(self.kind, self())
            found.append(int(self.token))
        return found


class Generate(Work):
    """One call of transformers' own loop."""

    tokens_per_call = TOKENS

    def __init__(self, kind: str, model: Any) -> None:
        self.kind, self.model, self.start = kind, model, torch.tensor([[1]])

    def __call__(self) -> Any:
        return self.model.generate(
            self.start,
            attention_mask=torch.ones_like(self.start),
            max_new_tokens=TOKENS,
            min_new_tokens=TOKENS,
            do_sample=False,
            pad_token_id=0,
        )

    def tokens(self) -> list[int]:
        check(self.kind, self.model(self.start, **second_input(self.model, self.start)))
        return self()[0, -TOKENS:].tolist()


class Pipeline(Work):
    """Batches through an encoder, and all of its hidden states read."""

    period = BATCHES

    def __init__(self, kind: str, model: Any, batches: list[torch.Tensor]) -> None:
        self.kind, self.model, self.batches, self.place = kind, model, batches, -1
        self.best: list[int] = []

    def __call__(self) -> Any:
        self.place = (self.place + 1) % BATCHES
        ids = self.batches[self.place]
        if self.is_plain:
            out = self.model(ids, output_hidden_states=True, return_dict=False)
            first, states, every = out[0], out[2], out
        else:
            out = self.model(ids, output_hidden_states=True)
            first, states, every = out[0], out.hidden_states, out.to_tuple()
        mixed = first + states[-1] + sum(state.mean() for state in states)
        self.best = [len(every), *mixed.argmax(-1).flatten().tolist()]
        return out

    def tokens(self) -> list[int]:
        found: list[int] = []
        for _ in self.batches:
            check(self.kind, self())
            found += self.best
        return found


def second_input(model: Any, start: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"decoder_input_ids": start} if model.config.is_encoder_decoder else {}


def own_loop(kind: str, model: Any) -> Steps:
    def forward(token: torch.Tensor, cache: Any, **asked: Any) -> Any:
        return model(token, **{CACHE: cache}, use_cache=True, **asked)

    if not model.config.is_encoder_decoder:
        return Steps(kind, forward)
    encoded = model.get_encoder()(torch.tensor([[1]]))

    def decode(token: torch.Tensor, cache: Any, **asked: Any) -> Any:
        return model(
            encoder_outputs=encoded,
            decoder_input_ids=token,
            **{CACHE: cache},
            use_cache=True,
            **asked,
        )

    return Steps(kind, decode)


def compiled_loop(kind: str, model: Any, backend: str = "inductor") -> Steps:
    # Code of its own for every kind: torch keeps what it has compiled beside the code, and looks
    # through all of it at every call.
    scope = {"model": model}
    source = f"""
def forward(token, cache, **asked):
    return model(token, {CACHE}=cache, use_cache=True, **asked)
"""
    exec(compile(source, f"<{kind}>", "exec"), scope)
    cache = StaticCache(config=model.config, max_cache_len=TOKENS)
    return Steps(kind, torch.compile(scope["forward"], backend=backend, fullgraph=True), cache)
