"""Tiny models for transformers' own common tests; collected by tools/peer.py, which says what it does.

transformers gives the tests that all models share with its sources, but not the small models that it
runs them over: these stand in their place.
"""

from __future__ import annotations

import unittest
from collections.abc import Callable, Mapping
from typing import Any

import torch
import transformers

# The folder of the tests that tools/peer.py unpacked.
from transformers_tests.test_modeling_common import (
    ModelTesterMixin,
    floats_tensor,
    ids_tensor,
    random_attention_mask,
)

BATCH, LENGTH, VOCABULARY, SIZE, LAYERS, HEADS = 3, 7, 99, 32, 2, 4
IMAGE, PATCH = 16, 4
PATCHES = (IMAGE // PATCH) ** 2 + 1  # and the one for the class
FRAMES = 20  # of sound; the encoder halves them

TEXT = {"hidden_size": SIZE, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
TEXT |= {"vocab_size": VOCABULARY, "intermediate_size": 37, "max_position_embeddings": 64}
PICTURE = {"hidden_size": SIZE, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
PICTURE |= {"intermediate_size": 37, "image_size": IMAGE, "patch_size": PATCH}


def text() -> dict[str, Any]:
    # None of the first few numbers, which mean padding, begin and end.
    ids = ids_tensor([BATCH, LENGTH], VOCABULARY - 5) + 5
    return {"input_ids": ids, "attention_mask": random_attention_mask([BATCH, LENGTH])}


def text_pair() -> dict[str, Any]:
    both = text() | {f"decoder_{name}": value for name, value in text().items()}
    for name in ("input_ids", "decoder_input_ids"):
        both[name][:, -1] = 1  # the end, which T5 classifies by
    return both


def picture() -> dict[str, Any]:
    return {"pixel_values": floats_tensor([BATCH, 3, IMAGE, IMAGE])}


def sound() -> dict[str, Any]:
    decoder = {f"decoder_{name}": value for name, value in text().items()}
    return {"input_features": floats_tensor([BATCH, 80, FRAMES])} | decoder


class Tiny:
    """What the common tests ask about a model: its configuration, inputs to it, and some numbers."""

    is_training = True
    batch_size = BATCH
    num_choices = 4
    num_masks = 3
    image_size, patch_size = IMAGE, PATCH
    hidden_size, num_hidden_layers, num_attention_heads = SIZE, LAYERS, HEADS

    def __init__(
        self,
        config: Callable[[], Any],
        inputs: Callable[[], dict[str, Any]],
        seq_length: int = LENGTH,
        *,
        more_labels: Mapping[str, dict[str, tuple[int, ...]]] | None = None,
        **more: Any,
    ) -> None:
        self.more_labels = more_labels or {}  # model -> name -> shape
        self.get_config, self._inputs, self.seq_length = config, inputs, seq_length
        vars(self).update(more)

    def prepare_config_and_inputs_for_common(self) -> tuple[Any, dict[str, Any]]:
        return self.get_config(), self._inputs()


def classes(prefix: str, *names: str) -> tuple[type, ...]:
    return tuple(getattr(transformers, prefix + name) for name in names)


class Common(ModelTesterMixin):
    """The common tests, which know what most models are trained on."""

    def _prepare_for_class(
        self, inputs_dict: dict[str, Any], model_class: type, return_labels: bool = False
    ) -> dict[str, Any]:
        inputs = super()._prepare_for_class(inputs_dict, model_class, return_labels)
        if return_labels:
            for name, shape in self.model_tester.more_labels.get(model_class.__name__, {}).items():
                inputs[name] = torch.zeros(shape, dtype=torch.long)
        return inputs


class BertTest(Common, unittest.TestCase):
    all_model_classes = classes(
        "Bert",
        *("Model", "LMHeadModel", "ForMaskedLM", "ForMultipleChoice", "ForNextSentencePrediction"),
        *("ForPreTraining", "ForQuestionAnswering", "ForSequenceClassification"),
        "ForTokenClassification",
    )

    def setUp(self) -> None:
        pretraining = {"labels": (BATCH, LENGTH), "next_sentence_label": (BATCH,)}
        self.model_tester = Tiny(
            lambda: transformers.BertConfig(**TEXT),
            text,
            more_labels={"BertForPreTraining": pretraining},
        )


class GPT2Test(Common, unittest.TestCase):
    all_model_classes = classes(
        "GPT2",
        *("Model", "LMHeadModel", "DoubleHeadsModel", "ForQuestionAnswering"),
        *("ForSequenceClassification", "ForTokenClassification"),
    )

    def setUp(self) -> None:
        sizes = {"n_embd": SIZE, "n_layer": LAYERS, "n_head": HEADS, "n_positions": 64}
        ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
        self.model_tester = Tiny(
            lambda: transformers.GPT2Config(vocab_size=VOCABULARY, **sizes, **ends),
            text,
            more_labels={"GPT2DoubleHeadsModel": {"labels": (BATCH, LENGTH)}},
        )


class LlamaTest(Common, unittest.TestCase):
    all_model_classes = classes(
        "Llama",
        *("Model", "ForCausalLM", "ForQuestionAnswering", "ForSequenceClassification"),
        "ForTokenClassification",
    )

    def setUp(self) -> None:
        self.model_tester = Tiny(
            lambda: transformers.LlamaConfig(**TEXT, num_key_value_heads=2, pad_token_id=0), text
        )


class T5Test(Common, unittest.TestCase):
    all_model_classes = classes("T5", "Model", "ForConditionalGeneration", "ForQuestionAnswering")
    is_encoder_decoder = True

    def setUp(self) -> None:
        sizes = {"d_model": SIZE, "d_kv": SIZE // HEADS, "d_ff": 37, "num_layers": LAYERS}
        ends = {"eos_token_id": 1, "pad_token_id": 0, "decoder_start_token_id": 0}
        self.model_tester = Tiny(
            lambda: transformers.T5Config(vocab_size=VOCABULARY, num_heads=HEADS, **sizes, **ends),
            text_pair,
        )


class T5ClassifierTest(T5Test):
    """Apart, as it takes no text without an end, and a test ends with the first model that fails."""

    all_model_classes = classes("T5", "ForSequenceClassification")


class ViTTest(Common, unittest.TestCase):
    all_model_classes = classes("ViT", "Model", "ForImageClassification", "ForMaskedImageModeling")
    test_resize_embeddings = False  # there are no tokens

    def setUp(self) -> None:
        # A masked image is put together again from cells as large as a patch.
        self.model_tester = Tiny(
            lambda: transformers.ViTConfig(**PICTURE, encoder_stride=PATCH),
            picture,
            PATCHES,
            mask_length=PATCHES - 1,
        )


class WhisperTest(Common, unittest.TestCase):
    all_model_classes = classes("Whisper", "Model", "ForConditionalGeneration")
    is_encoder_decoder = True
    test_missing_keys = False  # the positions of the encoder are computed

    def setUp(self) -> None:
        sizes = {"d_model": SIZE, "vocab_size": VOCABULARY, "num_mel_bins": 80}
        sizes |= {"max_source_positions": FRAMES // 2, "max_target_positions": 64}
        for part in ("encoder", "decoder"):
            sizes |= {f"{part}_layers": LAYERS, f"{part}_ffn_dim": 37}
            sizes |= {f"{part}_attention_heads": HEADS}
        ends = {
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 3,
        }
        self.model_tester = Tiny(
            lambda: transformers.WhisperConfig(**sizes, **ends),
            sound,
            more_labels={"WhisperForConditionalGeneration": {"labels": (BATCH, LENGTH)}},
            encoder_seq_length=FRAMES // 2,
            key_length=FRAMES // 2,
        )


def clip() -> Any:
    return transformers.CLIPConfig(
        text_config={**TEXT, "bos_token_id": 0, "eos_token_id": 2},
        vision_config=PICTURE,
        projection_dim=16,
    )


class CLIPTest(Common, unittest.TestCase):
    all_model_classes = classes("CLIP", "Model")
    has_attentions = False  # those of its halves are tested below
    test_resize_embeddings = False
    _is_composite = True

    def setUp(self) -> None:
        self.model_tester = Tiny(
            clip,
            lambda: text() | picture() | {"return_loss": True},
            text_model_tester=Tiny(lambda: clip().text_config, text),
            vision_model_tester=Tiny(lambda: clip().vision_config, picture, PATCHES),
        )


class CLIPTextTest(Common, unittest.TestCase):
    all_model_classes = classes("CLIPText", "Model", "ModelWithProjection")

    def setUp(self) -> None:
        self.model_tester = Tiny(lambda: clip().text_config, text, is_training=False)


class CLIPVisionTest(Common, unittest.TestCase):
    all_model_classes = classes("CLIPVision", "Model", "ModelWithProjection")
    test_resize_embeddings = False

    def setUp(self) -> None:
        self.model_tester = Tiny(lambda: clip().vision_config, picture, PATCHES, is_training=False)
