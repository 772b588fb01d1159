"""Libraries that take classes and functions along by value: joblib, dask, datasets and Ray, as a notebook uses them.

A program stands for the notebook: its classes are those of ``__main__``, which no other process can import.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOK = """
import sys
from dataclasses import dataclass, field
from typing import Any
from fastoutputs import ModelOutput

@dataclass
class Scores(ModelOutput):
    logits: Any = None
    attentions: Any = None

@dataclass
class Named(Scores, aliases={"scores": "logits"}):
    names: list = field(default_factory=list)

def use():
    assert Named(scores=1)["logits"] == Scores(logits=1)[0] == 1

def double(out):
    twin = type(out)(logits=out.logits * 2, attentions=out.attentions)
    return Scores(logits=twin[0], attentions=(out["logits"],))
"""

JOBLIB = """
from joblib import Parallel, delayed

use()
outs = Parallel(n_jobs=2, backend="loky")(delayed(double)(cls(logits=i)) for i in range(3) for cls in (Scores, Named))
assert [out.logits for out in outs] == [0, 0, 2, 2, 4, 4] and outs[-1]["attentions"] == (2,)
assert all(type(out) is Scores for out in outs)
classes = Parallel(n_jobs=2)(delayed(lambda: (Scores, Named(scores=3), Named))() for _ in range(2))
assert classes[0][0] is Scores and classes[0][1] == Named(logits=3)
"""

DASK = """
import dask
from dask.base import tokenize

before = [tokenize(thing) for thing in (Scores, Named, double)]
use()
assert [tokenize(thing) for thing in (Scores, Named, double)] == before
assert tokenize(Scores(logits=1)) == tokenize(Scores(logits=1)) != tokenize(Scores(logits=2))
tasks = [dask.delayed(double)(Named(logits=i)) for i in range(3)]
if __name__ == "__main__":
    for scheduler in ("threads", "processes"):
        outs = dask.compute(*tasks, scheduler=scheduler)
        assert [out.logits for out in outs] == [0, 2, 4], scheduler
        assert all(type(out) is Scores for out in outs)
"""

DATASETS = """
from datasets import Dataset
from datasets.fingerprint import Hasher

things = (Scores, Named, double, lambda row: {"y": Named(logits=row["x"])[0]})
before = [Hasher.hash(thing) for thing in things]
use()
assert [Hasher.hash(thing) for thing in things] == before
data = Dataset.from_dict({"x": [1, 2, 3]})
first, again = (data.map(lambda row: {"y": Scores(logits=row["x"] * 2)["logits"]}) for _ in range(2))
assert first["y"][:] == [2, 4, 6] and first._fingerprint == again._fingerprint
spread = data.map(lambda row: {"y": double(Named(logits=row["x"])).logits}, num_proc=2)
assert spread["y"][:] == [2, 4, 6]
"""

RAY = """
import ray

ray.init(
    num_cpus=2, include_dashboard=False, object_store_memory=100_000_000, log_to_driver=False,
    configure_logging=False, _node_ip_address="127.0.0.1",
)
use()
assert ray.get(ray.put(Named(scores=2)), timeout=60) == Named(logits=2)
assert ray.get(ray.put(Scores), timeout=60)(logits=1)["logits"] == 1
out = ray.get(ray.remote(double).remote(Named(logits=2)), timeout=120)
assert out.logits == 4 and out["attentions"] == (2,) and list(out) == ["logits", "attentions"]

@ray.remote
class Worker:
    def make(self, value):
        return Named(scores=value)

    def classes(self):
        return Scores, Named

worker = Worker.remote()
assert ray.get(worker.make.remote(5), timeout=120)["logits"] == 5
assert ray.get(worker.classes.remote(), timeout=120)[1](scores=3).logits == 3
ray.shutdown()
"""


@pytest.mark.parametrize(
    "program", [JOBLIB, DASK, DATASETS, RAY], ids=["joblib", "dask", "datasets", "ray"]
)
def test_a_notebook(program: str, tmp_path: Path) -> None:
    (tmp_path / "notebook.py").write_text(f"{NOTEBOOK}{program}\nprint('done')\n")
    surroundings = {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "HF_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    done = subprocess.run(
        [sys.executable, "notebook.py"],
        cwd=tmp_path,
        env=os.environ | surroundings,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0 and done.stdout.endswith("done\n"), done.stderr
