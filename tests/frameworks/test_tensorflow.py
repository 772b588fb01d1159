"""What TensorFlow and Keras do with an output: ours and the original, the same throughout."""

from __future__ import annotations

import subprocess
import sys
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from types import ModuleType
from typing import Any

import keras
import numpy as np
import optree
import pytest
import tensorflow as tf
import tf_keras
import transformers.modeling_tf_outputs
from transformers.utils import ModelOutput as Original

import fastoutputs.modeling_tf_outputs
import fastoutputs.models.bert

KINDS = {"ours": fastoutputs.modeling_tf_outputs, "original": transformers.modeling_tf_outputs}
BASES = {"ours": fastoutputs.ModelOutput, "original": Original}
NAMES = fastoutputs.modeling_tf_outputs.__all__


@pytest.fixture(params=KINDS)
def outputs(request: pytest.FixtureRequest) -> ModuleType:
    return KINDS[request.param]


def three(outputs: ModuleType) -> Any:
    """An output whose declared order is not the sorted one, with a field that is absent."""
    return outputs.TFCausalLMOutputWithPast(
        loss=tf.constant(1.0),
        logits=tf.constant([2.0, 3.0]),
        hidden_states=(tf.constant(4.0), tf.constant([5.0])),
    )


def numbers(out: Any) -> dict[str, Any]:
    """The items as plain Python, by name: what has been sorted is put back."""
    return tf.nest.map_structure(lambda leaf: leaf.numpy().tolist(), dict(sorted(out.items())))


THREE = {"loss": 1.0, "logits": [2.0, 3.0], "hidden_states": (4.0, [5.0])}


# --- declarations --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_as_the_original_declares(name):
    ours, original = (getattr(module, name) for module in KINDS.values())
    declared = [(field.name, field.default) for field in fields(ours)]
    assert declared == [(field.name, field.default) for field in fields(original)]
    values = [name for name, _ in declared]
    for given in (values, values[:1]):
        a, b = ours(*given), original(*given)
        assert a.to_tuple() == b.to_tuple() and list(a.items()) == list(b.items())


def test_every_class_of_the_original():
    theirs = vars(transformers.modeling_tf_outputs).items()
    assert set(NAMES) == {name for name, value in theirs if name.startswith("TF")}


def test_bert():
    bert = import_module("transformers.models.bert.modeling_tf_bert")
    original = bert.TFBertForPreTrainingOutput
    ours = fastoutputs.models.bert.TFBertForPreTrainingOutput
    assert [field.name for field in fields(ours)] == [field.name for field in fields(original)]


@pytest.mark.parametrize("name", NAMES)
def test_type_hints_name_the_real_types(name):
    for hint in typing.get_type_hints(getattr(KINDS["ours"], name)).values():
        present = (part for part in typing.get_args(hint) if part is not type(None))
        for part in present:
            assert part is tf.Tensor or typing.get_args(part)[0] is tf.Tensor


# --- what tf.nest needs (1, 2) -------------------------------------------------------------------


def test_raw_storage_is_a_mapping_with_sortable_keys(outputs):
    out = three(outputs)
    assert isinstance(out, Mapping) and sorted(out) == sorted(THREE)
    assert dict.__len__(out) == 3 and list(dict.keys(out)) == list(THREE)
    assert [value is out[key] for key, value in dict.items(out)] == [True] * 3
    with pytest.raises(AttributeError):
        out.no_such_name  # noqa: B018


def test_flatten_is_in_sorted_order(outputs):
    out = three(outputs)
    leaves = tf.nest.flatten(out)
    assert [id(leaf) for leaf in leaves] == [
        id(leaf) for leaf in (*out.hidden_states, out.logits, out.loss)
    ]
    out["attentions"] = (tf.constant(6.0),)
    out["extra"] = tf.constant(7.0)
    assert len(tf.nest.flatten(out)) == 6


def test_pack_and_map(outputs):
    out = three(outputs)
    packed = tf.nest.pack_sequence_as(out, tf.nest.flatten(out))
    assert type(packed) is type(out) and numbers(packed) == THREE
    doubled = tf.nest.map_structure(lambda leaf: leaf * 2, out)
    assert type(doubled) is type(out)
    assert numbers(doubled) == {"loss": 2.0, "logits": [4.0, 6.0], "hidden_states": (8.0, [10.0])}
    tf.nest.assert_same_structure(out, doubled)
    with pytest.raises((ValueError, TypeError)):
        tf.nest.assert_same_structure(out, type(out)(logits=out.logits))


@pytest.mark.parametrize("how", ["empty, then by key", "pairs", "generator", "keywords", "dict"])
def test_ways_to_make_one(outputs, how):
    values = dict(three(outputs))
    cls = outputs.TFCausalLMOutputWithPast
    if how == "empty, then by key":
        out = cls()
        for key, value in values.items():
            out[key] = value
    else:
        out = {
            "pairs": lambda: cls(list(values.items())),
            "generator": lambda: cls((key, value) for key, value in values.items()),
            "keywords": lambda: cls(**values),
            "dict": lambda: cls(values),
        }[how]()
    assert list(out) == list(THREE) and numbers(out) == THREE
    assert out.loss is values["loss"] and out[1] is values["logits"]
    assert list(dict.keys(out)) == list(THREE)


# --- graphs --------------------------------------------------------------------------------------


def test_function_in_and_out(outputs):
    traced = []

    @tf.function
    def step(out: Any) -> Any:
        traced.append((type(out), sorted(out)))
        return type(out)(loss=out.loss + 1, logits=out["logits"] * 2, hidden_states=out[2])

    result = step(three(outputs))
    assert type(result) is outputs.TFCausalLMOutputWithPast
    assert numbers(result) == THREE | {"loss": 2.0, "logits": [4.0, 6.0]}
    assert result.past_key_values is None and result.attentions is None
    step(result)
    step(outputs.TFCausalLMOutputWithPast(**dict(three(outputs))))
    assert len(traced) == 1, "the same structure must not be traced again"
    assert traced[0] == (outputs.TFCausalLMOutputWithPast, sorted(THREE))


def test_function_changes_its_output(outputs):
    @tf.function
    def step(x: Any) -> Any:
        out = outputs.TFBaseModelOutput(last_hidden_state=x)
        out["hidden_states"] = (x + 1,)  # by attribute, transformers 4 would not make it a key
        out["attentions"] = (x + 2,)
        out["last_hidden_state"] = out[0] * 10
        return out

    result = step(tf.constant(1.0))
    expected = {"last_hidden_state": 10.0, "hidden_states": (2.0,), "attentions": (3.0,)}
    assert type(result) is outputs.TFBaseModelOutput and numbers(result) == expected


def test_gradient(outputs):
    x = tf.Variable(3.0)
    with tf.GradientTape() as tape:
        out = tf.function(lambda: outputs.TFBaseModelOutput(last_hidden_state=x * x))()
        loss = out.last_hidden_state
    assert tape.gradient(loss, x).numpy() == 6.0


@pytest.mark.parametrize("graph", [False, True])
def test_cond(outputs, graph):
    def choose(flag: Any, out: Any) -> Any:
        cls = type(out)
        return tf.cond(
            flag,
            lambda: cls(last_hidden_state=out.last_hidden_state + 1, attentions=out.attentions),
            lambda: cls(last_hidden_state=out.last_hidden_state - 1, attentions=out.attentions),
        )

    choose = tf.function(choose) if graph else choose
    out = outputs.TFBaseModelOutput(tf.constant(1.0), attentions=(tf.constant(2.0),))
    for flag, value in ((True, 2.0), (False, 0.0)):
        result = choose(tf.constant(flag), out)
        assert type(result) is outputs.TFBaseModelOutput
        assert numbers(result) == {"last_hidden_state": value, "attentions": (2.0,)}


@pytest.mark.parametrize("graph", [False, True])
def test_while_loop(outputs, graph):
    def loop(out: Any) -> Any:
        def body(i: Any, out: Any) -> Any:
            return i + 1, type(out)(
                last_hidden_state=out.last_hidden_state * 2,
                hidden_states=tuple(state + 1 for state in out.hidden_states),
            )

        return tf.while_loop(lambda i, out: i < 3, body, (tf.constant(0), out))[1]

    loop = tf.function(loop) if graph else loop
    result = loop(outputs.TFBaseModelOutput(tf.constant(1.0), hidden_states=(tf.constant(0.0),)))
    assert type(result) is outputs.TFBaseModelOutput
    assert numbers(result) == {"last_hidden_state": 8.0, "hidden_states": (3.0,)}


def test_map_fn_and_dataset(outputs):
    def make(x: Any) -> Any:
        return outputs.TFBaseModelOutput(last_hidden_state=x * 2)

    spec = outputs.TFBaseModelOutput(last_hidden_state=tf.TensorSpec((), tf.float32))
    mapped = tf.map_fn(make, tf.constant([1.0, 2.0]), fn_output_signature=spec)
    assert type(mapped) is outputs.TFBaseModelOutput
    assert numbers(mapped) == {"last_hidden_state": [2.0, 4.0]}
    items = list(tf.data.Dataset.from_tensor_slices([1.0, 2.0]).map(make))
    assert [numbers(item) for item in items] == [
        {"last_hidden_state": 2.0},
        {"last_hidden_state": 4.0},
    ]
    assert type(items[0]) is outputs.TFBaseModelOutput


def test_saved_model(outputs, tmp_path):
    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
        def serve(self, x: Any) -> Any:
            return outputs.TFBaseModelOutputWithPooling(last_hidden_state=x, pooler_output=x + 1)

    module = Module()
    tf.saved_model.save(module, str(tmp_path), signatures=module.serve)
    served = tf.saved_model.load(str(tmp_path)).signatures["serving_default"](tf.constant([1.0]))
    assert numbers(served) == {"last_hidden_state": [1.0], "pooler_output": [2.0]}


# --- what serving needs (3); with models in test_bert_models.py -----------------------------------


def test_serving_is_changed_only_while_installed():
    from transformers.modeling_tf_utils import TFPreTrainedModel

    original = TFPreTrainedModel.serving_output
    for _ in range(2):
        with fastoutputs.installed():
            changed = TFPreTrainedModel.serving_output
            assert changed is not original and changed.__doc__ == original.__doc__
            fastoutputs.install()
            assert TFPreTrainedModel.serving_output is changed
        assert TFPreTrainedModel.serving_output is original


def test_serving_is_changed_when_it_is_imported():
    program = """if True:
        import fastoutputs
        with fastoutputs.installed():
            from transformers import modeling_tf_utils
            model = modeling_tf_utils.TFPreTrainedModel
            assert model.serving_output.__module__.startswith("fastoutputs.")
        assert model.serving_output.__module__ == "transformers.modeling_tf_utils"
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_slots_only_output_reaches_tensorflow_as_a_dict():
    """By itself it is empty to tf.nest, which fails where it would put one together."""
    cls = KINDS["ours"].TFBaseModelOutput
    with fastoutputs.slots_only():
        out = cls(last_hidden_state=tf.constant(1.0))
        assert tf.nest.flatten(out) == [] and tf.nest.flatten(dict(out)) == [out[0]]
        with pytest.raises(UnboundLocalError):
            tf.function(lambda x: cls(last_hidden_state=x))(tf.constant(1.0))
        made = tf.function(lambda x: dict(cls(last_hidden_state=x)))(tf.constant(1.0))
    assert {name: value.numpy() for name, value in made.items()} == {"last_hidden_state": 1.0}


# --- Keras (5) -----------------------------------------------------------------------------------


class DoubleAndHalf(tf_keras.layers.Layer):
    def __init__(self, output: type) -> None:
        super().__init__()
        self.make = output

    def call(self, x: Any) -> Any:
        return self.make(loss=x * 2, logits=x / 2)


def test_keras_2_functional_model_and_predict(outputs):
    x = tf_keras.Input((2,))
    out = DoubleAndHalf(outputs.TFCausalLMOutput)(x)
    assert type(out) is outputs.TFCausalLMOutput
    model = tf_keras.Model(x, out)
    given = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], "float32")
    expected = {"loss": (given * 2).tolist(), "logits": (given / 2).tolist()}
    assert numbers(model(given)) == expected
    predicted = model.predict(given, batch_size=2, verbose=0)
    assert type(predicted) is outputs.TFCausalLMOutput
    assert {key: value.tolist() for key, value in predicted.items()} == expected


@pytest.mark.parametrize(
    ("kind", "registered"), [("ours", False), ("ours", True), ("original", True)]
)
def test_keras_3_takes_the_original_for_a_leaf_unless_registered(kind, registered):
    """Ours is a node of optree's trees, which Keras 3 walks, and may be registered as well."""

    @dataclass
    class Out(BASES[kind]):
        loss: Any = None
        logits: Any = None

    class Layer(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return Out(loss=x * 2, logits=x / 2)

    out = Out(loss=1, logits=2)
    assert keras.tree.flatten(out) == ([1, 2] if kind == "ours" else [out])
    if registered:
        optree.register_pytree_node(
            Out,
            lambda out: (tuple(out.values()), tuple(out)),
            lambda names, values: Out(**dict(zip(names, values))),
            namespace="keras",
        )
    assert keras.tree.flatten(out) == [1, 2]
    x = keras.Input((2,))
    model = keras.Model(x, Layer()(x))
    given = np.array([[1.0, 2.0], [3.0, 4.0]], "float32")
    for result in (model(given), model.predict(given, verbose=0)):
        assert type(result) is Out
        assert np.asarray(result.loss).tolist() == (given * 2).tolist()
        assert np.asarray(result["logits"]).tolist() == (given / 2).tolist()


@pytest.mark.parametrize("library", [keras, tf_keras])
def test_a_slots_only_output_leaves_no_keras_model(library):
    """Where it is to be put together again, by tf.nest. What a model calls may make one, as above."""
    cls = KINDS["ours"].TFBaseModelOutput

    class Layer(library.layers.Layer):
        def call(self, x: Any) -> Any:
            return cls(last_hidden_state=x * 2)

    x, given = library.Input((2,)), np.ones((1, 2), "float32")
    with fastoutputs.slots_only(), pytest.raises(UnboundLocalError, match="packed"):
        library.Model(x, Layer()(x)).predict(given, verbose=0)
