"""Small programs with every supported transformers, each with the original outputs and with ours.

    python tools/versions.py [VERSION ...]     by `make versions`, in .venv; a version is such as 4.57

The programs are those of tests/versions. Each transformers is laid over .venv, in an environment that
holds little else. There the programs run three times: as they are, after an early install(), and before a
late one. What they see must be the same.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

import venvs

PROGRAMS = Path("tests", "versions")
MODES = {"original": "", "before": "install() before import", "after": "install() after import"}
PREFIX = "transformers-"  # of the groups that are laid over .venv
DIED = ["the process died"]

Seen = dict[str, list[str]]
"""What each program saw, in lines."""


def versions() -> list[str]:
    """That of .venv first, such as 5.23, then the others."""
    (pin,) = venvs.pins("original")
    main = ".".join(pin.partition(";")[0].partition("==")[2].split(".")[:2])
    groups = venvs.dependency_groups()
    return [main, *(name.removeprefix(PREFIX) for name in groups if name.startswith(PREFIX))]


def environment(version: str) -> Path:
    """The Python that has this version."""
    if version == versions()[0]:
        return Path(sys.executable)
    name = f"{PREFIX}{version}"
    return venvs.prepare(name, "--python", venvs.CURRENT, "--over", ".venv", "--group", name)


def run(python: Path, mode: str) -> Seen:
    done = subprocess.run(
        [python, PROGRAMS, mode],
        cwd=venvs.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    lines = done.stdout.splitlines()
    seen = dict(json.loads(line) for line in lines if line.startswith('["'))
    if done.returncode:
        print(f"{python} {PROGRAMS} {mode}: exit status {done.returncode}", *lines[-8:], sep="\n")
    return seen


def first_difference(original: list[str], ours: list[str]) -> str | None:
    """Where ours goes another way; None if it does not."""
    if original == ours:
        return None
    pairs = list(zip(original, ours, strict=False))
    for expected, found in pairs:
        if expected != found:
            return f"{expected}\n    but: {found}"
    return f"{len(original)} lines, but: {len(ours)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("versions", nargs="*", metavar="VERSION")
    chosen = parser.parse_args().versions or versions()
    try:
        pythons = [environment(version) for version in chosen]
    except venvs.Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = {
            version: {mode: pool.submit(run, python, mode) for mode in MODES}
            for version, python in zip(chosen, pythons, strict=True)
        }
        seen = {v: {mode: future.result() for mode, future in r.items()} for v, r in runs.items()}

    table = Table(title="Whether a program sees the same, by version of transformers")
    for title in ("", *chosen):
        table.add_column(title, no_wrap=True)
    differences = []
    for program in sorted({name for each in seen.values() for name in each["original"]}):
        row = [program]
        for version in chosen:
            original = seen[version]["original"].get(program, DIED)
            failed = original == DIED or original[0].startswith("raised")
            cell = ["the original fails"] if failed else []
            for mode, words in MODES.items():
                ours = seen[version][mode].get(program, DIED)
                difference = first_difference(original, ours)
                if difference:
                    cell.append(mode)
                    differences.append(
                        f"transformers {version}, {program}, {words}:\n    {difference}"
                    )
            row.append("[red]" + ", ".join(cell) if cell else "same")
            if failed:
                differences.append(f"transformers {version}, {program}: the original {original[0]}")
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    print(*differences, sep="\n")
    ran = len(chosen) * table.row_count
    print(f"versions: {ran} programs, {len(differences)} differences")
    return 1 if differences or not ran else 0


if __name__ == "__main__":
    sys.exit(main())
