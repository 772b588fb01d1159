"""Outputs on their way to other processes: pickles and their buffers, queues, pools, data loaders."""

from __future__ import annotations

import copy
import functools
import multiprocessing
import os
import pickle
from typing import Any

import children
import numpy
import pytest
import torch
import transformers
from side_by_side import Same


def with_arrays(size: int = 100_000) -> tuple[Any, list[numpy.ndarray]]:
    arrays = [numpy.full(size, float(number)) for number in range(4)]
    outputs = transformers.modeling_outputs
    inner = outputs.BaseModelOutput(arrays[0], hidden_states=(arrays[1], arrays[1]))
    out = outputs.Seq2SeqLMOutput(logits=arrays[2], encoder_hidden_states=(inner,))
    out["extra"] = arrays[3]
    return out, arrays


def arrays_of(out: Any) -> list[numpy.ndarray]:
    inner = out["encoder_hidden_states"][0]
    return [inner[0], inner.hidden_states[1], out.logits, out.extra]


def test_arrays_leave_a_pickle_out_of_band(same: Same) -> None:
    """Protocol 5, as Ray and Dask use it: each array once, not copied on either side."""

    def scenario() -> Any:
        out, arrays = with_arrays()
        buffers: list[pickle.PickleBuffer] = []
        data = pickle.dumps(out, protocol=5, buffer_callback=buffers.append)
        assert len(data) < 2000 and len(buffers) == len(arrays)
        again = pickle.loads(data, buffers=buffers)
        for array, one, two in zip(arrays, arrays_of(again), arrays_of(out)):
            assert two is array and one is not array and numpy.shares_memory(one, array)
        assert again.encoder_hidden_states[0].hidden_states[0] is arrays_of(again)[1]
        return children.pictures([out, again])

    same(scenario, outputs=0)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_are_once_in_a_pickle(same: Same, protocol: int) -> None:
    def scenario() -> Any:
        out, arrays = with_arrays(1000)
        total = sum(len(pickle.dumps(array, protocol)) for array in arrays)
        data = pickle.dumps(out, protocol)
        assert len(data) < total + 2000
        return pickle.loads(data)

    same(scenario)


def test_copies_keep_the_arrays(same: Same) -> None:
    def scenario() -> Any:
        out, _ = with_arrays()
        for other in (
            copy.copy(out),
            type(out)(dict(out)),
            type(out)(**dict(list(out.items())[:-1])),
        ):
            assert all(map(lambda one, two: one is two, other.values(), out.values()))
        return out

    same(scenario)


def talk(method: str, kind: str) -> list[Any]:
    """Sends outputs to a child and receives them again; pictures of what went, was there, came back."""
    context = torch.multiprocessing.get_context(method)
    inbox, outbox = context.Queue(), context.Queue()
    child = context.Process(target=children.answer, args=(kind, inbox, outbox), daemon=True)
    child.start()
    found = []
    for out in children.made()[:-1]:
        inbox.put(out)
        process, back, there, again = outbox.get(timeout=60)
        found.append([*children.pictures([out, back, again]), there])
        inbox.put("received")
        assert process == child.pid != os.getpid()
    inbox.put(None)
    child.join(60)
    assert child.exitcode == 0
    return found


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_queues(same: Same, outputs: str, method: str) -> None:
    found = talk(method, outputs)
    for sent, back, _, there in found:
        assert sent == back == there
    same.compare(found)


def test_pickles_between_unlike_processes(outputs: str) -> None:
    """Written where the original is, read where ours are installed; and the other way round."""
    made = children.made()
    found = read_elsewhere("installed" if outputs == "original" else "original", made)
    assert found == children.pictures(made)


def read_elsewhere(kind: str, outputs: list[Any]) -> list[Any]:
    """Pictures of the outputs as another process reads them from pickles."""
    data = [pickle.dumps(out) for out in outputs]
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, children.start, (kind,)) as pool:
        return pool.map(children.read, data)


def test_a_pool(same: Same) -> None:
    def scenario() -> Any:
        made = children.made()
        with multiprocessing.get_context("fork").Pool(2) as pool:
            mapped = pool.map(children.items, made)
        assert os.getpid() not in {process for process, _ in mapped}
        return made, [out for _, out in mapped]

    same(scenario, outputs=10)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_data_loader_workers(same: Same, outputs: str, method: str) -> None:
    def scenario() -> Any:
        loader = torch.utils.data.DataLoader(
            children.Outputs(),
            batch_size=1,
            num_workers=2,
            collate_fn=children.only,
            multiprocessing_context=method,
            worker_init_fn=functools.partial(children.start_worker, outputs),
        )
        rows = list(loader)
        processes = {int(row.hidden_states[0]) for row in rows}
        assert len(processes) == 2 and os.getpid() not in processes
        return [type(row)(row.last_hidden_state) for row in rows]

    same(scenario, outputs=4)
