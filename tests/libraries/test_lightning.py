"""lightning: outputs as batches, as results of steps, and in its walks over collections."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import lightning
import pytest
import tiny
import torch
import transformers
from lightning.fabric.utilities import apply_func, move_data_to_device
from lightning_utilities.core.apply_func import apply_to_collection, apply_to_collections
from side_by_side import Same


def make() -> Any:
    outputs = transformers.modeling_outputs
    inner = outputs.BaseModelOutput(torch.rand(2, 3), hidden_states=(torch.rand(2),) * 2)
    out = outputs.Seq2SeqLMOutput(logits=torch.rand(2, 3), encoder_hidden_states=(inner, inner))
    return {"pair": (out, inner), "number": 1}


def in_order(data: dict[str, Any]) -> dict[str, Any]:
    """The walk over two goes through a set of keys: the original keeps that order, ours the declared."""

    def again(out: Any) -> Any:
        if not isinstance(out, transformers.utils.ModelOutput):
            return tuple(map(again, out)) if isinstance(out, tuple) else out
        names = [field.name for field in dataclasses.fields(out) if field.name in out]
        return type(out)({name: again(out[name]) for name in names})

    return {"pair": again(data["pair"]), "number": data["number"]}


WALKS = {
    "move": lambda data: move_data_to_device(data, "cpu"),
    "move to meta": lambda data: move_data_to_device(data, "meta"),
    "apply": lambda data: apply_to_collection(data, torch.Tensor, torch.neg),
    "apply to all": lambda data: apply_to_collection(data, (torch.Tensor, int), lambda x: x * 2),
    "drop None": lambda data: apply_to_collection(
        data, torch.Tensor, lambda x: None if x.dim() == 1 else x, include_none=False
    ),
    "two": lambda data: in_order(apply_to_collections(data, data, torch.Tensor, torch.add)),
    "scalars": lambda data: apply_func.convert_tensors_to_scalars(
        apply_to_collection(data, torch.Tensor, torch.sum)
    ),
}


@pytest.mark.parametrize("walk", WALKS)
def test_walks(same: Same, walk: str) -> None:
    def scenario() -> Any:
        data = make()
        result = WALKS[walk](data)
        # What was given is left as it was.
        assert data["pair"][0].encoder_hidden_states[1] is data["pair"][1]
        return result, data

    same(scenario, outputs=4)


def test_a_deep_copy_keeps_what_the_memo_has(same: Same) -> None:
    def scenario() -> Any:
        out = make()["pair"][0]
        kept = copy.deepcopy(out, {id(out.logits): out.logits})
        assert kept.logits is out.logits
        assert kept.encoder_hidden_states[0] is kept.encoder_hidden_states[1]
        assert kept.encoder_hidden_states[0] is not out.encoder_hidden_states[0]
        everything = copy.deepcopy(out, {id(part): part for part in out.values()})
        assert everything is not out and list(map(id, everything.values())) == list(
            map(id, out.values())
        )
        return kept, everything

    same(scenario, outputs=2)


class Rows(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        batch = tiny.batch(rows=2, seed=index)
        cls = transformers.modeling_outputs.BaseModelOutput
        return cls(batch["input_ids"], hidden_states=(batch["attention_mask"], batch["labels"]))


class Module(lightning.LightningModule):
    """Outputs in (as batches) and out."""

    def __init__(self, returned: str) -> None:
        super().__init__()
        self.model = tiny.bert()
        self.returned = returned
        self.moved: list[Any] = []
        self.ended: list[Any] = []

    def run(self, batch: Any) -> Any:
        mask, labels = batch.hidden_states
        return self.model(batch.last_hidden_state, mask, labels=labels, output_hidden_states=True)

    def training_step(self, batch: Any, index: int) -> Any:
        self.moved.append(batch)
        out = self.run(batch)
        self.log("loss", out.loss)
        return out.loss if self.returned == "loss" else out

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.ended.append(outputs)

    def validation_step(self, batch: Any, index: int) -> Any:
        return self.run(batch)

    def on_validation_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.ended.append(outputs)

    def predict_step(self, batch: Any, index: int) -> Any:
        return self.run(batch)

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


@pytest.mark.parametrize("returned", ["loss", "output"])
def test_fit_validate_predict(same: Same, returned: str, tmp_path: Path) -> None:
    def scenario() -> Any:
        trainer = lightning.Trainer(
            accelerator="cpu",
            devices=1,
            max_steps=3,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
            num_sanity_val_steps=0,
        )
        # Left as they are: torch's own conversion refuses the original.
        loader = torch.utils.data.DataLoader(Rows(), batch_size=None, collate_fn=lambda row: row)
        module = Module(returned)
        trainer.fit(module, loader, loader)
        trainer.validate(module, loader, verbose=False)
        predicted = trainer.predict(module, loader)
        metrics = dict(trainer.callback_metrics)
        return module.moved, module.ended, predicted, metrics, tiny.weights(module)

    same(scenario, outputs=11)


def test_fabric(same: Same) -> None:
    def scenario() -> Any:
        fabric = lightning.Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
        bert = tiny.bert()
        model, optimizer = fabric.setup(bert, torch.optim.AdamW(bert.parameters(), lr=1e-2))
        out = model(**tiny.batch(), output_hidden_states=True)  # back in 32 bits
        assert {state.dtype for state in out.hidden_states} == {torch.float32}
        fabric.backward(out.loss)
        optimizer.step()
        gathered = fabric.all_gather(out)
        return out, gathered, fabric.to_device(out), tiny.weights(model)

    same(scenario, outputs=3)
