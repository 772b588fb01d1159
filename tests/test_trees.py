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


# --- install() beside what is registered, or queued to be -----------------------------------------

BEFORE = """
from dataclasses import dataclass
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import ModelOutput

@dataclass
class Mine(ModelOutput):
    logits: object = None

before = Mine(logits=1), BaseModelOutput(1)
"""
# Whatever came first, a class of the moment and one of before are nodes, each of its own.
NODES = """
import optree
import torch.utils._cxx_pytree as compiled, torch.utils._pytree as trees

for out in (*before, *after()):
    for library in (trees, compiled):
        leaves, structure = library.tree_flatten(out)
        assert leaves == [1] and type(library.tree_map(str, out)) is type(out), (library, type(out))
        assert library.tree_structure(library.tree_map(str, out)) == structure
    if isinstance(out, fastoutputs.ModelOutput):
        assert type(optree.tree_map(str, out)) is type(out)
for out in after():
    saved = trees.treespec_dumps(trees.tree_structure(out))
    assert type(trees.tree_unflatten([1], trees.treespec_loads(saved))) is type(out)
"""
AFTER = """
import fastoutputs
after = lambda: (Mine(logits=1), BaseModelOutput(1))
"""
INSTALLS = {
    "early": ("fastoutputs.install()\n" + BEFORE, True),
    "late": (BEFORE + "fastoutputs.install()", True),
    "twice": (BEFORE + "fastoutputs.install(); fastoutputs.install()", True),
    "and back": (BEFORE + "fastoutputs.install(); fastoutputs.uninstall()", False),
    "again": (BEFORE + "with fastoutputs.installed(): pass\nfastoutputs.install()", True),
    "early and back": ("fastoutputs.install()\n" + BEFORE + "fastoutputs.uninstall()", None),
}
# Each has torch register what is queued for its trees in C++.
FLUSHES = {
    "trees": "import torch.utils._cxx_pytree",
    "model": "from transformers import BertModel",
    "compile": "import torch; torch.compile(lambda x: BaseModelOutput(x)[0], backend='eager')(torch.ones(1))",
    "distributed": "import torch.distributed.tensor",
    "tensordict": "import tensordict",
}


def registers(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif("original" not in KINDS, reason="transformers is not installed here")
@pytest.mark.parametrize(
    ("flush", "order"),
    [
        *(pytest.param(flush, "late", marks=pytest.mark.slow) for flush in FLUSHES),
        *(("trees", order) for order in INSTALLS),
    ],
)
def test_install_beside_queued_registrations(flush: str, order: str) -> None:
    if flush == "tensordict":
        pytest.importorskip("tensordict")
    code, compiled = INSTALLS[order]
    check = (
        ""
        if compiled is None
        else f"assert isinstance(BaseModelOutput(), fastoutputs.ModelOutput) is {compiled}"
    )
    registers(f"import fastoutputs\n{code}\n{check}\n{AFTER}\n{FLUSHES[flush]}\n{NODES}")


@pytest.mark.skipif("original" not in KINDS, reason="transformers is not installed here")
@pytest.mark.parametrize("order", ["and back", "again"])
def test_install_beside_registrations_that_are_made(order: str) -> None:
    registers(
        f"import fastoutputs, torch.utils._cxx_pytree\n{INSTALLS[order][0]}\n{AFTER}\n{NODES}"
    )


@pytest.mark.skipif("original" not in KINDS, reason="transformers is not installed here")
def test_a_registration_by_hand_with_jax_holds_for_the_class_of_the_moment() -> None:
    pytest.importorskip("jax")
    registers(
        """
import fastoutputs, jax
from transformers import modeling_outputs as theirs

def flatten(out):
    return [out.logits], None

def unflatten(_, leaves):
    return theirs.CausalLMOutput(logits=leaves[0])

jax.tree_util.register_pytree_node(theirs.CausalLMOutput, flatten, unflatten)

def check():
    out = theirs.CausalLMOutput(logits=1, attentions=2)
    assert jax.tree.leaves(out) == [1]
    again = jax.tree.map(lambda leaf: leaf + 1, out)
    assert type(again) is theirs.CausalLMOutput and list(again.items()) == [("logits", 2)]

for _ in range(2):
    check()
    with fastoutputs.installed():
        assert issubclass(theirs.CausalLMOutput, fastoutputs.ModelOutput)
        check()
    assert not issubclass(theirs.CausalLMOutput, fastoutputs.ModelOutput)
check()
"""
    )


@pytest.mark.skipif("original" not in KINDS, reason="transformers is not installed here")
def test_registrations_by_hand_hold_for_the_class_of_the_moment() -> None:
    import copyreg
    import pickle

    import torch
    from torch.fx import _pytree as fx_trees
    from transformers import modeling_outputs as theirs

    import fastoutputs
    import fastoutputs.modeling_outputs  # so that two classes become one

    def flatten(out: Any) -> Any:
        return [out.logits], None, None

    old = theirs.CausalLMOutput
    optree.register_pytree_node(
        old, flatten, lambda _, leaves: theirs.CausalLMOutput(logits=leaves[0]), namespace="by-hand"
    )
    fx_trees.register_pytree_flatten_spec(old, lambda out, spec: ["by hand"])
    copyreg.pickle(old, lambda out: (theirs.CausalLMOutput, (None, "by hand")))
    try:
        torch.serialization.add_safe_globals([theirs.MaskedLMOutput])

        def check() -> None:
            out = theirs.CausalLMOutput(logits=1, attentions=2)
            assert optree.tree_leaves(out, namespace="by-hand") == [1]
            assert type(optree.tree_map(str, out, namespace="by-hand")) is theirs.CausalLMOutput
            spec = _pytree.tree_structure(out)
            assert fx_trees.tree_flatten_spec(out, spec) == ["by hand"]
            assert pickle.loads(pickle.dumps(out)).logits == "by hand"
            assert theirs.MaskedLMOutput in torch.serialization.get_safe_globals()
            assert len(torch.serialization.get_safe_globals()) == count

        count = len(torch.serialization.get_safe_globals())
        for _ in range(2):
            check()
            with fastoutputs.installed():
                assert theirs.CausalLMOutput is not old
                check()
            assert theirs.CausalLMOutput is old
        with fastoutputs.installed():
            torch.serialization.add_safe_globals([theirs.TokenClassifierOutput])
            count += 1
            check()
        assert theirs.TokenClassifierOutput in torch.serialization.get_safe_globals()
        check()
    finally:
        torch.serialization.clear_safe_globals()
        optree.unregister_pytree_node(old, namespace="by-hand")
        fx_trees._deregister_pytree_flatten_spec(old)
        del copyreg.dispatch_table[old]
