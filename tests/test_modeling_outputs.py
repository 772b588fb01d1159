"""Every output class of the three frameworks against the documented facts, and against the original class.

`data/outputs.json` holds what the documentation says of each class: names, order, types, shapes and
when a field is returned. No framework need be there; `frameworks/` has what needs TensorFlow or JAX.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import typing
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from containers import ORIGINAL_MAJOR

import fastoutputs
from fastoutputs import fields, modeling_flax_outputs, modeling_outputs, modeling_tf_outputs
from fastoutputs.models import bert

FACTS = json.loads((Path(__file__).parent / "data" / "outputs.json").read_text())
IDS = [facts["class"] for facts in FACTS]

TORCH = [facts for facts in FACTS if facts["framework"] == "torch"]
MODULES = (modeling_outputs, modeling_tf_outputs, modeling_flax_outputs, bert)


def each(facts: list[dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("facts", facts, ids=[one["class"] for one in facts])


each_class = each([facts for facts in FACTS if facts["fields"]])
each_torch_class = each([facts for facts in TORCH if facts["fields"]])
each_frozen_class = each([facts for facts in FACTS if facts["frozen"]])

# Names that transformers 5 gives to another class than the one documented for 4.57.
ALIASES = {"MoECausalLMOutputWithPast": "MoeCausalLMOutputWithPast"}

# Fields that transformers 4.57 does not have yet; each is the last one. install() leaves these two classes
# the fields they have there.
ADDED_IN_5 = {
    "MoEModelOutput": "router_logits",
    "MoEModelOutputWithPastAndCrossAttentions": "router_logits",
}


ADDED_IN_5_24 = {facts["class"] for facts in FACTS if facts["in_transformers"] == ["5.24.0"]}


def ours(facts: dict[str, Any]) -> Any:
    return getattr(import_module(f"fastoutputs.{facts['module']}"), facts["class"])


def plain_type(text: str) -> str:
    """One spelling for the annotations of both versions, in which one-element tuples mean any length."""
    text = text.replace("FloatTensor", "Tensor").replace("cache_utils.", "")
    text = text.replace("modeling_outputs.", "")
    for item in ("torch.Tensor", "tf.Tensor", "jnp.ndarray", "tuple[jnp.ndarray, ...]"):
        text = text.replace(f"tuple[{item}]", f"tuple[{item}, ...]")
    if text.startswith("Optional["):
        return f"{text[len('Optional[') : -1]} | None"
    # Two Flax fields are documented without it, and have the default None like all.
    return text if text.endswith(" | None") else f"{text} | None"


def test_every_documented_class_and_no_other():
    for module in MODULES:
        name = module.__name__.removeprefix("fastoutputs.")
        documented = {facts["class"] for facts in FACTS if facts["module"] == name}
        classes = {name: cls for name, cls in vars(module).items() if inspect.isclass(cls)}
        public = set(classes) - {"ModelOutput", "FrozenOutput"}
        assert public == set(module.__all__)
        assert {classes[name].__name__ for name in public} == documented
    assert len(FACTS) == len(set(IDS)) == 97
    assert modeling_flax_outputs.FlaxCausalLMOutput is modeling_flax_outputs.FlaxMaskedLMOutput


def value_of(name: str) -> Any:
    """What stands for the value of a field; multimodal outputs hold those of their encoders."""
    encoders = ("image_outputs", "video_outputs", "audio_outputs")
    return modeling_outputs.BaseModelOutputWithPooling(name) if name in encoders else name


def in_tuple(value: Any) -> Any:
    return value if isinstance(value, str) else value.to_tuple()


@each_class
def test_declaration(facts):
    cls = ours(facts)
    assert cls.__name__ == facts["class"] and cls.__module__ == f"fastoutputs.{facts['module']}"
    base = getattr(modeling_outputs, facts.get("base", "ModelOutput"))
    assert cls.__bases__ == (base,) and type(cls) is type
    assert cls.__dataclass_params__.frozen is facts["frozen"]
    declared = dataclasses.fields(cls)
    assert [field.name for field in declared] == [field["name"] for field in facts["fields"]]
    assert all(field.default is None for field in declared)


@each_class
def test_positions_follow_declared_order(facts):
    names = [field["name"] for field in facts["fields"]]
    values = [value_of(field["name"]) for field in facts["fields"]]
    out = ours(facts)(*values)
    assert out.to_tuple() == tuple(map(in_tuple, values)) and list(out) == names
    assert ours(facts)().to_tuple() == ()


@each_class
def test_vocabulary_says_what_the_documentation_says(facts):
    schema = fastoutputs.schema(ours(facts))
    for documented, field in zip(facts["fields"], schema, strict=True):
        assert plain_type(field.type) == plain_type(documented["type"])
        assert (field.shape or "") == documented["shape"]
        assert field.returned_when == documented["returned_when"]
        assert field.meaning


@each_class
def test_class_documentation_lists_every_field(facts):
    text = ours(facts).__doc__
    assert not text.startswith(f"{facts['class']}("), "a sentence, not the signature"
    position = 0
    for field in facts["fields"]:  # in order
        position = text.index(f"\n    {field['name']} (`", position)
        rest = text[position:]
        assert field["shape"] in rest and field["returned_when"] in rest


def test_signature_stays_readable():
    signature = str(inspect.signature(modeling_outputs.CausalLMOutput))
    assert signature.startswith("(loss: ") and "Documented" not in signature
    assert signature.count("torch.Tensor | None") == 2


def test_type_hints_resolve_in_a_class_declared_elsewhere():
    @dataclasses.dataclass
    class Mine(fastoutputs.ModelOutput):
        loss: fields.Loss = None
        past_key_values: fields.PastKeyValues = None

    hints = typing.get_type_hints(Mine)
    assert list(hints) == ["loss", "past_key_values"]
    with_extras = typing.get_type_hints(Mine, include_extras=True)
    assert fields.documentation_of(with_extras["loss"]).shape == "(1,)"
    assert type(None) in typing.get_args(hints["loss"])


@each_torch_class
@pytest.mark.needs_torch
def test_type_hints_name_the_real_types(facts):
    torch = pytest.importorskip("torch")
    cache_utils = pytest.importorskip("transformers.cache_utils")
    names = {
        "torch.Tensor | None": torch.Tensor | None,
        "tuple[torch.Tensor, ...] | None": tuple[torch.Tensor, ...] | None,
        "Cache | None": cache_utils.Cache | None,
        "EncoderDecoderCache | None": cache_utils.EncoderDecoderCache | None,
        "BaseModelOutputWithPooling | None": modeling_outputs.BaseModelOutputWithPooling | None,
    }
    hints = typing.get_type_hints(ours(facts))
    expected = {field["name"]: names[plain_type(field["type"])] for field in facts["fields"]}
    assert hints == expected


@each_torch_class
@pytest.mark.needs_torch
def test_as_the_original_declares(facts):
    transformers = pytest.importorskip("transformers")
    if transformers.__version__ not in facts["in_transformers"]:
        pytest.skip(f"not a class of its own in transformers {transformers.__version__}")
    module = (
        "modeling_outputs" if facts["module"] == "modeling_outputs" else "models.bert.modeling_bert"
    )
    original = getattr(import_module(f"transformers.{module}"), facts["class"])
    cls = ours(facts)
    declared = [(field.name, field.default) for field in dataclasses.fields(cls)]
    if ORIGINAL_MAJOR == 4 and cls.__name__ in ADDED_IN_5:
        assert declared.pop() == (ADDED_IN_5[cls.__name__], None)
    # Ours keeps the documented name of a field that a later release renamed, and answers to both.
    renamed = vars(cls).get("__fastoutputs_aliases__", {})
    theirs = {field.name: field.default for field in dataclasses.fields(original)}
    assert declared == [(renamed.get(name, name), default) for name, default in theirs.items()]
    given = [value_of(name) for name, _ in declared]
    for values in (given, given[:1]):
        a, b = cls(*values), original(*values)
        assert a.to_tuple() == b.to_tuple() and list(a.values()) == list(b.values())
        assert all(a[name] == value and name in a for name, value in b.items())
        assert list(a) == [renamed.get(name, name) for name in b]


@pytest.mark.needs_torch
def test_classes_that_the_original_has_beside_them():
    """None is missing, and every name that is another class there is listed here."""
    transformers = pytest.importorskip("transformers")
    original = import_module("transformers.modeling_outputs")
    theirs = {
        name: cls
        for name, cls in vars(original).items()
        if inspect.isclass(cls) and issubclass(cls, transformers.utils.ModelOutput)
    }
    del theirs["ModelOutput"]
    not_yet = ADDED_IN_5_24 - set(theirs)
    assert not_yet in (set(), ADDED_IN_5_24)
    assert set(theirs) == set(modeling_outputs.__all__) - not_yet
    if ORIGINAL_MAJOR == 5:
        aliases = {name: cls.__name__ for name, cls in theirs.items() if cls.__name__ != name}
        assert aliases == ALIASES


@pytest.mark.parametrize(
    "cls",
    [
        modeling_outputs.MaskedImageModelingOutput,
        modeling_tf_outputs.TFMaskedImageModelingOutput,
    ],
)
def test_masked_image_modeling_keeps_its_old_name(cls):
    out = cls(reconstruction="R")
    with pytest.warns(FutureWarning, match="use reconstruction") as caught:
        assert out.logits == "R"
    assert caught[0].filename == __file__
    assert list(out) == ["reconstruction"] and "logits" not in out
    with pytest.raises(AttributeError):
        out.logits = "L"


@each_frozen_class
def test_frozen_outputs_change_by_key_and_by_replace(facts):
    cls = ours(facts)
    names = [field["name"] for field in facts["fields"]]
    first, last = names[0], names[-1]
    out = cls(**{first: 1, last: 2})
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(out, first, 3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        out.new = 3
    assert dict(out) == {first: 1, last: 2}

    changed = out.replace(**{first: 3})
    assert type(changed) is cls and dict(changed) == {first: 3, last: 2}
    assert dict(out) == {first: 1, last: 2}, "the output itself stays as it is"
    assert dict(out.replace(**{last: None})) == {first: 1}
    assert dict(out.replace()) == dict(out) and out.replace() is not out

    out[last] = 4
    assert getattr(out, last) == out[last] == out[1] == 4 and out.to_tuple() == (1, 4)


def test_replace_takes_fields_only_and_unpacks_nothing():
    cls = modeling_flax_outputs.FlaxBaseModelOutput
    pairs = [("hidden_states", 1)]
    out = cls(last_hidden_state=0).replace(last_hidden_state=pairs)
    assert out.last_hidden_state is pairs and list(out) == ["last_hidden_state"]
    assert out.replace().last_hidden_state is pairs
    with pytest.raises(TypeError, match="no field 'logits', 'self'"):
        out.replace(logits=1, self=2)
    out["extra"] = 1
    assert list(out.replace()) == ["last_hidden_state"]


def test_a_field_without_vocabulary_cannot_be_documented():
    @dataclasses.dataclass
    class Mine(fastoutputs.ModelOutput):
        loss: int = 0

    with pytest.raises(TypeError, match=r"Mine\.loss"):
        fields.document(Mine)
