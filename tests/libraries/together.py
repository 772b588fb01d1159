"""What two processes of a gloo group do together, each on its half of the rows. Both run all in this order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import accelerate
import tiny
import torch
import torch.distributed as dist
import transformers
from accelerate.utils import operations
from torch.distributed import rpc
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.nn.parallel import DistributedDataParallel

ROWS = 8


def share(rank: int, world: int) -> dict[str, torch.Tensor]:
    """This process's part of the rows."""
    batch = tiny.batch(ROWS)
    return {key: value[rank::world] for key, value in batch.items()}


@dataclass
class Wrapped(transformers.utils.ModelOutput):
    """An output of a user's, with another in it."""

    loss: Any = None
    inner: Any = None
    unused: Any = None


class Model(torch.nn.Module):
    """Returns outputs in outputs; what one of its two heads gives does not reach the loss, if so asked."""

    def __init__(self, unused: bool = True) -> None:
        super().__init__()
        self.unused = unused
        self.bert = tiny.bert(output_hidden_states=True)
        self.head = torch.nn.Linear(16, 2)

    def forward(self, **batch: torch.Tensor) -> Any:
        inner = self.bert(**batch)
        extra = self.head(inner.hidden_states[-1])
        loss = inner.loss if self.unused else inner.loss + extra.mean()
        return Wrapped(loss, inner=inner, unused=(extra,))


class Ids(torch.nn.Module):
    """Takes an output, and returns the class it saw beside its own."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()

    def forward(self, batch: Any) -> Any:
        assert isinstance(batch, transformers.utils.ModelOutput)
        ids, (mask, labels) = batch.to_tuple()
        return self.model(input_ids=ids, attention_mask=mask, labels=labels)


def as_output(batch: dict[str, torch.Tensor]) -> Any:
    extra = batch["attention_mask"], batch["labels"]
    return transformers.modeling_outputs.BaseModelOutput(batch["input_ids"], hidden_states=extra)


def train(model: torch.nn.Module, *arguments: Any, steps: int = 3, **keywords: Any) -> Any:
    """The outputs of each step, and the weights in the end."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    seen = []
    for _ in range(steps):
        out = model(*arguments, **keywords)
        out.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seen.append(out)
    return seen, tiny.weights(model)


def as_alone(seen: list[Any], weights: dict[str, torch.Tensor], unused: bool = True) -> Any:
    """What came of the training, once it is seen to be what one process has of all the rows."""
    torch.manual_seed(0)
    expected, expected_weights = train(Model(unused), steps=len(seen), **tiny.batch(ROWS))
    torch.testing.assert_close(weights, expected_weights)
    for out, whole in zip(seen, expected):
        part = [value[dist.get_rank() :: dist.get_world_size()] for value in rows_of(whole)]
        torch.testing.assert_close(rows_of(out), part)
    return seen, weights


def without(weights: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): weight for name, weight in weights.items()}


def rows_of(out: Any) -> list[torch.Tensor]:
    return [out.inner.logits, *out.inner["hidden_states"], *out["unused"]]


def data_parallel(unused: bool = True, **options: bool) -> Any:
    torch.manual_seed(0)
    model = DistributedDataParallel(Model(unused), **options)
    seen, weights = train(model, **share(dist.get_rank(), dist.get_world_size()))
    return as_alone(seen, without(weights, "module."), unused)


def data_parallel_taking_outputs() -> Any:
    torch.manual_seed(0)
    model = DistributedDataParallel(Ids(), find_unused_parameters=True)
    seen, weights = train(model, as_output(share(dist.get_rank(), dist.get_world_size())))
    return as_alone(seen, without(weights, "module.model."))


def data_parallel_of_diffusers() -> Any:
    """A static graph finds the tensors of an output by torch's trees."""

    def trained(model: torch.nn.Module, noise: torch.Tensor) -> Any:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        seen = []
        for step in range(3):
            out = model(noise, step)
            out.sample.square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            seen.append(out)
        return seen, tiny.weights(model)

    rank, world = dist.get_rank(), dist.get_world_size()
    noise = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    model = DistributedDataParallel(tiny.unet(), static_graph=True)
    seen, weights = trained(model, noise[rank::world])
    expected, expected_weights = trained(tiny.unet(), noise)
    torch.testing.assert_close(without(weights, "module."), expected_weights)
    for out, whole in zip(seen, expected):
        torch.testing.assert_close(out.sample, whole["sample"][rank::world])
    return seen, weights


def sharded(**precision: torch.dtype) -> Any:
    """FSDP2, which converts what goes into each part, and what comes out of the whole."""
    torch.manual_seed(0)
    model = Ids()
    mesh = dist.init_device_mesh("cpu", (dist.get_world_size(),))
    for part in (*model.model.bert.bert.encoder.layer, model.model.bert):
        fully_shard(part, mesh=mesh, mp_policy=MixedPrecisionPolicy(precision.get("param_dtype")))
    fully_shard(model, mesh=mesh, mp_policy=MixedPrecisionPolicy(**precision))
    seen, weights = train(model, as_output(share(dist.get_rank(), dist.get_world_size())))
    weights = {name: weight.full_tensor() for name, weight in weights.items()}
    return (seen, weights) if precision else as_alone(seen, without(weights, "model."))


def sharded_in_half() -> Any:
    seen, weights = sharded(param_dtype=torch.bfloat16, output_dtype=torch.float32)
    assert {state.dtype for out in seen for state in out.inner.hidden_states} == {torch.float32}
    return seen, weights


def mine() -> Any:
    """An output that tells the processes apart: other values, and other sizes."""
    rank = dist.get_rank()
    torch.manual_seed(rank)
    inner = transformers.modeling_outputs.BaseModelOutput(torch.rand(2, 1 + rank))
    return Wrapped(torch.tensor(float(rank)), inner=inner, unused=f"rank {rank}")


def objects() -> Any:
    """Collectives on objects: pickles through the group."""
    rank, world = dist.get_rank(), dist.get_world_size()
    everyone: list[Any] = [None] * world
    dist.all_gather_object(everyone, mine())
    gathered: list[Any] | None = [None] * world if rank == 0 else None
    dist.gather_object(mine(), gathered)
    sent = [mine()]
    dist.broadcast_object_list(sent, src=1)
    dealt: list[Any] = [None]
    dist.scatter_object_list(dealt, [mine()] * world if rank == 0 else None)
    if rank == 0:
        dist.send_object_list([mine()], dst=1)
        received: list[Any] = [mine()]
    else:
        received = [None]
        dist.recv_object_list(received, src=0)
    return everyone, gathered, sent, dealt, received


def accelerate_operations() -> Any:
    rank = dist.get_rank()
    accelerator = accelerate.Accelerator(cpu=True)
    assert accelerator.num_processes == dist.get_world_size()
    torch.manual_seed(rank)
    outputs = transformers.modeling_outputs
    inner = outputs.BaseModelOutput(torch.rand(2, 3), hidden_states=(torch.rand(2, 1),))
    out = outputs.Seq2SeqLMOutput(torch.rand(()), logits=torch.rand(2, 2))
    out.encoder_hidden_states = (inner,)
    uneven = outputs.CausalLMOutput(
        logits=torch.rand(2, 1 + rank), attentions=(torch.rand(1, 2 + rank),)
    )
    return [
        operations.gather(out),
        operations.reduce(out, "mean"),
        operations.broadcast(out, 1),
        operations.gather(operations.pad_across_processes(uneven, dim=1, pad_index=-1)),
        operations.gather_object([out]),
        operations.broadcast_object_list([out]),
        accelerator.gather_for_metrics(out),
    ]


def accelerate_training() -> Any:
    accelerator = accelerate.Accelerator(cpu=True)
    torch.manual_seed(0)
    bert = tiny.bert(output_hidden_states=True)
    batch = tiny.batch(ROWS)
    rows = [{key: value[index] for key, value in batch.items()} for index in range(ROWS)]
    model, optimizer, loader = accelerator.prepare(
        bert,
        torch.optim.SGD(bert.parameters(), lr=0.1),
        torch.utils.data.DataLoader(rows, batch_size=2),
    )
    seen = []
    for part in loader:
        out = model(**part)
        accelerator.backward(out.loss)
        optimizer.step()
        optimizer.zero_grad()
        seen.append((out, accelerator.gather_for_metrics(out)))
    return seen, tiny.weights(accelerator.unwrap_model(model))


def lightning_training() -> Any:
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = Model()
            self.seen: list[Any] = []

        def training_step(self, batch: Any, index: int) -> Any:
            out = self.model(**batch)
            self.seen.append((out, self.all_gather(out)))
            return out

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    torch.manual_seed(0)
    batches = torch.utils.data.DataLoader(
        [share(dist.get_rank(), dist.get_world_size())] * 2, batch_size=None
    )
    module = Module()
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=dist.get_world_size(),
        strategy="ddp_find_unused_parameters_true",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(module, batches)
    as_alone([out for out, _ in module.seen], without(tiny.weights(module), "model."))
    return module.seen, tiny.weights(module)


def echo(out: Any) -> Any:
    """Called in another process: what came, and something made of it there."""
    return out, type(out)({key: value for key, value in out.items() if key != "unused"})


def remote_calls() -> Any:
    rank, world = dist.get_rank(), dist.get_world_size()
    options = rpc.TensorPipeRpcBackendOptions(
        init_method="env://", rpc_timeout=30, _transports=["uv"], num_worker_threads=2
    )
    rpc.init_rpc(f"worker{rank}", rank=rank, world_size=world, rpc_backend_options=options)
    there = f"worker{(rank + 1) % world}"
    answer = rpc.rpc_sync(there, echo, args=(mine(),))
    reference = rpc.remote(there, mine)
    field = reference.rpc_sync().to_tuple()
    whole = reference.to_here()
    later = rpc.rpc_async(there, mine).wait()
    rpc.shutdown()
    return answer, field, whole, later


SCENARIOS: dict[str, Callable[[], Any]] = {
    "data parallel": lambda: data_parallel(unused=False),
    "data parallel, unused": lambda: data_parallel(find_unused_parameters=True),
    "data parallel, static graph": lambda: data_parallel(unused=False, static_graph=True),
    "data parallel, taking outputs": data_parallel_taking_outputs,
    "data parallel, of diffusers": data_parallel_of_diffusers,
    "sharded": sharded,
    "sharded, in half precision": sharded_in_half,
    "objects": objects,
    "accelerate's operations": accelerate_operations,
    "accelerate's training": accelerate_training,
    # Not among the libraries that are tried with the newest torch.
    **({"lightning's training": lightning_training} if find_spec("lightning") else {}),
    "remote calls": remote_calls,
}
