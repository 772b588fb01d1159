"""What the tests run in processes that others start: pools, queues, data loaders, Ray's workers."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from side_by_side import Album, picture

import fastoutputs


def start(kind: str) -> None:
    """First thing in a child: the outputs that it is to have."""
    torch.set_num_threads(1)
    if kind == "installed":
        fastoutputs.install()


def start_worker(kind: str, number: int) -> None:
    """The same in a worker of a data loader."""
    start(kind)


def made() -> list[Any]:
    """Outputs of several makes, all of whose values are the same at each call."""
    import tiny
    import transformers

    outputs = transformers.modeling_outputs
    inner = outputs.BaseModelOutput(torch.arange(6.0).view(2, 3), hidden_states=(torch.ones(2),))
    nested = outputs.Seq2SeqLMOutput(logits=torch.ones(2, 2), encoder_hidden_states=(inner, inner))
    extended = outputs.CausalLMOutput(logits=numpy.arange(4).reshape(2, 2))
    extended["target_size"] = (2, "extra")
    generated = tiny.llama().generate(
        tiny.batch()["input_ids"],
        max_new_tokens=2,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
    )
    return [inner, nested, extended, generated, transformers.utils.ModelOutput({"any": "key"})]


def pictures(outputs: list[Any]) -> list[Any]:
    return [Album().picture(out) for out in outputs]


def answer(kind: str, inbox: Any, outbox: Any) -> None:
    """Until None comes, sends back each output, its picture as it is here, and one made of its items."""
    start(kind)
    for out in iter(inbox.get, None):
        again = type(out)({key: value for key, value in out.items() if key != "hidden_states"})
        outbox.put((os.getpid(), out, Album().picture(out), again))
        assert (
            inbox.get() == "received"
        )  # tensors in shared memory go with the process that made them


def read(data: bytes) -> Any:
    """The picture of what a pickle holds, as this process understands it."""
    return Album().picture(pickle.loads(data))


def items(out: Any) -> tuple[int, Any]:
    """Made again from its items, for a pool's map."""
    return os.getpid(), type(out)((key, value) for key, value in out.items())


class Outputs(torch.utils.data.Dataset):
    """Each row is an output."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        import transformers

        cls = transformers.modeling_outputs.BaseModelOutput
        return cls(torch.full((2, 3), float(index)), hidden_states=(torch.tensor(os.getpid()),))


def only(rows: list[Any]) -> Any:
    """Collates a batch of one row."""
    (row,) = rows
    return row


@dataclass
class Seen:
    """What a worker of Ray saw of an output that another had put into the store."""

    process: int
    picture: Any
    writeable: list[bool]
    owned: list[bool]


class Worker:
    """An actor."""

    def __init__(self, kind: str) -> None:
        start(kind)
        self.kind = kind

    def make(self, size: int) -> Any:
        import transformers

        outputs = transformers.modeling_outputs
        inner = outputs.BaseModelOutput(
            numpy.full(size, 2.0), hidden_states=(numpy.full(size, 3.0),)
        )
        return outputs.Seq2SeqLMOutput(logits=numpy.full(size, 1.0), encoder_hidden_states=(inner,))

    def generate(self) -> list[Any]:
        return made()

    def read(self, outputs: list[Any]) -> list[Any]:
        return pictures(outputs)

    def process(self) -> int:
        return os.getpid()

    def look(self, out: Any) -> Seen:
        inner = out.encoder_hidden_states[0]
        arrays = [out["logits"], inner[0], *inner["hidden_states"]]
        return Seen(
            os.getpid(),
            picture(out, compiled=self.kind == "installed"),
            [array.flags.writeable for array in arrays],
            [array.flags.owndata for array in arrays],
        )

    def move(self, out: Any) -> Any:
        """Back into the store, as a new output with one field less."""
        return type(out)({key: value for key, value in out.items() if key != "logits"})


def make_in_task(kind: str, size: int) -> Any:
    return Worker(kind).make(size)
