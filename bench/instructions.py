"""Instructions of core operations, counted by callgrind: figures that do not drift with the machine.

    python -m bench.instructions             compare with instructions.json; status 1 if one grew by over 3 %
    python -m bench.instructions --accept    write what is counted now, for a change that is worth it
    python -m bench.instructions --where OPERATION    which functions they are spent in

One process for each operation goes round its loop more often than another one does; what that costs,
less what an empty loop costs, is the figure. They belong to one compiler and one interpreter: elsewhere
they are shown, and nothing fails.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

FILE = Path(__file__).parent / "results" / "instructions.json"
GROWTH = 0.03
TURNS = 2000
WARM_UP = 200  # more than the interpreter needs to specialise a loop

EMPTY = "empty"
OPERATIONS = {
    EMPTY: "pass",
    "make, slots only": "Slim(loss=a, logits=b)",
    "make, in step": "Out(loss=a, logits=b)",
    "make, 5 of 5": "Out(a, b, c, d, e)",
    "out.logits": "out.logits",
    "out.logits = x": "out.logits = b",
    "out[0]": "out[0]",
    'out["logits"]': "out['logits']",
    "len(out)": "len(out)",
    '"logits" in out': "'logits' in out",
    "out.to_tuple()": "out.to_tuple()",
    "list(out.items())": "list(out.items())",
    "out.keys()": "out.keys()",
    'out.get("logits")': "out.get('logits')",
    "out[:2], of 5": "full[:2]",
    "{**out}": "{**out}",
}

PROGRAM = """
import sys
from dataclasses import dataclass
from fastoutputs import ModelOutput

def declare(name, **options):
    fields = ("loss", "logits", "cache", "hidden_states", "attentions")
    body = dict.fromkeys(fields)
    body["__annotations__"] = dict.fromkeys(fields, object)
    return dataclass(type(ModelOutput)(name, (ModelOutput,), body, **options))

class Value:
    pass

Out, Slim = declare("Out"), declare("Slim", mirror_dict=False)
a, b, c, d, e = (Value() for _ in range(5))
scope = dict(globals(), out=Out(loss=a, logits=b), full=Out(a, b, c, d, e))
names = ", ".join(f"{name}={name}" for name in ("Out", "Slim", "out", "full", "a", "b", "c", "d", "e"))
exec(f"def run(turns, {names}):\\n for _ in range(turns):\\n  {sys.argv[1]}", scope)
scope["run"](%d)
scope["run"](int(sys.argv[2]))
"""


def total(operation: str, turns: int, output: str = "/dev/null") -> int:
    """Instructions of a whole process; output is for the tools of callgrind."""
    valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={output}"]
    program = [sys.executable, "-c", PROGRAM % WARM_UP, OPERATIONS[operation], str(turns)]
    done = subprocess.run(
        [*valgrind, *program],
        env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    counted = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not counted:
        raise RuntimeError(f"callgrind could not count {operation}:\n{done.stderr[-2000:]}")
    return int(counted[1])


def count() -> dict[str, float]:
    runs = [(operation, turns) for operation in OPERATIONS for turns in (0, TURNS)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        totals = dict(zip(runs, pool.map(lambda run: total(*run), runs), strict=True))
    figures = {
        operation: (totals[operation, TURNS] - totals[operation, 0]) / TURNS
        for operation in OPERATIONS
    }
    empty = figures.pop(EMPTY)
    return {operation: round(figure - empty, 1) for operation, figure in figures.items()}


def where(operation: str) -> dict[str, float]:
    """Function -> instructions of its own for one turn, the loop taken off."""
    spent: dict[str, float] = {}
    with TemporaryDirectory() as folder:
        for what, sign in ((operation, 1), (EMPTY, -1)):
            for turns in (0, TURNS):
                output = f"{folder}/{turns}"
                total(what, turns, output)
                for function, own in _by_function(output):
                    share = sign * (own if turns else -own) / TURNS
                    spent[function] = spent.get(function, 0) + share
    return {function: own for function, own in spent.items() if own >= 3}  # less is noise


def _by_function(output: str) -> Iterator[tuple[str, int]]:
    command = ["callgrind_annotate", "--threshold=100", output]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for line in text.splitlines():
        found = re.match(r" *([\d,]+) \([ \d.]+%\) +\S*?:(\S+)(?: \[(.*)\])?", line)
        if found:
            # Our functions have no names in what is installed, and no other module matters here.
            function = "fastoutputs" if "_core." in (found[3] or "") else found[2]
            yield function, int(found[1].replace(",", ""))


def show_where(console: Console, operation: str) -> None:
    spent = where(operation)
    table = Table(title=f"{operation}: {sum(spent.values()):.0f} instructions", box=box.SIMPLE_HEAD)
    table.add_column("function")
    table.add_column("of its own", justify="right")
    for function, own in sorted(spent.items(), key=lambda item: -item[1]):
        table.add_row(function, f"{own:.0f}")
    console.print(table)


def built_by() -> dict[str, str]:
    """What the figures belong to."""
    from fastoutputs import build_info

    return {
        "compiler": str(build_info()["compiler"]),
        "interpreter": f"{platform.python_version()}, {platform.python_compiler()}",
        "machine": platform.machine(),
    }


def show(console: Console, counted: dict[str, float], before: dict[str, float]) -> list[str]:
    """The table; returns what grew too much."""
    table = Table(title="Instructions, the loop taken off", box=box.SIMPLE_HEAD)
    for heading in ("", "now", "recorded", ""):
        table.add_column(heading, justify="right" if heading else "left")
    grown = []
    for operation, figure in counted.items():
        old = before.get(operation)
        change = Text("new" if old is None else f"{figure / old - 1:+.1%}")
        if old is not None and figure > old * (1 + GROWTH):
            grown.append(operation)
            change.stylize("bold red")
        table.add_row(operation, f"{figure:.0f}", "" if old is None else f"{old:.0f}", change)
    console.print(table)
    return grown


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.instructions", description=__doc__)
    parser.add_argument("--accept", action="store_true", help="record what is counted now")
    parser.add_argument("--where", choices=OPERATIONS, metavar="OPERATION", help="by function")
    options = parser.parse_args()
    console = Console()
    if shutil.which("valgrind") is None:
        console.print("not counted: valgrind is not installed here", style="yellow")
        return 0
    if options.where:
        show_where(console, options.where)
        return 0
    recorded = json.loads(FILE.read_text()) if FILE.exists() else {"by": None, "instructions": {}}
    found = {"by": built_by(), "instructions": count()}
    grown = show(console, found["instructions"], recorded["instructions"])
    if options.accept:
        FILE.write_text(json.dumps(found, indent=1) + "\n")
        console.print(f"[dim]written to {FILE}")
        return 0
    if found["by"] != recorded["by"]:
        console.print(f"recorded with another build: {recorded['by']}, here {found['by']}")
        return 0
    if grown:
        console.print(
            f"grown by over {GROWTH:.0%}: {', '.join(grown)}. If the change is worth it, say why in the commit and "
            "run `python -m bench.instructions --accept`.",
            style="bold red",
        )
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
