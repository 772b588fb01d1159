"""The containers that the behaviour tests run over: ours in both modes, and the original if it is there.

Every kind has the same output classes, declared in the same words, at module level so that they pickle.
"""

from __future__ import annotations

import sys
import sysconfig
from dataclasses import dataclass
from typing import Any

from fastoutputs import ModelOutput

try:
    from transformers import __version__ as _version
    from transformers.utils import ModelOutput as Original
except ImportError:  # the torch-free environments of older and newer Pythons
    Original, _version = None, "0"

# Which original is there: 4 or 5, and 0 if none is.
ORIGINAL_MAJOR = int(_version.partition(".")[0])


class SlotsOnly(ModelOutput, mirror_dict=False):
    """The base for classes without dict storage."""


BASES = {"in_step": ModelOutput, "slots_only": SlotsOnly}
if Original is not None:
    BASES["original"] = Original


class Kind:
    """The output classes over one base; also the namespace that pickle finds them in."""

    def __init__(self, name: str, base: type) -> None:
        self.name, self.base = name, base
        self.is_original = base is Original

        @dataclass
        class Out(base):
            __qualname__ = f"Out_{name}"
            loss: Any = None
            logits: Any = None
            hidden_states: Any = None
            attentions: Any = None

        @dataclass
        class Required(base):
            __qualname__ = f"Required_{name}"
            logits: Any
            loss: Any = None
            attentions: Any = None

        @dataclass
        class Single(base):
            __qualname__ = f"Single_{name}"
            sequences: Any = None

        @dataclass
        class Extended(Out):
            __qualname__ = f"Extended_{name}"
            cross_attentions: Any = None

        @dataclass
        class Redeclared(Extended):
            __qualname__ = f"Redeclared_{name}"
            logits: tuple = None
            router_logits: Any = None

        @dataclass(frozen=True)
        class Frozen(base):
            __qualname__ = f"Frozen_{name}"
            logits: Any = None
            attentions: Any = None

        for cls in (Out, Required, Single, Extended, Redeclared, Frozen):
            setattr(self, cls.__name__, cls)
            setattr(sys.modules[__name__], cls.__qualname__, cls)

    def fill(self, out: Any, name: str, value: Any) -> None:
        """Set an absent field by attribute. In the original of transformers 4 that adds no key: by key there."""
        if self.is_original and ORIGINAL_MAJOR == 4:
            out[name] = value
        else:
            setattr(out, name, value)


KINDS = {name: Kind(name, base) for name, base in BASES.items()}
OURS = [name for name in KINDS if name != "original"]


def _references_of_a_local() -> int:
    local = object()
    return sys.getrefcount(local)


# What sys.getrefcount says of an object that one local variable holds: 2, as the call holds it, too; from
# 3.14 on 1, as the variable lends it to the call.
HELD_ONCE = _references_of_a_local()

# From 3.15 on, dict.__new__ allocates without asking the class.
NEW_ASKS_THE_CLASS = sys.version_info < (3, 15)

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

__all__ = [
    "BASES",
    "FREE_THREADED",
    "HELD_ONCE",
    "KINDS",
    "NEW_ASKS_THE_CLASS",
    "ORIGINAL_MAJOR",
    "OURS",
    "Kind",
    "Original",
    "SlotsOnly",
]
