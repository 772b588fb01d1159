"""The object a model returns, compiled: a drop-in for transformers' ``ModelOutput``.

Public names only; see `ModelOutput` for the container, `fastoutputs.modeling_outputs` for the
classes that PyTorch models return, `install` to make transformers use them.
"""

import copyreg
import types
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .integrations.imports import when_imported
from .model_output import ModelOutput, OutputMutationError, build_info, slots_only
from .schema import schema

if TYPE_CHECKING:
    from . import fields as fields
    from . import modeling_flax_outputs as modeling_flax_outputs
    from . import modeling_outputs as modeling_outputs
    from . import modeling_tf_outputs as modeling_tf_outputs
    from . import models as models
    from . import pytree as pytree
    from .integrations.install import install, installed, uninstall

__version__ = build_info()["version"]
__all__ = [
    "ModelOutput",
    "OutputMutationError",
    "build_info",
    "install",
    "installed",
    "schema",
    "slots_only",
    "uninstall",
]


_MODULES = (
    "fields",
    "modeling_flax_outputs",
    "modeling_outputs",
    "modeling_tf_outputs",
    "models",
    "pytree",
)


def __getattr__(name: str) -> Any:
    """What takes a while to import is imported when it is first used."""
    if name in ("install", "installed", "uninstall"):
        return getattr(import_module(".integrations.install", __name__), name)
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES, "__version__"])


when_imported(
    "torch.utils._pytree",
    lambda _: import_module(".integrations.torch", __name__).register_all(),
)
when_imported(
    "optree",
    lambda _: import_module(".integrations.optree", __name__).register_all(),
)
when_imported(
    "dask.tokenize",
    lambda _: import_module(".integrations.dask", __name__).register(),
)
when_imported(
    "torch._dynamo",
    lambda _: import_module(".integrations.dynamo", __name__).register(),
)


def _reduce_descriptor(descriptor: Any) -> Any:
    return import_module(".integrations.by_value", __name__).reduce_descriptor(descriptor)


for _descriptor in (types.MemberDescriptorType, types.GetSetDescriptorType):
    copyreg.pickle(_descriptor, _reduce_descriptor)
for _pickler in (
    "cloudpickle.cloudpickle",
    "joblib.externals.cloudpickle.cloudpickle",
    "ray.cloudpickle.cloudpickle",
    "pyspark.cloudpickle.cloudpickle",
    "dill._dill",
):
    when_imported(
        _pickler,
        lambda module: import_module(".integrations.by_value", __name__).register(module),
    )
