"""pipelines: what they return, what the model returned, and what each item became in between.

A pipeline takes a batch apart and makes an output of the same class for each row (`pt_utils`), moves them by
making outputs of the base class, and adds keys that no class declares.

Question answering about plain text left transformers with 4. That about tables needs pandas, the generation
of masks torchvision, and videos PyAV.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest
import tiny
import tokenizers
import torch
import transformers
from PIL import Image
from side_by_side import Same

WORDS = "the a cat dog sat ran on to mat park big red who where what is it one two".split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXTS = ["the big cat sat on a mat", "one dog ran", "where is it ?"]


def tokenizer(template: bool = True) -> Any:
    """Of whole words; with a template, it marks where one and two texts begin and end."""
    vocabulary = {word: index for index, word in enumerate(SPECIAL + WORDS)}
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, "[UNK]"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    if template:
        words.post_processor = tokenizers.processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
    names = ["pad_token", "unk_token", "cls_token", "sep_token", "mask_token"]
    special = dict(zip(names, SPECIAL))
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, model_max_length=64, **special
    )
    made.model_input_names = ["input_ids", "attention_mask"]
    made.padding_side = "right" if template else "left"
    return made


def images() -> list[Image.Image]:
    pixels = numpy.random.default_rng(0).integers(0, 256, (3, 32, 64, 3), dtype=numpy.uint8)
    return [Image.fromarray(image) for image in pixels]


def sounds() -> list[numpy.ndarray]:
    generator = numpy.random.default_rng(0)
    return [generator.random(length, dtype=numpy.float32) for length in (1600, 1200, 900)]


def bert(cls: str, **config: Any) -> dict[str, Any]:
    return {"model": tiny.bert(cls, **config).eval(), "tokenizer": tokenizer()}


def processor(name: str, **settings: Any) -> Any:
    """An image processor that needs no torchvision."""
    size = {"size": {"height": 8, "width": 8}}
    return getattr(transformers, f"{name}ImageProcessorPil")(**{**size, **settings})


def vit(cls: str) -> dict[str, Any]:
    model = tiny.model("ViTForImageClassification", cls)
    return {"model": model, "image_processor": processor("ViT")}


def small(cls: str, **config: Any) -> Any:
    torch.manual_seed(0)
    wanted = getattr(transformers, cls)
    return wanted(wanted.config_class(**config)).eval()


ENCODER = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
PICTURES = {"image_size": 8, "patch_size": 4, "attn_implementation": "eager"}


def wav2vec2(cls: str) -> dict[str, Any]:
    model = small(
        cls,
        **ENCODER,
        vocab_size=len(WORDS) + len(SPECIAL),
        conv_dim=(4, 4),
        conv_stride=(5, 2),
        conv_kernel=(5, 2),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        classifier_proj_size=8,
        num_labels=3,
    )
    extractor = transformers.Wav2Vec2FeatureExtractor(sampling_rate=1600)
    return {"model": model, "feature_extractor": extractor}


def whisper() -> dict[str, Any]:
    """Its tokenizer has the byte-level alphabet and, behind it, marks for the time."""
    alphabet = {
        byte: index
        for index, byte in enumerate(sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()))
    }
    marks = ["<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"]
    marks += [f"<|{index * 0.02:.2f}|>" for index in range(30)]
    words = transformers.WhisperTokenizer(vocab={**alphabet, marks[0]: len(alphabet)}, merges=[])
    words.add_special_tokens({"additional_special_tokens": marks[1:3]})
    words.add_tokens(marks[3:])
    words.pad_token = marks[0]
    first = len(alphabet)
    model = tiny.model(
        "WhisperForConditionalGeneration",
        vocab_size=len(words),
        eos_token_id=first,
        decoder_start_token_id=first + 1,
    )
    model.generation_config.no_timestamps_token_id = first + 2
    model.generation_config.alignment_heads = [[0, 0], [1, 1]]
    extractor = transformers.WhisperFeatureExtractor(
        feature_size=4, sampling_rate=1600, hop_length=100, chunk_length=1, n_fft=64
    )
    return {"model": model, "tokenizer": words, "feature_extractor": extractor}


def clip() -> dict[str, Any]:
    text = {**ENCODER, "vocab_size": 32, "max_position_embeddings": 16, "eos_token_id": 3}
    config = {"text_config": text, "vision_config": {**ENCODER, **PICTURES}, "projection_dim": 8}
    crop = {"crop_size": {"height": 8, "width": 8}}
    return {
        "model": small("CLIPModel", **config),
        "tokenizer": tokenizer(),
        "image_processor": processor("CLIP", **crop),
    }


def clap() -> dict[str, Any]:
    text = {**ENCODER, "vocab_size": 32, "max_position_embeddings": 32}
    audio = {
        "window_size": 4,
        "num_mel_bins": 8,
        "spec_size": 32,
        "hidden_size": 16,
        "patch_embeds_hidden_size": 8,
        "depths": [1, 1],
        "num_hidden_layers": 2,
        "num_attention_heads": [1, 1],
    }
    config = {"text_config": text, "audio_config": audio, "projection_dim": 8}
    extractor = transformers.ClapFeatureExtractor(
        feature_size=8,
        sampling_rate=1600,
        hop_length=16,
        max_length_s=1,
        fft_window_size=64,
        frequency_max=800,
        truncation="rand_trunc",
    )
    return {
        "model": small("ClapModel", **config),
        "tokenizer": tokenizer(),
        "feature_extractor": extractor,
    }


def vits() -> dict[str, Any]:
    model = small(
        "VitsModel",
        **{**ENCODER, "intermediate_size": 16},
        vocab_size=32,
        ffn_dim=16,
        flow_size=8,
        spectrogram_bins=8,
        upsample_initial_channel=16,
        upsample_rates=[2, 2],
        upsample_kernel_sizes=[4, 4],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1]],
        duration_predictor_filter_channels=8,
        prior_encoder_num_wavenet_layers=1,
        posterior_encoder_num_wavenet_layers=1,
    )
    return {"model": model, "tokenizer": tokenizer()}


def musicgen() -> dict[str, Any]:
    decoder = {
        "vocab_size": 8,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "ffn_dim": 32,
        "num_codebooks": 2,
        "max_position_embeddings": 32,
        "pad_token_id": 8,
        "bos_token_id": 8,
    }
    audio = {
        "sampling_rate": 1600,
        "num_filters": 4,
        "hidden_size": 8,
        "codebook_size": 8,
        "codebook_dim": 8,
        "upsampling_ratios": [4, 4],
        "num_lstm_layers": 1,
        "target_bandwidths": [0.6],
    }
    text = tiny.model("T5ForConditionalGeneration").config
    config = transformers.MusicgenConfig(
        text_encoder={**text.to_dict(), "model_type": "t5"},
        audio_encoder={**audio, "model_type": "encodec"},
        decoder=decoder,
    )
    torch.manual_seed(0)
    model = transformers.MusicgenForConditionalGeneration(config).eval()
    model.generation_config.decoder_start_token_id = 8
    return {"model": model, "tokenizer": tokenizer()}


def superglue() -> dict[str, Any]:
    points = {
        "encoder_hidden_sizes": [8, 8, 8, 8],
        "decoder_hidden_size": 8,
        "descriptor_decoder_dim": 8,
        "border_removal_distance": 1,
        "max_keypoints": 6,
        "model_type": "superpoint",
    }
    model = small(
        "SuperGlueForKeypointMatching",
        keypoint_detector_config=points,
        hidden_size=8,
        keypoint_encoder_sizes=[8, 8],
        gnn_layers_types=["self", "cross"],
        num_attention_heads=2,
        sinkhorn_iterations=3,
    )
    return {
        "model": model,
        "image_processor": processor("SuperGlue", size={"height": 32, "width": 32}),
    }


def owlvit() -> dict[str, Any]:
    text = {**ENCODER, "vocab_size": 32, "max_position_embeddings": 16}
    config = {"text_config": text, "vision_config": {**ENCODER, **PICTURES}, "projection_dim": 16}
    return {
        "model": small("OwlViTForObjectDetection", **config),
        "tokenizer": tokenizer(),
        "image_processor": processor("OwlViT"),
    }


def yolos() -> dict[str, Any]:
    config = {**ENCODER, **PICTURES, "image_size": (32, 32), "num_detection_tokens": 3}
    model = small("YolosForObjectDetection", **config, num_labels=4)
    size = {"shortest_edge": 16, "longest_edge": 32}  # it makes them multiples of 16
    return {"model": model, "image_processor": processor("Yolos", size=size)}


def segformer() -> dict[str, Any]:
    model = small(
        "SegformerForSemanticSegmentation",
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[8, 8],
        patch_sizes=[3, 3],
        strides=[2, 2],
        num_attention_heads=[1, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=8,
        num_labels=3,
    )
    return {"model": model, "image_processor": processor("Segformer")}


def glpn() -> dict[str, Any]:
    model = small(
        "GLPNForDepthEstimation",
        depths=[1, 1, 1, 1],
        sr_ratios=[1, 1, 1, 1],
        hidden_sizes=[4, 4, 8, 8],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=8,
    )
    return {"model": model, "image_processor": processor("GLPN")}


def layoutlm() -> dict[str, Any]:
    config = {**ENCODER, "vocab_size": 32, "max_position_embeddings": 64}
    return {"model": small("LayoutLMForQuestionAnswering", **config), "tokenizer": tokenizer()}


def documents() -> list[dict[str, Any]]:
    boxes = [(word, [0, 40 * index, 500, 40 * index + 30]) for index, word in enumerate(WORDS)]
    return [
        {"image": image, "question": text, "word_boxes": boxes[index:]}
        for index, (image, text) in enumerate(zip(images(), TEXTS))
    ]


# Task, what the pipeline is made from, what it is given, how.
PIPELINES: dict[
    str, tuple[str, Callable[[], dict[str, Any]], Callable[[], Any], dict[str, Any]]
] = {
    "generate text": (
        "text-generation",
        lambda: {"model": tiny.llama(), "tokenizer": tokenizer(template=False)},
        lambda: TEXTS,
        {"max_new_tokens": 4, "do_sample": False},
    ),
    "generate several": (
        "text-generation",
        lambda: {"model": tiny.model("GPT2LMHeadModel"), "tokenizer": tokenizer(template=False)},
        lambda: TEXTS,
        {
            "max_new_tokens": 4,
            "num_beams": 2,
            "num_return_sequences": 2,
            "return_full_text": False,
            "return_dict_in_generate": True,
            "output_scores": True,
        },
    ),
    "classify text": (
        "text-classification",
        lambda: bert("BertForSequenceClassification", num_labels=3),
        lambda: TEXTS,
        {"top_k": None},
    ),
    "classify text, with hidden states": (
        "text-classification",
        lambda: bert(
            "BertForSequenceClassification", output_hidden_states=True, output_attentions=True
        ),
        lambda: TEXTS,
        {},
    ),
    "classify without classes": (
        "zero-shot-classification",
        lambda: bert(
            "BertForSequenceClassification", label2id={"no": 0, "entailment": 1, "maybe": 2}
        ),
        lambda: TEXTS,
        {"candidate_labels": ["cat", "dog"], "hypothesis_template": "it is a {}"},
    ),
    "classify tokens": (
        "token-classification",
        lambda: bert("BertForTokenClassification", num_labels=3),
        lambda: TEXTS,
        {},
    ),
    "classify words": (
        "token-classification",
        lambda: bert("BertForTokenClassification", id2label={0: "O", 1: "B-X", 2: "I-X"}),
        lambda: TEXTS,
        {"aggregation_strategy": "simple"},
    ),
    "fill mask": (
        "fill-mask",
        lambda: bert("BertForMaskedLM"),
        lambda: ["the [MASK] sat", "a dog ran to [MASK]"],
        {"top_k": 3},
    ),
    "features": ("feature-extraction", lambda: bert("BertModel"), lambda: TEXTS, {}),
    "features of images": (
        "image-feature-extraction",
        lambda: vit("ViTModel"),
        images,
        {"pool": True},
    ),
    "classify images": (
        "image-classification",
        lambda: vit("ViTForImageClassification"),
        images,
        {"top_k": 2},
    ),
    "classify images without classes": (
        "zero-shot-image-classification",
        clip,
        images,
        {"candidate_labels": ["cat", "big dog"], "hypothesis_template": "a {}"},
    ),
    "classify sounds": (
        "audio-classification",
        lambda: wav2vec2("Wav2Vec2ForSequenceClassification"),
        sounds,
        {"top_k": 2},
    ),
    "recognise speech by frames": (
        "automatic-speech-recognition",
        lambda: {**wav2vec2("Wav2Vec2ForCTC"), "tokenizer": tokenizer()},
        sounds,
        {},
    ),
    "recognise speech in chunks": (
        "automatic-speech-recognition",
        lambda: {**wav2vec2("Wav2Vec2ForCTC"), "tokenizer": tokenizer()},
        sounds,
        {"chunk_length_s": 0.25, "stride_length_s": 0.05},
    ),
    "recognise speech": (
        "automatic-speech-recognition",
        whisper,
        sounds,
        {"generate_kwargs": {"max_new_tokens": 4, "num_beams": 1}},
    ),
    "recognise speech with times": (
        "automatic-speech-recognition",
        whisper,
        sounds,
        {"return_timestamps": True, "generate_kwargs": {"max_new_tokens": 6, "num_beams": 2}},
    ),
    "recognise speech with times of words": (
        "automatic-speech-recognition",
        whisper,
        sounds,
        {"return_timestamps": "word", "generate_kwargs": {"max_new_tokens": 6, "num_beams": 1}},
    ),
    "classify sounds without classes": (
        "zero-shot-audio-classification",
        clap,
        sounds,
        {"candidate_labels": ["cat", "big dog"]},
    ),
    "speak": ("text-to-audio", vits, lambda: TEXTS, {}),
    "make music": (
        "text-to-audio",
        musicgen,
        lambda: TEXTS,
        {"generate_kwargs": {"max_new_tokens": 6, "do_sample": False, "guidance_scale": 1.0}},
    ),
    "answer questions": (
        "document-question-answering",
        layoutlm,
        documents,
        {"top_k": 2, "max_seq_len": 48, "padding": "max_length"},
    ),
    "answer questions in pieces": (
        "document-question-answering",
        layoutlm,
        documents,
        {"max_seq_len": 16, "doc_stride": 2, "padding": "max_length"},
    ),
    # The outputs get a key that their class does not declare.
    "segment images": ("image-segmentation", segformer, images, {}),
    "estimate depth": ("depth-estimation", glpn, images, {}),
    # The model's output, with outputs in it, becomes a dict, and later a BaseModelOutput.
    "detect what is named": (
        "zero-shot-object-detection",
        owlvit,
        lambda: [{"image": i, "candidate_labels": ["cat", "big dog"]} for i in images()],
        {"threshold": 0.0},
    ),
}


def run(pipe: Any, items: list[Any], **how: Any) -> Any:
    """The results, all that the model returned, and all that was made into results."""
    returned, unrolled = [], []
    pipe.model.register_forward_hook(lambda module, args, out: returned.append(out))
    finish = pipe.postprocess

    def watched(outputs: Any, **more: Any) -> Any:
        unrolled.append(outputs)
        return finish(outputs, **more)

    pipe.postprocess = watched
    torch.manual_seed(0)
    return pipe(items, **how), returned, unrolled


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines(same: Same, name: str, batch: int) -> None:
    task, make, items, how = PIPELINES[name]

    def scenario() -> Any:
        pipe = transformers.pipeline(task, **make(), device="cpu")
        return run(pipe, items(), batch_size=batch, **how)

    same(scenario, outputs=2)


def test_matching_points(same: Same) -> None:
    """The output is moved and finished in a dict. This pipeline takes no batches."""

    def scenario() -> Any:
        pipe = transformers.pipeline("keypoint-matching", **superglue(), device="cpu")
        pairs = [images()[:2], images()[1:]]
        found, returned, unrolled = run(pipe, pairs, threshold=0.0)
        assert any(found) and all("model_outputs" in seen for seen in unrolled)
        return found, returned, unrolled

    same(scenario, outputs=4)


@pytest.mark.parametrize("batch", [1, 2])
def test_detecting_objects_puts_an_undeclared_key_first(
    same: Same, outputs: str, batch: int
) -> None:
    """An intended difference: ours keeps such a key behind the fields, so that out[0] is one of them."""

    def scenario() -> Any:
        pipe = transformers.pipeline("object-detection", **yolos(), device="cpu")
        found, returned, unrolled = run(pipe, images(), batch_size=batch, threshold=0.0)
        assert all(found)
        for out in unrolled:
            assert type(out) is transformers.utils.ModelOutput
            keys = ["target_size", *returned[0]]
            assert list(out) == (keys if outputs == "original" else [*keys[1:], "target_size"])
        return found, returned, [[(key, out[key]) for key in sorted(out)] for out in unrolled]

    same(scenario)
