"""Importing loads no other library: counted in modules, as seconds would depend on the machine."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "torch transformers numpy jax tensorflow keras flax optree pandas rich IPython pybind11".split()
)


def loaded_by(code: str) -> set[str]:
    """The names of all modules after running code in an interpreter of its own."""
    code = f"{code}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import fastoutputs",
        "import fastoutputs.modeling_outputs",
        "import fastoutputs.modeling_tf_outputs, fastoutputs.modeling_flax_outputs",
        "import fastoutputs.models.bert",
        "from fastoutputs import modeling_flax_outputs as m; m.FlaxBaseModelOutput(1).replace()",
        "import fastoutputs.modeling_outputs as m; m.CausalLMOutput(logits=1).summary()",
        "import fastoutputs.modeling_outputs as m; help(m.CausalLMOutput)",
        "from fastoutputs import modeling_outputs as m, schema; repr(schema(m.CausalLMOutput))",
        "import fastoutputs.fields, inspect; inspect.getmembers(fastoutputs.fields, callable)",
    ],
)
def test_no_heavy_library(code):
    # What the interpreter starts with, by .pth files for example, is not ours.
    assert not (loaded_by(code) - loaded_by("")) & set(HEAVY)


def test_only_the_standard_library_and_what_is_asked_for():
    new = loaded_by("import fastoutputs.modeling_outputs") - loaded_by("import dataclasses, typing")
    foreign = {name for name in new if name.partition(".")[0] not in sys.stdlib_module_names}
    own = {name for name in foreign if name.partition(".")[0] == "fastoutputs"}
    assert own == {
        "fastoutputs",
        "fastoutputs._core",
        "fastoutputs.fields",
        "fastoutputs.integrations",
        "fastoutputs.aliases",
        "fastoutputs.integrations.imports",
        "fastoutputs.model_output",
        "fastoutputs.modeling_outputs",
        "fastoutputs.schema",
        "fastoutputs.twins",
    }
    assert {name for name in foreign - own if not name.startswith("pybind11_")} == set()
    usual = loaded_by(
        "from __future__ import annotations\n"
        "import contextlib, dataclasses, gc, importlib.machinery, threading, warnings, weakref\n"
        "@dataclasses.dataclass\n"
        "class Any: field: int\n"
    )
    assert new - foreign <= usual


def test_completion_offers_the_public_names_and_imports_nothing():
    code = (
        "import sys, fastoutputs, fastoutputs.models\n"
        "before, names = set(sys.modules), dir(fastoutputs)\n"
        "assert set(fastoutputs.__all__) < set(names) and 'install' in names, names\n"
        "assert {'fields', 'modeling_flax_outputs', 'modeling_outputs', 'modeling_tf_outputs', 'models',\n"
        "        'pytree', '__version__'} == set(names) - set(fastoutputs.__all__), names\n"
        "assert dir(fastoutputs.models) == ['bert'] and set(sys.modules) == before\n"
        "assert all(getattr(fastoutputs, name) is getattr(fastoutputs, name) for name in names)\n"
        "assert dir(fastoutputs) == names\n"
        "try: fastoutputs.no_such\n"
        "except AttributeError as error: assert 'no_such' in str(error)"
    )
    assert "fastoutputs.modeling_outputs" in loaded_by(code)


@pytest.mark.parametrize(
    "name",
    [
        "modeling_outputs.BaseModelOutput",
        "modeling_tf_outputs.TFBaseModelOutput",
        "modeling_flax_outputs.FlaxBaseModelOutput",
        "models.bert.BertForPreTrainingOutput",
        "pytree.tree_node",
        "fields.Documented",
    ],
)
def test_submodules_are_there_at_once(name):
    loaded_by(f"import fastoutputs; fastoutputs.{name}")


def test_resolving_types_without_the_libraries():
    """Where a framework is not there, its types resolve to Any."""
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'tensorflow', 'jax'): sys.modules[name] = None\n"
        "import typing, fastoutputs.modeling_outputs as m\n"
        "hints = typing.get_type_hints(m.Seq2SeqLMOutput)\n"
        "assert hints['loss'] == hints['past_key_values'] == typing.Optional[typing.Any], hints\n"
        "assert hints['cross_attentions'] == tuple[typing.Any, ...] | None, hints\n"
        "import fastoutputs.modeling_tf_outputs as m, fastoutputs.modeling_flax_outputs as f\n"
        "hints = typing.get_type_hints(m.TFSeq2SeqLMOutput)\n"
        "assert hints['past_key_values'] == list[typing.Any] | None, hints\n"
        "hints = typing.get_type_hints(f.FlaxBaseModelOutputWithPast)\n"
        "assert hints['past_key_values'] == dict[str, typing.Any] | None, hints\n"
        "assert hints['hidden_states'] == tuple[typing.Any, ...] | None, hints"
    )
    loaded_by(code)
