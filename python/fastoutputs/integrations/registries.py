"""What torch, optree, JAX, flax and copyreg keep of a class, in install() and uninstall().

Each class is a node of trees by itself, the original and the compiled one: an output made before comes out
of a tree as what it was. So the registrations of torch's trees are left alone, made or still queued for its
trees in C++. Registrations that somebody made for a class of the library by hand hold for the compiled
class, too. The names in saved trees and the classes allowed in `torch.load` follow the class of the moment.
"""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import abc
import copyreg
import functools
import gc
import sys
import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

from ..schema import documented_by

__all__ = ["carry_over", "forget_loaded_trees", "led_to_by", "left_alone"]

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


def _dispatching_code() -> Iterator[types.CodeType]:
    """What every function made by functools.singledispatch runs."""
    for constant in functools.singledispatch.__code__.co_consts:
        if isinstance(constant, types.CodeType) and constant.co_name == "wrapper":
            yield constant


def led_to_by(classes: Classes) -> Iterator[Any]:
    """What else to search for, to find the registries in which the classes may be."""
    yield from _dispatching_code()
    for cls in classes:
        for reference in weakref.getweakrefs(cls):
            # Those of abc know the set that they are in.
            of_set = getattr(getattr(reference, "__callback__", None), "__self__", None)
            if isinstance(of_set, weakref.ref) and isinstance(of_set(), set):
                yield of_set()


def _dispatchers(found: Iterable[Any]) -> Iterator[tuple[Any, dict[Any, Any]]]:
    """Each function of functools.singledispatch among these, with its registry."""
    codes = list(_dispatching_code())
    for function in found:
        if type(function) is types.FunctionType and any(
            function.__code__ is code for code in codes
        ):
            registry = function.__dict__.get("registry")
            if type(registry) is types.MappingProxyType:
                yield function, gc.get_referents(registry)[0]


def _by_exact_class() -> Iterator[dict[Any, Any]]:
    """Tables in which an output made before looks for its own class, and a new one for its own."""
    yield copyreg.dispatch_table
    yield _of("copy", "_copy_dispatch", dict)
    yield _of("copy", "_deepcopy_dispatch", dict)
    yield getattr(getattr(sys.modules.get("pickle"), "_Pickler", None), "dispatch", {})
    pickler = getattr(sys.modules.get("multiprocessing.reduction"), "ForkingPickler", None)
    yield getattr(pickler, "_extra_reducers", {})
    yield _of("torch.fx._pytree", "SUPPORTED_NODES", dict)
    yield _of("torch.fx._pytree", "SUPPORTED_NODES_EXACT_MATCH", dict)
    yield _of("flax.serialization", "_STATE_DICT_REGISTRY", dict)


def _of_trees() -> Iterator[dict[Any, Any]]:
    """Where each class, the original and the compiled one, is a node by itself."""
    for module, name in (
        ("torch.utils._pytree", "SUPPORTED_NODES"),
        ("torch.utils._pytree", "SUPPORTED_SERIALIZED_TYPES"),
        ("optree.registry", "_NODETYPE_REGISTRY"),
        ("jax._src.tree_util", "_registry"),
        ("jax._src.tree_util", "_registry_with_keypaths"),
    ):
        yield _of(module, name, dict)


def left_alone(classes: Classes, found: Iterable[Any]) -> Iterator[Any]:
    """Objects in which a class means itself, and not what takes its place."""
    yield documented_by
    yield _of("torch.utils._pytree", "_cxx_pytree_pending_imports", list)
    yield _allowed_to_load()
    yield from _by_exact_class()
    for _, registry in _dispatchers(found):
        yield registry
    for nodes in _of_trees():
        yield nodes
        for key, entry in list(nodes.items()):
            if _is_for(key, classes):
                yield from _parts_of_entry(entry)


def _is_for(key: Any, classes: Classes) -> bool:
    parts = key if isinstance(key, tuple) else (key,)  # optree: (namespace, class)
    return any(isinstance(part, type) and part in classes for part in parts)


def _parts_of_entry(entry: Any) -> Iterator[Any]:
    """A registration, with the functions that know their class by closure, or as arguments."""
    pending, seen = [entry], set[int]()
    while pending:
        part = pending.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        if isinstance(part, types.FunctionType):
            pending += part.__closure__ or ()
        elif part is entry or isinstance(part, (tuple, list, functools.partial, types.CellType)):
            pending += [each for each in gc.get_referents(part) if not isinstance(each, type)]
        if isinstance(part, functools.partial) or part is entry:
            attributes = getattr(part, "__dict__", None)
            if isinstance(attributes, dict):
                yield attributes
                pending += attributes.values()


def carry_over(classes: Classes, found: Iterable[Any]) -> Iterator[Undo]:
    """Let what is kept of each class hold for the one in its place; yields how that is undone."""
    registries: list[dict[Any, Any]] = [*_by_exact_class()]
    for function, registry in _dispatchers(found):
        registries.append(registry)
        clear = function.__dict__.get("_clear_cache")
        if clear is not None:
            clear()
            yield clear, ()
    for registry in registries:
        for old, new in classes.items():
            if old in registry and new not in registry:
                yield registry.pop, (new, None)
                registry[new] = registry[old]
    _carry_over_virtual_bases(classes, found)
    _carry_over_nodes_of_optree(classes)
    _carry_over_nodes_of_jax(classes)
    before = _allowed_to_load()
    yield _allow_as_before, (classes, before)
    _allow_to_load(classes)
    forget_loaded_trees()
    yield forget_loaded_trees, ()


_dump: Any = import_module("_abc")._get_dump


def _registered(cls: type) -> Iterable[Any]:
    """Weak references to the classes that are registered with an abstract one."""
    registry: Iterable[Any] = _dump(cls)[0]
    return registry


def _carry_over_virtual_bases(classes: Classes, found: Iterable[Any]) -> None:
    """Those by ABC.register(); there is no way to undo it, and no need."""
    for cls in found:
        if issubclass(type(cls), abc.ABCMeta):
            with suppress(Exception):  # of a metaclass
                registered = [reference() for reference in _registered(cls)]
                for old, new in classes.items():
                    if any(each is old for each in registered):
                        abc.ABCMeta.register(cls, new)


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


def _allow_to_load(classes: Classes) -> None:
    """`torch.load(weights_only=True)` goes by name, so a class allowed there means the one of the moment."""
    _allow(_as_of_now(entry, classes) for entry in _allowed_to_load())


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
