"""The pytest plugin of tools/peer.py: what became of each test, with its subtests, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

tests: dict[str, dict[str, Any]] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--peer-report", type=Path, required=True)


@pytest.fixture(autouse=True)
def repeatable() -> None:
    """The same weights and inputs in both runs."""
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.set_seed(0)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.passed and report.when != "call":
        return
    found = tests.setdefault(report.nodeid, {"passed": 0, "skipped": 0, "failed": 0, "why": ""})
    found[report.outcome] += 1
    if report.failed and not found["why"]:
        crash = getattr(report.longrepr, "reprcrash", None)
        found["why"] = (crash.message if crash else str(report.longrepr)).partition("\n")[0]


def pytest_sessionfinish(session: pytest.Session) -> None:
    from transformers.utils import ModelOutput

    ours = sys.modules.get("fastoutputs")
    compiled = ours is not None and issubclass(ModelOutput, ours.ModelOutput)
    what = {"compiled": compiled, "tests": tests}
    session.config.getoption("--peer-report").write_text(json.dumps(what, indent=1))
