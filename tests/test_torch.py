"""What torch asks of an output, beside the original: tensors as values, tracing, collating, saving."""

from __future__ import annotations

import copy
import io
import json
import pickle
import sys
import types
import weakref
from typing import Any

import pytest
from containers import KINDS, Kind

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.needs_torch


class Subclass(torch.Tensor):
    """A tensor subclass."""


TENSORS = {
    "tensor": lambda: torch.ones(2, 2),
    "pairs of it": lambda: torch.ones(3, 2),
    "parameter": lambda: torch.nn.Parameter(torch.ones(2)),
    "subclass": lambda: torch.ones(2, 2).as_subclass(Subclass),
    "scalar": lambda: torch.tensor(1.0),
    "empty": lambda: torch.empty(0),
    "numpy": lambda: torch.ones(2, 2).numpy(),
    "proxy": lambda: torch.fx.Proxy(
        torch.fx.Node(torch.fx.Graph(), "x", "placeholder", "x", (), {})
    ),
}


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_as_first_field_is_never_unpacked(kind: Kind, name: str) -> None:
    tensor = TENSORS[name]()
    for out in (kind.Out(tensor), kind.Out(loss=tensor), kind.Single(tensor)):
        assert out[0] is tensor and len(out) == 1


@pytest.mark.parametrize("module, attribute", [("jax", "Array"), ("tensorflow", "Tensor")])
def test_arrays_of_other_libraries(
    ours: Kind, module: str, attribute: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Array:
        def __iter__(self) -> Any:
            yield "loss", 1

    assert ours.Out(Array()).loss == 1
    stand_in = types.ModuleType(module)
    monkeypatch.setitem(sys.modules, module, stand_in)
    assert ours.Out(Array()).loss == 1, "a module without the type, as while it is being imported"
    setattr(stand_in, attribute, Array)
    array = Array()
    assert ours.Out(array).loss is array


class Returns(torch.nn.Module):
    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Any) -> Any:
        return self.kind.Out(loss=x + 1, attentions=x * 2)


class Takes(torch.nn.Module):
    def forward(self, out: Any) -> Any:
        return out["loss"] * 2 + out["logits"]


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::torch.jit.TracerWarning"
)
@pytest.mark.parametrize("name", [name for name in KINDS if name != "slots_only"])
def test_jit_trace_with_outputs_in_and_out(name: str) -> None:
    kind, x = KINDS[name], torch.arange(2.0)
    traced = torch.jit.trace(Returns(kind), x, strict=False)
    made = traced(x + 1)
    assert list(made) == ["loss", "attentions"] and torch.equal(made["loss"], x + 2)

    for out in (kind.Out(x, x), copy.copy(kind.Out(x, x)), kind.Out({"loss": x, "logits": x})):
        traced = torch.jit.trace(Takes(), (out,), strict=False)
        assert torch.equal(traced(kind.Out(x + 1, x)), (x + 1) * 2 + x)
    late = kind.Out(logits=x)
    kind.fill(late, "loss", x + 5)
    assert torch.equal(torch.jit.trace(Takes(), (late,), strict=False)(late), (x + 5) * 2 + x)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", [name for name in KINDS if name != "slots_only"])
def test_jit_fork_and_script(name: str) -> None:
    """What comes back is a plain dict."""
    out, count = KINDS[name].Out(torch.ones(2), attentions=torch.zeros(2)), scripted_count()
    taken = torch.jit.wait(torch.jit.fork(lambda out: out["loss"] + out.attentions, out))
    assert taken.tolist() == [1, 1]
    made = torch.jit.wait(torch.jit.fork(lambda x: KINDS[name].Out(loss=x), torch.ones(2)))
    assert type(made) is dict and made["loss"].tolist() == [1, 1]
    assert count(out) == count(dict(out)) == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_slots_only_output_reaches_a_script_as_a_dict() -> None:
    out, count = KINDS["slots_only"].Out(torch.ones(2), attentions=torch.zeros(2)), scripted_count()
    assert (count(out), count(dict(out))) == (0, 2)


def scripted_count() -> Any:
    def count(out: dict[str, torch.Tensor]) -> int:
        return len(out)

    return torch.jit.script(count)


class Carries(torch.nn.Module):
    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.inner = Returns(kind)

    def forward(self, x: Any) -> Any:
        out = self.inner(x)
        return out.loss + out["attentions"]


def test_symbolic_tracing_through_an_output(kind: Kind) -> None:
    x = torch.arange(2.0)
    assert torch.equal(torch.fx.symbolic_trace(Carries(kind))(x), x * 3 + 1)


def test_a_graph_that_holds_outputs(kind: Kind) -> None:
    """It has a plain dict of what is in the dict storage."""
    out = kind.Out(loss=1, attentions=(2, 3))
    seen = torch.fx.node.map_aggregate(out, lambda leaf: leaf * 2)
    assert dict(seen) == ({} if kind.name == "slots_only" else {"loss": 2, "attentions": (4, 6)})


def test_the_distributed_helpers_find_the_tensors(kind: Kind) -> None:
    from torch.distributed.utils import _apply_to_tensors
    from torch.nn.parallel.distributed import _find_tensors

    out = kind.Out(torch.ones(2), attentions=(torch.zeros(1),))
    assert sorted(len(tensor) for tensor in _find_tensors(out)) == [1, 2]
    doubled = _apply_to_tensors(lambda t: t * 2 + 1, out)
    assert type(doubled) is kind.Out and list(doubled) == ["loss", "attentions"]
    assert doubled.loss.tolist() == [3, 3] and doubled.attentions[0].tolist() == [1]


def test_json_of_scalars() -> None:
    out = KINDS["in_step"].Out(loss=torch.tensor(1.5).item(), logits=torch.ones(2).tolist())
    assert json.loads(json.dumps(out)) == {"loss": 1.5, "logits": [1, 1]}


def test_collating_gives_a_dict(ours: Kind) -> None:
    batch = [ours.Out(torch.ones(2), attentions=torch.zeros(1)) for _ in range(3)]
    collated = torch.utils.data.default_collate(batch)
    assert {k: tuple(v.shape) for k, v in collated.items()} == {
        "loss": (3, 2),
        "attentions": (3, 1),
    }


def test_rebuilding_as_the_libraries_do(kind: Kind) -> None:
    out = kind.Out(torch.ones(2), attentions=(torch.zeros(1),))
    for made in (
        type(out)((k, out[k]) for k in out),  # DataParallel's gather
        type(out)(dict(out.items())),  # accelerate
        type(out)(**out),
    ):
        assert list(made) == ["loss", "attentions"] and made.loss is out.loss


def test_tensors_survive_copy_pickle_and_save(ours: Kind, tmp_path: Any) -> None:
    out = ours.Out(torch.ones(2), attentions=(torch.zeros(1),))
    out["size"] = torch.tensor([3])
    torch.save(out, tmp_path / "out.pt")
    for twin in (
        copy.deepcopy(out),
        pickle.loads(pickle.dumps(out)),
        torch.load(tmp_path / "out.pt", weights_only=False),
    ):
        assert (
            list(twin) == list(out)
            and torch.equal(twin.loss, out.loss)
            and twin.loss is not out.loss
        )
    with torch.serialization.safe_globals([ours.Out]):
        assert torch.equal(torch.load(tmp_path / "out.pt", weights_only=True)["size"], out["size"])
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "out.pt", weights_only=True)


@pytest.mark.skipif("original" not in KINDS, reason="transformers is not installed here")
@pytest.mark.parametrize("how", ["pickle", "torch.save"])
def test_what_the_original_saved_loads(ours: Kind, how: str) -> None:
    class Mapped(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            return super().find_class(module, name.replace("_original", f"_{ours.name}"))

    tensors = torch.arange(6.0).reshape(2, 3), torch.ones(1)
    old = KINDS["original"].Out(tensors[0], attentions=tensors[1:])
    stream = io.BytesIO()
    if how == "pickle":
        new = Mapped(io.BytesIO(pickle.dumps(old))).load()
    else:
        torch.save(old, stream)
        stream.seek(0)
        mapped = types.SimpleNamespace(Unpickler=Mapped, load=pickle.load, __name__="mapped")
        new = torch.load(stream, pickle_module=mapped, weights_only=False)
    assert type(new) is ours.Out and list(new) == list(old) == ["loss", "attentions"]
    assert torch.equal(new.loss, tensors[0]) and torch.equal(new.attentions[0], tensors[1])


@pytest.mark.skipif("original" not in KINDS, reason="transformers is not installed here")
def test_what_a_library_class_pickled_loads() -> None:
    from transformers import modeling_outputs as originals

    from fastoutputs import modeling_outputs as ours

    class Mapped(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            return super().find_class(module.replace("transformers", "fastoutputs"), name)

    old = originals.BaseModelOutputWithPooling(torch.ones(1, 2), hidden_states=(torch.ones(1),))
    new = Mapped(io.BytesIO(pickle.dumps(old))).load()
    assert type(new) is ours.BaseModelOutputWithPooling and list(new) == list(old)
    assert torch.equal(new.last_hidden_state, old.last_hidden_state)


def test_tensors_are_shared_by_copies_and_dropped_with_the_output(ours: Kind) -> None:
    tensor = torch.ones(2)
    died = weakref.ref(tensor)
    out = ours.Out(tensor)
    out["extra"] = tensor
    twin = copy.copy(out)
    assert twin.loss is twin["extra"] is tensor and copy.deepcopy(out).loss is not tensor
    del out, twin, tensor
    assert died() is None


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::torch.jit.TracerWarning"
)
def test_a_slots_only_output_reaches_the_tracer_as_a_dict() -> None:
    x, kind = torch.arange(2.0), KINDS["slots_only"]
    traced = torch.jit.trace(Takes(), (dict(kind.Out(x, x)),), strict=False)
    assert torch.equal(traced(dict(kind.Out(x + 1, x))), (x + 1) * 2 + x)


def test_a_tensor_in_eq_is_as_ambiguous_as_in_a_dataclass(kind: Kind) -> None:
    with pytest.raises(RuntimeError, match="ambiguous"):
        kind.Out(torch.ones(2)) == kind.Out(torch.zeros(2))  # noqa: B015
    if sys.version_info < (3, 13):  # later, what @dataclass generates compares each field by itself
        same = torch.ones(2)
        assert kind.Out(same) == kind.Out(same)
