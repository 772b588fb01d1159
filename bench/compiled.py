"""Compiled functions that return outputs: `python -m bench.compiled`, from the repository root.

Two measurements, each with all kinds of result taking turns in one process: what a call of a compiled
function costs beyond one that returns a tuple, and a token of a compiled greedy decoding loop (CUDA
graphs, if there is an accelerator). Prints both; quote the ratios only.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter_ns
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from fastoutputs.cli.timing import (
    Entry,
    Loop,
    best_and_median,
    readable,
    statement_loop,
    take_turns,
)

from .contenders import ORIGINAL, RECIPES, SLOTS, STEP

Rows = dict[str, list[float]]
"""What it was -> ns in every round."""

TUPLE = "tuple"
TOKENS = 32
WIDTH, LAYERS, HEADS, VOCABULARY = 64, 2, 4, 256

Make = Callable[..., Any]


def kinds() -> dict[str, Make]:
    """What to return: the name -> how it is made from loss and logits."""
    makes: dict[str, Make] = {TUPLE: lambda loss, logits: (loss, logits)}
    for name in (ORIGINAL, STEP, SLOTS):
        with suppress(ImportError):
            makes[name] = RECIPES[name].build()
    return makes


class Layer(torch.nn.Module):
    """Causal attention over a cache of fixed size, and a feed-forward part."""

    def __init__(self) -> None:
        super().__init__()
        self.project = torch.nn.Linear(WIDTH, 3 * WIDTH)
        self.forward_part = torch.nn.Sequential(
            torch.nn.Linear(WIDTH, 4 * WIDTH), torch.nn.GELU(), torch.nn.Linear(4 * WIDTH, WIDTH)
        )
        for name in ("keys", "values"):
            self.register_buffer(name, torch.zeros(1, HEADS, TOKENS, WIDTH // HEADS))

    def forward(self, x: torch.Tensor, position: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        query, key, value = (
            part.view(1, HEADS, 1, -1) for part in self.project(x).chunk(3, dim=-1)
        )
        self.keys.index_copy_(2, position, key)
        self.values.index_copy_(2, position, value)
        attended = torch.nn.functional.scaled_dot_product_attention(
            query, self.keys, self.values, attn_mask=seen
        )
        x = x + attended.reshape(1, WIDTH)
        return x + self.forward_part(x)


class Decoder(torch.nn.Module):
    """One step of a toy decoder, which hands its result back as told."""

    def __init__(self, make: Make) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.make = make
        self.embed = torch.nn.Embedding(VOCABULARY, WIDTH)
        self.layers = torch.nn.ModuleList(Layer() for _ in range(LAYERS))
        self.head = torch.nn.Linear(WIDTH, VOCABULARY)

    def forward(self, token: torch.Tensor, position: torch.Tensor, seen: torch.Tensor) -> Any:
        x = self.embed(token)
        for layer in self.layers:
            x = layer(x, position, seen)
        logits = self.head(x)
        return self.make(loss=logits.amax(), logits=logits)


def decoding_loop(make: Make, device: torch.device) -> tuple[Loop, Callable[[], list[int]]]:
    """The loop to time, and one that says which tokens come out."""
    step = torch.compile(Decoder(make).to(device).eval(), mode="reduce-overhead", fullgraph=True)
    start = torch.ones(1, dtype=torch.long, device=device)
    positions = torch.arange(TOKENS, device=device)
    seen = positions[None] <= positions[:, None]

    @torch.inference_mode()
    def decode() -> list[torch.Tensor]:
        token, tokens = start, []
        for place in range(TOKENS):
            torch.compiler.cudagraph_mark_step_begin()
            out = step(token, positions[place : place + 1], seen[None, None, place : place + 1])
            token = out[1].argmax(-1)
            tokens.append(token)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return tokens

    def timed(loops: int) -> int:
        start_ns = perf_counter_ns()
        for _ in range(loops):
            decode()
        return perf_counter_ns() - start_ns

    return timed, lambda: [int(token) for token in decode()]


def calls(rounds: int, shuffle: random.Random) -> Rows:
    """ns of a call of a function that does next to nothing else, in every round."""
    torch.compiler.reset()  # what was compiled before counts towards a limit
    entries = []
    x = torch.ones(3)
    for name, make in kinds().items():

        def function(x: torch.Tensor, make: Make = make) -> Any:
            return make(loss=x + 1, logits=x + 2)

        compiled = torch.compile(function, backend="eager", fullgraph=True)
        entries.append(Entry(name, statement_loop("call(x)", {"call": compiled, "x": x})))
    return by_turns(entries, rounds, 2e6, shuffle)


def tokens(rounds: int, device: torch.device, shuffle: random.Random) -> Rows:
    """ns of a decoded token, in every round."""
    torch.compiler.reset()  # what was compiled before counts towards a limit
    entries, expected = [], None
    for name, make in kinds().items():
        timed, decoded = decoding_loop(make, device)
        expected = expected or decoded()
        if decoded() != expected:
            raise RuntimeError(f"{name} decodes other tokens")
        entries.append(Entry(name, timed, statements=TOKENS))
    return by_turns(entries, rounds, 20e6, shuffle)


def by_turns(entries: list[Entry], rounds: int, round_ns: float, shuffle: random.Random) -> Rows:
    empty = Entry("empty", statement_loop("pass", {}))  # the loop weighs nothing beside these
    return take_turns(entries, empty, rounds, round_ns, shuffle)[0]


def best(rows: Rows) -> dict[str, float]:
    return {name: best_and_median(values)[0] for name, values in rows.items()}


def show(console: Console, title: str, figures: dict[str, float]) -> None:
    table = Table(title=title, box=box.SIMPLE_HEAD)
    for heading in ("", "time", "beyond a tuple", "of the original's"):
        table.add_column(heading, justify="right" if heading else "left")
    extra = {name: value - figures[TUPLE] for name, value in figures.items()}
    for name, value in figures.items():
        beyond = "" if name == TUPLE else readable(extra[name])
        share = f"{extra[name] / extra[ORIGINAL]:.2f} ×" if beyond and ORIGINAL in extra else ""
        table.add_row(name, readable(value), beyond, share)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.compiled", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.set_num_threads(1)
    console, shuffle = Console(), random.Random(0)
    show(console, "A call of a compiled function", best(calls(options.rounds, shuffle)))
    title = f"A token of a compiled decoding loop ({device.type})"
    show(console, title, best(tokens(options.rounds, device, shuffle)))


if __name__ == "__main__":
    main()
