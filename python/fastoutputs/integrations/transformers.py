"""transformers: where its ModelOutput is, which of its classes we declare, too, and what else changes."""

from __future__ import annotations

from ..model_output import ModelOutput
from . import serving
from .library import Library

__all__ = ["LIBRARY"]

LIBRARY = Library(
    name="transformers",
    home="transformers.utils.generic",
    base="ModelOutput",
    compiled=ModelOutput,
    tested=((5, 23), (4, 57)),
    twins={
        "transformers.modeling_outputs": "fastoutputs.modeling_outputs",
        "transformers.modeling_tf_outputs": "fastoutputs.modeling_tf_outputs",
        "transformers.modeling_flax_outputs": "fastoutputs.modeling_flax_outputs",
        "transformers.models.bert.modeling_bert": "fastoutputs.models.bert",
        "transformers.models.bert.modeling_tf_bert": "fastoutputs.models.bert",
        "transformers.models.bert.modeling_flax_bert": "fastoutputs.models.bert",
    },
    patches={"transformers.modeling_tf_utils": serving.patch},
    registry="_registered_model_output_types",
)
