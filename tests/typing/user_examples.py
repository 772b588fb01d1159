# ruff: noqa: B018
"""What type checkers make of user code; read by test_typing.py, never run.

A ``revealed`` comment says what both checkers must reveal on its line, without module names. A
mistake carries an ignore comment for each checker; both are told to object to one that is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import torch
from typing_extensions import reveal_type

from fastoutputs import ModelOutput, OutputMutationError, schema, slots_only
from fastoutputs.fields import HiddenStates, Loss
from fastoutputs.modeling_flax_outputs import FlaxBaseModelOutput
from fastoutputs.modeling_outputs import CausalLMOutputWithPast, Seq2SeqLMOutput
from fastoutputs.models.bert import BertForPreTrainingOutput

logits = torch.zeros(1, 6, 99)
out = CausalLMOutputWithPast(logits=logits)

# Attributes have the declared type.
reveal_type(out.logits)  # revealed: Tensor | None
reveal_type(out.hidden_states)  # revealed: tuple[Tensor, ...] | None
reveal_type(out.past_key_values)  # revealed: Cache | None
reveal_type(Seq2SeqLMOutput().past_key_values)  # revealed: EncoderDecoderCache | None
reveal_type(BertForPreTrainingOutput().seq_relationship_logits)  # revealed: Tensor | None
if out.hidden_states is not None:
    reveal_type(out.hidden_states[-1])  # revealed: Tensor
out.logits.shape  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
out.logit  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
out.logits = "L"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]

# Items are of any type; a slice is a tuple.
reveal_type(out[0])  # revealed: Any
reveal_type(out["logits"])  # revealed: Any
reveal_type(out[:2])  # revealed: tuple[Any, ...]
reveal_type(out.to_tuple())  # revealed: tuple[Any, ...]
reveal_type(list(out))  # revealed: list[str]
reveal_type({**out})  # revealed: dict[str, Any]
reveal_type(out.copy())  # revealed: CausalLMOutputWithPast
reveal_type(out.summary())  # revealed: str
out[1.5]  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]

# The constructor is that of the dataclass.
CausalLMOutputWithPast(None, logits)
CausalLMOutputWithPast(logit=logits)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
CausalLMOutputWithPast(logits="L")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# Outputs of Flax models are frozen, with replace.
frozen = FlaxBaseModelOutput()
reveal_type(frozen.replace(attentions=None))  # revealed: FlaxBaseModelOutput
frozen.attentions = None  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


@dataclass
class Mine(ModelOutput, mirror_dict=False):
    scores: torch.Tensor
    loss: Loss = None
    hidden_states: HiddenStates = None


mine = Mine(logits, loss=logits.sum())
reveal_type(mine.scores)  # revealed: Tensor
reveal_type(mine.loss)  # revealed: Tensor | None
Mine()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


# It is a dict where one is wanted, and is copied, merged and walked as one.
def takes_a_dict(items: dict[str, Any]) -> None: ...
def takes_a_mapping(items: Mapping[str, Any]) -> None: ...


takes_a_dict(mine)
takes_a_mapping(mine)
reveal_type(replace(mine, loss=None))  # revealed: Mine
reveal_type([name for name, _ in mine.items()])  # revealed: list[str]
reveal_type("loss" in mine)  # revealed: bool
reveal_type(len(mine))  # revealed: int


@dataclass(kw_only=True)
class Keyed(Mine):
    extras: list[int] = field(default_factory=list[int])


reveal_type(Keyed(scores=logits).extras)  # revealed: list[int]
Keyed(logits, extras=["a"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class Fixed(ModelOutput):
    score: float = 0.0


Fixed().score = 1.0  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


class Scorer(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> Mine:
        return Mine(x, loss=x.sum())


reveal_type(Scorer().forward(logits).scores)  # revealed: Tensor
match mine:
    case {"loss": loss}:
        reveal_type(loss)  # revealed: Any
    case _:
        pass

reveal_type(schema(Mine)["loss"].shape)  # revealed: str | None
reveal_type(schema(mine).names)  # revealed: tuple[str, ...]
schema(dict)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

with slots_only():
    reveal_type(Mine(logits))  # revealed: Mine


# What is refused never returns, so the code after it is known to be dead.
def refused(out: Mine) -> NoReturn:
    out.pop("loss")


def refused_too(out: Mine) -> NoReturn:
    out.update(loss=None)


try:
    out.clear()
except OutputMutationError as error:
    reveal_type(error)  # revealed: OutputMutationError
