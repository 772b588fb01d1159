"""Whole libraries that pass outputs around: heavy, so only `make libraries` collects this folder."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy
import pytest
import torch
from side_by_side import Same

import fastoutputs

# Before the tests import what reads them: nothing is fetched, and no thread pool outlives a fork.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


def pytest_configure(config: pytest.Config) -> None:
    # What these libraries warn each other about is theirs; the project's own tests treat it as an error.
    config.addinivalue_line("filterwarnings", "ignore")


@pytest.fixture(autouse=True)
def repeatable() -> None:
    """One thread and fixed seeds, so that two runs give the same bits."""
    torch.set_num_threads(1)
    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)


# Of the session, so that all tests with the original come first and one installation serves the rest.
@pytest.fixture(scope="session", params=["original", "installed"])
def outputs(request: pytest.FixtureRequest) -> Iterator[str]:
    both = fastoutputs.installed("transformers", "diffusers")
    with both if request.param == "installed" else nullcontext():
        yield request.param


@pytest.fixture(scope="session")
def pictures() -> dict[str, Any]:
    return {}


@pytest.fixture
def same(request: pytest.FixtureRequest, outputs: str, pictures: dict[str, Any]) -> Same:
    parameters = {k: v for k, v in request.node.callspec.params.items() if k != "outputs"}
    test = f"{request.node.path.name} {request.node.originalname} {parameters}"
    return Same(pictures, test, outputs == "installed")
