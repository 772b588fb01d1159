"""accelerate: its operations on nested data, the fp32 wrappers, device hooks, a prepared model in training."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import accelerate
import pytest
import tiny
import torch
import transformers
from accelerate import hooks
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import operations, save
from safetensors.torch import load_file
from side_by_side import Same, raised


@pytest.fixture(autouse=True)
def fresh_state() -> Iterator[None]:
    """accelerate keeps its settings in singletons."""
    yield
    AcceleratorState._reset_state(True)
    GradientState._reset_state()


def flat(seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    return transformers.modeling_outputs.CausalLMOutputWithPast(
        logits=torch.rand(2, 3, generator=generator),
        hidden_states=tuple(torch.rand(2, 4, generator=generator) for _ in range(2)),
    )


def half() -> Any:
    return transformers.modeling_outputs.Seq2SeqLMOutput(
        loss=torch.tensor([0.1, 0.2], dtype=torch.bfloat16),
        logits=torch.rand(2, 3).half(),
        encoder_last_hidden_state=torch.rand(2, 2),
    )


def nested(seed: int = 0) -> Any:
    """An output in an output, in a tuple, in a dict."""
    cls = transformers.models.clip.modeling_clip.CLIPOutput
    inner = transformers.modeling_outputs.BaseModelOutputWithPooling
    parts = [inner(torch.rand(2, 3, 4), pooler_output=torch.rand(2, 4)) for _ in range(2)]
    whole = cls(logits_per_text=torch.rand(2, 2), text_model_output=parts[0])
    whole.vision_model_output = parts[1]
    return {"outputs": (whole, flat(seed)), "ids": torch.arange(2)}


def model() -> Any:
    """What a model returns, a cache among it."""
    batch = tiny.batch()
    del batch["labels"]
    wanted = {"output_hidden_states": True, "output_attentions": True}
    return tiny.llama()(**batch, **wanted)


DATA = {"flat": flat, "half": half, "nested": nested, "model": model}

OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "send_to_device": lambda data: operations.send_to_device(data, "cpu"),
    "send_to_device_meta": lambda data: operations.send_to_device(data, "meta"),
    "send_to_device_skipping": lambda data: operations.send_to_device(
        data, "meta", skip_keys=["logits", "text_model_output"]
    ),
    "get_data_structure": operations.get_data_structure,
    "get_shape": operations.get_shape,
    "initialize": lambda data: operations.get_shape(
        operations.initialize_tensors(operations.get_data_structure(data))
    ),
    "find_batch_size": lambda data: (operations.find_batch_size(data), data),
    "find_device": lambda data: (operations.find_device(data), data),
    "listify": operations.listify,
    "gather": lambda data: [operations.gather(data), data],
    "gather_object": lambda data: operations.gather_object([data]),
    "pad": lambda data: operations.pad_across_processes(data, dim=1),
    "pad_input_tensors": lambda data: operations.pad_input_tensors(data, 2, 3),
    "reduce": lambda data: operations.reduce(data, "mean"),
    "broadcast": operations.broadcast,
    "slice": lambda data: operations.slice_tensors(data, slice(0, 1)),
    "concatenate": lambda data: operations.concatenate([data, data]),
    "convert_to_fp32": operations.convert_to_fp32,
    "apply": lambda data: operations.recursively_apply(torch.neg, data),
}
# The cache in it is not a tensor, and its four rows are not two.
REFUSED = {("pad", "model"), ("reduce", "model"), ("concatenate", "model")}
REFUSED |= {("pad_input_tensors", "model")}


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operations(same: Same, operation: str, data: str) -> None:
    def scenario() -> Any:
        AcceleratorState._reset_state(True)
        accelerate.Accelerator(cpu=True)
        if (operation, data) not in REFUSED:
            return OPERATIONS[operation](DATA[data]())
        refusal = raised(lambda: OPERATIONS[operation](DATA[data]()))
        assert refusal[0] == "raised"
        return refusal

    same(scenario, outputs=0 if (operation, data) in REFUSED else 1)


def strided() -> Any:
    """What safetensors refuses, unless somebody makes it contiguous before."""
    return transformers.modeling_outputs.BaseModelOutputWithPooling(
        torch.rand(3, 2).T, pooler_output=torch.rand(4)[::2]
    )


SAVERS: dict[str, Callable[..., None]] = {
    "utils": save,
    "Accelerator": lambda *args, **kwargs: accelerate.Accelerator(cpu=True).save(*args, **kwargs),
}


@pytest.mark.parametrize("saver", SAVERS)
def test_saving_as_safetensors(same: Same, saver: str, tmp_path: Path) -> None:
    def scenario() -> Any:
        out, file = strided(), tmp_path / "saved.safetensors"
        assert not out.last_hidden_state.is_contiguous()
        SAVERS[saver](out, file, safe_serialization=True)
        saved = file.read_bytes(), load_file(file)
        refused = raised(lambda: SAVERS[saver](flat(), file, safe_serialization=True))
        assert refused[0] == "raised"  # a tuple is no tensor
        return out, saved, refused

    same(scenario)


@pytest.mark.parametrize("how", ["decorator", "object"])
def test_a_forward_converted_to_fp32(same: Same, how: str) -> None:
    def scenario() -> Any:
        llama = tiny.llama().bfloat16()
        wrap = {
            "decorator": operations.convert_outputs_to_fp32,
            "object": operations.ConvertOutputsToFp32,
        }[how]
        forward = wrap(llama.forward)
        assert forward.__wrapped__ is not None
        unpicklable = raised(lambda: pickle.dumps(operations.ConvertOutputsToFp32(llama.forward)))
        return forward(tiny.batch()["input_ids"], use_cache=False), unpicklable[:2]

    classes, _ = same(scenario)[1]
    assert "bfloat16" not in repr(classes)


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_training_a_prepared_model(same: Same, precision: str) -> None:
    def scenario() -> Any:
        AcceleratorState._reset_state(True)
        GradientState._reset_state()
        accelerator = accelerate.Accelerator(
            cpu=True, mixed_precision=precision, gradient_accumulation_steps=2
        )
        bert = tiny.bert()
        rows = [{key: row[i] for key, row in tiny.batch(8).items()} for i in range(8)]
        model, optimizer, loader = accelerator.prepare(
            bert,
            torch.optim.AdamW(bert.parameters(), lr=1e-2),
            torch.utils.data.DataLoader(rows, batch_size=2),
        )
        seen: list[Any] = []
        for batch in loader:
            with accelerator.accumulate(model):
                out = model(**batch, output_hidden_states=True)
                accelerator.backward(out.loss)
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
            seen.append(out)
        metrics = accelerator.gather_for_metrics(seen[-1])
        padded = accelerator.pad_across_processes(seen[-1].logits)
        plain = accelerator.unwrap_model(model)
        return seen, metrics, padded, plain(**tiny.batch()), tiny.weights(plain)

    assert "float32" in repr(same(scenario, outputs=6))


def test_device_hooks(same: Same) -> None:
    """They send what a module returns to where its input was."""

    def scenario() -> Any:
        offloaded = accelerate.cpu_offload(tiny.llama(), execution_device="cpu")
        batch = tiny.batch()
        first = offloaded(**{**batch, "labels": batch["input_ids"]}, output_hidden_states=True)
        hooked = tiny.bert("BertModel")
        hooks.add_hook_to_module(
            hooked, hooks.AlignDevicesHook("cpu", io_same_device=True, skip_keys="pooler_output")
        )
        second = hooked(batch["input_ids"])
        hooks.remove_hook_from_module(hooked)
        return first, second, hooked(batch["input_ids"])

    same(scenario, outputs=3)


def test_generating_with_a_dispatched_model(same: Same) -> None:
    def scenario() -> Any:
        llama = accelerate.dispatch_model(
            tiny.llama(), {"": "cpu"}, main_device="cpu", force_hooks=True
        )
        return llama.generate(
            tiny.batch()["input_ids"],
            max_new_tokens=3,
            do_sample=False,
            return_dict_in_generate=True,
            output_logits=True,
        )

    same(scenario)
