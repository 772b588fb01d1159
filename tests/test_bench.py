"""The benchmark suite measures what it says: right answers, right units, nothing about how fast."""

from __future__ import annotations

import json
import math
import random
import re
import socket
from pathlib import Path

import pytest

pytest.importorskip("bench", reason="bench/ is in the repository only")

from bench import cases, contenders, targets
from fastoutputs.cli import timing

FOUND, MISSING = contenders.load()
BY_NAME = {peer.name: peer for peer in FOUND}
ASKED, LEFT_OUT = cases.load(cases.CASES)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (name, key)
        for name, recipe in contenders.RECIPES.items()
        for key in cases.CASES
        if key in recipe.does
    ],
)
def test_answers_are_right(name: str, key: str) -> None:
    for absent in (*MISSING, *LEFT_OUT):
        if absent.name in (name, cases.CASES[key].title):
            pytest.skip(absent.reason)
    assert cases.answer(cases.CASES[key], BY_NAME[name])


def test_every_case_is_asked_or_left_out_with_a_reason() -> None:
    assert all(absent.reason for absent in LEFT_OUT)
    titles = {case.title for case in ASKED} | {absent.name for absent in LEFT_OUT}
    assert titles == {case.title for case in cases.CASES.values()}


def test_contenders_claim_known_cases_only() -> None:
    for recipe in contenders.RECIPES.values():
        assert recipe.does <= cases.CASES.keys() and recipe.spelling.keys() <= recipe.does


def test_every_case_is_put_to_ours() -> None:
    for name in (contenders.STEP, contenders.SLOTS):
        assert contenders.RECIPES[name].does == cases.CASES.keys()


def test_units() -> None:
    # 100 turns of ten statements in a millisecond: a microsecond each.
    assert timing.per_statement(1_000_000, loops=100, statements=10) == 1_000
    assert timing.seconds(1_000) == 1e-6
    assert timing.seconds(timing.NS_PER_SECOND) == 1


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (1.5, "1.50 ns"),
        (38.94, "38.9 ns"),
        (412.3, "412 ns"),
        (999.6, "1.00 µs"),
        (7_656, "7.66 µs"),
        (2_500_000, "2.50 ms"),
    ],
)
def test_readable(nanoseconds: float, text: str) -> None:
    assert timing.readable(nanoseconds) == text


def test_loop_runs_the_statement_as_often_as_it_says() -> None:
    calls: list[int] = []
    elapsed = timing.statement_loop("call(1)", {"call": calls.append})(7)
    assert len(calls) == 7 * timing.UNROLL and elapsed > 0
    made: list[int] = []
    timing.drop_loop("make(1)", {"make": made.append})(3)
    assert len(made) == 3 * timing.PILE


def test_empty_loop_is_taken_off() -> None:
    """With clocks that always say the same: the difference remains, per statement."""
    entry = timing.Entry("peer", lambda loops: loops * 50)
    empty = timing.Entry("empty", lambda loops: loops * 20)
    rows, base = timing.take_turns([entry], empty, 3, 1_000, random.Random(0))
    assert rows == {"peer": [3.0, 3.0, 3.0]} and base == 2.0


def test_targets_compare_in_the_right_direction() -> None:
    results = {"make": {"ours": 50.0, "peer": 100.0}}
    at_most = targets.Target("make", "ours", 0.5, "peer")
    faster = targets.Target("make", "ours", 2, "peer", faster=True)
    assert at_most.measured(results) == 0.5 and at_most.met(0.5) and not at_most.met(0.51)
    assert faster.measured(results) == 2 and faster.met(2) and not faster.met(1.99)
    assert targets.Target("make", "ours", 1, "absent").measured(results) is None
    assert all(target.case in cases.CASES for target in targets.TARGETS)
    assert all(
        {target.who, target.peer or target.who} <= contenders.RECIPES.keys()
        for target in targets.TARGETS
    )


def test_run_writes_everything_and_no_trace_of_the_host(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pyperf = pytest.importorskip("pyperf")
    for library in ("rich", "matplotlib"):
        pytest.importorskip(library)
    from bench.run import main

    main(["--quick", "--case", "read", "--case", "bytes", "--output", str(tmp_path)])
    assert "out.logits" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "pyperf.json",
        "ratios.svg",
        "report.html",
        "report.json",
        "report.md",
    ]
    ratios = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    ours = ratios["cases"]["read"][contenders.STEP]
    assert ours["to_in_step"] == 1 and 0 < ours["best"] <= ours["median"]

    suite = pyperf.BenchmarkSuite.load(str(tmp_path / "pyperf.json"))
    raw = suite.get_benchmark(f"read: {contenders.STEP}")
    assert math.isclose(min(raw.get_values()) * 1e9, ours["best"], rel_tol=1e-2, abs_tol=1e-3)
    for name in ("pyperf.json", "report.html", "report.json", "report.md"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert str(Path.home()) not in text and str(tmp_path) not in text
        assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", text)


def test_readme_says_what_the_record_says() -> None:
    """Its table is written by a full run, and by nothing else."""
    for library in ("rich", "pyperf", "markdown_it"):
        pytest.importorskip(library)
    from bench import readme, run

    content = json.loads((run.RESULTS / "report.json").read_text(encoding="utf-8"))
    begin, end = readme.MARKS
    section = run.README.read_text(encoding="utf-8").partition(begin)[2].partition(end)[0]
    assert section.strip() == readme.section(content).strip()


def test_parts_alone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("rich", "pyperf", "matplotlib"):
        pytest.importorskip(library)
    from bench import curves, run

    monkeypatch.setattr(curves, "QUICK", {"fields": (1, 2), "live": (1, 10), "threads": (1, 2)})
    run.main(["--quick", "--part", "curves"])
    printed = capsys.readouterr().out
    assert (
        all(panel.title in printed for panel in curves.PANELS.values()) and "out[0]" not in printed
    )


def test_a_late_install_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for library in ("rich", "pyperf", "matplotlib", "transformers"):
        pytest.importorskip(library)
    from bench import late, run

    monkeypatch.setattr(late, "QUICK", (60_000, 120_000))
    run.main(["--quick", "--part", "late"])
    printed = capsys.readouterr().out
    assert "A late install()" in printed and "no library" in printed
    rows = [
        {"objects": 10, "install_ms": 1, "import_ms": 2},
        {"objects": 110, "install_ms": 3, "import_ms": 2},
    ]
    assert late.slope(rows) == 20


def test_cost_per_field_is_the_slope() -> None:
    for library in ("rich", "pyperf"):
        pytest.importorskip(library)
    from bench import curves

    found = curves.per_field((1, 2, 4), (10.0, 13.0, 19.0))
    assert math.isclose(found["ns"], 3) and math.isclose(found["linear"], 1)


def test_instructions_that_grow_are_named() -> None:
    pytest.importorskip("rich")
    from rich.console import Console

    from bench import instructions

    counted, before = {"a": 104.0, "b": 102.0, "c": 90.0, "new": 1.0}, dict.fromkeys("abc", 100.0)
    assert instructions.show(Console(quiet=True), counted, before) == ["a"]


@pytest.mark.slow
@pytest.mark.needs_torch
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's, of itself
def test_compiled_calls_and_tokens() -> None:
    """Each kind is measured, and decodes the same tokens, or `tokens` raises."""
    import torch

    from bench import compiled

    expected = {"tuple", contenders.ORIGINAL, contenders.STEP, contenders.SLOTS}
    assert compiled.calls(1, random.Random(0)).keys() == expected
    assert compiled.tokens(1, torch.device("cpu"), random.Random(0)).keys() == expected
