"""transformers' own common model tests over tiny models: what passes with the original must with ours.

    python tools/peer.py [-k EXPRESSION]     by `make peer`, in an environment that has transformers

The tests (test_modeling_common.py) are in the source distribution of the very version that is pinned,
which is downloaded for the run into build/peer; the models are in tools/peer_models.py. They run once
as they are and once by `python -m fastoutputs run`, both at a time. A test that only the original
passes is run again with each, alone, as some are at the mercy of the machine; if that does not change
it is lost, and so is the run.

Left out: what transformers marks as slow or made for an accelerator (it skips them itself), and its
tests of generate and of export, which it does not give with its sources.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import venvs

FOLDER = venvs.ROOT / "build" / "peer"
TOOLS = venvs.ROOT / "tools"
MODELS = TOOLS / "peer_models.py"
TESTS = FOLDER / "transformers_tests"

# Modules that the common tests import and the sources lack, and the one name that each must have.
LACKING = {"exporters/test_export.py": "ExportTesterMixin"}
LACKING |= {"generation/test_utils.py": "GenerationTesterMixin"}
# Asks whether GenerationTesterMixin is used.
DESELECTED = "test_generation_tester_mixin_inheritance"

FEWEST = 50  # tests of each model that pass with the original, or something is wrong with the run
LIMIT = 900  # seconds

# How each run starts Python, and whether the base of the outputs is the compiled one then.
RUNS = {
    "original": (["-m"], False),
    "ours": (["-m", "fastoutputs", "run", "-m"], True),
}


class Outcome(NamedTuple):
    """What tools/peer_report.py says of a test: how often each, as it counts, with each subtest of it."""

    passed: int
    skipped: int
    failed: int
    why: str  # the first line of the first failure

    def is_good(self) -> bool:
        return self.passed > 0 and not self.failed

    def is_as_good_as(self, other: Outcome) -> bool:
        return not self.failed and self.passed >= other.passed


def unpack() -> None:
    """The tests of transformers, from its source distribution."""
    (pin,) = venvs.pins("original")
    version = pin.partition(";")[0].strip().partition("==")[2]
    archive = FOLDER / f"transformers-{version}.tar.gz"
    if not archive.exists():
        download = [sys.executable, "-m", "pip", "download", "--no-deps", "--progress-bar=off"]
        venvs.run(*download, "--no-binary=transformers", "--dest", FOLDER, pin)
    with tarfile.open(archive) as tar:
        start = f"{archive.name.removesuffix('.tar.gz')}/tests/"
        for member in tar:
            if member.name.startswith(start):
                tar.extract(
                    member.replace(name=member.name.removeprefix(start)), TESTS, filter="data"
                )
    for name, mixin in LACKING.items():
        (TESTS / name).parent.mkdir(exist_ok=True)
        (TESTS / name).write_text(f"class {mixin}:\n    pass\n")


def start(run: str, tests: list[str], options: list[str]) -> subprocess.Popen[bytes]:
    """One run; it leaves a report and a log named after it."""
    (FOLDER / "pytest.ini").write_text("[pytest]\n")  # and not that of the project
    (FOLDER / f"{run}.json").unlink(missing_ok=True)
    common = ["-q", "-p", "no:cacheprovider", "-W", "ignore", "-c", "pytest.ini"]
    report = ["-p", "peer_report", f"--peer-report={run}.json"]
    with open(FOLDER / f"{run}.log", "wb") as log:
        return subprocess.Popen(
            [sys.executable, *RUNS[run][0], "pytest", *common, *report, *options, *tests],
            cwd=FOLDER,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": f"{FOLDER}{os.pathsep}{TOOLS}", "HF_HUB_OFFLINE": "1"},
        )


def read(run: str) -> dict[str, Outcome]:
    """What a run reported, if it was what it should have been."""
    try:
        report = json.loads((FOLDER / f"{run}.json").read_text())
    except FileNotFoundError:
        log = (FOLDER / f"{run}.log").read_text(errors="replace")
        raise venvs.Failed(f"{log[-3000:]}\nthe run with {run} left no report") from None
    if report["compiled"] != RUNS[run][1]:
        raise venvs.Failed(
            f"the run with {run} was not one: install() had {'' if report['compiled'] else 'not '}been called"
        )
    return {test: Outcome(**found) for test, found in report["tests"].items()}


def both(tests: list[str], options: list[str]) -> tuple[dict[str, Outcome], dict[str, Outcome]]:
    """Both runs at a time."""
    processes = [start(run, tests, options) for run in RUNS]
    deadline = time.monotonic() + LIMIT
    try:
        for process in processes:
            process.wait(max(1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise venvs.Failed(f"not done after {LIMIT} s; see {FOLDER}/*.log") from None
    finally:
        for process in processes:
            process.kill()
    return read("original"), read("ours")


def lost(original: dict[str, Outcome], ours: dict[str, Outcome]) -> list[str]:
    """Also a test that the original skips, if ours fails in it."""
    return [
        test
        for test, outcome in original.items()
        if not outcome.failed and (test not in ours or not ours[test].is_as_good_as(outcome))
    ]


def by_model(tests: Iterable[str]) -> Counter[str]:
    return Counter(test.split("::")[1] for test in tests)


def passed(results: dict[str, Outcome]) -> Counter[str]:
    return by_model(test for test, outcome in results.items() if outcome.is_good())


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("-k", metavar="EXPRESSION", help="only these, as of pytest")
    chosen = parser.parse_args().k
    only = f"not {DESELECTED}" + (f" and ({chosen})" if chosen else "")
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        unpack()
        original, ours = both([str(MODELS)], ["-k", only])
        suspects = lost(original, ours)
        again = (
            both([f"{MODELS}::{test.partition('::')[2]}" for test in suspects], [])
            if suspects
            else ({}, {})
        )
    except venvs.Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    gone = lost(*again)

    good, our_good, losses, models = (
        passed(original),
        passed(ours),
        by_model(gone),
        by_model(original),
    )
    print(f"{'passed with':20}{'original':>10}{'ours':>10}{'lost':>10}")
    for model in models:
        print(f"{model:20}{good[model]:10}{our_good[model]:10}{losses[model]:10}")
    for test in suspects:
        what = "as with the original when run again"
        if test in gone:
            what = "lost: " + (again[1][test].why if test in again[1] else "not even run")
        print(f"{test.partition('::')[2]}: {what}")
    few = [] if chosen else [model for model in models if good[model] < FEWEST]
    if few or not models:
        print(f"fewer than {FEWEST} pass with the original: {', '.join(few) or 'none was run'}")
    print(
        f"peer: {good.total()} pass with the original, {our_good.total()} with ours, {len(gone)} lost"
    )
    return 1 if gone or few or not models else 0


if __name__ == "__main__":
    sys.exit(main())
