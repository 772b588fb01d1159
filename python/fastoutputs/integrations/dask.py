"""dask's names for tasks: two outputs with the same items share one only if they are of one class.

dask takes a dict's class into account for an OrderedDict, as the original is one, and for no other dict.
"""

# Values here are anyone's, so their types are not known.
# pyright: basic
from __future__ import annotations

from collections import OrderedDict

from dask.tokenize import normalize_token

from ..model_output import ModelOutput

__all__ = ["register"]


def register() -> None:
    """Have every output class named as an OrderedDict is."""
    normalize_token.register(ModelOutput, normalize_token.dispatch(OrderedDict))
