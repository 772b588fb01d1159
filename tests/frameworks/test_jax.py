"""What JAX and Flax do with an output: ours and the original, the same throughout."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from importlib import import_module
from types import ModuleType
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import transformers.modeling_flax_outputs
from flax import serialization
from jax import tree_util
from transformers.utils import ModelOutput as Original

import fastoutputs.modeling_flax_outputs
import fastoutputs.models.bert
from fastoutputs.pytree import tree_node

KINDS = {"ours": fastoutputs.modeling_flax_outputs, "original": transformers.modeling_flax_outputs}
NAMES = fastoutputs.modeling_flax_outputs.__all__


@pytest.fixture(params=[*KINDS, "slots only"])
def outputs(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    if request.param in KINDS:
        yield KINDS[request.param]
    else:
        with fastoutputs.slots_only():
            yield KINDS["ours"]


def two(outputs: ModuleType) -> Any:
    return outputs.FlaxCausalLMOutputWithCrossAttentions(
        logits=jnp.array([1.0, 2.0]), attentions=(jnp.array(3.0), jnp.array([4.0]))
    )


def numbers(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: np.asarray(leaf).tolist(), dict(tree))


TWO = {"logits": [1.0, 2.0], "attentions": (3.0, [4.0])}


# --- declarations --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_as_the_original_declares(name):
    ours, original = (getattr(module, name) for module in KINDS.values())
    assert ours.__name__ == original.__name__
    declared = [(field.name, field.default) for field in fields(ours)]
    assert declared == [(field.name, field.default) for field in fields(original)]
    values = list(range(len(declared)))
    for given in (values, values[:1]):
        a, b = ours(*given), original(*given)
        assert a.to_tuple() == b.to_tuple() and list(a.items()) == list(b.items())
        leaves, structure = tree_util.tree_flatten(a)
        assert leaves == tree_util.tree_leaves(b)
        back = tree_util.tree_unflatten(structure, leaves)
        assert type(back) is ours and list(back.items()) == list(b.items())


def test_every_class_of_the_original():
    theirs = vars(transformers.modeling_flax_outputs)
    assert set(NAMES) == {name for name in theirs if name.startswith("Flax")}


def test_bert():
    bert = import_module("transformers.models.bert.modeling_flax_bert")
    original = bert.FlaxBertForPreTrainingOutput
    ours = fastoutputs.models.bert.FlaxBertForPreTrainingOutput
    assert [field.name for field in fields(ours)] == [field.name for field in fields(original)]
    leaves, structure = tree_util.tree_flatten(ours(1, 2, None, 4))
    assert leaves == [1, 2, 4] and tree_util.tree_unflatten(structure, leaves) == ours(
        1, 2, None, 4
    )


@pytest.mark.parametrize("name", NAMES)
def test_type_hints_name_the_real_types(name):
    for hint in typing.get_type_hints(getattr(KINDS["ours"], name)).values():
        assert "jax.Array" in str(hint) and type(None) in typing.get_args(hint)


# --- trees (6, 7) --------------------------------------------------------------------------------


def test_children_are_all_fields_in_declared_order(outputs):
    out = two(outputs)
    leaves, structure = tree_util.tree_flatten(out)
    assert [id(leaf) for leaf in leaves] == [id(leaf) for leaf in (out.logits, *out.attentions)]
    children = structure.children()
    assert len(children) == 5 and [child.num_leaves for child in children] == [1, 0, 0, 2, 0]
    paths = [jax.tree_util.keystr(path) for path, _ in tree_util.tree_flatten_with_path(out)[0]]
    assert paths == [".logits", ".attentions[0]", ".attentions[1]"]
    out["hidden_states"] = (jnp.zeros(1),)
    assert structure != tree_util.tree_structure(out), "another field is another structure"
    with_none = tree_util.tree_leaves(two(outputs), is_leaf=lambda leaf: leaf is None)
    assert len(with_none) == 6


def test_unflatten_takes_anything(outputs):
    _, structure = tree_util.tree_flatten(two(outputs))
    leaves = [object(), object(), jax.ShapeDtypeStruct((1,), jnp.float32)]
    out = tree_util.tree_unflatten(structure, leaves)
    assert type(out) is outputs.FlaxCausalLMOutputWithCrossAttentions
    assert out.logits is leaves[0] and out["attentions"] == tuple(leaves[1:])


def test_unflatten_looks_into_nothing():
    """The original unpacks a mapping or pairs in the only field that is there."""
    cls = KINDS["ours"].FlaxBaseModelOutput
    structure = tree_util.tree_structure(cls(last_hidden_state=0))
    for value in ({"attentions": 1}, [("attentions", 1)], iter([("attentions", 1)])):
        out = tree_util.tree_unflatten(structure, [value])
        assert out.last_hidden_state is value and out.attentions is None
    looked_at = jax.tree.map(lambda leaf: [("attentions", leaf)], cls(last_hidden_state=0))
    assert looked_at.last_hidden_state == [("attentions", 0)] and len(looked_at) == 1


def test_map_with_several_trees(outputs):
    out = two(outputs)
    total = jax.tree.map(jnp.add, out, out)
    assert type(total) is type(out)
    assert numbers(total) == {"logits": [2.0, 4.0], "attentions": (6.0, [8.0])}
    assert jax.tree.structure(total) == jax.tree.structure(out)
    with pytest.raises(ValueError):
        jax.tree.map(jnp.add, out, type(out)(logits=out.logits))


def test_jit_in_and_out(outputs):
    traced = []

    @jax.jit
    def step(out: Any) -> Any:
        traced.append(type(out))
        return out.replace(logits=out["logits"] * 2, attentions=None, hidden_states=out[1])

    result = step(two(outputs))
    assert type(result) is outputs.FlaxCausalLMOutputWithCrossAttentions
    assert list(result) == ["logits", "hidden_states"] and result.attentions is None
    assert numbers(result) == {"logits": [2.0, 4.0], "hidden_states": (3.0, [4.0])}
    step(two(outputs))
    assert traced == [type(result)], "the same structure must not be traced again"


def test_grad(outputs):
    def loss(out: Any) -> Any:
        return (out.logits**2).sum() + out.attentions[0] * 5

    gradient = jax.grad(loss)(two(outputs))
    assert type(gradient) is outputs.FlaxCausalLMOutputWithCrossAttentions
    assert numbers(gradient) == {"logits": [2.0, 4.0], "attentions": (5.0, [0.0])}
    value, _ = jax.value_and_grad(loss)(two(outputs))
    assert float(value) == 20.0


def test_vmap_and_its_axes(outputs):
    cls = outputs.FlaxBaseModelOutput
    out = cls(last_hidden_state=jnp.arange(6.0).reshape(2, 3), attentions=(jnp.arange(2.0),))
    result = jax.vmap(lambda one: one.replace(last_hidden_state=one[0].sum()))(out)
    assert type(result) is cls
    assert numbers(result) == {"last_hidden_state": [3.0, 12.0], "attentions": ([0.0, 1.0],)}
    axes = cls(last_hidden_state=1, attentions=(None,))  # sentinels pass through here, too
    result = jax.vmap(lambda one: one[0] + one.attentions[0].sum(), in_axes=(axes,))(out)
    assert result.tolist() == [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]


def test_scan_cond_and_eval_shape(outputs):
    cls = outputs.FlaxBaseModelOutput
    start = cls(last_hidden_state=jnp.array(1.0))

    def body(carry: Any, _: Any) -> Any:
        return carry.replace(last_hidden_state=carry[0] * 2), carry

    last, history = jax.lax.scan(body, start, None, length=3)
    assert type(last) is cls and numbers(last) == {"last_hidden_state": 8.0}
    assert type(history) is cls and numbers(history) == {"last_hidden_state": [1.0, 2.0, 4.0]}
    chosen = jax.lax.cond(True, lambda: start, lambda: last)
    assert type(chosen) is cls and numbers(chosen) == {"last_hidden_state": 1.0}
    shapes = jax.eval_shape(lambda out: out, start)
    assert type(shapes) is cls and shapes["last_hidden_state"].shape == ()


# --- frozen, replace, serialisation (7) ----------------------------------------------------------


def test_frozen_but_for_keys(outputs):
    out = two(outputs)
    with pytest.raises(dataclasses.FrozenInstanceError):
        out.logits = None
    with pytest.raises(dataclasses.FrozenInstanceError):
        out.new = 1
    out["past_key_values"] = {"cached": 1}
    assert out["past_key_values"] == {"cached": 1} and "past_key_values" in out


def test_replace(outputs):
    out = two(outputs)
    changed = out.replace(logits=0, attentions=None, hidden_states=())
    assert type(changed) is type(out)
    assert list(changed.items()) == [("logits", 0), ("hidden_states", ())]
    assert numbers(out) == TWO
    with pytest.raises(TypeError):
        out.replace(no_such_field=1)


def test_serialisation(outputs):
    out = two(outputs)
    state = serialization.to_state_dict(out)
    assert type(state) is dict and list(state) == [field.name for field in fields(out)]
    assert state["logits"] is out.logits and state["past_key_values"] is None
    assert sorted(state["attentions"]) == ["0", "1"]
    blank = jax.tree.map(jnp.zeros_like, out)
    for back in (
        serialization.from_state_dict(blank, state),
        serialization.from_bytes(blank, serialization.to_bytes(out)),
    ):
        assert type(back) is type(out) and numbers(back) == TWO and list(back) == list(TWO)
    assert numbers(blank) == {"logits": [0.0, 0.0], "attentions": (0.0, [0.0])}
    assert state == serialization.to_state_dict(out), "the state given is left as it was"
    for wrong in (state | {"more": 1}, {"logits": state["logits"]}):
        with pytest.raises(ValueError, match=r"[Ff]ield"):
            serialization.from_state_dict(blank, wrong)


def test_bytes_are_those_of_the_original():
    ours, original = (serialization.to_bytes(two(module)) for module in KINDS.values())
    assert ours == original
    assert numbers(serialization.from_bytes(two(KINDS["ours"]), original)) == TWO


# --- classes of one's own ------------------------------------------------------------------------


@tree_node
@dataclass(frozen=True)
class Ours(fastoutputs.ModelOutput):
    logits: Any = None
    name: str = field(default="n", metadata={"pytree_node": False})
    loss: Any = None


@flax.struct.dataclass
class Theirs(Original):
    logits: Any = None
    name: str = flax.struct.field(default=None, pytree_node=False)
    loss: Any = None


@pytest.mark.parametrize("cls", [Ours, Theirs])
def test_a_field_that_is_part_of_the_structure(cls):
    out = cls(jnp.array(1.0), "a", jnp.array(2.0))
    leaves, structure = jax.tree.flatten(out)
    assert [float(leaf) for leaf in leaves] == [1.0, 2.0]
    back = jax.tree.unflatten(structure, [3, 4])
    assert type(back) is cls and back.to_tuple() == (3, "a", 4)
    assert structure != jax.tree.structure(cls(jnp.array(1.0), "b", jnp.array(2.0)))
    assert list(serialization.to_state_dict(out)) == ["logits", "loss"]


@flax.struct.dataclass
class Decorated(fastoutputs.ModelOutput):
    logits: Any = None
    loss: Any = None


def test_flax_may_decorate_ours():
    out = Decorated(loss=jnp.array(2.0))
    doubled = jax.jit(lambda out: jax.tree.map(lambda leaf: leaf * 2, out))(out)
    assert type(doubled) is Decorated and numbers(doubled) == {"loss": 4.0}
    assert numbers(out.replace(logits=1)) == {"logits": 1, "loss": 2.0}
    assert numbers(serialization.from_bytes(out, serialization.to_bytes(doubled))) == {"loss": 4.0}


def test_another_decorated_class_is_needed_for_a_derived_one():
    @dataclass(frozen=True)
    class Derived(Ours):
        more: Any = None

    assert jax.tree.leaves(Derived(logits=1)) == [Derived(logits=1)], "one leaf: not registered"
    tree_node(Derived)
    assert jax.tree.leaves(Derived(logits=1, more=2)) == [1, 2]


@pytest.mark.parametrize("base", [fastoutputs.ModelOutput, Original])
def test_a_class_that_is_not_decorated_is_a_leaf_which_jit_refuses(base):
    @dataclass
    class Plain(base):
        logits: Any = None

    out = Plain(logits=jnp.array(1.0))
    assert jax.tree.leaves(out) == [out]
    with pytest.raises(TypeError, match="Plain"):
        jax.jit(lambda out: out.logits)(out)
    with pytest.raises(TypeError, match="Plain"):
        jax.jit(Plain)(1.0)


@pytest.mark.parametrize("base", [fastoutputs.ModelOutput, Original])
def test_a_class_that_its_user_registers(base):
    """As guides on PyTorch models in JAX tell users to do, which is why no class is registered unasked."""

    @dataclass
    class Registered(base):
        logits: Any = None
        attentions: Any = None

    tree_util.register_pytree_node(
        Registered, lambda out: (out.to_tuple(), None), lambda _, values: Registered(*values)
    )
    out = jax.jit(lambda out: Registered(out[0] * 2, out[1]))(Registered(jnp.array(1.0), (1, 2)))
    assert type(out) is Registered and out.logits == 2 and list(out) == ["logits", "attentions"]


def test_only_dataclasses_are_decorated():
    class Bare(fastoutputs.ModelOutput):
        pass

    with pytest.raises(TypeError, match="not a dataclass: put @dataclass below @tree_node"):
        tree_node(Bare)


@pytest.mark.parametrize(
    "imports",
    [
        "import jax, flax, fastoutputs.modeling_flax_outputs as m",
        "import fastoutputs.modeling_flax_outputs as m; import flax, jax",
        "import jax, fastoutputs.modeling_flax_outputs as m; import flax",
        "from fastoutputs import modeling_flax_outputs as m; from flax import serialization",
    ],
)
def test_registered_whenever_the_library_is_imported(imports):
    code = (
        f"{imports}\n"
        "import jax, flax.serialization\n"
        "out = m.FlaxBaseModelOutput(1, attentions=2)\n"
        "assert jax.tree.leaves(out) == [1, 2], jax.tree.leaves(out)\n"
        "state = flax.serialization.to_state_dict(out)\n"
        "assert state == {'last_hidden_state': 1, 'hidden_states': None, 'attentions': 2}, state"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
