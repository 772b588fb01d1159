"""Libraries that ask for an OrderedDict: those that work as before, and those that docs/migrate.md lists."""

from __future__ import annotations

import pprint
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pydantic
import pytest
import torch
import transformers
from peft.tuners._buffer_dict import BufferDict
from pydantic import v1
from side_by_side import Same, raised

Dataclass = transformers.modeling_outputs.BaseModelOutput


def bare(**values: Any) -> Any:
    """In an order that is not the alphabetical one."""
    return transformers.utils.ModelOutput(**values)


def test_dask_names_tasks_by_class(same: Same) -> None:
    dask = pytest.importorskip("dask")  # not beside every torch
    tokenize, known = dask.base.tokenize, dask.tokenize.normalize_token._lookup
    before = set(known)

    def scenario() -> Any:
        outputs = transformers.modeling_outputs
        outs = [outputs.BaseModelOutput(1), outputs.CausalLMOutput(1), bare(b=1, a=2), bare(b=2)]
        tokens = [tokenize(value) for value in (*outs, dict(outs[0]), OrderedDict(outs[0]))]
        assert len(set(tokens)) == len(tokens)
        classes = [dask.delayed(type, pure=True)(out) for out in outs[:2]]
        found = dask.compute(*classes, scheduler="sync")
        assert found == (outputs.BaseModelOutput, outputs.CausalLMOutput)
        return outs, tokens, dask.compute(outputs.BaseModelOutput(1, dask.delayed(abs)(-3)))

    try:
        same(scenario, outputs=5)
    finally:  # a late install() would hand what dask knows of the original classes on to ours
        for cls in set(known) - before:
            del known[cls]


def test_buffers_of_peft_stand_in_order(same: Same) -> None:
    def scenario() -> Any:
        out = bare(b=torch.ones(1), a=torch.zeros(1))
        buffers = BufferDict(out)
        buffers.update(bare(d=torch.ones(1), c=torch.ones(1)))
        assert list(buffers) == ["b", "a", "d", "c"]
        return out, list(buffers.items())

    same(scenario)


class Model(pydantic.BaseModel):
    ordered: OrderedDict[str, Any]


class OldModel(v1.BaseModel):
    ordered: OrderedDict  # type: ignore[type-arg]


class OldModelOfDict(v1.BaseModel):
    ordered: dict  # type: ignore[type-arg]


def parameters() -> Any:
    return bare(b=torch.nn.Parameter(torch.ones(1)), a=torch.nn.Parameter(torch.ones(1)))


def modules() -> Any:
    return bare(b=torch.nn.ReLU(), a=torch.nn.Tanh())


def wide() -> Any:
    return bare(b="b" * 60, a="a" * 60)


strict = pydantic.TypeAdapter(OrderedDict[str, Any])
# What differs, and what the table says to write instead.
ROWS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "ParameterDict": (
        lambda: list(torch.nn.ParameterDict(parameters())),
        lambda: list(torch.nn.ParameterDict(OrderedDict(parameters()))),
    ),
    "Sequential": (
        lambda: [name for name, _ in torch.nn.Sequential(modules()).named_children()],
        lambda: [name for name, _ in torch.nn.Sequential(OrderedDict(modules())).named_children()],
    ),
    "strict pydantic": (
        lambda: dict(strict.validate_python(bare(b=1, a=2), strict=True)),
        lambda: dict(strict.validate_python(OrderedDict(bare(b=1, a=2)), strict=True)),
    ),
    "pydantic.v1": (
        lambda: type(OldModel(ordered=Dataclass(1)).ordered).__name__,
        lambda: type(OldModelOfDict(ordered=Dataclass(1)).ordered).__name__,
    ),
    "==": (
        lambda: OrderedDict(a=1, b=2) == bare(b=2, a=1),
        lambda: list(OrderedDict(a=1, b=2).items()) == list(bare(b=2, a=1).items()),
    ),
    "pprint": (
        lambda: pprint.pformat(wide()).count("\n"),
        lambda: pprint.pformat(OrderedDict(wide())).count("\n"),
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_the_rows_of_the_table(outputs: str, row: str, pictures: dict[str, Any]) -> None:
    """An intended difference: these keep their answer for a dict. The remedy gives that for an OrderedDict."""
    as_before, remedy = ROWS[row]
    if outputs == "original":
        pictures[f"table {row}"] = as_before()
        assert remedy() == as_before()
        return
    expected = pictures[f"table {row}"]
    assert raised(as_before) != expected
    assert remedy() == expected


def test_pydantic_takes_an_output_for_an_ordered_dict(same: Same) -> None:
    """A model that is not strict copies it, as it copies any."""

    def scenario() -> Any:
        out = transformers.modeling_outputs.CausalLMOutput(loss=1, logits=2)
        assert type(Model(ordered=out).ordered) is OrderedDict
        return out, Model(ordered=out).ordered

    same(scenario)
