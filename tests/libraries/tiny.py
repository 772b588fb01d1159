"""Models of a few thousand weights, made anew at each call from fixed seeds."""

from __future__ import annotations

from typing import Any

import torch
import transformers

BERT = {
    "vocab_size": 32,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
    "hidden_dropout_prob": 0.0,  # so that rows do not depend on what they are batched with
    "attention_probs_dropout_prob": 0.0,
    "attn_implementation": "eager",  # the one that returns attentions
}
LLAMA = {
    **{name: value for name, value in BERT.items() if "dropout" not in name},
    "num_key_value_heads": 1,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": None,  # generate to the length asked for
}


# Others by the class that is mostly wanted. Encoder-decoders have two layers in each half.
SIZES: dict[str, dict[str, Any]] = {
    "GPT2LMHeadModel": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64},
    "T5ForConditionalGeneration": {
        "d_model": 16,
        "d_kv": 8,
        "d_ff": 32,
        "num_layers": 2,
        "num_heads": 2,
        "decoder_start_token_id": 0,
    },
    "BartForConditionalGeneration": {
        "d_model": 16,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
        "max_position_embeddings": 64,
        "decoder_start_token_id": 1,
        "forced_eos_token_id": None,
    },
    "ViTForImageClassification": {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "image_size": 8,
        "patch_size": 4,
        "num_labels": 3,
    },
}
SIZES["WhisperForConditionalGeneration"] = {
    **SIZES["BartForConditionalGeneration"],
    "num_mel_bins": 4,
    "max_source_positions": 8,
    "max_target_positions": 32,
}
LANGUAGE = {"vocab_size": 32, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": None}


def model(name: str, cls: str = "", seed: int = 0, **config: Any) -> Any:
    """A model of the size under this name, of that class if another than the name."""
    torch.manual_seed(seed)
    wanted = getattr(transformers, cls or name)
    language = {} if "ViT" in name else LANGUAGE
    settings = {**language, **SIZES[name], "attn_implementation": "eager", **config}
    return wanted(wanted.config_class(**settings)).eval()


def bert(cls: str = "BertForSequenceClassification", seed: int = 0, **config: Any) -> Any:
    torch.manual_seed(seed)
    return getattr(transformers, cls)(transformers.BertConfig(**BERT, **config))


def llama(cls: str = "LlamaForCausalLM", seed: int = 0, **config: Any) -> Any:
    torch.manual_seed(seed)
    return getattr(transformers, cls)(transformers.LlamaConfig(**LLAMA, **config))


def unet() -> Any:
    """For pictures of 8 by 8."""
    import diffusers  # here, as few tests need it

    torch.manual_seed(0)
    return diffusers.UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )


def batch(rows: int = 4, length: int = 6, seed: int = 1) -> dict[str, torch.Tensor]:
    """Ids, the mask of a left-aligned padding, and a class for each row."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, 32, (rows, length), generator=generator)
    mask = torch.ones_like(ids)
    mask[rows // 2 :, length - 2 :] = 0
    labels = torch.randint(0, 2, (rows,), generator=generator)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}
