"""torch's own walks over what a model returns: DataParallel, collating, pinned memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tiny
import torch
import transformers
from side_by_side import Same, picture, raised
from torch.distributed import utils as distributed
from torch.distributed.fsdp import _common_utils as fsdp
from torch.nn.parallel import scatter_gather
from torch.utils.data import _utils, default_collate, default_convert

import fastoutputs

REPLICAS = 2


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Splits and joins tensors where there is no GPU; the walk and the rebuilding stay torch's own."""

    def scatter(targets: Any, sizes: Any, dim: int, tensor: torch.Tensor) -> Any:
        return tensor.chunk(len(targets), dim)

    def gather(target: Any, dim: int, *tensors: torch.Tensor) -> torch.Tensor:
        return torch.cat([tensor.reshape(1) if tensor.dim() == 0 else tensor for tensor in tensors])

    monkeypatch.setattr(scatter_gather, "Scatter", type("", (), {"apply": staticmethod(scatter)}))
    monkeypatch.setattr(scatter_gather, "Gather", type("", (), {"apply": staticmethod(gather)}))


def make(rows: int = 2) -> Any:
    outputs = transformers.modeling_outputs
    inner = outputs.BaseModelOutputWithPooling(torch.rand(rows, 3), pooler_output=torch.rand(rows))
    return outputs.Seq2SeqLMOutput(
        loss=torch.rand(()),
        logits=torch.rand(rows, 3),
        encoder_hidden_states=(inner, torch.rand(rows)),
    )


def numbers() -> Any:
    outputs = transformers.modeling_outputs
    inner = outputs.BaseModelOutput(3, hidden_states=[1.5, 2.5])
    return outputs.BaseModelOutputWithPooling(1, pooler_output=0.5, hidden_states=inner)


def test_gather_of_what_replicas_return(same: Same, on_cpu: None) -> None:
    def scenario() -> Any:
        bert = tiny.bert()
        replicas = [bert(**tiny.batch(seed=seed), output_hidden_states=True) for seed in (1, 2)]
        gathered = scatter_gather.gather([make(), make()], 0), scatter_gather.gather(replicas, 0)
        gathered[1].loss.sum().backward()
        return gathered, {name: weight.grad for name, weight in bert.named_parameters()}

    same(scenario, outputs=3)


def test_gather_refuses_tensors_on_the_cpu(same: Same) -> None:
    def scenario() -> Any:
        refusal = raised(lambda: scatter_gather.gather([make(), make()], "cpu"))
        assert refusal[1] == "AssertionError"
        unequal = [make(), transformers.modeling_outputs.Seq2SeqLMOutput(loss=torch.rand(()))]
        return make(), refusal, raised(lambda: scatter_gather.gather(unequal, "cpu"))

    same(scenario, outputs=2)


def test_scatter_over_replicas(same: Same, on_cpu: None) -> None:
    def scenario() -> Any:
        out = make()
        # Without the loss, which has no rows to split.
        out = type(out)({key: value for key, value in out.items() if key != "loss"})
        inputs, keywords = scatter_gather.scatter_kwargs(
            (out,), {"more": numbers()}, range(REPLICAS)
        )
        assert len(inputs) == len(keywords) == REPLICAS
        return inputs, keywords

    same(scenario, outputs=8)


def test_data_parallel_without_a_gpu(same: Same) -> None:
    def scenario() -> Any:
        model = torch.nn.DataParallel(tiny.bert())
        return model(**tiny.batch(), output_hidden_states=True)

    same(scenario)


def bare() -> Any:
    """An output that is no dataclass, and one in it; the keys are in no alphabetical order."""
    cls = transformers.utils.ModelOutput
    return cls(logits=torch.rand(2), b=[cls(z=torch.rand(1), a=(torch.rand(1), "a"))], a=None)


APPLIES: dict[str, Callable[[Any], Any]] = {
    "apply": lambda value: distributed._apply_to_tensors(torch.neg, value),
    "cast inputs": lambda value: distributed._cast_forward_inputs(torch.float16, value, key=value),
    "replace those with gradients": lambda value: fsdp._replace_grad_tensors(
        distributed._apply_to_tensors(lambda tensor: tensor.requires_grad_(), value),
        iter(torch.rand(64, 1).unbind()),
    ),
}


@pytest.mark.parametrize("data", [make, bare])
@pytest.mark.parametrize("apply", APPLIES)
def test_fsdp_keeps_the_class(same: Same, apply: str, data: Callable[[], Any]) -> None:
    same(lambda: APPLIES[apply]([data(), {"more": data()}]), outputs=4)


class Pinnable:
    """Something that can be pinned without a GPU."""

    def __init__(self, value: int) -> None:
        self.value = value

    def pin_memory(self) -> int:
        return -self.value


CALLS: dict[str, tuple[Callable[[Any], Any], Callable[[], Any]]] = {
    "collate tensors": (lambda out: default_collate([out, out]), make),
    "collate numbers": (lambda out: default_collate([out, out]), numbers),
    "convert": (default_convert, numbers),
    "pin numbers": (_utils.pin_memory.pin_memory, numbers),
    "pin": (
        _utils.pin_memory.pin_memory,
        lambda: transformers.modeling_outputs.BaseModelOutput(
            Pinnable(1), hidden_states=(Pinnable(2),)
        ),
    ),
}


@pytest.mark.parametrize("call", CALLS)
def test_what_copies_and_updates(outputs: str, call: str) -> None:
    """An intended difference: these fall back to a plain dict on a TypeError, which ours raises.

    The original refuses an update by a bare Exception, so that they fail on it.
    """
    function, data = CALLS[call]
    out = data()
    if outputs == "original":
        refusal = raised(lambda: function(out))
        assert refusal[:2] == ("raised", "Exception") and "update" in refusal[2]
        return
    assert isinstance(out, fastoutputs.ModelOutput)
    result = function(out)
    assert type(result) is dict and list(result) == list(out)
    expected = function(plain(out))
    assert picture(result, outputs=0) == picture(expected, outputs=0)


def plain(value: Any) -> Any:
    """Dicts in the place of outputs."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    return type(value)(map(plain, value)) if isinstance(value, (list, tuple)) else value
