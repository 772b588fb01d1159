"""Tiny models with random weights, the same in every process."""

from __future__ import annotations

from typing import Any

import torch
import transformers

IDS = torch.tensor([[5, 7, 11, 13, 17, 19], [23, 29, 31, 37, 41, 43]])
SMALL = {"vocab_size": 99, "num_hidden_layers": 2, "num_attention_heads": 4}


def make(name: str, **config: Any) -> Any:
    """One of the classes of transformers."""
    cls = getattr(transformers, name)
    torch.manual_seed(0)
    return cls(cls.config_class(**config)).eval()


def bert(name: str = "BertModel", **config: Any) -> Any:
    return make(
        name, **SMALL, hidden_size=32, intermediate_size=37, max_position_embeddings=64, **config
    )


def llama() -> Any:
    sizes = {"hidden_size": 32, "intermediate_size": 37, "max_position_embeddings": 64}
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": None}
    return make("LlamaForCausalLM", **SMALL, **sizes, **tokens)


def gpt2() -> Any:
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
    tokens = {"bos_token_id": 1, "eos_token_id": None}
    return make("GPT2LMHeadModel", vocab_size=99, **sizes, **tokens)


def t5() -> Any:
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 37, "num_layers": 2, "num_heads": 4}
    tokens = {"pad_token_id": 0, "eos_token_id": None, "decoder_start_token_id": 0}
    return make("T5ForConditionalGeneration", vocab_size=99, **sizes, **tokens)
