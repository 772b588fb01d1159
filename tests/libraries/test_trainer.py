"""Trainer and Seq2SeqTrainer: train, evaluate, predict; what they take out of outputs, and what they make of these."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import tiny
import torch
import transformers
from side_by_side import Same, raised

Rows = list[dict[str, torch.Tensor]]


@pytest.fixture(autouse=True)
def quick_collections(outputs: str) -> Iterator[None]:
    """A Trainer collects garbage as it starts: half a second each time, if not for what was there before."""
    gc.freeze()  # after `outputs`, as installing looks for references where the collector does
    yield
    gc.unfreeze()


def rows(batch: dict[str, torch.Tensor]) -> Rows:
    return [dict(zip(batch, row)) for row in zip(*batch.values())]


def classified() -> Rows:
    return rows(tiny.batch(8))


def language() -> Rows:
    batch = tiny.batch(8)
    return rows({**batch, "labels": batch["input_ids"]})


def captioned() -> Rows:
    """For CLIP: images that have their texts."""
    batch = {name: part for name, part in tiny.batch(8).items() if name != "labels"}
    pixels = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    return [{**row, "pixel_values": image} for row, image in zip(rows(batch), pixels)]


def clip() -> Any:
    part = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    text = {**part, "vocab_size": 32, "max_position_embeddings": 16, "eos_token_id": 31}
    vision = {**part, "image_size": 8, "patch_size": 4}
    torch.manual_seed(0)
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    return transformers.CLIPModel(config)


def trainer(model: Any, data: Rows, folder: Path, sequences: bool = False, **how: Any) -> Any:
    """One that computes metrics of all that it is given; `how` is for it or for its arguments."""
    kind = "Seq2SeqTrain" if sequences else "Train"
    made, arguments = (getattr(transformers, kind + end) for end in ("er", "ingArguments"))
    own = {"data_collator", "compute_loss_func", "preprocess_logits_for_metrics", "compute_metrics"}
    settings = {
        "per_device_train_batch_size": 2,
        "per_device_eval_batch_size": 3,  # so that the last one is smaller
        "num_train_epochs": 1,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": True,
        **{name: value for name, value in how.items() if name not in own},
    }
    return made(
        model=model,
        args=arguments(output_dir=str(folder), **settings),
        train_dataset=data,
        eval_dataset=data,
        **{"compute_metrics": total, **{name: how[name] for name in own & set(how)}},
    )


def total(evaluated: Any) -> dict[str, float]:
    return {"sum": added(evaluated.predictions)}


def added(value: Any) -> float:
    if hasattr(value, "sum"):
        return float(value.sum())
    return sum(map(added, value.values() if isinstance(value, dict) else value))


def timeless(value: Any) -> Any:
    """Without how long it took."""
    if isinstance(value, list):
        return [timeless(part) for part in value]
    return {k: v for k, v in value.items() if not k.endswith(("runtime", "per_second"))}


def run(used: Any, ignore: list[str] | None = None, **more: Any) -> Any:
    """Train, evaluate, predict: what each of them returned, and all outputs of the model."""
    seen: list[Any] = []
    used.model.register_forward_hook(lambda module, args, out: seen.append(out))
    torch.manual_seed(0)
    trained = used.train(ignore_keys_for_eval=ignore)
    evaluated = used.evaluate(ignore_keys=ignore, **more)
    predicted = used.predict(used.eval_dataset, ignore_keys=ignore, **more)
    return (
        (trained.global_step, trained.training_loss, timeless(used.state.log_history)),
        timeless(evaluated),
        (predicted.predictions, predicted.label_ids, timeless(predicted.metrics)),
        tiny.weights(used.model),
        seen,
    )


def smoothed(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
    """A loss of the user's own, from the output as it is when there are no labels in it."""
    assert "loss" not in outputs and outputs[0] is outputs.logits
    return torch.nn.functional.cross_entropy(outputs.logits, labels, label_smoothing=0.2)


CLASSIFIERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "evaluated in between": {"eval_strategy": "steps", "eval_steps": 2},
    "label smoothing": {"label_smoothing_factor": 0.1},
    "own loss": {"compute_loss_func": smoothed},
    "accumulated": {"gradient_accumulation_steps": 2, "max_grad_norm": 0.5},
    "checkpointing": {"gradient_checkpointing": True},
    "bf16": {"bf16": True},
    "batches apart": {"eval_do_concat_batches": False, "compute_metrics": None},
    "metrics by batch": {
        "batch_eval_metrics": True,
        "compute_metrics": lambda evaluated, compute_result: total(evaluated),
    },
    "more for the metrics": {"include_for_metrics": ["inputs", "loss"]},
    "logits chosen": {"preprocess_logits_for_metrics": lambda logits, labels: logits.argmax(-1)},
    "loss only": {"prediction_loss_only": True},
    "gathered late": {"eval_accumulation_steps": 1},
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier(same: Same, name: str, tmp_path: Path) -> None:
    def scenario() -> Any:
        return run(trainer(tiny.bert(), classified(), tmp_path, **CLASSIFIERS[name]))

    same(scenario, outputs=10)


MODELS: dict[str, Callable[..., Any]] = {
    "llama": tiny.llama,
    "gpt2": lambda **config: tiny.model("GPT2LMHeadModel", **config),
    "t5": lambda **config: tiny.model("T5ForConditionalGeneration", dropout_rate=0.0, **config),
    "bart": lambda **config: tiny.model("BartForConditionalGeneration", **config),
}


@pytest.mark.parametrize("model", MODELS)
def test_keys_that_are_ignored(same: Same, model: str, tmp_path: Path) -> None:
    """By the configuration, as the cache is, or by the caller, who then names the cache, too."""

    # An encoder-decoder returns also what its encoder did.
    encoder = ["encoder_last_hidden_state", "encoder_hidden_states"]
    # The trainer looks for just these names, so not for the older one of a cache that has two.
    cache = ["past_key_values", "cache"]
    states = ["hidden_states", "decoder_hidden_states", *encoder]
    named = [*cache, *states]

    def scenario() -> Any:
        results = []
        for ignore in (None, named):
            made = MODELS[model](output_hidden_states=True)
            result = run(trainer(made, language(), tmp_path, use_cache=True), ignore)
            (predictions, _, _), outputs = result[2], result[-1]
            # BART makes no cache where there are labels.
            assert all(("past_key_values" in out) is (model != "bart") for out in outputs)
            fields = (set(outputs[-1]) & {*states, "logits"}) - set(ignore or ())
            found = predictions if isinstance(predictions, tuple) else (predictions,)
            assert len(found) == len(fields)
            results.append(result)
        return results

    same(scenario, outputs=20)


def test_a_cache_that_is_not_ignored(same: Same, tmp_path: Path) -> None:
    """It gets to who joins the batches, and is refused there; predicting only the loss does not meet it."""

    def scenario() -> Any:
        used = trainer(tiny.llama(), language(), tmp_path, use_cache=True)
        seen: list[Any] = []
        used.model.register_forward_hook(lambda module, args, out: seen.append(out))
        refused = raised(lambda: used.predict(used.eval_dataset, ignore_keys=[]))
        used.args.prediction_loss_only = True
        return refused, used.predict(used.eval_dataset, ignore_keys=[]).predictions, seen

    assert "DynamicCache" in repr(same(scenario, outputs=4)[1][0])


def test_no_loss_in_the_output(same: Same, tmp_path: Path) -> None:
    """The message names the keys."""

    def scenario() -> Any:
        data = [{k: v for k, v in row.items() if k != "labels"} for row in classified()]
        used = trainer(tiny.bert(), data, tmp_path, remove_unused_columns=False)
        return raised(used.train), used.predict(data).predictions

    assert "keys: logits" in repr(same(scenario, outputs=0))


def test_outputs_in_an_output(same: Same, tmp_path: Path) -> None:
    """They are detached, gathered, joined and made arrays by making others of their class."""

    def scenario() -> Any:
        def collate(batch: Any) -> Any:
            return {**transformers.default_data_collator(batch), "return_loss": True}

        result = run(trainer(clip(), captioned(), tmp_path, data_collator=collate))
        predicted = result[2][0]
        assert type(predicted[-1]).__name__ == "BaseModelOutputWithPooling"
        assert isinstance(predicted[-1].pooler_output, numpy.ndarray)
        assert len(predicted[-1][0]) == len(captioned())
        return result

    same(scenario, outputs=30)


@pytest.mark.parametrize("model", ["t5", "bart"])
@pytest.mark.parametrize("how", ["greedy", "beams", "labels only"])
def test_sequences(same: Same, model: str, how: str, tmp_path: Path) -> None:
    def scenario() -> Any:
        used = trainer(
            MODELS[model](),
            language(),
            tmp_path,
            sequences=True,
            predict_with_generate=how != "labels only",
            generation_max_length=6,
        )
        used.model.generation_config.return_dict_in_generate = False
        if how == "labels only":
            return run(used)
        return run(used, max_length=6, num_beams=2 if how == "beams" else 1)

    same(scenario, outputs=10)
