"""TensorFlow, Flax and transformers 4 in one process; `make frameworks` has the environment.

Where they are not all there, nothing in this folder is collected.
"""

from __future__ import annotations

import os
import warnings
from importlib.util import find_spec

import pytest

collect_ignore_glob = []

if all(map(find_spec, ("tensorflow", "tf_keras", "flax"))):
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # or the TF models of transformers refuse to load
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with warnings.catch_warnings():  # the libraries warn of one another as they are imported
        warnings.simplefilter("ignore")
        import flax  # noqa: F401
        import keras  # noqa: F401
        import tensorflow  # noqa: F401
        import transformers.modeling_flax_outputs
        import transformers.modeling_tf_outputs  # noqa: F401
else:
    collect_ignore_glob = ["*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "frameworks" in item.nodeid:  # of their page, too: what they deprecate is not ours
            item.add_marker(pytest.mark.filterwarnings("ignore"))
