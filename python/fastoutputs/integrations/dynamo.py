"""torch.compile and torch.export: have them look into outputs.

They are told what to trace in the place of each compiled method (`substitutes`). What they would do with
any object that is a dict, and must not with ours, is changed in torch itself: there is no public way.
"""

# Classes and values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch

from .. import _core
from .._core import ModelOutput
from .substitutes import substitutes

__all__ = ["register"]


def register() -> None:
    """Make outputs traceable; where torch has changed too much, warn, and leave graphs to break at them."""
    replacements = substitutes()
    try:
        patches = [*_outputs_replay_themselves(), *_overrides_call_super(replacements)]
    except (ImportError, AttributeError) as error:
        warnings.warn(
            f"torch.compile cannot look into outputs: fastoutputs does not know torch {torch.__version__} "
            f"({error}). Everything works, with a graph break at each output.",
            stacklevel=2,
        )
        return
    for owner, name, function in patches:
        setattr(owner, name, function)
    for compiled, traceable in replacements.items():
        torch.compiler.substitute_in_graph(compiled, skip_signature_check=True)(traceable)


Patches = list[tuple[type, str, Callable[..., Any]]]
"""A class of torch's, the name of a method, and what takes its place: made before any is put there."""


def _outputs_replay_themselves() -> Patches:
    """Have the end of a trace assign attributes, and no more: the real output does the rest.

    Not public: torch would store them by object.__setattr__, which bypasses the output and which
    CPython refuses, and then write the dict storage item by item, which costs more than all else.
    """
    variables: Any = importlib.import_module("torch._dynamo.variables")
    trackers = variables.UserDefinedDictVariable
    guard_by_attributes = _attribute_guards()

    class OutputStorage(variables.ConstDictVariable):  # type: ignore[misc]
        """The dict storage of an output; to be written at the end only if it has extra keys."""

        _nonvar_fields = frozenset({"fields", *variables.ConstDictVariable._nonvar_fields})
        fields: tuple[str, ...] = ()

        def has_new_items(self) -> bool:
            names = [key.vt.as_python_constant() for key in self.items]
            return not set(names) <= set(self.fields) and super().has_new_items()

    make, needs_object_setattr = trackers.__init__, trackers.needs_slow_setattr
    read_attribute = trackers.var_getattr
    break_graph = importlib.import_module("torch._dynamo.exc").unimplemented

    def __init__(variable: Any, value: Any, *args: Any, **kwargs: Any) -> None:
        make(variable, value, *args, **kwargs)
        if isinstance(value, ModelOutput):
            storage = variable._base_vt
            storage.__class__ = OutputStorage
            storage.fields = _core.layout(type(value)).fields
            if variable.source is not None and not dict.__len__(value):
                guard_by_attributes(variable.source)
                storage.source = None  # or looking for extra keys would bring the other guards back

    def needs_slow_setattr(variable: Any) -> bool:
        cls: Any = type(variable.value)
        ours = cls.__setattr__ is ModelOutput.__setattr__
        return not ours and needs_object_setattr(variable)

    def var_getattr(variable: Any, tx: Any, name: str) -> Any:
        if name == "__dict__" and isinstance(variable.value, ModelOutput):
            # torch makes one up, without what the trace has stored in fields.
            break_graph(
                gb_type="vars() of an output",
                context=f"{type(variable.value).__name__}.__dict__",
                explanation="An output has no instance dictionary that a trace could follow.",
                hints=["Use dict(output), or getattr() for each of dataclasses.fields(output)."],
            )
        return read_attribute(variable, tx, name)

    functions = (__init__, var_getattr, needs_slow_setattr)
    return [(trackers, function.__name__, function) for function in functions]


def _overrides_call_super(replaced: Iterable[Callable[..., Any]]) -> Patches:
    """Have ``super().keys()`` and the like find what a trace runs instead.

    Not public: torch looks for it where a method is called by itself only.
    """
    variables: Any = importlib.import_module("torch._dynamo.variables")
    trackers = variables.SuperVariable
    call, resolve = trackers.call_method, trackers._resolved_getattr_and_source
    build = variables.base.VariableTracker.build
    methods = {method.__name__: method for method in replaced}

    def call_method(variable: Any, tx: Any, name: str, args: list[Any], kwargs: Any) -> Any:
        method = methods.get(name)
        if method and variable.objvar and resolve(variable, tx, name)[0] is method:
            return build(tx, method).call_function(tx, [variable.objvar, *args], kwargs)
        return call(variable, tx, name, args, kwargs)

    return [(trackers, "call_method", call_method)]


def _attribute_guards() -> Callable[[Any], None]:
    """What has a compiled function check the attributes of an output that came without storage.

    Not public, either: torch would look at the dict storage first and, as that is empty, at nothing else.
    """
    guards: Any = importlib.import_module("torch._guards")
    builders: Any = importlib.import_module("torch._dynamo.guards")
    tracers: Any = importlib.import_module("torch._dynamo.symbolic_convert")
    current, tracer = guards.TracingContext.get, tracers.InstructionTranslator.current_tx
    install, is_of_type = builders.install_guard, builders.GuardBuilder.TYPE_MATCH

    def has_no_storage(builder: Any, guard: Any) -> None:
        builder.get_guard_manager(guard).add_dict_length_check_guard(
            0, [f"dict.__len__({guard.name}) == 0"], guard.user_stack
        )

    def replace_guards(source: Any) -> None:
        current().guards_context.dynamo_guards.remove_guards_with_source(source)
        tracer().output.guard_on_key_order.discard(source)
        install(source.make_guard(is_of_type), source.make_guard(has_no_storage))

    return replace_guards
