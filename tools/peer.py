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
import os
import subprocess
import sys
import tarfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import venvs

FOLDER = venvs.ROOT / "build" / "peer"
MODELS = venvs.ROOT / "tools" / "peer_models.py"
TESTS = FOLDER / "transformers_tests"

# Modules that the common tests import and the sources lack, and the one name that each must have.
LACKING = {"exporters/test_export.py": "ExportTesterMixin"}
LACKING |= {"generation/test_utils.py": "GenerationTesterMixin"}
# Asks whether GenerationTesterMixin is used.
DESELECTED = "test_generation_tester_mixin_inheritance"

FEWEST = 40  # tests of each model that pass with the original, or something is wrong with the run
LIMIT = 600  # seconds

# How each run starts Python, and where the base of the outputs is from then.
RUNS = {
    "original": (["-m"], "transformers.utils.generic"),
    "ours": (["-m", "fastoutputs", "run", "-m"], "fastoutputs"),
}

Test = tuple[str, str]  # class and method


class Outcome(NamedTuple):
    kind: str  # passed, skipped or failed
    why: str


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


def start(run: str, tests: list[Test], arguments: list[str]) -> subprocess.Popen[bytes]:
    """One run; it leaves a report and a log named after it."""
    names = [f"{MODELS}::{model}::{method}" for model, method in tests] or [str(MODELS)]
    options = ["-q", "-p", "no:cacheprovider", "-W", "ignore", "-c", "pytest.ini"]
    options += [f"--junit-xml={run}.xml", "-k", f"not {DESELECTED}", *arguments]
    (FOLDER / "pytest.ini").write_text("[pytest]\n")  # and not that of the project
    (FOLDER / f"{run}.xml").unlink(missing_ok=True)
    with open(FOLDER / f"{run}.log", "wb") as log:
        return subprocess.Popen(
            [sys.executable, *RUNS[run][0], "pytest", *options, *names],
            cwd=FOLDER,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(FOLDER), "HF_HUB_OFFLINE": "1"},
        )


def read(run: str) -> dict[Test, Outcome]:
    """What a run reported, if it was what it should have been."""
    report = FOLDER / f"{run}.xml"
    if not report.exists():
        log = (FOLDER / f"{run}.log").read_text(errors="replace")
        raise venvs.Failed(f"{log[-3000:]}\nthe run with {run} outputs left no report")
    (suite,) = ElementTree.parse(report).getroot()
    used = {
        found.get("value") for found in suite.iter("property") if found.get("name") == "outputs"
    }
    if used != {RUNS[run][1]}:
        raise venvs.Failed(f"the run with {run} outputs used those of {used or 'nobody'}")
    found = {}
    for case in suite.iter("testcase"):
        model = str(case.get("classname")).rpartition(".")[2]
        outcome = Outcome("passed", "")
        for child in case:
            if child.tag in ("failure", "error"):
                outcome = Outcome("failed", (child.get("message") or "").partition("\n")[0][:200])
            elif child.tag == "skipped":
                outcome = Outcome("skipped", child.get("message") or "")
        found[model, str(case.get("name"))] = outcome
    return found


def both(tests: list[Test], arguments: list[str]) -> dict[str, dict[Test, Outcome]]:
    """All tests, or some, in both runs at a time."""
    processes = [start(run, tests, arguments) for run in RUNS]
    deadline = time.monotonic() + LIMIT
    try:
        for process in processes:
            process.wait(max(1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise venvs.Failed(f"not done after {LIMIT} s; see {FOLDER}/*.log") from None
    finally:
        for process in processes:
            process.kill()
    return {run: read(run) for run in RUNS}


def lost(results: dict[str, dict[Test, Outcome]]) -> list[Test]:
    ours = results["ours"]
    return [
        test
        for test, outcome in results["original"].items()
        if outcome.kind == "passed" and (test not in ours or ours[test].kind != "passed")
    ]


def passed(results: dict[Test, Outcome]) -> Counter[str]:
    return Counter(model for (model, _), outcome in results.items() if outcome.kind == "passed")


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("-k", metavar="EXPRESSION", help="only these, as of pytest")
    chosen = parser.parse_args().k
    arguments = ["-k", f"({chosen}) and not {DESELECTED}"] if chosen else []
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        unpack()
        results = both([], arguments)
        suspects = lost(results)
        again = both(suspects, []) if suspects else {run: {} for run in RUNS}
    except venvs.Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    gone = lost(again)

    original, ours = passed(results["original"]), passed(results["ours"])
    losses = Counter(model for model, _ in gone)
    models = sorted({model for model, _ in results["original"]})
    print(f"{'passed with':20}{'original':>10}{'ours':>10}{'lost':>10}")
    for model in models:
        print(f"{model:20}{original[model]:10}{ours[model]:10}{losses[model]:10}")
    for test in suspects:
        outcome = again["ours"].get(test) if test in gone else None
        what = f"lost: {outcome.why}" if outcome else "only the second time as with the original"
        print(f"{'::'.join(test)}: {what}")
    few = [] if chosen else [model for model in models if original[model] < FEWEST]
    if few or not models:
        print(f"fewer than {FEWEST} pass with the original: {', '.join(few) or 'no test was run'}")
    print(f"peer: {original.total()} with the original, {ours.total()} with ours, {len(gone)} lost")
    return 1 if gone or few or not models else 0


if __name__ == "__main__":
    sys.exit(main())
