"""Ray: outputs through the object store of a cluster, whose arrays the workers read without a copy."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import children
import pytest
import ray
from side_by_side import Same

SIZE = 200_000  # well above what Ray sends along with a call


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster of this machine alone; its workers find these files, and the package, where we do."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=100_000_000,
            log_to_driver=False,
            configure_logging=False,
            _node_ip_address="127.0.0.1",
        )
        yield
        ray.shutdown()
    signal.signal(signal.SIGTERM, before)  # its own would stay, and a pool's forks may then not end


@pytest.fixture(scope="module")
def workers(cluster: None, outputs: str) -> Iterator[list[Any]]:
    actors = [ray.remote(children.Worker).remote(outputs) for _ in range(2)]
    yield actors
    for actor in actors:
        ray.kill(actor)


def test_from_worker_to_worker(same: Same, workers: list[Any]) -> None:
    """Made by one, read and changed by the other, received here."""
    one, two = workers
    reference = one.make.remote(SIZE)
    seen, moved = ray.get([two.look.remote(reference), two.move.remote(reference)], timeout=120)
    assert seen.process not in (os.getpid(), ray.get(one.process.remote(), timeout=60))
    assert seen.writeable == seen.owned == [False] * 3, "arrays are views of the store"

    def received() -> Any:
        out = ray.get(reference, timeout=60)
        arrays = [out.logits, out.encoder_hidden_states[0].last_hidden_state]
        assert not any(array.flags.owndata for array in arrays)
        return out, moved

    assert same(received, outputs=3)[1][0] == seen.picture


def test_put_here_and_read_there(same: Same, workers: list[Any]) -> None:
    def scenario() -> Any:
        outputs = children.made()
        reference = ray.put(outputs)
        there = ray.get([worker.read.remote(reference) for worker in workers], timeout=120)
        assert there == [children.pictures(outputs)] * 2
        return outputs, ray.get(reference, timeout=60)

    same(scenario, outputs=10)


def test_what_a_model_returns_there(same: Same, workers: list[Any]) -> None:
    def scenario() -> Any:
        made = ray.get([worker.generate.remote() for worker in workers], timeout=120)
        assert children.pictures(made[0]) == children.pictures(made[1])
        return made[0]

    same(scenario, outputs=5)


def test_buffers_of_a_task_are_shared(same: Same, cluster: None, outputs: str) -> None:
    """A task, not an actor: its result comes as views of the store, too."""

    def scenario() -> Any:
        task = ray.remote(children.make_in_task)
        reference = task.remote(outputs, SIZE)
        first, second = ray.get(reference, timeout=120), ray.get(reference, timeout=60)
        assert first is not second
        address = [out.logits.__array_interface__["data"] for out in (first, second)]
        assert address[0] == address[1] and address[0][1], "read-only, in one place"
        return first, second

    same(scenario, outputs=4)
