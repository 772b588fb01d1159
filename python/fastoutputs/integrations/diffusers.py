"""diffusers: a compiled base for its output classes, whose rules are not quite those of transformers."""

from __future__ import annotations

from ..model_output import ModelOutput
from .library import Library

__all__ = ["LIBRARY", "BaseOutput"]


class BaseOutput(ModelOutput):
    """As diffusers' BaseOutput: a first field is unpacked only if it is a dict, never a list of pairs.

    A class derived from it may go without @dataclass: it has the keys that it is given then. Unlike
    there, and as in transformers, a field that was None has its key once its attribute is set.
    """

    # Read by the container, along the bases.
    __fastoutputs_unpacks_pairs__ = False
    __fastoutputs_needs_dataclass__ = False


LIBRARY = Library(
    name="diffusers",
    home="diffusers.utils.outputs",
    base="BaseOutput",
    compiled=BaseOutput,
    tested=((0, 42),),
)
