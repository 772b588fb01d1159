"""Figures and tables as text, the same in every form of the report."""

from __future__ import annotations

from fastoutputs.cli.timing import readable

from .cases import CASES
from .contenders import ORIGINAL, SLOTS, STEP

HEADINGS = {  # narrow enough to stand all side by side
    STEP: "in\nstep",
    SLOTS: "slots\nonly",
    ORIGINAL: "trans-\nformers",
    "tensordict tensorclass": "tensor-\nclass",
    "msgspec.Struct": "msgspec\nStruct",
    "msgspec.Struct gc=False": "Struct\nno gc",
    "slots dataclass": "data-\nclass",
    "attrs slots": "attrs\nslots",
    "named tuple": "named\ntuple",
    "SimpleNamespace": "Simple\nN'space",
    "dict subclass": "dict\nsub-\nclass",
    "tuple literal": "tuple\nliteral",
    "py::class_": "py::\nclass_",
}


def cell(case: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f} B" if CASES[case].unit == "byte" else readable(value)


def times(value: float) -> str:
    return f"{value:.0f}×" if value >= 20 else f"{value:.1f}×" if value >= 2 else f"{value:.2f}×"


def ratio(value: float | None, base: float | None) -> str:
    """How many times as much a peer costs: above 1 it is the dearer one."""
    return times(value / base) if value is not None and base else ""


def markdown_table(heading: list[str], rows: list[list[str]], align: str = "---:") -> str:
    lines = [heading, ["---"] + [align] * (len(heading) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
