from __future__ import annotations

from importlib.util import find_spec

import pytest
from containers import KINDS, OURS, Kind
from hypothesis import HealthCheck, settings

# Wide rather than deep on a machine that is also building; nightly runs raise the number.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("nightly", parent=settings.get_profile("default"), max_examples=5000)
settings.load_profile("default")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if find_spec("torch") is None:
        for item in items:
            if item.get_closest_marker("needs_torch"):
                item.add_marker(pytest.mark.skip(reason="torch is not installed"))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each container: what is asserted holds for the original, too."""
    return KINDS[request.param]


@pytest.fixture(params=OURS)
def ours(request: pytest.FixtureRequest) -> Kind:
    """Our container in each mode: for what differs from the original, or what it does not have."""
    return KINDS[request.param]
