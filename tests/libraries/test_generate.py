"""generate: every way to choose tokens, of decoders and encoder-decoders, with all that it returns, and each cache.

Group beam search, contrastive search, constrained beams and DoLa are no longer part of transformers: it
loads them, as code, from the model hub. The offloaded caches need a GPU. HQQ, the other backend of the
quantised cache, comes as a source archive that sets out to build CUDA kernels; quanto is tested.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import tiny
import torch
import transformers
from side_by_side import Same, raised

ALL = {
    "return_dict_in_generate": True,
    "output_scores": True,
    "output_logits": True,
    "output_hidden_states": True,
    "output_attentions": True,
}
MODELS = {
    "llama": tiny.llama,
    "gpt2": lambda **config: tiny.model("GPT2LMHeadModel", **config),
    "t5": lambda **config: tiny.model("T5ForConditionalGeneration", **config),
    "bart": lambda **config: tiny.model("BartForConditionalGeneration", **config),
}
MODES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "uncached": {"use_cache": False},
    "sample": {"do_sample": True, "top_k": 8, "temperature": 1.5, "num_return_sequences": 2},
    "beam search": {"num_beams": 3, "num_return_sequences": 2},
    "beam sample": {"num_beams": 2, "do_sample": True, "top_p": 0.9},
    "prompt lookup": {"prompt_lookup_num_tokens": 2},
    "prompt in chunks": {"prefill_chunk_size": 2},
    "static cache": {"cache_implementation": "static"},
    "static cache, beams": {"cache_implementation": "static", "num_beams": 2},
}
CLASSES = {
    (False, False): "GenerateDecoderOnlyOutput",
    (False, True): "GenerateEncoderDecoderOutput",
    (True, False): "GenerateBeamDecoderOnlyOutput",
    (True, True): "GenerateBeamEncoderDecoderOutput",
}


# What is asked for by `output_...` -> the keys that it is returned as, by a decoder and by an encoder-decoder.
KEYS = {
    "scores": (["scores"], ["scores"]),
    "logits": (["logits"], ["logits"]),
    "hidden_states": (["hidden_states"], ["encoder_hidden_states", "decoder_hidden_states"]),
    "attentions": (
        ["attentions"],
        ["encoder_attentions", "decoder_attentions", "cross_attentions"],
    ),
}


def generate(model: Any, rows: int = 2, **how: Any) -> Any:
    torch.manual_seed(0)
    ids = tiny.batch()["input_ids"][:rows]
    return model.generate(ids, **{"max_new_tokens": 4, "do_sample": False, **how})


def is_complete(out: Any, model: Any, steps: int) -> None:
    once = {"encoder_hidden_states": 3, "encoder_attentions": 2}  # for each layer
    for keys in KEYS.values():
        for key in keys[model.config.is_encoder_decoder]:
            assert len(out[key]) == once.get(key, steps)


@pytest.mark.parametrize("model, mode", itertools.product(MODELS, MODES))
def test_modes(same: Same, model: str, mode: str) -> None:
    how = MODES[mode]

    def scenario() -> Any:
        made = MODELS[model]()
        rows = 1 if mode == "prompt lookup" else 2
        out = generate(made, rows, **ALL, **how)
        assert ("past_key_values" in out) is how.get("use_cache", True)
        beams = "num_beams" in how
        assert type(out).__name__ == CLASSES[beams, made.config.is_encoder_decoder]
        is_complete(out, made, steps=4)
        if "past_key_values" in out:
            cache = getattr(out.past_key_values, "self_attention_cache", out.past_key_values)
            assert type(cache).__name__ == ("StaticCache" if "static" in mode else "DynamicCache")
        return out

    same(scenario)


@pytest.mark.parametrize("model, beams, asked", itertools.product(MODELS, [1, 2], KEYS))
def test_one_thing_asked_for(same: Same, model: str, beams: int, asked: str) -> None:
    """None of the others is there."""

    def scenario() -> Any:
        made = MODELS[model]()
        how = {"return_dict_in_generate": True, f"output_{asked}": True, "num_beams": beams}
        out = generate(made, **how)
        everything = {key for keys in KEYS.values() for key in keys[made.config.is_encoder_decoder]}
        found = set(KEYS[asked][made.config.is_encoder_decoder])
        assert set(out) & everything == found
        assert all(out[key] is not None for key in found)
        assert all(getattr(out, key) is None for key in everything - found)
        return out

    same(scenario)


@pytest.mark.parametrize("model", MODELS)
def test_only_the_ids_are_asked_for(same: Same, model: str) -> None:
    """What each forward returned is compared, too, and the encoder's output that was passed on."""

    def scenario() -> Any:
        made, seen = MODELS[model](), []
        made.register_forward_hook(lambda module, args, out: seen.append(out))
        ids = generate(made)
        # A shared cache is in each of them, in the state in which the last one left it.
        return ids, seen

    same(scenario, outputs=4)


@pytest.mark.parametrize("model", ["llama", "gpt2"])
def test_guided(same: Same, model: str) -> None:
    """By what the model says without the prompt: the outputs of further forwards, and the caches in them."""
    same(lambda: generate(MODELS[model](), **ALL, guidance_scale=1.5))


@pytest.mark.parametrize("model, sample", itertools.product(MODELS, [False, True]))
def test_assisted(same: Same, model: str, sample: bool) -> None:
    def scenario() -> Any:
        # Unlike enough for some of its candidates to be rejected.
        made, assistant = MODELS[model](), MODELS[model](seed=1)
        assistant.generation_config.num_assistant_tokens = 3
        assistant.generation_config.assistant_confidence_threshold = 0.0
        how = {"assistant_model": assistant, "do_sample": sample, "max_new_tokens": 6}
        out = generate(made, 1, **ALL, **how)
        assert type(out).__name__ == CLASSES[False, made.config.is_encoder_decoder]
        is_complete(out, made, steps=6)
        return out

    same(scenario)


def test_assisted_by_its_own_first_layer(same: Same) -> None:
    same(lambda: generate(tiny.llama(), 1, **ALL, assistant_early_exit=1))


@pytest.mark.parametrize("model, beams", itertools.product(MODELS, [1, 3]))
def test_rows_that_end_early(same: Same, model: str, beams: int) -> None:
    def scenario() -> Any:
        made = MODELS[model]()
        ids = generate(made, 4, max_new_tokens=5)
        stop = ids[0, -3].item()  # the first row gets there in the middle
        how = {"num_beams": beams, "eos_token_id": stop, "max_new_tokens": 8}
        return generate(made, 4, **ALL, **how)

    same(scenario)


def test_going_on_from_an_output(same: Same) -> None:
    """The cache in the first one is the start of the second."""

    def scenario() -> Any:
        model = tiny.llama()
        first = generate(model, **ALL)
        more = torch.cat([first.sequences, first.sequences[:, :2]], dim=1)
        second = model.generate(
            more, past_key_values=first.past_key_values, max_new_tokens=2, do_sample=False, **ALL
        )
        scores = model.compute_transition_scores(second.sequences, second.scores)
        return first, second, scores

    same(scenario, outputs=2)


@pytest.mark.parametrize("model, beams", itertools.product(["t5", "bart"], [1, 2]))
def test_an_encoders_output_as_an_input(same: Same, model: str, beams: int) -> None:
    """With beams its rows are repeated in place, by key, while it is being walked."""

    def scenario() -> Any:
        made, batch = MODELS[model](), tiny.batch()
        encoded = made.get_encoder()(
            batch["input_ids"], output_hidden_states=True, output_attentions=True
        )
        generated = made.generate(
            encoder_outputs=encoded, num_beams=beams, max_new_tokens=3, do_sample=False, **ALL
        )
        assert len(encoded.last_hidden_state) == beams * len(batch["input_ids"])
        return encoded, generated

    same(scenario, outputs=2)


@pytest.mark.parametrize("model, bits", itertools.product(["llama", "gpt2"], [2, 4]))
@pytest.mark.parametrize(
    "mode",
    ["greedy", *(pytest.param(mode, marks=pytest.mark.slow) for mode in ("sample", "beam search"))],
)
def test_quantised_cache(same: Same, model: str, bits: int, mode: str) -> None:
    def scenario() -> Any:
        # Of eight numbers each, and filled in the middle of the run.
        config = {"backend": "quanto", "nbits": bits, "q_group_size": 8, "residual_length": 3}
        how = {**MODES[mode], "cache_implementation": "quantized", "cache_config": config}
        out = generate(MODELS[model](), **ALL, **how, max_new_tokens=8)
        assert type(out.past_key_values).__name__ == "QuantizedCache"
        return out

    same(scenario)


def test_a_streamer_and_a_criterion(same: Same) -> None:
    def scenario() -> Any:
        class Streamer(transformers.generation.BaseStreamer):
            def __init__(self) -> None:
                self.seen: list[Any] = []

            def put(self, value: Any) -> None:
                self.seen.append(value)

            def end(self) -> None:
                self.seen.append("end")

        streamer, lengths = Streamer(), []

        def criterion(ids: torch.Tensor, scores: Any, **more: Any) -> torch.Tensor:
            lengths.append(ids.shape[1])
            return torch.full((len(ids),), len(lengths) == 3)

        stop = transformers.StoppingCriteriaList([criterion])
        out = generate(tiny.llama(), 1, **ALL, streamer=streamer, stopping_criteria=stop)
        return out, streamer.seen, lengths

    same(scenario)


def audio(frames: int = 16) -> torch.Tensor:
    return torch.rand(2, 4, frames, generator=torch.Generator().manual_seed(0))


WHISPER: dict[str, dict[str, Any]] = {
    "greedy": {},
    "beam search": {"num_beams": 2, "num_return_sequences": 2},
    "fallback": {
        "temperature": (0.0, 1.0),
        "compression_ratio_threshold": 0.01,
        "logprob_threshold": 0.0,
    },
    "token timestamps": {"return_token_timestamps": True},
    "segments": {"return_timestamps": True, "return_segments": True},
}


@pytest.mark.parametrize("mode", WHISPER)
def test_whisper(same: Same, mode: str) -> None:
    """Its own generate takes an output apart by rows and makes one of the same class from them."""

    def scenario() -> Any:
        model = tiny.model("WhisperForConditionalGeneration")
        model.generation_config.alignment_heads = [[0, 0], [1, 1]]
        model.generation_config.no_timestamps_token_id = 24  # times are above
        seen: list[Any] = []
        take_apart = model._postprocess_outputs

        def watched(seek_outputs: Any, **more: Any) -> Any:
            seen.append(seek_outputs)  # it may get a new key after this
            return take_apart(seek_outputs=seek_outputs, **more)

        model._postprocess_outputs = watched
        torch.manual_seed(0)
        how = {"max_new_tokens": 4, "do_sample": False, **ALL, **WHISPER[mode]}
        result = model.generate(audio(), **how)
        assert all(("token_timestamps" in out) is (mode == "token timestamps") for out in seen)
        return result, seen

    same(scenario)


def test_musicgen_sets_the_sequences_it_returns(same: Same) -> None:
    def scenario() -> Any:
        config = transformers.MusicgenDecoderConfig(
            vocab_size=16,
            num_hidden_layers=2,
            hidden_size=16,
            ffn_dim=32,
            num_attention_heads=2,
            num_codebooks=2,
            max_position_embeddings=32,
            pad_token_id=16,
            bos_token_id=16,
            decoder_start_token_id=16,
            attn_implementation="eager",
        )
        torch.manual_seed(0)
        model = transformers.MusicgenForCausalLM(config).eval()
        ids = torch.full((4, 1), 16)
        how = {"guidance_scale": 1.0, "num_return_sequences": 1}
        out = model.generate(ids, max_new_tokens=6, do_sample=False, **how, **ALL)
        assert out["sequences"] is out.sequences is out[0]
        return out

    shape = same(scenario)[1][0][1]
    assert "(2, 2," in repr(shape)  # rows, codebooks, as only the late value has them


def test_what_is_refused(same: Same) -> None:
    """Ways that are not available leave the same message."""

    def scenario() -> Any:
        model = tiny.llama()
        ways: list[dict[str, Any]] = [
            {"penalty_alpha": 0.5, "top_k": 4},
            {"num_beams": 2, "num_beam_groups": 2, "diversity_penalty": 1.0},
            {"dola_layers": "low"},
            {"prompt_lookup_num_tokens": 2, "use_cache": False},
        ]
        quantised = {"cache_implementation": "quantized"}
        return [
            *(raised(lambda: generate(model, 1, **way)) for way in ways),
            raised(lambda: generate(MODELS["t5"](), 1, **quantised)),
        ]

    for refusal in same(scenario, outputs=0)[1]:
        assert "raised" in repr(refusal)
