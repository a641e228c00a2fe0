"""Of all tests: none depends on how busy the machine is."""

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

#: A machine under load is no mistake, nor is a folder that all examples share.
SLOW_OR_SHARED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("syncagent", deadline=None, suppress_health_check=SLOW_OR_SHARED)
settings.load_profile("syncagent")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: a fifth of the time a test waits for a server's answer or for a window to pass."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture
def logs_given_back() -> Iterator[None]:
    """For what runs a command, which sets up logging: as it was afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
