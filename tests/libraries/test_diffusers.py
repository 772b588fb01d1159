"""diffusers: tiny pipelines of random weights, their models and schedulers, and classes derived from its base."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import diffusers
import pytest
import tiny
import torch
import transformers
from diffusers.utils import BaseOutput
from side_by_side import Same, picture, raised
from torch.utils import _pytree

import fastoutputs


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=seeded(seed))


# --- models --------------------------------------------------------------------------------------


def unet() -> Any:
    return diffusers.UNet2DConditionModel(
        sample_size=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
    )


def wave_unet() -> Any:
    return diffusers.UNet1DModel(
        sample_size=64,
        sample_rate=16,
        extra_in_channels=64,  # the time's
        block_out_channels=(32, 32),
        down_block_types=("DownBlock1DNoSkip", "AttnDownBlock1D"),
        up_block_types=("AttnUpBlock1D", "UpBlock1DNoSkip"),
    )


def controlnet() -> Any:
    model = diffusers.ControlNetModel.from_unet(unet())
    for part in (*model.controlnet_down_blocks, model.controlnet_mid_block):
        torch.nn.init.constant_(part.weight, 0.1)  # untrained ones are zero
    return model


def dit() -> Any:
    return diffusers.DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=4,
        out_channels=4,
        num_layers=2,
        norm_num_groups=4,
        sample_size=4,
    ).eval()  # in training it drops classes at random


def prior() -> Any:
    return diffusers.PriorTransformer(
        num_attention_heads=2,
        attention_head_dim=4,
        num_layers=2,
        embedding_dim=8,
        num_embeddings=3,
        additional_embeddings=4,
    )


def vae(cls: str = "AutoencoderKL", **config: Any) -> Any:
    return getattr(diffusers, cls)(
        block_out_channels=(4, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        sample_size=8,
        **{"norm_num_groups": 2, **config},
    )


def tiny_vae() -> Any:
    return diffusers.AutoencoderTiny(
        encoder_block_out_channels=(4, 4),
        decoder_block_out_channels=(4, 4),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
        upsampling_scaling_factor=2,
    )


STEP = torch.tensor(3)
CALLS: dict[str, tuple[Callable[[], Any], tuple[Any, ...], dict[str, Any]]] = {
    "pixels": (tiny.unet, (rand(2, 3, 8, 8), STEP), {}),
    "latents": (unet, (rand(2, 4, 4, 4), STEP, rand(2, 5, 16)), {}),
    "waves": (wave_unet, (rand(2, 2, 64), STEP), {}),
    "control": (
        controlnet,
        (rand(2, 4, 4, 4), STEP, rand(2, 5, 16), rand(2, 3, 32, 32)),
        {"guess_mode": True},
    ),
    "transformer": (
        dit,
        (rand(2, 4, 4, 4), torch.tensor([3, 3])),
        {"class_labels": torch.tensor([0, 1])},
    ),
    "prior": (prior, (rand(2, 8), STEP, rand(2, 8), rand(2, 3, 8)), {}),
    "autoencoder": (vae, (rand(2, 3, 8, 8),), {}),
    "tiny autoencoder": (tiny_vae, (rand(2, 3, 8, 8),), {}),
}


def first(out: Any) -> Any:
    """The tensor that all models have in front."""
    value = out[0]
    return value[-1] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("call", CALLS)
def test_a_model(same: Same, call: str) -> None:
    make, arguments, keywords = CALLS[call]

    def scenario() -> Any:
        torch.manual_seed(0)
        model = make()
        out = model(*arguments, **keywords)
        first(out).square().mean().backward()
        gradients = [weight.grad for weight in model.parameters()]
        with torch.no_grad():
            plain = model(*arguments, **keywords, return_dict=False)
        assert type(plain) is tuple and len(plain) == len(out) == len(out.to_tuple())
        assert torch.equal(first(plain), first(out))
        return out, plain, gradients

    same(scenario)


def test_an_autoencoder_by_halves(same: Same) -> None:
    def scenario() -> Any:
        torch.manual_seed(0)
        model = vae()
        encoded = model.encode(rand(2, 3, 8, 8))
        distribution = encoded.latent_dist
        assert encoded[0] is encoded["latent_dist"] is distribution
        latents = distribution.sample(seeded())
        decoded = model.decode(latents)
        loss = distribution.kl().mean() + decoded.sample.mean()
        loss.backward()
        model.enable_slicing()
        model.enable_tiling()
        with torch.no_grad():
            sliced = model.encode(rand(2, 3, 16, 16)), model.decode(rand(2, 4, 8, 8))
        return encoded, distribution.mode(), latents, decoded, loss, sliced

    same(scenario, outputs=4)


def test_a_quantised_autoencoder(same: Same) -> None:
    def scenario() -> Any:
        torch.manual_seed(0)
        model = vae("VQModel", num_vq_embeddings=8)
        encoded = model.encode(rand(2, 3, 8, 8))
        return encoded, model.decode(encoded.latents), model(rand(2, 3, 8, 8))

    same(scenario, outputs=3)


# --- schedulers ----------------------------------------------------------------------------------

SCHEDULERS = [
    *(
        name
        for name in diffusers.schedulers.KarrasDiffusionSchedulers.__members__
        if name != "DPMSolverSDEScheduler"  # needs torchsde, which needs much else
    ),
    "CMStochasticIterativeScheduler",
    "DDIMInverseScheduler",
    "DPMSolverMultistepInverseScheduler",
    "FlowMatchEulerDiscreteScheduler",
    "FlowMatchHeunDiscreteScheduler",
    "IPNDMScheduler",
    "LCMScheduler",
    "SASolverScheduler",
    "TCDScheduler",
    "UnCLIPScheduler",
    "VQDiffusionScheduler",
]


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler(same: Same, name: str) -> None:
    """A whole walk, in which each step has what the one before returned."""
    discrete = name == "VQDiffusionScheduler"
    config = {"num_vec_classes": 5, "num_train_timesteps": 10} if discrete else {}

    def walk(read: Callable[[Any], torch.Tensor], **keywords: Any) -> list[Any]:
        torch.manual_seed(0)
        scheduler = getattr(diffusers, name)(**config)
        scheduler.set_timesteps(4)
        sample = torch.randint(0, 5, (2, 4)) if discrete else rand(1, 3, 4, 4)
        steps = []
        for step in scheduler.timesteps:
            if hasattr(scheduler, "scale_model_input"):
                scheduler.scale_model_input(sample, step)
            guess = torch.randn(2, 4, 4).log_softmax(1) if discrete else sample * 0.1
            out = scheduler.step(guess, step, sample, **keywords)
            sample = read(out)
            steps.append(out)
        return steps

    def scenario() -> Any:
        outputs = walk(lambda out: out.prev_sample)
        plain = walk(lambda out: out[0], return_dict=False)
        assert all(type(out) is tuple for out in plain)
        assert all(torch.equal(out["prev_sample"], other[0]) for out, other in zip(outputs, plain))
        return outputs, plain

    same(scenario, outputs=3)


# --- pipelines -----------------------------------------------------------------------------------


def text_encoder() -> tuple[Any, Any]:
    words = ("<|startoftext|>", "<|endoftext|>", "a</w>", "cat</w>")
    vocabulary = {word: index for index, word in enumerate(words)}
    config = transformers.CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=8,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    tokenizer = transformers.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=8)
    return tokenizer, transformers.CLIPTextModel(config).eval()


def stable_diffusion(kind: str = "", **parts: Any) -> Any:
    tokenizer, encoder = text_encoder()
    return getattr(diffusers, f"StableDiffusion{kind}Pipeline")(
        vae=vae(),
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet(),
        scheduler=diffusers.DDIMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
        **parts,
    )


PIPELINES: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "pixels": (
        lambda: diffusers.DDPMPipeline(tiny.unet(), diffusers.DDPMScheduler()),
        {"batch_size": 2},
    ),
    "pixels, deterministic": (
        lambda: diffusers.DDIMPipeline(tiny.unet(), diffusers.DDIMScheduler()),
        {"batch_size": 2},
    ),
    "classes": (
        lambda: diffusers.DiTPipeline(dit(), vae(), diffusers.DDIMScheduler()),
        {"class_labels": [0, 1]},
    ),
    "text": (stable_diffusion, {"prompt": ["a cat", "a"], "negative_prompt": ["cat", "cat"]}),
    "text and image": (
        lambda: stable_diffusion("Img2Img"),
        {"prompt": "a cat", "image": rand(1, 3, 8, 8), "strength": 0.7},
    ),
    "text, image and mask": (
        lambda: stable_diffusion("Inpaint"),
        {
            "prompt": "a cat",
            "image": rand(1, 3, 8, 8),
            "mask_image": rand(1, 1, 8, 8, seed=1),
            "height": 8,
            "width": 8,
        },
    ),
    "text and control": (
        lambda: stable_diffusion("ControlNet", controlnet=controlnet()),
        {"prompt": "a cat", "image": rand(1, 3, 8, 8), "height": 8, "width": 8},
    ),
    "sound": (
        lambda: diffusers.DanceDiffusionPipeline(wave_unet(), diffusers.IPNDMScheduler()),
        {},
    ),
}


def pipeline(name: str) -> Any:
    torch.manual_seed(0)
    found = PIPELINES[name][0]()
    found.set_progress_bar_config(disable=True)
    return found


def run(found: Any, name: str, **keywords: Any) -> Any:
    # The fewest with which a strength below one leaves something to do.
    arguments = {"num_inference_steps": 3, "generator": seeded(), **PIPELINES[name][1]}
    return found(**arguments, **keywords)


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline(same: Same, name: str) -> None:
    form = {} if name == "sound" else {"output_type": "np"}

    def scenario() -> Any:
        found = pipeline(name)
        out = run(found, name, **form)
        (key, made), *_ = out.items()
        assert out[key] is out[0] is getattr(out, key) is made and made.std() > 0
        default = run(found, name)  # as images
        plain = run(found, name, **form, return_dict=False)
        assert type(plain) is tuple and plain[0].tolist() == made.tolist()
        return out, default, plain, pickle.loads(pickle.dumps(default)), copy.deepcopy(out)

    same(scenario, outputs=4)


def test_a_pipeline_on_both_sides_of_install(outputs: str) -> None:
    """One pipeline all along: it returns what there is at the time, and the same images."""
    found = pipeline("text")
    installed = outputs == "installed"
    images = []
    try:
        for compiled in (installed, not installed, installed):
            if compiled:
                fastoutputs.install("transformers", "diffusers")
            else:
                fastoutputs.uninstall()
            images.append(picture(run(found, "text"), compiled))
    finally:  # as it was
        if installed:
            fastoutputs.install("transformers", "diffusers")
        else:
            fastoutputs.uninstall()
    assert images[0] == images[1] == images[2]


# --- classes of others ---------------------------------------------------------------------------


@dataclass
class Frames(BaseOutput):
    """As a user would write one."""

    frames: Any
    scores: Any = None
    names: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.frames)


@dataclass
class Latents(Frames):
    latents: Any = None

    def to_tuple(self) -> tuple[Any, ...]:
        return (self.count, *super().to_tuple())


class Bare(BaseOutput):
    """Without @dataclass: it has the keys that it is given."""


@dataclass
class One(BaseOutput):
    value: Any = None
    other: Any = None


def changed() -> Any:
    out = Frames([1, 2], rand(2))
    out.scores = rand(2, seed=1)
    out["frames"] = (3,)
    out.note = "no key"
    return out, out.note, out.count, list(out), out == Frames((3,), out.scores)


VIEWS: dict[str, Callable[[], Any]] = {
    "all": lambda: Frames([1], scores=rand(2), names=["x"]),
    "a default": lambda: Frames([1]),
    "derived": lambda: Latents([1], latents=rand(2)),
    "bare": lambda: Bare(second=2, first=1),
    "bare from pairs": lambda: Bare([("b", 2), ("a", rand(2))]),
    "a dict is unpacked": lambda: One({"value": 1, "other": 2}),
    "pairs are not": lambda: One([("value", 1), ("other", 2)]),
    "nothing": lambda: [One(), len(One()), bool(One())],
    "changed": changed,
    "inner": lambda: One(One(1, [2]), other=(One(3),)),
    "pickled": lambda: pickle.loads(pickle.dumps([One(1, 2), Bare(a=1)])),
    "copied": lambda: [copy.copy(One(1)), copy.deepcopy(Latents([1])), Bare(a=[1]).copy()],
    "mapped": lambda: _pytree.tree_map(lambda leaf: leaf * 2, One(One(rand(2)), (rand(2),))),
    "flat": lambda: (_pytree.tree_leaves(One(1, Bare(a=[2, 3]))), One(1)),
    "missing": lambda: (
        One(1),
        raised(lambda: One(1)["other"]),
        raised(lambda: One(1)[1]),
        raised(lambda: One(1).nothing),
        raised(lambda: Frames()),
    ),
    "slices": lambda: (One(1, 2), One(1, 2)[:1], One(1, 2)[::-1], One(1, 2)[-1]),
    "shown": lambda: (One(1), repr(One(1)), str(Frames([1], names=["a"])), dict(One(1))),
}


@pytest.mark.parametrize("view", VIEWS)
def test_a_class_of_a_user(same: Same, view: str) -> None:
    same(VIEWS[view])


def test_where_ours_differs(outputs: str) -> None:
    """An attribute that was None has a key once it is set, as in transformers."""
    out = One(1)
    out.other = 2
    assert out.to_tuple() == ((1, 2) if outputs == "installed" else (1,))


@pytest.mark.parametrize("change", ["pop", "setdefault", "update", "__delitem__"])
def test_a_class_of_a_user_refuses(outputs: str, change: str) -> None:
    out = One(1)
    with pytest.raises(Exception, match=r"cannot|does not support"):
        getattr(out, change)(*{"update": [{"value": 2}]}.get(change, ["value"]))
    assert out.value == out["value"] == 1
