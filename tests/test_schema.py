"""`schema` on the library's classes, on anyone's, and on what is none."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import pytest

from fastoutputs import ModelOutput, schema
from fastoutputs.fields import Documented, HiddenStates, Loss
from fastoutputs.modeling_outputs import CausalLMOutput

if TYPE_CHECKING:
    from nowhere import Unknown


@dataclass
class Mixed(ModelOutput):
    needed: Any
    loss: Loss = None
    count: int = 3
    parts: list[int] = field(default_factory=list)
    later: Unknown = None
    scores: Annotated[tuple[int, ...], "noise", Documented("scores", "(n,)", "always")] = ()


@dataclass
class Inherited(Mixed):
    hidden_states: HiddenStates = None


def test_library_class():
    described = schema(CausalLMOutput)
    assert described.cls is CausalLMOutput
    assert described.names == ("loss", "logits", "hidden_states", "attentions")
    loss = described["loss"]
    assert (loss.name, loss.type, loss.default) == ("loss", "torch.Tensor | None", None)
    assert not loss.required and loss.default_factory is None
    assert (loss.shape, loss.returned_when) == ("(1,)", "labels given")
    assert described["logits"].shape == "(batch_size, sequence_length, config.vocab_size)"


def test_instance_is_described_by_its_class():
    assert schema(CausalLMOutput(loss=1)) == schema(CausalLMOutput)


def test_any_dataclass():
    described = schema(Mixed)
    assert described.names == tuple(f.name for f in dataclasses.fields(Mixed))
    assert described["needed"].required and described["needed"].type == "Any"
    assert described["count"].default == 3 and described["count"].type == "int"
    assert described["parts"].default_factory is list and not described["parts"].required
    assert described["later"].type == "Unknown"
    for name in ("needed", "count", "parts", "later"):
        assert described[name].documented is None
        assert (
            described[name].shape
            is described[name].returned_when
            is described[name].meaning
            is None
        )
    assert described["loss"].shape == "(1,)"
    assert (described["scores"].shape, described["scores"].meaning) == ("(n,)", "scores")


def test_annotations_that_are_no_strings():
    cls = dataclasses.make_dataclass(
        "Made", [("a", Loss, None), ("b", list[int], None), ("c", int, 0)], bases=(ModelOutput,)
    )
    described = schema(cls)
    assert [f.type for f in described] == ["torch.Tensor | None", "list[int]", "int"]
    assert described["a"].returned_when == "labels given"


def test_inherited_fields_resolve_where_they_were_declared():
    described = schema(Inherited)
    assert described.names[-1] == "hidden_states" and described["loss"].shape == "(1,)"
    assert described["hidden_states"].returned_when.startswith("output_hidden_states=True")


def test_as_a_container():
    described = schema(CausalLMOutput)
    assert len(described) == 4 and [f.name for f in described] == list(described.names)
    assert "loss" in described and "nothing" not in described
    with pytest.raises(KeyError, match="nothing"):
        described["nothing"]


def test_frozen_and_hashable():
    described = schema(CausalLMOutput)
    with pytest.raises(dataclasses.FrozenInstanceError):
        described.cls = Mixed  # type: ignore[misc]
    assert hash(described) == hash(schema(CausalLMOutput))


def test_repr():
    assert repr(schema(Mixed)) == (
        "class Mixed:\n"
        "    needed: Any\n"
        "    loss: torch.Tensor | None = None  # (1,); returned: labels given\n"
        "    count: int = 3\n"
        "    parts: list[int] = list()\n"
        "    later: Unknown = None\n"
        "    scores: tuple[int, ...] = ()  # (n,); returned: always"
    )


@pytest.mark.parametrize("wrong", [3, "loss", None, dict, {}, list, object()])
def test_no_output(wrong):
    with pytest.raises(TypeError, match=r"does not derive from fastoutputs\.ModelOutput"):
        schema(wrong)


@pytest.mark.parametrize("wrong", [ModelOutput, ModelOutput({"a": 1})])
def test_no_dataclass(wrong):
    with pytest.raises(TypeError, match="decorate it with @dataclass"):
        schema(wrong)
