"""diffusers: a compiled base for its output classes, whose rules are not quite those of transformers."""

from __future__ import annotations

from ...model_output import ModelOutput
from ..library import Generation, Library

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
    generations=(
        Generation.of(
            {
                "__init_subclass__": "ba1a51cc8931",
                "__post_init__": "a470c576e032",
                "__delitem__": "b8d3ea9e747b",
                "setdefault": "74fcbd3f58f3",
                "pop": "f0f13e15ba64",
                "update": "07749b6676e4",
                "__getitem__": "02f0b3ef8818",
                "__setattr__": "f13d15dc903a",
                "__setitem__": "b55c120ce09d",
                "__reduce__": "a9cd791c6f6e",
                "to_tuple": "9ca2d6a6bfd6",
            }
        ),
    ),
)
