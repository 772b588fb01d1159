"""Output classes as nodes of torch's trees, in Python and in C++, and of optree's."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from containers import KINDS, Kind
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")
optree = pytest.importorskip("optree")
from torch.utils import _cxx_pytree, _pytree  # noqa: E402

pytestmark = pytest.mark.needs_torch

LIBRARIES = {
    "torch": _pytree,
    "torch in C++": _cxx_pytree,
    "optree": SimpleNamespace(
        tree_flatten=optree.tree_flatten,
        tree_leaves=optree.tree_leaves,
        tree_map=optree.tree_map,
        tree_structure=optree.tree_structure,
        tree_unflatten=lambda leaves, structure: optree.tree_unflatten(structure, leaves),
    ),
}


@pytest.fixture(params=LIBRARIES)
def trees(request: pytest.FixtureRequest) -> Any:
    return LIBRARIES[request.param]


# Who takes apart what: to optree, the original is a leaf.
each_node = pytest.mark.parametrize(
    ("kind", "trees"),
    [
        pytest.param(kind, trees, id=f"{name}-{library}")
        for name, kind in KINDS.items()
        for library, trees in LIBRARIES.items()
        if (name, library) != ("original", "optree")
    ],
)


@each_node
def test_leaves_are_those_of_the_present_items(kind: Kind, trees: Any) -> None:
    out = kind.Out(logits=1, attentions=(2, kind.Single(sequences=[3])))
    leaves, structure = trees.tree_flatten(out)
    assert leaves == [1, 2, 3]
    back = trees.tree_unflatten([5, 6, 7], structure)
    assert type(back) is kind.Out and list(back) == ["logits", "attentions"]
    assert back.attentions == (6, kind.Single([7])) and back.loss is None
    assert trees.tree_structure(back) == structure


def test_an_extra_key_is_a_child(ours: Kind, trees: Any) -> None:
    out = ours.Out(logits=1)
    out["new"] = 4
    leaves, structure = trees.tree_flatten(out)
    assert leaves == [1, 4]
    assert list(trees.tree_unflatten([5, 8], structure).items()) == [("logits", 5), ("new", 8)]


@each_node
def test_map_over_one_and_over_two(kind: Kind, trees: Any) -> None:
    out = kind.Out(logits=1, attentions=(2, 3))
    assert trees.tree_map(lambda leaf: leaf * 2, out).to_tuple() == (2, (4, 6))
    assert trees.tree_map(lambda a, b: a + b, out, out).to_tuple() == (2, (4, 6))


@each_node
@pytest.mark.parametrize("other", [{"loss": 1}, {"logits": 1, "loss": 1}, {}])
def test_other_fields_are_another_structure(kind: Kind, trees: Any, other: dict[str, int]) -> None:
    out, different = kind.Out(logits=1), kind.Out(**other)
    assert trees.tree_structure(out) != trees.tree_structure(different)
    with pytest.raises(ValueError):
        trees.tree_map(lambda a, b: a, out, different)


def test_another_class_is_another_structure(ours: Kind, trees: Any) -> None:
    out, extended = ours.Out(logits=1), ours.Extended(logits=1)
    assert trees.tree_structure(out) != trees.tree_structure(extended)
    with pytest.raises(ValueError):
        trees.tree_map(lambda a, b: a, out, extended)


def test_every_class_is_a_node_at_once(ours: Kind, trees: Any) -> None:
    for out in (ours.Redeclared(router_logits=1), ours.Frozen(logits=1), ours.Required(1)):
        assert trees.tree_leaves(out) == [1]
        assert trees.tree_map(lambda leaf: leaf + 1, out) == type(out)(**{next(iter(out)): 2})


@pytest.mark.parametrize("value", [{"loss": 1}, [("loss", 1)], "text", object()])
def test_putting_together_looks_into_no_value(ours: Kind, trees: Any, value: Any) -> None:
    out = trees.tree_unflatten([value], trees.tree_structure(ours.Out(1)))
    assert out.loss is value and list(out) == ["loss"]


NAMES = st.sampled_from(["loss", "logits", "hidden_states", "attentions", "new", "other"])
LEAVES = st.recursive(st.integers(), lambda inner: st.tuples(inner, inner), max_leaves=4)


@pytest.mark.parametrize("library", LIBRARIES)
@given(items=st.dictionaries(NAMES, LEAVES), slots_only=st.booleans())
def test_there_and_back(library: str, items: dict[str, Any], slots_only: bool) -> None:
    trees = LIBRARIES[library]
    kind = KINDS["slots_only" if slots_only else "in_step"]
    out = kind.Out()
    for name, value in items.items():
        out[name] = value
    leaves, structure = trees.tree_flatten(out)
    back = trees.tree_unflatten(leaves, structure)
    assert type(back) is kind.Out and list(back.items()) == list(out.items())
    assert leaves == trees.tree_leaves(list(out.values()))


def test_paths_are_keys() -> None:
    out = KINDS["in_step"].Out(logits=1, attentions=(2,))
    in_torch = [_pytree.keystr(path) for path, _ in _pytree.tree_flatten_with_path(out)[0]]
    assert in_torch == ["['logits']", "['attentions'][0]"]
    paths, _, _ = optree.tree_flatten_with_path(out)
    assert paths == [("logits",), ("attentions", 0)]


def test_torch_and_a_namespace_may_have_their_own_node() -> None:
    Out = KINDS["in_step"].Single
    optree.register_pytree_node(
        Out,
        lambda out: ((out.sequences,), None),
        lambda _, children: Out(*children),
        namespace="fastoutputs-test",
    )
    try:
        nothing = Out()
        assert optree.tree_leaves(nothing) == []
        assert optree.tree_leaves(nothing, namespace="fastoutputs-test", none_is_leaf=True) == [
            None
        ]
    finally:
        optree.unregister_pytree_node(Out, namespace="fastoutputs-test")


ORDERS = [
    "import fastoutputs, torch, optree",
    "import fastoutputs, optree, torch",
    "import torch, fastoutputs, optree",
    "import torch, optree, fastoutputs",
    "import optree, fastoutputs, torch",
]


@pytest.mark.parametrize("imports", ORDERS)
def test_whichever_is_imported_first(imports: str) -> None:
    program = f"""
from dataclasses import dataclass
{imports}
from fastoutputs.modeling_outputs import CausalLMOutput
import torch.utils._pytree as trees, torch.utils._cxx_pytree as compiled

@dataclass
class Late(fastoutputs.ModelOutput):
    logits: object = None

for cls in (CausalLMOutput, Late):
    for library in (trees, compiled, optree):
        assert library.tree_leaves(cls(logits=(1, 2))) == [1, 2], (cls, library)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
