"""What torch makes of modules that take and return outputs: exported, transformed, checkpointed.

Each is done with the original, too, and must come to the same.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable
from dataclasses import make_dataclass
from types import SimpleNamespace
from typing import Any

import containers
import pytest
from containers import ORIGINAL_MAJOR

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.needs_torch,
    # What torch deprecates, but calls itself.
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]

FIELDS = ("loss", "logits", "hidden_states", "cross_attentions")
Kind = Any


def declare(name: str) -> Kind:
    """An output class and one derived from it, by names of their own: torch keeps nodes by name."""
    kind, bases = SimpleNamespace(name=name), (containers.BASES[name],)
    for role, fields in (("Out", FIELDS[:3]), ("Extended", FIELDS[3:])):
        declared = [(field, Any, None) for field in fields]
        where = {"__module__": __name__}
        cls = make_dataclass(f"{role}_{name}", declared, bases=bases, namespace=where)
        cls(None)  # or on 3.15 the tracer makes one that has no room: see docs/how-it-works.md
        bases = (cls,)
        setattr(kind, role, cls)
        setattr(sys.modules[__name__], cls.__name__, cls)
    return kind


pytest.importorskip("transformers")
KINDS = {name: declare(name) for name in containers.BASES}


@pytest.fixture
def kind(kind: containers.Kind) -> Kind:
    return KINDS[kind.name]


@pytest.fixture
def ours(ours: containers.Kind) -> Kind:
    return KINDS[ours.name]


class Returns(torch.nn.Module):
    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind = kind
        self.linear = torch.nn.Linear(3, 3)
        torch.nn.init.ones_(self.linear.weight)
        torch.nn.init.zeros_(self.linear.bias)

    def forward(self, x: Any) -> Any:
        y = self.linear(x)
        return self.kind.Out(logits=y, hidden_states=(x, y.tanh()))


class Takes(torch.nn.Module):
    def __init__(self, kind: Kind) -> None:
        super().__init__()

    def forward(self, out: Any) -> Any:
        return out.logits * 2 + out["hidden_states"][0] + out[-1][0]


class TakesAndReturns(torch.nn.Module):
    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind, self.inner = kind, Returns(kind)

    def forward(self, out: Any) -> Any:
        made = self.inner(out.logits)
        made.loss = made["logits"].sum()
        nested = self.kind.Out(loss=out[0] + 1)
        return self.kind.Extended(**{**made, "hidden_states": None}, cross_attentions=nested)


MODULES = (Returns, Takes, TakesAndReturns)


def argument(kind: Kind, module: type, rows: int = 2) -> Any:
    x = torch.arange(3.0 * rows).reshape(rows, 3)
    return x if module is Returns else kind.Out(logits=x, hidden_states=(x + 1,))


def skip_if_it_cannot(kind: Kind, module: type) -> None:
    if kind.name == "original" and ORIGINAL_MAJOR == 4 and module is not Returns:
        pytest.skip(
            "that of transformers 4 gives torch no flatten_with_keys_fn, to export what takes one"
        )


def plain(value: Any) -> Any:
    """With just the role of an output's class, which is what kinds have in common."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        role = type(value).__name__.partition("_")[0]
        return role, [(key, plain(item)) for key, item in value.items()]
    return [plain(item) for item in value] if isinstance(value, (tuple, list)) else value


def saved_and_loaded(program: Any) -> Any:
    stream = io.BytesIO()
    torch.export.save(program, stream)
    stream.seek(0)
    return torch.export.load(stream)


@pytest.fixture(autouse=True)
def without_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch logs that it knows no class of the example input, in a message that cannot be formatted."""
    monkeypatch.setattr(logging.getLogger("torch._export.serde.serialize"), "disabled", True)


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "not strict"])
@pytest.mark.parametrize("module", MODULES)
def test_exported_saved_loaded_and_run(kind: Kind, module: type, strict: bool) -> None:
    skip_if_it_cannot(kind, module)
    model, given, other = module(kind), argument(kind, module), argument(kind, module)
    program = torch.export.export(model, (given,), strict=strict)
    for made in (program, saved_and_loaded(program)):
        for run in (made.module(), torch.export.unflatten(made)):
            assert plain(run(other)) == plain(model(other))
            assert type(run(other)) is type(model(other))


@pytest.mark.parametrize("module", MODULES)
def test_exported_with_any_number_of_rows(kind: Kind, module: type) -> None:
    skip_if_it_cannot(kind, module)
    any_rows = {0: torch.export.Dim.AUTO}
    shapes = any_rows if module is Returns else [any_rows, (any_rows,)]
    program = torch.export.export(module(kind), (argument(kind, module),), dynamic_shapes=(shapes,))
    given = argument(kind, module, rows=5)
    result = saved_and_loaded(program).module()(given)
    assert plain(result) == plain(module(kind)(given))


def test_an_exported_program_refuses_other_fields(kind: Kind) -> None:
    skip_if_it_cannot(kind, Takes)
    program = torch.export.export(Takes(kind), (argument(kind, Takes),))
    with pytest.raises((ValueError, TypeError)):
        program.module()(kind.Out(logits=torch.ones(2, 3)))


def test_the_serialised_type_name(kind: Kind) -> None:
    program = torch.export.export(Returns(kind), (argument(kind, Returns),))
    dumped = torch.utils._pytree.treespec_dumps(program.call_spec.out_spec)
    assert f'"{kind.Out.__module__}.{kind.Out.__name__}"' in dumped
    assert torch.utils._pytree.treespec_loads(dumped) == program.call_spec.out_spec


def doubled(kind: Kind, x: Any) -> Any:
    return kind.Out(logits=x * 2, loss=x.sum())


def square_sum(out: Any) -> Any:
    return (out.logits**2).sum()


def checkpointed(kind: Kind, x: Any, use_reentrant: bool) -> Any:
    x = x.clone().requires_grad_()
    model = Returns(kind)
    out = torch.utils.checkpoint.checkpoint(model, x, use_reentrant=use_reentrant)
    if out.logits.requires_grad:  # reentrant sees tensors in plain tuples only
        out.hidden_states[1].sum().backward()
    return out, x.grad, model.linear.weight.grad


def in_autocast(kind: Kind, x: Any) -> Any:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = Returns(kind)(x)
    return out.logits.dtype, out.logits.float()


TRANSFORMS: dict[str, Callable[[Kind, Any], Any]] = {
    "vmap out": lambda kind, x: torch.func.vmap(lambda row: doubled(kind, row))(x),
    "vmap in": lambda kind, x: torch.func.vmap(lambda out: out.logits + out[0])(kind.Out(logits=x)),
    "vmap in and out": lambda kind, x: torch.func.vmap(lambda out: type(out)(logits=out[0] * 2))(
        kind.Out(logits=x)
    ),
    "grad": lambda kind, x: torch.func.grad(square_sum)(kind.Out(logits=x)),
    "grad with aux": lambda kind, x: torch.func.grad(
        lambda t: ((t**2).sum(), doubled(kind, t)), has_aux=True
    )(x),
    "vjp": lambda kind, x: torch.func.vjp(lambda t: doubled(kind, t), x)[1](doubled(kind, x)),
    "jacrev": lambda kind, x: torch.func.jacrev(lambda t: doubled(kind, t))(x),
    "jacfwd": lambda kind, x: torch.func.jacfwd(lambda t: doubled(kind, t))(x),
    "functional_call": lambda kind, x: torch.func.functional_call(
        Returns(kind), {"linear.weight": torch.zeros(3, 3)}, (x,)
    ),
    "checkpoint": lambda kind, x: checkpointed(kind, x, use_reentrant=False),
    "reentrant checkpoint": lambda kind, x: checkpointed(kind, x, use_reentrant=True),
    "autocast": in_autocast,
    "symbolic_trace": lambda kind, x: torch.fx.symbolic_trace(Returns(kind))(x),
    "make_fx": lambda kind, x: torch.fx.experimental.proxy_tensor.make_fx(Returns(kind))(x)(x),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transformed(ours: Kind, name: str) -> None:
    transformed, x = TRANSFORMS[name], torch.arange(9.0).reshape(3, 3)
    assert plain(transformed(ours, x)) == plain(transformed(KINDS["original"], x))
