"""What torch, optree, JAX, flax and copyreg keep of a class, in install() and uninstall().

Each class is a node of trees by itself, the original and the compiled one: an output made before comes out
of a tree as what it was. So the registrations of torch's trees are left alone, made or still queued for its
trees in C++. Registrations that somebody made for a class of the library by hand hold for the compiled
class, too. The names in saved trees and the classes allowed in `torch.load` follow the class of the moment.
"""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import copyreg
import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

__all__ = ["carry_over", "forget_loaded_trees", "left_alone"]

Classes = Mapping[type, type]
Undo = tuple[Callable[..., object], tuple[Any, ...]]


def _of(module: str, name: str, kind: type) -> Any:
    """What a module, if it is imported, keeps under this name; empty if it does not, or in another form."""
    found = getattr(sys.modules.get(module), name, None)
    return found if isinstance(found, kind) else kind()


def names_of_saved_trees() -> dict[str, Any]:
    """By which torch finds the class of a node in a saved tree."""
    names: dict[str, Any] = _of("torch.utils._pytree", "SERIALIZED_TYPE_TO_PYTHON_TYPE", dict)
    return names


def left_alone(classes: Classes) -> Iterator[Any]:
    """Objects in which a class means itself, and not what takes its place."""
    yield _of("torch.utils._pytree", "_cxx_pytree_pending_imports", list)
    yield _allowed_to_load()
    nodes = _of("torch.utils._pytree", "SUPPORTED_NODES", dict)
    for cls in classes:
        for function in nodes.get(cls, ()):
            if isinstance(function, functools.partial):
                yield function.keywords
    nodes = _of("jax._src.tree_util", "_registry", dict)
    for old, new in classes.items():
        for function in nodes.get(old, ()) if new in nodes else ():
            yield from getattr(function, "__closure__", None) or ()


def carry_over(classes: Classes) -> Iterator[Undo]:
    """Let what is kept of each class hold for the one in its place; yields how that is undone."""
    for registry in (
        copyreg.dispatch_table,
        _of("torch.fx._pytree", "SUPPORTED_NODES", dict),
        _of("torch.fx._pytree", "SUPPORTED_NODES_EXACT_MATCH", dict),
        _of("flax.serialization", "_STATE_DICT_REGISTRY", dict),
    ):
        for old, new in classes.items():
            if old in registry and new not in registry:
                registry[new] = registry[old]
                yield registry.pop, (new, None)
    _carry_over_nodes_of_optree(classes)
    _carry_over_nodes_of_jax(classes)
    yield _allow_as_before, (classes, _allow_to_load(classes))
    forget_loaded_trees()
    yield forget_loaded_trees, ()


def _carry_over_nodes_of_optree(classes: Classes) -> None:
    """Those in a namespace; in the global one each output class is a node already. They cannot be undone."""
    nodes = _of("optree.registry", "_NODETYPE_REGISTRY", dict)
    for key, entry in list(nodes.items()):
        if not isinstance(key, tuple) or key[0] == "torch":
            continue
        namespace, new = key[0], classes.get(key[1])
        if new is not None and (namespace, new) not in nodes:
            sys.modules["optree"].register_pytree_node(
                new,
                entry.flatten_func,
                entry.unflatten_func,
                path_entry_type=entry.path_entry_type,
                namespace=namespace,
            )


def _carry_over_nodes_of_jax(classes: Classes) -> None:
    """They cannot be undone either. The names in paths are lost: JAX tells nobody."""
    nodes = _of("jax._src.tree_util", "_registry", dict)
    for old, new in classes.items():
        if old in nodes and new not in nodes:
            sys.modules["jax"].tree_util.register_pytree_node(new, *nodes[old])


def _allow_to_load(classes: Classes) -> set[Any]:
    """`torch.load(weights_only=True)` goes by name, so a class allowed there means the one of the moment."""
    before = _allowed_to_load()
    _allow(_as_of_now(entry, classes) for entry in before)
    return before


def _allow_as_before(classes: Classes, before: set[Any]) -> None:
    """Where two classes became one, those that were allowed; else the first, which is the library's."""
    allowed = _allowed_to_load()
    kept = {entry for entry in before if _as_of_now(entry, classes) in allowed}
    added = allowed - {_as_of_now(entry, classes) for entry in kept}
    first = {new: old for old, new in reversed(list(classes.items()))}
    _allow(kept.union(_as_of_now(entry, first) for entry in added))


def _allowed_to_load() -> set[Any]:
    allowed: set[Any] = _of("torch._weights_only_unpickler", "_marked_safe_globals_set", set)
    return allowed


def _allow(entries: Iterable[Any]) -> None:
    unpickler: Any = sys.modules.get("torch._weights_only_unpickler")
    new = set(entries)
    if new != _allowed_to_load():
        unpickler._marked_safe_globals_set = new


def _as_of_now(entry: Any, classes: Classes) -> Any:
    if isinstance(entry, tuple):  # a class with a name of its own
        return tuple(_as_of_now(part, classes) for part in entry)
    return classes.get(entry, entry) if isinstance(entry, type) else entry


def forget_loaded_trees() -> None:
    """torch keeps the trees that it has read, with their classes, by their text."""
    for module in ("torch.utils._pytree", "torch.utils._cxx_pytree"):
        clear = getattr(
            getattr(sys.modules.get(module), "treespec_loads", None), "cache_clear", None
        )
        if clear is not None:
            clear()
