"""Outputs as nodes of the libraries that take nested values apart and put them together again.

To torch, the original is a node of itself. To optree and JAX it is made one here, as its users would: as
torch is told, and as `flax.struct.dataclass` does it. Ours are nodes wherever their users have them so.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Any

NAMESPACE = "bench"  # of optree


@cache
def register(cls: Any, is_original: bool, library: str) -> None:
    if library == "optree" and is_original:
        import optree

        optree.register_pytree_node(
            cls,
            lambda out: (list(out.values()), list(out.keys())),
            lambda names, values: cls(**dict(zip(names, values, strict=True))),
            namespace=NAMESPACE,
        )
    elif library == "jax.tree_util" and is_original:
        from jax import tree_util

        tree_util.register_dataclass(cls, [field.name for field in fields(cls)], [])
    elif library == "jax.tree_util":
        from fastoutputs.pytree import tree_node

        tree_node(cls)
