"""Every TensorFlow and Flax model of BERT, with the original outputs and with compiled ones.

`bert_models.py` runs all cases of a framework twice in a process of its own: as transformers is, and
inside of `fastoutputs.installed()`. `data/bert.json` has what the documentation says each model returns.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bert_models import CAUSAL, HEADS, LABELS

PROGRAM = Path(__file__).with_name("bert_models.py")
DATA = Path(__file__).parents[1] / "data"
PREFIXES = {"tf": "TFBert", "flax": "FlaxBert"}
FACTS = {facts["class"]: facts for facts in json.loads((DATA / "bert.json").read_text())}
FIELDS = {
    facts["class"]: [field["name"] for field in facts["fields"]]
    for facts in json.loads((DATA / "outputs.json").read_text())
}
MODELS = [(framework, head) for framework, causal in CAUSAL.items() for head in [*HEADS, causal]]
# Documented as returning the class without cross attentions; the code of transformers has this one.
IN_FACT = {"FlaxBertModel": "FlaxBaseModelOutputWithPoolingAndCrossAttentions"}
# Fields set by key once the output is made, in another order or to None: an intended difference.
SET_LATER = {("flax", "step by step"), ("tf", "served less")}

each_framework = pytest.mark.parametrize("framework", PREFIXES)
each_model = pytest.mark.parametrize(("framework", "head"), MODELS)


class Program:
    """Cases of one framework, while they run."""

    def __init__(self, framework: str, folder: Path) -> None:
        self._file, self._log = folder / framework, folder / f"{framework}.log"
        command = [sys.executable, str(PROGRAM), framework, str(self._file)]
        with self._log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    @cached_property
    def results(self) -> dict[str, Any]:
        """Of the run "original", and of the run "installed"."""
        assert self.process.wait() == 0, self._log.read_text()[-3000:]
        return pickle.loads(self._file.read_bytes())


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Program]]:
    """Both at the same time."""
    folder = tmp_path_factory.mktemp("results")
    started = {framework: Program(framework, folder) for framework in PREFIXES}
    yield started
    for program in started.values():
        program.process.kill()
        program.process.wait()


@pytest.fixture
def results(framework: str, programs: dict[str, Program]) -> dict[str, Any]:
    return programs[framework].results


def pictures_in(value: Any, kind: str) -> Iterator[tuple[Any, ...]]:
    """Every outermost output, or array, in a picture; see `Run.picture`."""
    if isinstance(value, tuple) and value[:1] == (kind,):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for child in value.values() if isinstance(value, dict) else value:
            yield from pictures_in(child, kind)


def settled(out: tuple[Any, ...]) -> tuple[Any, ...]:
    """The picture of an output as if no field had been set after it was made."""
    _, name, fields, items = out
    present = [(key, value) for key, value in items if value is not None]
    return "output", name, fields, sorted(present, key=lambda item: fields.index(item[0]))


@each_framework
def test_the_original_runs(framework, results):
    """Every case has a result, of finite numbers: nothing else is worth a comparison."""
    original = results["original"]
    cases = original["pictures"]
    assert not {case: shown for case, shown in cases.items() if isinstance(shown, str)}
    for case, shown in cases.items():
        arrays = [np.asarray(array) for *_, array in pictures_in(shown, "array")]
        assert arrays and all(np.isfinite(array).all() for array in arrays), case
    assert len(original["compiled"]) > 10 and not any(original["compiled"].values())


@each_framework
def test_installed_outputs_are_the_same(framework, results):
    original, installed = results["original"], results["installed"]
    assert installed["compiled"] == dict.fromkeys(original["compiled"], True)
    assert list(installed["pictures"]) == list(original["pictures"])
    for case, shown in original["pictures"].items():
        ours = installed["pictures"][case]
        if (framework, case) in SET_LATER:
            assert ours != shown, "no difference, so no exception either"
            theirs = [settled(out) for out in pictures_in(shown, "output")]
            assert list(pictures_in(ours, "output")) == theirs and theirs, case
        else:
            assert ours == shown, case


@each_framework
def test_keys_are_in_declared_order(framework, results):
    outputs = list(pictures_in(results["installed"]["pictures"], "output"))
    assert len(outputs) > 50
    for _, name, fields, items in outputs:
        keys = [key for key, _ in items]
        assert keys == [field for field in fields if field in keys], name
        assert fields == FIELDS.get(name, fields)


@each_model
def test_each_model_returns_what_is_documented(framework, head, results):
    model = PREFIXES[framework] + head
    facts, cases = FACTS[model], results["installed"]["pictures"]

    def keys(case: str) -> set[str]:
        kind, name, fields, items = cases[case]
        assert (kind, name) == ("output", IN_FACT.get(model, facts["returns"]))
        assert set(facts["documented_fields"]) <= set(fields)
        return {key for key, _ in items}

    # Where it is not documented as optional, it still needs labels.
    always = set(facts["documented_fields"]) - set(facts["documented_optional"]) - {"loss"}
    cached = keys(head) & {"past_key_values"}
    assert keys(head) == always | cached
    assert keys(f"{head}, everything") == keys(head) | {"hidden_states", "attentions"}
    if framework == "tf" and head in LABELS:
        assert keys(f"{head}, labels") - cached == always | {"loss"}
    assert cases[f"{head}, tuple"][0] == "tuple"


def test_every_documented_model_is_here():
    documented = {name for name in FACTS if not name.startswith("Bert")}
    assert {PREFIXES[framework] + head for framework, head in MODELS} == documented
    assert len(MODELS) == len(documented) == 18


@each_framework
def test_trained_minilm_gives_the_known_numbers(framework, results):
    trained = results["installed"]["pictures"]["trained"]
    embeddings = np.asarray(trained["embeddings"][-1])
    assert np.allclose(embeddings[0, :3], [-0.018234, -0.03327, 0.111098], atol=1e-5)
    assert np.allclose(embeddings[1:] @ embeddings[0], [0.772, -0.028], atol=1e-3)
