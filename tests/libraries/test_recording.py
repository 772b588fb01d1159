"""Recording: hidden states and attentions that hooks collect and set on outputs after they are made.

And gradient checkpointing, which runs the same layers and their hooks a second time, in the backward pass.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import pytest
import tiny
import torch
import transformers
from side_by_side import Same, raised
from torch.utils.checkpoint import checkpoint

LAYERS = 2
BOTH = {"output_hidden_states": True, "output_attentions": True}


def numbers(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def language() -> dict[str, torch.Tensor]:
    batch = tiny.batch()
    return {**batch, "labels": batch["input_ids"]}


def beside_an_encoder() -> dict[str, torch.Tensor]:
    return {**language(), "encoder_hidden_states": numbers(4, 3, 16)}


def pictures() -> dict[str, torch.Tensor]:
    return {"pixel_values": numbers(4, 3, 8, 8), "labels": torch.tensor([0, 1, 2, 0])}


def sounds() -> dict[str, torch.Tensor]:
    return {"input_features": numbers(4, 4, 16), "labels": language()["labels"]}


@dataclass
class Architecture:
    make: Callable[..., Any]
    inputs: Callable[[], dict[str, torch.Tensor]]
    halves: tuple[str, ...] = ("",)  # what the names of fields begin with
    crossed: bool = False

    @property
    def hidden_states(self) -> list[str]:
        return [f"{half}hidden_states" for half in self.halves]

    @property
    def attentions(self) -> list[str]:
        cross = ["cross_attentions"] if self.crossed else []
        return [f"{half}attentions" for half in self.halves] + cross


GPT2, T5 = (partial(tiny.model, name) for name in ("GPT2LMHeadModel", "T5ForConditionalGeneration"))
GPT2_CROSSED = partial(GPT2, add_cross_attention=True)
WHISPER = partial(tiny.model, "WhisperForConditionalGeneration")
VIT = partial(tiny.model, "ViTForImageClassification")
HALVES = ("encoder_", "decoder_")
ARCHITECTURES = {
    "bert": Architecture(tiny.bert, tiny.batch),
    "llama": Architecture(tiny.llama, language),
    "gpt2": Architecture(GPT2, language),
    "gpt2, crossed": Architecture(GPT2_CROSSED, beside_an_encoder, crossed=True),
    "t5": Architecture(T5, language, HALVES, crossed=True),
    "whisper": Architecture(WHISPER, sounds, HALVES, crossed=True),
    "vit": Architecture(VIT, pictures),
}


def watched(model: Any) -> list[Any]:
    """What will hold the output of the model, after those of the models in it."""
    seen: list[Any] = []
    for module in model.modules():
        if isinstance(module, transformers.PreTrainedModel):
            module.register_forward_hook(lambda module, args, out: seen.append(out))
    return seen


ASKED: dict[str, dict[str, Any]] = {
    "nothing": {},
    "hidden states": {"output_hidden_states": True},
    "attentions": {"output_attentions": True},
    "both": BOTH,
}


@pytest.mark.parametrize("name, asked", itertools.product(ARCHITECTURES, ASKED))
def test_what_is_asked_for(same: Same, name: str, asked: str) -> None:
    """By the call or by the configuration, which gives the same; each of the models in a model has its own."""
    kind, how = ARCHITECTURES[name], ASKED[asked]

    def check(out: Any) -> None:
        wanted = {key: LAYERS + 1 for key in kind.hidden_states if "output_hidden_states" in how}
        wanted |= {key: LAYERS for key in kind.attentions if "output_attentions" in how}
        for key in (*kind.hidden_states, *kind.attentions):
            assert (key in out) is (key in wanted)
            assert len(getattr(out, key) or ()) == wanted.get(key, 0)

    def scenario() -> Any:
        results = []
        for config, call in (({}, how), (how, {})):
            model = kind.make(**config).eval()
            seen = watched(model)
            out = model(**kind.inputs(), **call)
            assert out is seen[-1] and len(seen) > 1
            check(out)
            results.append(seen)
        return results

    by_call, by_configuration = same(scenario, outputs=4)[1]
    assert by_call == by_configuration


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_as_a_tuple(same: Same, name: str) -> None:
    kind = ARCHITECTURES[name]

    def scenario() -> Any:
        model = kind.make().eval()
        seen = watched(model)
        found = model(**kind.inputs(), **BOTH, return_dict=False)
        assert type(found) is tuple
        assert len(found) == len(model(**kind.inputs(), **BOTH).to_tuple())
        return found, seen

    same(scenario)


@pytest.mark.parametrize("name", ["bert", "llama", "t5", "vit"])
@pytest.mark.parametrize(
    "which, chosen", [(-1, [2]), ([0, 2], [0, 2]), ([-2], [1]), ([5], [])], ids=str
)
def test_only_some_hidden_states(same: Same, name: str, which: Any, chosen: list[int]) -> None:
    """In the places of the others is None; an index that there is not chooses nothing."""
    kind = ARCHITECTURES[name]

    def scenario() -> Any:
        out = kind.make().eval()(**kind.inputs(), output_hidden_states=which)
        for key in kind.hidden_states:
            there = [index for index, state in enumerate(out[key]) if state is not None]
            assert there == chosen and len(out[key]) == LAYERS + 1
        return out

    same(scenario)


def test_recorded_keys_stand_in_the_declared_order(same: Same, outputs: str) -> None:
    """An intended difference: the cache is set before, and declared behind, the hidden states."""

    def scenario() -> Any:
        model = tiny.bert("BertModel", is_decoder=True).eval()
        ids = tiny.batch()["input_ids"]
        out = model(ids, use_cache=True, **BOTH)
        states, cache = "hidden_states", "cache" if "cache" in out else "past_key_values"
        middle = [cache, states] if outputs == "original" else [states, cache]
        keys = ["last_hidden_state", "pooler_output", *middle, "attentions", "cross_attentions"]
        assert list(out) == keys
        assert all(part is out[key] for part, key in zip(out.to_tuple(), keys))
        return [(key, out[key]) for key in sorted(out)]

    same(scenario, outputs=0)


def test_a_key_that_the_class_does_not_declare(same: Same) -> None:
    """A model of the user's own that lists more than its output has fields for."""

    def scenario() -> Any:
        class Own(transformers.LlamaModel):
            _can_record_outputs: ClassVar[dict[str, Any]] = {
                **transformers.LlamaModel._can_record_outputs,
                "gates": transformers.models.llama.modeling_llama.LlamaMLP,
            }

        config = transformers.LlamaConfig(**tiny.LLAMA, output_gates=True)
        torch.manual_seed(0)
        out = Own(config).eval()(tiny.batch()["input_ids"], **BOTH)
        assert list(out)[-1] == "gates" and len(out["gates"]) == LAYERS
        return out, out.gates

    same(scenario)


def test_threads_record_apart(same: Same) -> None:
    """Of one model at the same time, each what it asked for."""

    def scenario() -> Any:
        model, start = tiny.llama().eval(), threading.Barrier(len(ASKED))
        found: dict[str, list[Any]] = {name: [] for name in ASKED}

        def work(name: str, seed: int) -> None:
            start.wait()
            for _ in range(5):
                found[name].append(model(tiny.batch(seed=seed)["input_ids"], **ASKED[name]))

        threads = [
            threading.Thread(target=work, args=(name, seed)) for seed, name in enumerate(ASKED)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    same(scenario, outputs=5 * len(ASKED))


def entered(model: Any) -> list[str]:
    """What will name each layer as often as the first of its parts runs."""
    calls: list[str] = []
    for name, layer in model.named_modules():
        if isinstance(layer, transformers.modeling_layers.GradientCheckpointingLayer):
            part = next(part for part in layer.modules() if not list(part.children()))
            part.register_forward_pre_hook(lambda module, args, name=name: calls.append(name))
    return calls


def gradients(model: Any) -> dict[str, Any]:
    return {name: weight.grad for name, weight in model.named_parameters()}


def trained(kind: Architecture, **checkpointing: Any) -> tuple[Any, dict[str, Any], list[str]]:
    """All outputs, the gradients, and the layers entered, of one step with dropout."""
    model = kind.make().train()
    if checkpointing:
        model.activation_checkpointing_enable(checkpointing)
    seen, calls = watched(model), entered(model)
    torch.manual_seed(0)
    out = model(**kind.inputs(), **BOTH)
    out.loss.backward()
    return seen, gradients(model), calls


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_layers(same: Same, name: str, reentrant: bool) -> None:
    """Every layer runs twice; what is recorded, and the gradients, are as if it ran once."""
    kind = ARCHITECTURES[name]

    def scenario() -> Any:
        plain, expected, once = trained(kind)
        seen, found, twice = trained(kind, use_reentrant=reentrant)
        assert once and sorted(twice) == sorted(once * 2)
        # What several layers add up, as the gradients of an encoder's output, comes in another order.
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-8)
        for key in (*kind.hidden_states, *kind.attentions):
            assert all(map(torch.equal, seen[-1][key], plain[-1][key]))
        return plain, seen, found

    same(scenario, outputs=4)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpointed_model(same: Same, name: str, reentrant: bool) -> None:
    """What it returns goes through torch's checkpoint whole; the reentrant one sees no tensor in it."""
    kind = ARCHITECTURES[name]

    def scenario() -> Any:
        model = kind.make().train()
        inputs = kind.inputs()

        def forward(*args: torch.Tensor) -> Any:
            return model(**dict(zip(inputs, args)), **BOTH)

        torch.manual_seed(0)
        out = checkpoint(forward, *inputs.values(), use_reentrant=reentrant)
        assert out.loss.requires_grad is not reentrant
        refused = raised(out.loss.backward)
        assert isinstance(refused, tuple) is reentrant
        found = gradients(model)
        assert any(gradient is not None for gradient in found.values()) is not reentrant
        return out, refused, found

    same(scenario)
