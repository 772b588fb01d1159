"""Type hints and signatures of classes that users derive from ours: as those of classes derived from the original's.

In another module, in a function, as text, in a module with postponed annotations; by import and by install().
"""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
import types
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from containers import ORIGINAL_MAJOR

import fastoutputs

# Of them all, those whose fields have the same names in every release.
CLASSES = [
    "BaseModelOutput",
    "BaseModelOutputWithPooling",
    "ImageClassifierOutput",
    "Wav2Vec2BaseModelOutput",
]
IN_A_MODULE = """
{future}
from dataclasses import dataclass
from typing import Any, Optional
from {module} import {name} as Base
class Mine: pass
@dataclass
class Sub(Base):
    extra: {quote}Optional[Mine]{quote} = None
    more: {quote}Any{quote} = None
"""
IN_A_FUNCTION = """
{future}
from dataclasses import dataclass
from typing import Any, Optional
from {module} import {name} as Base
class Mine: pass
def declare():
    @dataclass
    class Sub(Base):
        extra: {quote}Optional[Mine]{quote} = None
        more: {quote}Any{quote} = None
    return Sub
Sub = declare()
"""


def declare(source: str, **parts: str) -> Any:
    module = types.ModuleType("declares_sub")
    sys.modules["declares_sub"] = module  # where @dataclass and typing look for it
    exec(source.format(**parts), vars(module))
    return vars(module)["Sub"]


def look(cls: Any) -> dict[str, Any]:
    return {
        "hints": typing.get_type_hints(cls),
        "with extras": typing.get_type_hints(cls, include_extras=True),
        "of __init__": typing.get_type_hints(cls.__init__),
        "signature": str(inspect.signature(cls)),
        "evaluated": str(inspect.signature(cls, eval_str=True)),
        "types": [(field.name, field.type) for field in dataclasses.fields(cls)],
    }


def plain(seen: dict[str, Any]) -> dict[str, Any]:
    """Without what says which of two modules of one name a class comes from."""
    return {what: str(value) for what, value in seen.items()}


@pytest.fixture
def forget_module() -> Iterator[None]:
    yield
    sys.modules.pop("declares_sub", None)


each_form = pytest.mark.parametrize("source", [IN_A_MODULE, IN_A_FUNCTION])
each_future = pytest.mark.parametrize("future", ["", "from __future__ import annotations"])
each_quote = pytest.mark.parametrize("quote", ["", '"'])


@pytest.mark.needs_torch
@pytest.mark.skipif(ORIGINAL_MAJOR < 5, reason="compares with the types of transformers 5")
@pytest.mark.usefixtures("forget_module")
@each_form
@each_future
@each_quote
@pytest.mark.parametrize("name", CLASSES)
def test_as_those_of_the_original(name: str, quote: str, future: str, source: str) -> None:
    parts = {"name": name, "quote": quote, "future": future}
    theirs = look(declare(source, module="transformers.modeling_outputs", **parts))
    assert plain(look(declare(source, module="fastoutputs.modeling_outputs", **parts))) == plain(
        theirs
    )
    fastoutputs.install()
    try:
        installed = declare(source, module="transformers.modeling_outputs", **parts)
        assert issubclass(installed, fastoutputs.ModelOutput)
        assert plain(look(installed)) == plain(theirs)
    finally:
        fastoutputs.uninstall()


@pytest.mark.usefixtures("forget_module")
@each_form
@each_future
@each_quote
@pytest.mark.parametrize("module", ["modeling_outputs", "modeling_tf_outputs"])
def test_they_resolve_wherever_it_stands(module: str, quote: str, future: str, source: str) -> None:
    name = ("TF" if "tf" in module else "") + "Seq2SeqLMOutput"
    parts = {"name": name, "quote": quote, "future": future, "module": f"fastoutputs.{module}"}
    seen = look(declare(source, **parts))
    fields = ["loss", "logits", "past_key_values", "encoder_last_hidden_state", "extra", "more"]
    for what in ("hints", "of __init__"):
        assert set(fields) <= set(seen[what])
    assert type(None) in typing.get_args(seen["of __init__"]["extra"])


LATER = """
import sys, typing, dataclasses
from dataclasses import dataclass
from fastoutputs.modeling_outputs import CausalLMOutput

@dataclass
class Before(CausalLMOutput):
    extra: typing.Any = None

assert "torch" not in sys.modules
assert "torch.Tensor | None" in repr(dataclasses.fields(Before)[0].type)
import torch

@dataclass
class After(CausalLMOutput):
    extra: typing.Any = None

for cls in (CausalLMOutput, Before, After):
    for hints in (typing.get_type_hints(cls), typing.get_type_hints(cls.__init__)):
        assert hints["loss"] == torch.Tensor | None, (cls, hints)
        assert hints["hidden_states"] == tuple[torch.Tensor, ...] | None
    assert dataclasses.fields(cls)[0].type == torch.Tensor | None
assert "transformers" not in sys.modules
print("done")
"""


@pytest.mark.needs_torch
def test_declared_before_torch_is_there() -> None:
    done = subprocess.run([sys.executable, "-c", LATER], capture_output=True, text=True)
    assert done.stdout == "done\n", done.stderr
