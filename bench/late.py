"""A late install(): how long it takes over how many live objects, and how much memory the search needs.

Each point is a process of its own. It imports transformers, fills the heap with lists, dicts, tuples and instances up to
so many objects, and calls install(). The import of transformers itself, which every program pays, stands beside. The
smallest heap is one without transformers: there, 50 output classes of a made-up library are replaced.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .text import markdown_table

FULL = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
QUICK = (100_000, 1_000_000)
WITHOUT_LIBRARY = 300_000
"""Up to here the heap is smaller than that of transformers and torch."""
TARGET = 0.1
"""µs per live object, at most."""

PROGRAM = """
import gc, json, resource, sys, time
count, with_library = int(sys.argv[1]), sys.argv[2] == "library"
start = time.perf_counter()
if with_library:
    import transformers.modeling_outputs, transformers.models.bert.modeling_bert
import_s = time.perf_counter() - start
import fastoutputs
from fastoutputs.integrations import holders, references
from fastoutputs.integrations.bookkeeping import Table

class Thing:
    def __init__(self, value):
        self.value = value
        self.pair = (value, self)

if not with_library:
    classes = [type(f"Old{i}", (), {}) for i in range(50)]
    table = Table((cls, type(f"New{i}", (), {})) for i, cls in enumerate(classes))
    held = [{"cls": cls, cls: [cls, (cls, list[cls])]} for cls in classes]

def live():
    return len(gc.get_objects())

gc.collect()
gc.disable()
filled, room = [], count - live()
while room > 0:
    row = [[{"a": [i], "b": "text", "c": i}, (i, [i]), Thing(i), lambda: row] for i in range(min(room, 80_000) // 8)]
    filled.append(row)
    room = count - live()
gc.enable()
gc.collect()
found = live()

def peak():
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = memory("VmRSS")
    return lambda: memory("VmHWM") - before

def memory(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name)) * 1024

rss = used = 0
try:
    rss, growth = memory("VmRSS"), peak()
    if not with_library:
        holders.holders(list(table))
    else:
        holders.holders([transformers.utils.ModelOutput])
    used = growth()
except OSError:  # not Linux
    pass

best = float("inf")
for _ in range(3):
    if with_library:
        start = time.perf_counter()
        fastoutputs.install()
        best = min(best, time.perf_counter() - start)
        fastoutputs.uninstall()
    else:
        swap = references.Swap()
        start = time.perf_counter()
        swap.everywhere(table)
        best = min(best, time.perf_counter() - start)
        swap.undo()
print(json.dumps({"objects": found, "install_ms": best * 1e3, "import_ms": import_s * 1e3,
                  "heap": rss, "search": used}))
"""


def point(count: int) -> dict[str, float]:
    kind = "bare" if count < WITHOUT_LIBRARY else "library"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(count), kind],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def before_import() -> float:
    """ms of an install() before the library is imported."""
    code = (
        "import fastoutputs, time; start = time.perf_counter(); fastoutputs.install(); "
        "print((time.perf_counter() - start) * 1e3)"
    )
    runs = [
        float(
            subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True
            ).stdout
        )
        for _ in range(3)
    ]
    return min(runs)


def _points(quick: bool) -> Sequence[int]:
    return QUICK if quick else FULL


def steps(quick: bool) -> int:
    return len(_points(quick)) + 1


def measure(quick: bool = False, advance: Callable[[str], None] | None = None) -> dict[str, Any]:
    rows = []
    for count in _points(quick):
        if advance:
            advance(f"install(), {count:,} objects")
        rows.append(point(count))
    if advance:
        advance("install() before the import")
    return {"points": rows, "before_import_ms": round(before_import(), 3), "slope": slope(rows)}


def slope(rows: Sequence[Mapping[str, float]]) -> float:
    """µs for each further object, from the smallest to the largest heap with the library."""
    first, last = [row for row in rows if row["import_ms"] > 1][:1], rows[-1]
    if not first or first[0] is last:
        first = [rows[0]]
    more = last["objects"] - first[0]["objects"]
    return round((last["install_ms"] - first[0]["install_ms"]) * 1e3 / more, 4)


def markdown(results: Mapping[str, Any]) -> str:
    rows = [
        [
            f"{row['objects']:,.0f}",
            f"{row['install_ms']:.0f} ms",
            f"{row['install_ms'] * 1e3 / row['objects']:.3f} µs",
            f"{row['import_ms']:.0f} ms" if row["import_ms"] > 1 else "no library",
            f"{row['search'] / row['heap']:.0%}" if row["heap"] else "",
        ]
        for row in results["points"]
    ]
    heading = ["live objects", "install()", "per object", "the import", "memory of the search"]
    return "\n\n".join(
        [
            "## A late install()",
            "Best of three, in a process that has that many objects. Memory: of what the process has.",
            markdown_table(heading, rows, "---:"),
            f"Each further object: {results['slope']:.3f} µs (target: at most {TARGET}). Before the import of "
            f"transformers: {results['before_import_ms']:.1f} ms.",
        ]
    )
