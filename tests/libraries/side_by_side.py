"""Pictures of values: plain nested tuples with every bit of every tensor and every view of every output.

Each test runs twice, with the original outputs and under fastoutputs.installed(). It gives a scenario, a
function that makes its own models and returns what is to be the same both times, to the fixture `same`.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy
import pytest
import torch

import fastoutputs


def is_original(cls: type) -> bool:
    """Told by what only the original is: installing replaces its name, here too."""
    return issubclass(cls, OrderedDict) and hasattr(cls, "to_tuple")


class Album:
    """Takes pictures and remembers the class of every output that it saw."""

    def __init__(self) -> None:
        self.classes: list[type] = []

    def picture(self, value: Any) -> Any:
        cls = type(value)
        if is_original(cls) or isinstance(value, fastoutputs.ModelOutput):
            return self.output(value)
        if isinstance(value, torch.Tensor):
            return tensor(value)
        if isinstance(value, numpy.ndarray):
            return ("array", str(value.dtype), value.shape, str(value.tolist()))
        if value is None or isinstance(value, (bool, int, float, complex, str, bytes, torch.dtype)):
            return repr(value)
        if isinstance(value, (numpy.generic, torch.device, torch.Size)):
            return repr(value)
        if isinstance(value, Mapping):
            return (cls.__name__, [(key, self.picture(item)) for key, item in value.items()])
        if isinstance(value, (list, tuple)):
            return (cls.__name__, [self.picture(item) for item in value])
        if cls.__name__.endswith("Cache"):
            return (cls.__name__, self.picture(cached(value)))
        if cls.__name__.endswith("Distribution"):  # what an autoencoder of diffusers draws from
            return (cls.__name__, self.picture(value.parameters))
        if dataclasses.is_dataclass(value):
            names = [field.name for field in dataclasses.fields(value)]
            return (cls.__name__, [(name, self.picture(getattr(value, name))) for name in names])
        if hasattr(value, "__array_interface__"):  # an image
            return self.picture(numpy.asarray(value))
        raise TypeError(f"a picture of {cls} would show nothing")

    def output(self, value: Any) -> Any:
        self.classes.append(type(value))  # its module may be one of ours
        # The base class itself has no fields.
        declared = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
        names = [field.name for field in declared]
        items = list(value.items())
        # The views hold the same objects, so one of them is pictured in full.
        assert [value[key] is item for key, item in items] == [True] * len(items)
        assert list(map(id, value.values())) == [id(item) for _, item in items]
        return (
            type(value).__qualname__,
            [(key, self.picture(item)) for key, item in items],
            [self.picture(part) for part in value.to_tuple()],
            [(name, self.picture(getattr(value, name))) for name in names],
            [key in value for key in names],
        )


def cached(cache: Any) -> Any:
    """What a cache of transformers holds."""
    if hasattr(cache, "self_attention_cache"):
        return cache.self_attention_cache, cache.cross_attention_cache
    held = []
    for layer in cache.layers:
        held.append((type(layer).__name__, layer.get_seq_length(), layer.keys, layer.values))
        if hasattr(layer, "_quantized_keys"):  # these are the latest ones only
            held.append([layer._quantized_keys.dequantize(), layer._quantized_values.dequantize()])
    return held


def tensor(value: torch.Tensor) -> Any:
    facts = (str(value.dtype), tuple(value.shape), str(value.device), value.requires_grad)
    function = value.grad_fn and type(value.grad_fn).__name__
    if value.device.type == "meta":
        return ("tensor", *facts, function)
    plain = value.detach().contiguous()
    # Numbers for who reads a failure, bytes because NaN is not itself.
    return (
        "tensor",
        *facts,
        function,
        str(plain.tolist()),
        plain.view(-1).view(torch.uint8).numpy().tobytes(),
    )


def picture(value: Any, compiled: bool = True, outputs: int = 1) -> Any:
    """A picture of value; fails unless it has so many outputs at least, all of the kind said."""
    album = Album()
    result = album.picture(value)
    assert len(album.classes) >= outputs, f"{len(album.classes)} outputs in what was to be compared"
    for cls in album.classes:
        assert issubclass(cls, fastoutputs.ModelOutput) is compiled, cls
        assert is_original(cls) is not compiled, cls
    return result


class Same:
    """Called with a scenario in a test that runs twice: the second picture must be like the first."""

    def __init__(self, pictures: dict[str, Any], test: str, compiled: bool) -> None:
        self._pictures = pictures
        self._test = test
        self._compiled = compiled

    def __call__(self, scenario: Callable[[], Any], outputs: int = 1) -> Any:
        """Run the scenario; returns its picture. It must make so many outputs at least."""
        result = picture(scenario(), self._compiled, outputs)
        self.compare(result)
        return result

    def compare(self, result: Any) -> None:
        """The same for a picture that was taken elsewhere, in another process."""
        if not self._compiled:
            self._pictures[self._test] = result
        elif self._test not in self._pictures:
            pytest.fail("nothing to compare with: this test did not pass with the original")
        else:
            found = difference(self._pictures[self._test], result)
            assert not found, found


def difference(original: Any, installed: Any, path: str = "") -> str:
    """Where two pictures part first, and how; empty if they do not."""
    if isinstance(original, (list, tuple)) and type(original) is type(installed):
        if len(original) == len(installed):
            for index, parts in enumerate(zip(original, installed)):
                found = difference(*parts, f"{path}[{index}]")
                if found:
                    return found
            return ""
    return "" if original == installed else f"{path}: {original!r:.500} became {installed!r:.500}"


def raised(call: Callable[[], Any]) -> Any:
    """What the call returns, or the name and message of what it raised."""
    try:
        return call()
    except Exception as error:
        return ("raised", type(error).__name__, str(error))
