"""Outputs in more than one process: torch's groups and remote calls, queues and pools, Ray's object store."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import together
from side_by_side import Same

HERE = Path(__file__).parent
PROCESSES = 2


@pytest.fixture(scope="session")
def group(outputs: str, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Pictures of everything in `together.py`, one dict a process; the processes are started once."""
    folder = tmp_path_factory.mktemp(outputs)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--local-addr=127.0.0.1",
    ]
    command += [f"--nproc-per-node={PROCESSES}", str(HERE / "ranks.py"), outputs, str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    environment |= {"TP_SOCKET_IFNAME": "lo", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return [pickle.loads((folder / f"{rank}.pickle").read_bytes()) for rank in range(PROCESSES)]


@pytest.mark.parametrize("scenario", together.SCENARIOS)
def test_two_processes(same: Same, group: list[dict[str, Any]], scenario: str) -> None:
    found = [results.get(scenario, "not reached") for results in group]
    assert not any(isinstance(part, str) for part in found), "\n".join(map(str, found))
    same.compare(found)
