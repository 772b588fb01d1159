"""Toy models of transformers, with random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.modeling_outputs import BaseModelOutputWithPast

TOKENS = 32  # of a decoding
VOCABULARY, WIDTH, HEADS, LAYERS = 64, 32, 2, 2


def gpt2() -> Any:
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=2 * TOKENS,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        bos_token_id=1,
        eos_token_id=0,
    )
    return GPT2LMHeadModel(config)


def llama() -> Any:
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=2 * TOKENS,
        eos_token_id=0,
    )
    return LlamaForCausalLM(config)


def t5() -> Any:
    config = T5Config(
        vocab_size=VOCABULARY,
        d_model=WIDTH,
        d_kv=WIDTH // HEADS,
        d_ff=2 * WIDTH,
        num_layers=LAYERS,
        num_heads=HEADS,
        decoder_start_token_id=1,
        eos_token_id=0,
    )
    return T5ForConditionalGeneration(config)


def bert() -> Any:
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=2 * WIDTH,
    )
    return BertModel(config)


CACHE = "cache" if "cache" in BaseModelOutputWithPast.__annotations__ else "past_key_values"
"""What transformers calls the field, and the argument, of the cache: 5.24 renamed them."""

MODELS = {"GPT-2": gpt2, "Llama": llama, "T5": t5}


def seeded(make: Callable[[], Any]) -> Any:
    torch.manual_seed(0)
    return make().eval()
