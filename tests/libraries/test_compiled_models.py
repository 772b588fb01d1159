"""torch.compile of tiny models: as many graphs, breaks and recompilations as with the original."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from tiny import bert, llama, model
from torch._dynamo.testing import CompileCounterWithBackend
from torch._dynamo.utils import counters
from transformers import CompileConfig

from fastoutputs import slots_only

IDS = torch.arange(2, 10).reshape(2, 4)
EVERYTHING = {"output_hidden_states": True, "output_attentions": True}
HEADS = [
    "BertForPreTraining",
    "BertLMHeadModel",
    "BertForMaskedLM",
    "BertForNextSentencePrediction",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertForQuestionAnswering",
    "BertForMultipleChoice",
]


ARCHITECTURES = [
    "BertModel",
    "GPT2LMHeadModel",
    "LlamaForCausalLM",
    "T5ForConditionalGeneration",
    "ViTForImageClassification",
]


def make(name: str) -> Any:
    build = bert if name.startswith("Bert") else llama if name.startswith("Llama") else model
    net = build(name).eval()
    with torch.no_grad():  # the first time such a call changes its class, which no graph holds
        net(**inputs(name), **EVERYTHING)
    return net


def inputs(name: str, rows: int = 2) -> dict[str, torch.Tensor]:
    if name.startswith("ViT"):
        return {"pixel_values": torch.arange(rows * 192.0).reshape(rows, 3, 8, 8) / 192}
    ids = IDS.repeat(rows // 2 + 1, 1)[:rows]
    if name.endswith("MultipleChoice"):
        return {"input_ids": ids[:, None].repeat(1, 2, 1)}
    return {"input_ids": ids, "labels": ids} if name.startswith("T5") else {"input_ids": ids}


def counted(name: str, runs: list[dict[str, Any]], backend: str = "eager", **options: Any) -> Any:
    """The results of one compiled model, and what it took to get them."""
    torch._dynamo.reset()
    counters.clear()
    backend = CompileCounterWithBackend(backend)
    compiled = torch.compile(make(name), backend=backend, **options)
    with torch.no_grad():
        results = [compiled(**given) for given in runs]
    breaks = sum(counters["graph_break"].values())
    return (
        results,
        backend.frame_count,
        backend.op_count,
        breaks,
        counters["stats"]["unique_graphs"],
    )


@pytest.mark.parametrize("name", [*HEADS, *ARCHITECTURES])
def test_every_model(same: Any, name: str) -> None:
    given = inputs(name)

    def scenario() -> Any:
        with torch.no_grad():
            eager = make(name)(**given)
        return eager, counted(name, [given, given], fullgraph=True)

    same(scenario)


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_hidden_states_and_attentions(same: Any, name: str) -> None:
    given = {**inputs(name), **EVERYTHING}
    same(lambda: counted(name, [given, given]))


@pytest.mark.slow
@pytest.mark.parametrize("dynamic", [None, True])
@pytest.mark.parametrize("name", ["BertModel", "LlamaForCausalLM"])
def test_other_shapes_and_options(same: Any, name: str, dynamic: bool | None) -> None:
    runs = [inputs(name, rows) for rows in (2, 3, 5, 2)]
    runs += [{**runs[0], "output_hidden_states": True}, runs[1]]
    same(lambda: counted(name, runs, dynamic=dynamic))


@pytest.mark.slow
@pytest.mark.parametrize("block", [nullcontext, slots_only])
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_backends(same: Any, backend: str, block: Any) -> None:
    def scenario() -> Any:
        with block():
            return counted("LlamaForCausalLM", [inputs("Llama")] * 2, backend, fullgraph=True)

    same(scenario)


@pytest.mark.parametrize("block", [nullcontext, slots_only])
def test_a_training_step(same: Any, block: Any) -> None:
    def scenario() -> Any:
        torch._dynamo.reset()
        net = bert()
        compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
        with block():
            out = compiled(input_ids=IDS, labels=torch.tensor([0, 1]))
        out.loss.backward()
        return out, [weight.grad for weight in net.parameters()]

    same(scenario)


@pytest.mark.parametrize("name", ["BertModel", "LlamaForCausalLM", "T5ForConditionalGeneration"])
def test_outputs_without_storage(same: Any, outputs: str, name: str) -> None:
    runs = [inputs(name, rows) for rows in (2, 3, 5, 2)]
    runs.append({**runs[0], **EVERYTHING})

    def scenario() -> Any:
        with slots_only():
            results, *counts = counted(name, runs)
        stored = {dict.__len__(out) > 0 for out in results}
        assert stored == {outputs == "original"}
        return results, counts

    same(scenario)


@pytest.mark.parametrize("block", [nullcontext, slots_only])
def test_generate_with_a_static_cache(same: Any, block: Any) -> None:
    """The decoding step compiled, by generate itself, as it would for an accelerator."""

    def generated() -> Any:
        torch._dynamo.reset()
        counters.clear()
        config = CompileConfig(mode="reduce-overhead", fullgraph=True, dynamic=False)
        config._compile_all_devices = True  # and not on accelerators only
        result = make("LlamaForCausalLM").generate(
            IDS,
            max_new_tokens=6,
            do_sample=False,
            cache_implementation="static",
            compile_config=config,
            return_dict_in_generate=True,
            output_logits=True,
        )
        assert counters["stats"]["unique_graphs"] >= 1
        return result, counters["stats"]["unique_graphs"]

    def scenario() -> Any:
        with block():
            return generated()

    same(scenario)
