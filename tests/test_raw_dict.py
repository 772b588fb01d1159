"""Readers of the inherited dict storage never see an empty, partial or stale output.

In step, they see exactly the present items in order; slots only, nothing, or everything once there is
an extra key.
"""

from __future__ import annotations

import copy
import importlib.util
import itertools
import json
import pickle
import shlex
import shutil
import subprocess
import sysconfig
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from containers import KINDS, Kind
from hypothesis import given
from hypothesis import strategies as st

from fastoutputs import slots_only

NAMES = ["loss", "logits", "hidden_states", "attentions"]


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The C extension beside this file, compiled for the running Python."""
    source = Path(__file__).parent / "raw_dict_reader" / "raw_dict_reader.c"
    built = (
        tmp_path_factory.mktemp("reader")
        / f"raw_dict_reader{sysconfig.get_config_var('EXT_SUFFIX')}"
    )
    linker = shlex.split(sysconfig.get_config_var("LDSHARED") or "")
    if not linker or not shutil.which(linker[0]):
        pytest.skip("the C compiler that this Python was built with is not here")
    command = [
        *linker,
        "-fPIC",
        f"-I{sysconfig.get_path('include')}",
        str(source),
        "-o",
        str(built),
    ]
    subprocess.run(command, check=True)
    spec = importlib.util.spec_from_file_location("raw_dict_reader", built)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def assert_in_step(out: Any, reader: ModuleType | None = None) -> None:
    items = list(out.items())
    assert list(dict.items(out)) == items
    assert list(dict.keys(out)) == list(dict.__iter__(out)) == [k for k, _ in items]
    assert list(dict.values(out)) == [v for _, v in items]
    assert list(dict.__reversed__(out)) == [k for k, _ in reversed(items)]
    assert dict.__len__(out) == len(items) and dict.copy(out) == dict(items)
    assert dict.__eq__(out, dict(items)) is True and dict.__ne__(out, dict(items)) is False
    for key, value in items:
        assert dict.__contains__(out, key)
        assert dict.__getitem__(out, key) is dict.get(out, key) is value
    assert dict.__repr__(out) == repr(dict(items))
    if reader:
        assert reader.walk(out) == items and reader.size(out) == len(items)
        assert reader.keys(out) == [k for k, _ in items] and reader.copy(out) == dict(items)
        assert all(reader.get(out, k) is v for k, v in items)


def assert_whole_or_empty(out: Any, reader: ModuleType | None = None) -> None:
    if dict.__len__(out) == 0:
        assert reader is None or (reader.walk(out) == [] and reader.size(out) == 0)
    else:
        assert_in_step(out, reader)


def check(kind: Kind, out: Any, reader: ModuleType | None = None) -> None:
    (assert_in_step if kind.name == "in_step" else assert_whole_or_empty)(out, reader)


@pytest.mark.parametrize("order", list(itertools.permutations(NAMES)))
@pytest.mark.parametrize("by_key", [True, False])
def test_fields_set_in_every_order(
    ours: Kind, order: tuple, by_key: bool, reader: ModuleType
) -> None:
    out = ours.Out()
    for value, name in enumerate((*order, *reversed(order))):
        out.__setitem__(name, value) if by_key else setattr(out, name, value)
        check(ours, out, reader)
    for name in order:
        out.__setitem__(name, None) if by_key else setattr(out, name, None)
        check(ours, out, reader)
    assert dict.__len__(out) == 0


REBUILDS = {
    "mapping": lambda cls, out: cls(dict(out)),
    "pairs": lambda cls, out: cls(list(out.items())),
    "generator": lambda cls, out: cls((k, out[k]) for k in out),
    "keywords": lambda cls, out: cls(**{k: v for k, v in out.items() if k != "extra"}),
    "positions": lambda cls, out: cls(out.loss, out.logits, out.hidden_states, out.attentions),
    "another output": lambda cls, out: cls(out),
    "replace": lambda cls, out: replace(out, attentions=(1,)),
    "item by item": lambda cls, out: [
        made := cls(),
        [made.__setitem__(k, out[k]) for k in reversed(out)],
    ][0],
    "copy": lambda cls, out: copy.copy(out),
    "own copy": lambda cls, out: out.copy(),
    "deepcopy": lambda cls, out: copy.deepcopy(out),
    "pickle": lambda cls, out: pickle.loads(pickle.dumps(out)),
    "merge": lambda cls, out: out | {"loss": 9},
    "fromkeys": lambda cls, out: cls.fromkeys(out, 0),
}


@pytest.mark.parametrize("how", REBUILDS)
@pytest.mark.parametrize("extra", [True, False])
def test_rebuilt(ours: Kind, how: str, extra: bool, reader: ModuleType) -> None:
    out = ours.Out(logits=1, attentions=2)
    if extra:
        out["extra"] = 3
    made = REBUILDS[how](ours.Out, out)
    assert type(made) is ours.Out and len(made) >= 2
    check(ours, made, reader)
    made.loss = 4
    check(ours, made, reader)


def test_json(ours: Kind) -> None:
    out = ours.Out(loss=1.5, logits=[1, 2])
    whole = '{"loss": 1.5, "logits": [1, 2]}'
    assert json.dumps(out) == (whole if ours.name == "in_step" else "{}")
    assert json.dumps(dict(out)) == whole
    out["size"] = 3
    assert json.loads(json.dumps(out)) == {"loss": 1.5, "logits": [1, 2], "size": 3}


@pytest.mark.parametrize("encoder", ["msgspec.json.encode", "orjson.dumps"])
def test_encoders_in_other_languages(encoder: str) -> None:
    module, _, function = encoder.rpartition(".")
    encode = getattr(pytest.importorskip(module), function)
    out = KINDS["in_step"].Out(logits=[1, 2])
    out.loss = 1.5
    assert encode(out) == encode({"loss": 1.5, "logits": [1, 2]})


def test_every_class_of_construction_is_in_step(reader: ModuleType) -> None:
    kind = KINDS["in_step"]
    for out in (
        kind.Out(1, attentions=2),
        kind.Required(1),
        kind.Redeclared(1, router_logits=2),
        kind.Frozen(1, 2),
        kind.base({"a": 1}),
        kind.Single((1, 2)),
        kind.Out(),
    ):
        assert_in_step(out, reader)
    frozen = kind.Frozen(1, 2)
    object.__setattr__(frozen, "logits", None)
    frozen["attentions"] = 5
    assert_in_step(frozen, reader)


def test_the_block_is_for_what_it_makes(reader: ModuleType) -> None:
    cls = KINDS["in_step"].Out
    before = cls(1)
    with slots_only():
        inside = cls(1, attentions=2)
        before.logits = 3
        with slots_only(False):
            assert_in_step(cls(1), reader)
    assert reader.size(inside) == 0 and inside.to_tuple() == (1, 2)
    inside.logits = 4
    assert reader.size(inside) == 0, "slots only for life"
    assert_in_step(before, reader)
    assert_in_step(cls(1), reader)
    with pytest.raises(KeyError), slots_only():
        raise KeyError
    assert_in_step(cls(1), reader)


OPERATIONS = {
    "attribute": lambda kind, out, name, value: setattr(out, name, value),
    "key": lambda kind, out, name, value: out.__setitem__(name, value),
    "vars": lambda kind, out, name, value: vars(out).__setitem__(name, value),
    "all vars": lambda kind, out, name, value: setattr(out, "__dict__", {name: value}),
    "state": lambda kind, out, name, value: out.__setstate__({name: value}),
    "base init": lambda kind, out, name, value: kind.base.__init__(out, {name: value}),
    "init": lambda kind, out, name, value: out.__init__(1, attentions=value),
    "on a walk": lambda kind, out, name, value: [setattr(out, n, value) for n in out if n in NAMES],
    "copy": lambda kind, out, name, value: copy.copy(out),
    "deepcopy": lambda kind, out, name, value: copy.deepcopy(out),
    "pickle": lambda kind, out, name, value: pickle.loads(pickle.dumps(out)),
    "replace": lambda kind, out, name, value: replace(out, logits=value),
    "merge": lambda kind, out, name, value: out | {name: value},
    "rebuild": lambda kind, out, name, value: kind.Out(dict(out)),
}
steps = st.lists(
    st.tuples(
        st.sampled_from(sorted(OPERATIONS)),
        st.sampled_from([*NAMES, "extra", "more"]),
        st.none() | st.integers(0, 3),
        st.booleans(),
    ),
    max_size=12,
)


@given(steps=steps, mode=st.sampled_from(["in_step", "slots_only"]), blocks=st.booleans())
def test_after_any_sequence_of_writes(
    reader: ModuleType, steps: list, mode: str, blocks: bool
) -> None:
    kind = KINDS[mode]
    out = kind.Out()
    for operation, name, value, in_block in steps:
        with slots_only(blocks and in_block):
            made = OPERATIONS[operation](kind, out, name, value)
        out = made if isinstance(made, kind.Out) else out
        # In step is promised to what was made outside of every block.
        (assert_whole_or_empty if blocks or mode == "slots_only" else assert_in_step)(out, reader)
