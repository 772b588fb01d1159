"""A random model: greedy decoding through transformers' own `generate`, with three kinds of output."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from time import perf_counter_ns
from timeit import Timer
from typing import Any
from unittest.mock import patch

import torch
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.generation.utils import ALL_CACHE_NAMES
from transformers.models.llama import modeling_llama

import fastoutputs

BASE, HEAD = "BaseModelOutputWithPast", "CausalLMOutputWithPast"  # what a Llama makes each token
PROMPT = [[1, 5, 9, 2]]
TOKENS = 96
ROUNDS = 40


@cache
def _rebuilt() -> dict[str, type]:
    """The classes that `installed()` puts into the module of Llama."""
    with fastoutputs.installed():
        return {name: getattr(modeling_llama, name) for name in (BASE, HEAD)}


def _in_step() -> AbstractContextManager[Any]:
    """Does what `installed()` does, in the one module that matters here. `installed()` itself searches all
    modules, which takes longer than the turn that we time."""
    return patch.multiple(modeling_llama, **_rebuilt())


@contextmanager
def _slots_only() -> Iterator[None]:
    with _in_step(), fastoutputs.slots_only():
        yield


@dataclass
class Variant:
    """One kind of output, and what was measured with it."""

    name: str
    enter: Callable[[], AbstractContextManager[Any]]
    per_token: list[float] = field(default_factory=list)
    """µs, one a round."""
    in_outputs: float = 0.0
    """µs of a token that go to making and reading outputs."""


def variants() -> list[Variant]:
    return [
        Variant("transformers", nullcontext),
        Variant("fastoutputs, in step", _in_step),
        Variant("fastoutputs, slots only", _slots_only),
    ]


def tiny_llama() -> LlamaForCausalLM:
    """Two layers of random weights: it says nothing, and takes the same way through `generate` as a
    large one. Small, so that what is not arithmetic can be seen; on a large model it weighs less."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1000,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        initializer_range=0.3,  # wide, or greedy decoding soon repeats itself
        bos_token_id=1,
        eos_token_id=None,  # never stops early
        pad_token_id=0,
    )
    return LlamaForCausalLM(config).eval()


def decode(model: LlamaForCausalLM, tokens: int = TOKENS) -> list[int]:
    prompt = torch.tensor(PROMPT)
    sequence = model.generate(
        prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=tokens
    )
    return sequence[0, prompt.shape[1] :].tolist()


def check_kind(model: LlamaForCausalLM, variant: Variant) -> None:
    """Does the model really return what this variant is about?"""
    with variant.enter():
        out = model(torch.tensor(PROMPT))
        # Only the raw storage, read past every override, tells the two compiled kinds apart.
        kinds = (isinstance(out, fastoutputs.ModelOutput), dict.__len__(out) > 0)
    expected = {
        "transformers": (False, True),
        "fastoutputs, in step": (True, True),
        "fastoutputs, slots only": (True, False),
    }
    assert kinds == expected[variant.name], f"{variant.name}: got {type(out)}"


def count_outputs(model: LlamaForCausalLM, tokens: int = 8) -> float:
    """How many outputs the model makes per token: counted, not assumed."""
    made = 0

    def counting(cls: type) -> Callable[..., Any]:
        def make(*args: Any, **fields: Any) -> Any:
            nonlocal made
            made += 1
            return cls(*args, **fields)

        return make

    wrapped = {name: counting(getattr(modeling_llama, name)) for name in (BASE, HEAD)}
    with patch.multiple(modeling_llama, **wrapped):
        decode(model, tokens)
    return made / tokens


# What a model and `generate` do with the two outputs of a token, as text: transformers 5.24 renamed a field.
TOKEN = """\
inner = base(last_hidden_state=hidden, {cache}=kept)
inner.last_hidden_state
outer = head(
    loss=None,
    logits=logits,
    {cache}=inner.{cache},
    hidden_states=inner.hidden_states,
    attentions=inner.attentions,
)
for name in names:
    if name in outer:
        getattr(outer, name)
        break
outer.logits
"""


def output_cost(model: LlamaForCausalLM, loops: int = 300) -> float:
    """µs that the outputs of one token take: what the model and `generate` do with them, alone.

    We make the two from real tensors, and read them where `LlamaForCausalLM.forward` and `generate` do.
    Warm and undisturbed, so it is the least that they take inside a forward pass.
    """
    out = model(torch.tensor(PROMPT), use_cache=True)
    cache_name = next(name for name in ALL_CACHE_NAMES if name in out)
    given = {
        "base": getattr(modeling_llama, BASE),
        "head": getattr(modeling_llama, HEAD),
        "hidden": torch.zeros(1, 1, 64),
        "logits": out.logits,
        "kept": out[cache_name],
        "names": ALL_CACHE_NAMES,
    }
    setup = "import gc; gc.enable(); " + "; ".join(f"{name} = {name}_" for name in given)
    timer = Timer(
        TOKEN.format(cache=cache_name),
        setup,  # local variables, and the collector on, as in a program
        globals={f"{name}_": value for name, value in given.items()},
    )
    return min(timer.repeat(5, loops)) / loops * 1e6


@torch.inference_mode()
def measure(console: Console, rounds: int = ROUNDS, tokens: int = TOKENS) -> list[Variant]:
    """Decode with every variant in every round, in shuffled order; all must give the same tokens."""
    model = tiny_llama()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the model is too small to share, and a second thread adds noise
    try:
        found = variants()
        expected = decode(model, tokens)
        for variant in found:
            check_kind(model, variant)
        turns, shuffle = list(found), random.Random(0)
        columns = (
            TextColumn("decoding"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as progress:
            for _ in progress.track(range(rounds + 1)):
                shuffle.shuffle(turns)
                for variant in turns:
                    with variant.enter():
                        start = perf_counter_ns()
                        got = decode(model, tokens)
                        elapsed = perf_counter_ns() - start
                    assert got == expected, f"{variant.name} decoded other tokens"
                    variant.per_token.append(elapsed / tokens / 1e3)
        for variant in found:
            del variant.per_token[0]  # the round that warmed up
            with variant.enter():
                variant.in_outputs = output_cost(model)
        outputs = count_outputs(model)
        assert outputs == 2, f"{outputs} outputs a token, and two are accounted for"
        return found
    finally:
        torch.set_num_threads(threads)


def relative(variant: Variant, to: Variant) -> float:
    """Median over the rounds of the ratio within a round: slow phases of the machine cancel out."""
    return statistics.median(
        mine / other for mine, other in zip(variant.per_token, to.per_token, strict=True)
    )


def show(console: Console, found: list[Variant], tokens: int = TOKENS) -> None:
    original = found[0]
    rounds = len(original.per_token)
    console.print(
        f"[green]✓[/] {tokens} tokens, {rounds} rounds, three kinds of output: "
        "[bold]token for token equal[/]\n"
    )
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("outputs", no_wrap=True)
    table.add_column("per token\n(median)", justify="right")
    table.add_column("relative to\ntransformers", justify="right")
    table.add_column("in outputs\nper token", justify="right")
    table.add_column("times\ncheaper", justify="right")
    for variant in found:
        table.add_row(
            variant.name,
            f"{statistics.median(variant.per_token):.0f} µs",
            "1" if variant is original else f"[bold]{relative(variant, original):.3f}[/]",
            f"{variant.in_outputs:.2f} µs",
            "1" if variant is original else f"{original.in_outputs / variant.in_outputs:.0f}",
        )
    console.print(table)
    console.print(
        "[dim]Per token: one whole `generate`, by its tokens; kinds take turns, ratios are taken "
        "within a round.\nIn outputs: the two outputs of a token (counted), made and read as the "
        "model and `generate` do, timed alone and warm: the least they take inside a forward pass.[/]"
    )
