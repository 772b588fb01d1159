"""The generation loops of the benchmark measure what they say, and refuse to compare what is not the same."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from containers import ORIGINAL_MAJOR

pytest.importorskip("bench", reason="bench/ is in the repository only")
pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("pyperf")
pytest.importorskip("rich")

import torch
import transformers

import fastoutputs
from bench import loops
from bench.compiled import TUPLE
from bench.contenders import ORIGINAL, SLOTS, STEP
from bench.loops import shares, stages
from bench.loops.kinds import PLAIN, PLAIN_STEP, Switch, switching
from bench.loops.models import CACHE, TOKENS, llama, seeded
from bench.loops.operations import Operation, counted
from bench.loops.work import compiled_loop, own_loop

pytestmark = [
    pytest.mark.needs_torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch's, of itself
]

BEGUN: list[str] = []


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    if ORIGINAL_MAJOR == 4:
        pytest.skip("T5 of transformers 4 takes no encoder's output with return_dict=False")
    return loops.measure(1, quick=True, advance=BEGUN.append)


@pytest.fixture
def switch() -> Iterator[Switch]:
    with torch.inference_mode(), switching() as (function, _):
        yield function


def test_every_kind_of_every_loop_is_measured(results: dict[str, Any]) -> None:
    assert {*BEGUN} == {*stages.STAGES} - {stages.COMPILED} == results["loops"].keys()
    for stage, found in results["loops"].items():
        kinds = found["kinds"]
        if stage in ("bare loop", "decoder compiled"):
            assert kinds.keys() == {TUPLE, ORIGINAL, STEP, SLOTS}
        elif stage.startswith("generate"):
            assert kinds.keys() == {ORIGINAL, STEP}
        else:
            assert kinds.keys() == {ORIGINAL, STEP, PLAIN, PLAIN_STEP}
        assert all(0 < figure["best"] for figure in kinds.values())
        assert [kind for kind in kinds if kinds[kind]["beyond"] is None] == [found["base"]]


def test_results_are_json_and_markdown(results: dict[str, Any]) -> None:
    assert json.loads(json.dumps(results)) == results
    text = loops.markdown(results)
    assert all(f"| {stage}" in text for stage in results["loops"])
    assert ("1 %: met" in text) == results["target"]["met"]


def test_nothing_stays_behind(results: dict[str, Any]) -> None:
    assert not issubclass(transformers.utils.ModelOutput, fastoutputs.ModelOutput)
    original = transformers.modeling_outputs.BaseModelOutput(torch.ones(1))
    assert original[0] is original.to_tuple()[0] and not isinstance(
        original, fastoutputs.ModelOutput
    )
    assert not torch.is_inference_mode_enabled()


def test_what_is_done_with_outputs_is_counted(switch: Switch) -> None:
    switch(ORIGINAL)
    model, base = seeded(llama), transformers.utils.ModelOutput
    inner = transformers.modeling_outputs.BaseModelOutputWithPast
    outer = transformers.modeling_outputs.CausalLMOutputWithPast
    made = {
        Operation("make", inner, ("last_hidden_state", CACHE)): 1,
        Operation("make", outer, ("logits", CACHE)): 1,
    }
    assert counted(own_loop(ORIGINAL, model), base) == made
    as_tuple = {Operation("to_tuple", outer, ("logits", CACHE)): 1}
    assert counted(own_loop(PLAIN, model), base) == made | as_tuple
    switch(STEP)  # the original is not met any more
    assert counted(own_loop(STEP, model), base) == {}


def test_shares_from_given_figures() -> None:
    make, index = Operation("make", dict, ("a",)), Operation("index", dict, ("a",))
    found = {"kinds": {ORIGINAL: {"best": 1000.0}, STEP: {"best": 500.0}, PLAIN: {"best": 800.0}}}
    each = {
        make: {ORIGINAL: 100.0, STEP: 10.0, SLOTS: 5.0},
        index: {ORIGINAL: 50.0, STEP: 1.0, SLOTS: 1.0},
    }
    computed = shares.computed(found, {make: 2, index: 1}, {make: 1}, each)
    assert computed == {
        "outputs": 2,
        "kinds": {
            ORIGINAL: {"spent": 250.0, "share": 0.25},
            STEP: {"spent": 21.0, "share": 0.042},
            SLOTS: {"spent": 11.0, "share": 0.022},  # of the time in step
            PLAIN: {"spent": 100.0, "share": 0.125},
        },
    }
    large = shares.large({"computed": {"kinds": {STEP: {"spent": 1000.0}}}})
    assert [row["share"] for row in large] == [1e-6 * 1000 / ms for ms in shares.STATED_MS]


def test_differences_are_those_within_a_round() -> None:
    """Noise that falls on both of a round goes out."""
    base = [100.0, 200.0, 300.0, 100.0, 100.0]
    found = shares.beyond([value + 5 for value in base], base)
    assert found == {"share": 0.05, "low": 0.05, "high": 0.05}
    found = shares.beyond([90.0, 210.0, 320.0, 101.0, 102.0], base)
    assert found["low"] <= found["share"] == 0.02 <= found["high"]


def test_best_of_each_place_in_a_period() -> None:
    assert shares.best([1.0, 10.0, 3.0, 8.0], 2) == (1 + 8) / 2


@pytest.mark.parametrize(("ours", "met"), [(100.9, True), (101.1, False)])
def test_target_is_held_against_the_cheaper_base(ours: float, met: bool) -> None:
    rows = {STEP: ours, PLAIN: 200.0, PLAIN_STEP: 100.0}
    assert shares.judged({kind: [ns] * TOKENS for kind, ns in rows.items()})["met"] is met


def test_other_tokens_are_an_error(switch: Switch) -> None:
    switch(ORIGINAL)
    model = seeded(llama)
    other = seeded(llama)
    other.lm_head.weight.neg_()
    works = [own_loop(ORIGINAL, model), own_loop(PLAIN, other)]
    with pytest.raises(RuntimeError, match=r"return_dict=False decodes other tokens"):
        stages.works_by_turns(works, 1, switch, random.Random(0))


@pytest.mark.skipif(
    ORIGINAL_MAJOR == 4,
    reason="torch does not compile Llama of transformers 4 with a StaticCache, whatever it returns",
)
def test_compiled_it_decodes_the_same(switch: Switch) -> None:
    model = seeded(llama)
    switch(ORIGINAL)
    expected = own_loop(ORIGINAL, model).tokens()
    for kind in (STEP, PLAIN):
        switch(kind)
        assert compiled_loop(kind, model, backend="eager").tokens() == expected


def test_another_kind_than_it_says_is_an_error(switch: Switch) -> None:
    model = seeded(llama)
    switch(ORIGINAL)
    with pytest.raises(RuntimeError, match="fastoutputs in step gave a"):
        own_loop(STEP, model).tokens()
    switch(STEP)
    with pytest.raises(RuntimeError, match="transformers ModelOutput gave a"):
        own_loop(ORIGINAL, model).tokens()
    with pytest.raises(RuntimeError, match="slots only gave a"):
        own_loop(SLOTS, model).tokens()


def test_installed_before_there_is_nothing_to_measure() -> None:
    with (
        fastoutputs.installed(),
        pytest.raises(RuntimeError, match="no original to measure"),
        switching(),
    ):
        pass
