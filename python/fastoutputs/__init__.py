"""The object a model returns, compiled: a drop-in for transformers' ``ModelOutput``.

Public names only; see `ModelOutput` for the container, `fastoutputs.modeling_outputs` for the
classes that PyTorch models return.
"""

from .model_output import ModelOutput, OutputMutationError, build_info, slots_only
from .schema import schema

__version__ = build_info()["version"]
__all__ = ["ModelOutput", "OutputMutationError", "build_info", "schema", "slots_only"]
