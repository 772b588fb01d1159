"""torch.onnx.export of models that take and return outputs, run by onnxruntime.

Inputs and results, by name, order and value, must be those of a file made with the original; and the
values must be what the model gives without ONNX.
"""

from __future__ import annotations

import io
from contextlib import nullcontext
from typing import Any

import numpy
import onnx
import onnxruntime
import pytest
import torch
from containers import OURS
from test_export import KINDS, MODULES, Returns, argument
from tiny import batch, bert
from torch.utils._pytree import tree_leaves

from fastoutputs import slots_only

EVERYTHING = {"output_hidden_states": True, "output_attentions": True}


def exported(model: torch.nn.Module, *given: Any, dynamo: bool = True, **options: Any) -> bytes:
    """A file by the exporter that stands on torch.export, or by the one on torch.jit.trace."""
    file = io.BytesIO()
    # The empty keywords are for outputs: a dict at the end would be taken for keywords itself.
    program = torch.onnx.export(
        model.eval(),
        (*given, {}),
        None if dynamo else file,
        dynamo=dynamo,
        verbose=False,
        **options,
    )
    if dynamo:
        program.save(file)
    return file.getvalue()


def run(file: bytes, *given: Any) -> tuple[list[str], dict[str, numpy.ndarray]]:
    """The names of inputs, and the results by theirs."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    inputs = [tensor.name for tensor in session.get_inputs()]
    arrays = [tensor.numpy() for tensor in tree_leaves(given)]
    assert len(inputs) == len(arrays)
    results = session.run(None, dict(zip(inputs, arrays)))
    return inputs, dict(zip([tensor.name for tensor in session.get_outputs()], results))


def made_and_run(
    model: torch.nn.Module, given: tuple[Any, ...], other: Any = None, **how: Any
) -> Any:
    """Names of inputs, and of results with their values; exported for what is given, run with the other."""
    results = run(exported(model, *given, **how), *(other or given))
    with torch.no_grad():
        leaves = tree_leaves(model(*(other or given)))
    assert len(results[1]) == len(leaves) > 0
    for array, leaf in zip(results[1].values(), leaves):
        assert numpy.allclose(array, leaf.detach().numpy(), atol=1e-5)
    return results[0], [(name, array.tolist()) for name, array in results[1].items()]


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("name", OURS)
def test_outputs_in_and_out(name: str, module: type) -> None:
    ours, original = (
        made_and_run(module(kind), (argument(kind, module),))
        for kind in (KINDS[name], KINDS["original"])
    )
    assert ours == original


def test_the_older_exporter() -> None:
    """Where it is given an output, the module gets a plain dict, with the original, too."""
    ours, original = (
        made_and_run(Returns(KINDS[name]), (torch.ones(2, 3),), dynamo=False)
        for name in ("in_step", "original")
    )
    assert ours == original


def test_the_older_exporter_sees_nothing_in_a_slots_only_output() -> None:
    """As it stands on torch.jit.trace, which reads the dict storage: docs/behaviour.md says so."""
    file = exported(Returns(KINDS["slots_only"]), torch.ones(2, 3), dynamo=False)
    assert list(onnx.load_from_string(file).graph.output) == []


class Bert(torch.nn.Module):
    """Called by position, which is all that the older exporter does."""

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.net = bert(**config).eval()

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> Any:
        return self.net(ids, mask)


def ids_and_mask(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    given = batch(rows)
    return given["input_ids"], given["attention_mask"]


@pytest.mark.parametrize("config", [{}, EVERYTHING], ids=["logits", "everything"])
@pytest.mark.parametrize("block", [nullcontext, slots_only])
def test_a_model(same: Any, block: Any, config: dict[str, bool]) -> None:
    def scenario() -> Any:
        with block():
            model, given = Bert(**config), ids_and_mask(rows=4)
            return model(*given), made_and_run(model, given)

    same(scenario)


@pytest.mark.parametrize("block", [nullcontext, slots_only])
def test_a_model_for_any_number_of_rows(same: Any, block: Any) -> None:
    def scenario() -> Any:
        model, rows = Bert(**EVERYTHING), torch.export.Dim("rows", min=2, max=64)
        shapes = {"ids": {0: rows}, "mask": {0: rows}}
        other = ids_and_mask(rows=6)
        with block():
            made = made_and_run(model, ids_and_mask(rows=4), other, dynamic_shapes=shapes)
            return model(*other), made

    same(scenario)


def test_a_model_by_the_older_exporter(same: Any) -> None:
    def scenario() -> Any:
        model, given = Bert(**EVERYTHING), ids_and_mask(rows=4)
        return model(*given), made_and_run(model, given, dynamo=False)

    same(scenario)
