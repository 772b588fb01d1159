"""One of several processes, as torchrun starts them: runs what `together.py` has, leaves the pictures in a file.

torchrun ... ranks.py original|installed FOLDER
"""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

import fastoutputs


def main(kind: str, folder: Path) -> None:
    if kind == "installed":
        fastoutputs.install("transformers", "diffusers")  # before they are imported
    import together
    from side_by_side import picture

    torch.set_num_threads(1)
    rank = int(os.environ["RANK"])
    results: dict[str, Any] = {}
    # Short, so that when one process fails the other does not wait long for it.
    torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=30))
    for name, scenario in together.SCENARIOS.items():
        try:
            torch.manual_seed(rank)
            results[name] = picture(scenario(), compiled=kind == "installed")
        except Exception:
            results[name] = traceback.format_exc()
            break  # the processes may be out of step now
    torch.distributed.destroy_process_group()
    (folder / f"{rank}.pickle").write_bytes(pickle.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
