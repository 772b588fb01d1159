"""peft: adapters on tiny models: train, generate, merge; methods that make or change outputs themselves."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

import peft
import pytest
import tiny
import torch
from side_by_side import Same, raised


def train(model: Any, batch: dict[str, torch.Tensor], steps: int = 2) -> list[Any]:
    """The outputs of each step; weights change."""
    optimizer = torch.optim.AdamW((w for w in model.parameters() if w.requires_grad), lr=1e-2)
    seen = []
    for _ in range(steps):
        out = model(**batch, output_hidden_states=True)
        out.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seen.append(out)
    return seen


def language_batch() -> dict[str, torch.Tensor]:
    batch = tiny.batch()
    return {**batch, "labels": batch["input_ids"]}


def generate(model: Any) -> Any:
    return model.generate(
        input_ids=tiny.batch()["input_ids"][:2],
        max_new_tokens=3,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
        output_hidden_states=True,
    )


def test_lora_on_a_decoder(same: Same) -> None:
    def scenario() -> Any:
        config = peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj", "v_proj"])
        model = peft.get_peft_model(tiny.llama(), config)
        seen = train(model, language_batch())
        generated = generate(model)
        model.eval()
        with model.disable_adapter():
            without = model(**language_batch())
        merged = model.merge_and_unload()
        assert not isinstance(merged, peft.PeftModel)
        return seen, generated, without, merged(**language_batch()), tiny.weights(merged)

    same(scenario, outputs=5)


def test_lora_on_an_encoder(same: Same) -> None:
    def scenario() -> Any:
        config = peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query", "value"])
        model = peft.get_peft_model(tiny.bert(output_attentions=True), config)
        seen = train(model, tiny.batch())
        adapters = peft.get_peft_model_state_dict(model)
        model.eval()
        merged = model.merge_and_unload()
        return seen, adapters, merged(**tiny.batch())

    same(scenario, outputs=3)


CONFIGS = {
    "prompt": lambda task: peft.PromptTuningConfig(task_type=task, num_virtual_tokens=2),
    "p-tuning": lambda task: peft.PromptEncoderConfig(
        task_type=task, num_virtual_tokens=2, encoder_hidden_size=8
    ),
    "prefix": lambda task: peft.PrefixTuningConfig(task_type=task, num_virtual_tokens=2),
    "ia3": lambda task: peft.IA3Config(task_type=task),
    "boft": lambda task: peft.BOFTConfig(
        task_type=task, boft_block_size=4, target_modules=["query", "q_proj"]
    ),
}
TASKS = {
    "CAUSAL_LM": (tiny.llama, language_batch),
    "SEQ_CLS": (tiny.bert, tiny.batch),
    "TOKEN_CLS": (
        lambda: tiny.bert("BertForTokenClassification"),
        lambda: {**tiny.batch(), "labels": tiny.batch()["input_ids"] % 2},
    ),
    # peft itself makes the output of this one, under some of the methods.
    "QUESTION_ANS": (
        lambda: tiny.bert("BertForQuestionAnswering"),
        lambda: {
            **{key: value for key, value in tiny.batch().items() if key != "labels"},
            "start_positions": torch.zeros(4, dtype=torch.long),
            "end_positions": torch.ones(4, dtype=torch.long),
        },
    ),
}


# A prompt makes the sequence longer than its labels, which peft refuses for tokens.
REFUSED = {("prompt", "TOKEN_CLS"), ("p-tuning", "TOKEN_CLS")}
METHODS = [pair for pair in itertools.product(CONFIGS, TASKS) if pair not in REFUSED]


def takes_no_prefix(task: str, model: Any) -> bool:
    """Of an encoder peft asks for a parameter of this name, which since transformers 5.24 is `cache`."""
    return task != "CAUSAL_LM" and not any(
        "past_key_values" in inspect.signature(part.forward).parameters
        for part in (model, model.base_model)
    )


@pytest.mark.parametrize("method, task", METHODS)
def test_other_methods(same: Same, method: str, task: str) -> None:
    make, batch = TASKS[task]
    refused = method == "prefix" and takes_no_prefix(task, make())

    def scenario() -> Any:
        model = peft.get_peft_model(make(), CONFIGS[method](task))
        seen = raised(lambda: train(model, batch()))
        assert isinstance(seen, list) or (refused and "past key values" in seen[-1]), seen
        return seen, tiny.weights(model)

    same(scenario, outputs=0 if refused else 2)


def test_context_tuning_sets_the_loss(same: Same) -> None:
    def scenario() -> Any:
        config = peft.CPTConfig(
            task_type="CAUSAL_LM",
            cpt_token_ids=[2, 3, 4],
            cpt_mask=[1, 1, 1],
            cpt_tokens_type_mask=[1, 2, 4],
        )
        model = peft.get_peft_model(tiny.llama(), config)
        batch = language_batch()
        return train(model, {**batch, "input_type_mask": torch.full_like(batch["input_ids"], 4)})

    same(scenario, outputs=2)


def test_shadow_adds_an_attribute(same: Same) -> None:
    def scenario() -> Any:
        config = peft.ShadowConfig(task_type="CAUSAL_LM", auxiliary_loss_weight=0.5)
        seen = train(peft.get_peft_model(tiny.llama(), config), language_batch())
        assert all("shadow_loss" not in out for out in seen)
        return [(out, out.shadow_loss) for out in seen]

    same(scenario, outputs=2)
