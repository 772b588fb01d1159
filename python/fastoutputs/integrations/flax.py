"""flax.serialization: output classes as state dictionaries, as those of flax.struct.dataclass are."""

from __future__ import annotations

from typing import Any

from flax import serialization

from ..model_output import ModelOutput
from ..pytree import children_of, replace

__all__ = ["register"]


def register(cls: type[ModelOutput]) -> None:
    """Let to_state_dict, from_state_dict, to_bytes and from_bytes take cls."""
    children = children_of(cls)

    def to_state_dict(output: ModelOutput) -> dict[str, Any]:
        return {name: serialization.to_state_dict(getattr(output, name)) for name in children}

    def from_state_dict(output: ModelOutput, state: dict[str, Any]) -> ModelOutput:
        if state.keys() != set(children):
            raise ValueError(
                f"the state has the fields {sorted(state)}, while {cls.__name__} has "
                f"{sorted(children)}, at {serialization.current_path()}"
            )
        restored = {
            name: serialization.from_state_dict(getattr(output, name), state[name], name=name)
            for name in children
        }
        return replace(output, **restored)

    serialization.register_serialization_state(cls, to_state_dict, from_state_dict)
