"""Test processes beside one another take their ports from ranges of their own."""

import gc
import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from tollctl.local.ports import PORTS_VARIABLE

# How fast data is made says something about the machine, not about the code. Every run draws other examples.
settings.register_profile("tollway", max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tollway")

LOWEST_PORT, PORTS = 15_000, 4_000


def pytest_configure(config: pytest.Config) -> None:
    """A port is looked for long before something listens there, in this process or in a stack that it starts.

    The process that starts the others has no range: they would have it too, as they have its environment.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None:
        lowest = LOWEST_PORT + PORTS * int(worker.removeprefix("gw"))
        os.environ.setdefault(PORTS_VARIABLE, f"{lowest}-{lowest + PORTS - 1}")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """What collecting makes stays to the end: looking for cycles in it costs seconds, then and in every test."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()
