"""What torch asks of an output, beside the original: tensors as values, tracing, collating, saving."""

from __future__ import annotations

import copy
import pickle
import sys
import types
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


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
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
    late.loss = x + 5
    assert torch.equal(torch.jit.trace(Takes(), (late,), strict=False)(late), (x + 5) * 2 + x)


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


def test_a_tensor_in_eq_is_as_ambiguous_as_in_a_dataclass(kind: Kind) -> None:
    with pytest.raises(RuntimeError, match="ambiguous"):
        kind.Out(torch.ones(2)) == kind.Out(torch.zeros(2))  # noqa: B015
    same = torch.ones(2)
    assert kind.Out(same) == kind.Out(same)
