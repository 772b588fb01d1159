"""Classes that a pickler writes by value, as cloudpickle and dill write those of a notebook or of a function.

A class is the same whether it was used or not: to the last byte, or a cache that is keyed by it (that of datasets, say) is lost.
"""

from __future__ import annotations

import collections
import dataclasses
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import dill
import pytest
from by_value import PROTOCOLS, declare, dumps, look
from containers import KINDS, OURS

from fastoutputs import ModelOutput, _core

pytestmark = pytest.mark.skipif(not dumps, reason="no pickler by value knows this Python yet")


def in_another_process(data: bytes, tmp_path: Path) -> Any:
    """What `look` sees of each class there, whether it is as fast as here, and what a function makes."""
    (tmp_path / "classes").write_bytes(data)
    program = """if True:
        import pathlib, pickle, sys
        sys.path.insert(0, sys.argv[1])
        from by_value import ModelOutput, dumps, look
        from fastoutputs import _core
        there = pathlib.Path(sys.argv[2])
        classes, make = pickle.loads(there.read_bytes())
        ours = {name: cls for name, cls in classes.items() if issubclass(cls, ModelOutput)}
        compiled = {name: _core.layout(cls).compiled_init for name, cls in ours.items()}
        seen = {name: look(cls) for name, cls in classes.items()}
        for dump in dumps.values():
            dump(ours)
        there.write_bytes(pickle.dumps((seen, compiled, make().a)))
        """
    done = subprocess.run(
        [sys.executable, "-c", program, str(Path(__file__).parent), str(tmp_path / "classes")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return pickle.loads((tmp_path / "classes").read_bytes())


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("pickler", dumps)
@pytest.mark.parametrize("name", OURS)
def test_a_used_class_is_written_as_an_unused_one(name: str, pickler: str, protocol: int) -> None:
    for label, cls in declare(KINDS[name].base).items():
        assert cls.__doc__  # from 3.15 on, @dataclass writes it when it is first read
        before = vars(cls).copy()
        unused = dumps[pickler](cls, protocol=protocol)
        look(cls)
        assert dict(vars(cls)) != before or label in ("Checked", "Slotted"), "it was used"
        assert dumps[pickler](cls, protocol=protocol) == unused, label


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("pickler", dumps)
@pytest.mark.parametrize("name", KINDS)
def test_a_used_class_in_another_process(
    name: str, pickler: str, protocol: int, tmp_path: Path
) -> None:
    if (name, pickler) == ("original", "dill"):
        pytest.skip(
            "dill takes a class with a metaclass, which the original has, for one of a module"
        )
    classes = declare(KINDS[name].base)
    expected = {label: look(cls) for label, cls in classes.items()}

    def make() -> Any:
        return classes["Sub"](a=1)

    data = dumps[pickler]((classes, make), protocol=protocol)
    seen, compiled, made = in_another_process(data, tmp_path)
    assert seen == expected and made == 1
    if name != "original":
        here = {label: _core.layout(cls).compiled_init for label, cls in classes.items()}
        assert compiled == here and compiled["Plain"]


@pytest.mark.parametrize("pickler", dumps)
@pytest.mark.parametrize("name", OURS)
def test_outputs_take_their_class_along(name: str, pickler: str) -> None:
    for cls in declare(KINDS[name].base).values():
        out = cls(a=3)
        twin = pickle.loads(dumps[pickler](out))
        assert list(twin.items()) == list(out.items()) and twin.a == out.a


def test_a_pickler_that_nobody_knows(
    ours: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that asks the class itself for its dict finds descriptors, and copyreg says what they stand for."""
    known = cloudpickle.cloudpickle._extract_class_dict
    monkeypatch.setattr(cloudpickle.cloudpickle, "_extract_class_dict", known.__wrapped__)
    classes = declare(ours.base)
    # Its descriptors have setters, and cloudpickle has a rule of its own for those.
    del classes["Frozen"], classes["Stores"]
    expected = {label: look(cls) for label, cls in classes.items()}
    data = cloudpickle.dumps((classes, lambda: classes["Sub"](a=1)))
    seen, compiled, _ = in_another_process(data, tmp_path)
    assert seen == expected and compiled["Plain"] and compiled["Defaults"]


def test_descriptors_are_written_as_defaults(ours: Any) -> None:
    """As the original has defaults there. Those of others are written as ever."""
    for value in (ours.Out.loss, ours.Frozen.logits):
        assert pickle.loads(pickle.dumps(value)) is None
    ours.Required(1)
    assert pickle.loads(pickle.dumps(ours.Required.logits)) is dataclasses.MISSING
    for other in (property.fget, slice.start):
        assert pickle.loads(pickle.dumps(other)) is other


@pytest.mark.parametrize("pickler", dumps)
def test_where_fastoutputs_is_missing(pickler: str, tmp_path: Path) -> None:
    cls = declare(ModelOutput)["Plain"]
    (tmp_path / "class").write_bytes(dumps[pickler](cls))
    program = """if True:
        import pathlib, pickle, sys
        sys.modules["fastoutputs"] = None
        pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
        """
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "class"], capture_output=True, text=True
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ModuleNotFoundError") and "fastoutputs" in last


@pytest.mark.parametrize("pickler", dumps)
def test_nothing_internal_is_written(pickler: str) -> None:
    """So that another version of fastoutputs reads it: of ours, a pickle names only ModelOutput."""
    for cls in declare(ModelOutput).values():
        look(cls)
        data = dumps[pickler](cls, protocol=2)
        assert b"fastoutputs\nModelOutput" in data
        assert data.count(b"cfastoutputs") == data.count(b"cfastoutputs\nModelOutput")
        assert b"fastoutputs._core" not in data and b"fastoutputs.integrations" not in data


def test_picklers_that_were_imported_first_are_known() -> None:
    for module in (cloudpickle.cloudpickle, dill._dill):
        names = {"_extract_class_dict", "_get_typedict_type"} & set(vars(module))
        assert names and all(hasattr(getattr(module, name), "__wrapped__") for name in names)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("pickler", dumps)
@pytest.mark.parametrize("view", ["keys", "values", "items"])
@pytest.mark.parametrize("name", KINDS)
def test_a_view_becomes_that_of_an_ordered_dict(
    name: str, view: str, pickler: str, protocol: int
) -> None:
    def of(mapping: Any) -> Any:
        return getattr(mapping, view)()

    out = KINDS[name].Out(logits=[1], attentions=2)
    found = pickle.loads(dumps[pickler](of(out), protocol=protocol))
    expected = of(collections.OrderedDict(out))
    assert type(found) is type(expected) and list(found) == list(expected)
    again = pickle.loads(dumps[pickler]([of(out)] * 2, protocol=protocol))
    assert again[0] is again[1]
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(of(out))
