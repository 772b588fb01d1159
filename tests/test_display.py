"""What people see of an output, in a terminal, a notebook and through rich."""

from __future__ import annotations

import enum
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import pytest

from fastoutputs import ModelOutput
from fastoutputs.display import repr_html, rich_repr, summary


@dataclass
class Out(ModelOutput):
    loss: Any = None
    logits: Any = None
    hidden_states: Any = None


class Array:
    """Has what display looks at, and no library."""

    def __init__(self, *shape: int, dtype: Any = "float32", device: Any = "cpu") -> None:
        self.shape, self.dtype, self.device = shape, dtype, device

    def __repr__(self) -> str:
        raise AssertionError("numbers must not be looked at")


def texts(**values: Any) -> list[str]:
    """The descriptions alone."""
    out = Out()
    for name, value in values.items():
        out[name] = value
    return [line.split(maxsplit=1)[1] for line in summary(out).splitlines()[1:]]


def test_one_line_for_each_present_field():
    out = Out(loss=0.5, hidden_states=(Array(1, 6, 16),) * 3)
    assert summary(out).splitlines() == [
        "Out",
        "  loss           0.5",
        "  hidden_states  tuple of 3 x float32 (1, 6, 16) cpu",
    ]
    assert out.summary() == summary(out)


def test_nothing_returned():
    assert summary(Out()) == "Out (nothing returned)"


def test_extra_keys_come_last():
    out = Out()
    out["target_size"] = 7
    out.loss = 1
    assert summary(out).splitlines()[1:] == ["  loss         1", "  target_size  7"]


class Cache:
    pass


class Colour(enum.IntEnum):
    RED = 1


Pair = namedtuple("Pair", "left right")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Array(), "float32 () cpu"),
        (Array(2, 3, dtype="torch.bfloat16", device="cuda:0"), "bfloat16 (2, 3) cuda:0"),
        (Array(2, device=None), "float32 (2,)"),
        (Array(2, device=lambda: "cpu"), "float32 (2,)"),
        (Cache(), "Cache"),
        (Cache, "class Cache"),
        (True, "True"),
        (Colour.RED, repr(Colour.RED)),
        ("a\nb", "'a\\nb'"),
        (b"x", "b'x'"),
        ((), "empty tuple"),
        ([], "empty list"),
        ([1, 1, 2], "list of 3: 2 x 1, 2"),
        ((1, 2, 3, 4, 5, 6), "tuple of 6: 1, 2, 3, 4, ..."),
        ((Array(1), Array(2), Array(2)), "tuple of 3: float32 (1,) cpu, 2 x float32 (2,) cpu"),
        (((Array(1),) * 2,) * 3, "tuple of 3 x (tuple of 2 x float32 (1,) cpu)"),
        (Pair(1, 1), "Pair of 2 x 1"),
        ({"a": 1, "b": 2}, "dict of 2: 'a', 'b'"),
        (dict.fromkeys(range(9)), "dict of 9: 0, 1, 2, 3, ..."),
        ([Out(loss=1)], "list of 1 x Out(loss)"),
    ],
)
def test_values(value, text):
    assert texts(value=value) == [text]


def test_long_things_are_cut():
    (text,) = texts(value="x" * 10_000_000)
    assert len(text) == 100 and text.endswith("x...")
    (text,) = texts(value=[Array(1)] * 1_000_000)
    assert text == "list of 1000000: 256 x float32 (1,) cpu, ..."
    out = Out()
    out["name" * 100] = 1
    assert len(summary(out)) < 200


def test_nested_outputs_are_indented():
    out = Out(loss=1, logits=Out(logits=Out(), loss=2))
    assert summary(out).splitlines() == [
        "Out",
        "  loss      1",
        "  logits    Out",
        "    loss    2",
        "    logits  Out (nothing returned)",
    ]


def test_output_inside_itself():
    out = Out(loss=1)
    out.logits = out
    out.hidden_states = [out]
    assert summary(out).splitlines() == [
        "Out",
        "  loss           1",
        "  logits         Out ...",
        "  hidden_states  list of 1 x Out(loss, logits, hidden_states)",
    ]
    loop: list[Any] = []
    loop.extend([loop] * 40)
    assert texts(value=loop) == ["list of 40 x (list of 40 x (list of 40 x list ...))"]


class Hostile:
    """Everything that display might touch raises."""

    def __getattribute__(self, name):
        raise RuntimeError(name)

    __repr__ = __str__ = __len__ = __iter__ = __eq__ = __hash__ = __getattribute__


class HostileText(str):
    def __repr__(self):
        raise RuntimeError

    __getitem__ = __str__ = __len__ = __repr__


class HostileList(list):
    def __iter__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("make", "text"),  # made in the test: pytest itself cannot look at such a parameter
    [
        (Hostile, "Hostile"),
        (lambda: [Hostile()] * 2, "list of 2 x Hostile"),
        (lambda: HostileText("x"), "HostileText"),
        (lambda: HostileList([1]), "HostileList"),
        (lambda: Array(Hostile()), "Array"),
        (lambda: Array(1, dtype=Hostile()), "Array"),
        (lambda: Array(1, device=Hostile()), "Array"),
    ],
)
def test_hostile_values_do_not_raise(make, text):
    assert texts(value=make()) == [text]
    assert text in repr_html(Out(logits=make()))  # the container itself looks at a first field


def test_html_is_escaped():
    out = Out(loss="<b>&", logits=Out(loss=(Array(1),)))
    out["<script>"] = 1
    page = repr_html(out)
    assert "<b>" not in page and "<script>" not in page
    assert "&lt;script&gt;" in page and "&#x27;&lt;b&gt;&amp;&#x27;" in page
    assert page.count("<tr>") == page.count("</tr>") == 4
    assert out._repr_html_() == page


def test_rich_repr_has_what_is_present():
    out = Out(logits=2)
    out["extra"] = 3
    assert list(rich_repr(out)) == list(out.__rich_repr__()) == [("logits", 2), ("extra", 3)]


def test_rich_prints_it():
    pretty = pytest.importorskip("rich.pretty")
    assert pretty.pretty_repr(Out(loss=1, hidden_states=(2,))) == "Out(loss=1, hidden_states=(2,))"


def test_numpy():
    numpy = pytest.importorskip("numpy")
    (text,) = texts(value=numpy.zeros((2, 3), "float16"))
    assert text.startswith("float16 (2, 3)")  # numpy 1 has no device


@pytest.mark.needs_torch
def test_torch():
    torch = pytest.importorskip("torch")
    values = {
        "loss": torch.tensor(1.5),
        "logits": torch.zeros(1, 2, dtype=torch.bfloat16, device="meta"),
        "layers": (torch.zeros(1, 2),) * 2,
    }
    assert texts(**values) == [
        "float32 () cpu",
        "bfloat16 (1, 2) meta",
        "tuple of 2 x float32 (1, 2) cpu",
    ]
