"""Runs every program beside it with the transformers that is installed: `python tests/versions MODE`.

MODE is `original`; `before`, for install() before transformers is imported; or `after`, for install()
after the programs and all that they import. Prints one JSON line for each program, as it ends: its name,
and what it saw. `make versions` runs all three, and compares.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import warnings
from pathlib import Path
from types import ModuleType

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
HELPERS = ("__main__", "describe", "models")
PROGRAMS = sorted(
    path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in HELPERS
)


def install() -> None:
    import fastoutputs

    fastoutputs.install()


def seen_by(program: ModuleType) -> list[str]:
    import torch
    from describe import describe

    torch.manual_seed(0)
    try:
        return [line for label, value in program.run() for line in describe(value, label)]
    except Exception as raised:
        error: BaseException = raised
        while error.__cause__ is not None:  # a failed import of transformers hides why
            error = error.__cause__
        reason, *_ = str(error).splitlines() or [""]
        return [f"raised {type(error).__name__}: {reason}"]


def main(mode: str) -> None:
    if mode == "before":
        install()
    import torch

    torch.set_num_threads(1)
    programs = {name: importlib.import_module(name) for name in PROGRAMS}
    if mode == "after":
        install()
    for name, program in programs.items():
        print(json.dumps([name, seen_by(program)]), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1])
