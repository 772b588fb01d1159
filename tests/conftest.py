from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from containers import KINDS, OURS, Kind
from hypothesis import HealthCheck, settings

from fastoutputs import _core, model_output

# Wide rather than deep on a machine that is also building; `make fuzz` goes deep.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if find_spec("torch") is None:
        for item in items:
            if item.get_closest_marker("needs_torch"):
                item.add_marker(pytest.mark.skip(reason="torch is not installed"))


@pytest.fixture
def forgettable_classes() -> Iterator[None]:
    """Classes made in the test become no nodes of torch's trees, which keep a class for good.

    The original's are kept in the same way.
    """
    _core.set_subclass_hook(lambda cls: None)
    yield
    _core.set_subclass_hook(model_output._announce)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each container: what is asserted holds for the original, too."""
    return KINDS[request.param]


@pytest.fixture(params=OURS)
def ours(request: pytest.FixtureRequest) -> Kind:
    """Our container in each mode: for what differs from the original, or what it does not have."""
    return KINDS[request.param]
