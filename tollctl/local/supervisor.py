"""Keeps the services of a stack running, and ends them in order."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from tollctl.local.errors import LocalError, ServiceFailed
from tollctl.local.service import Service

_ATTEMPTS = 3
_BACKOFF_MIN_S = 0.1
_BACKOFF_MAX_S = 5.0
_STABLE_AFTER_S = 10.0


class Supervisor:
    """services: in the order in which they stop.

    say: told, a line at a time, what happens.
    on_change: called after each start of a service that had died.
    """

    def __init__(self, services: Sequence[Service], say: Callable[[str], None], on_change: Callable[[], None]) -> None:
        self._services = services
        self._say = say
        self._on_change = on_change

    async def start(self, service: Service) -> None:
        """Start a service and wait until it is ready, trying again where it ends too soon. Raises LocalError."""
        began = time.monotonic()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                await service.spawn()
                await service.wait_ready()
            except ServiceFailed as error:
                if attempt == _ATTEMPTS or service.pid is not None or service.has_wrong_settings:
                    raise
                self._say(f"{error}; starting it again")
                await asyncio.sleep(_BACKOFF_MIN_S * attempt)
            else:
                self._say(f"{service.name} is ready after {time.monotonic() - began:.1f} s")
                return

    async def keep_running(self) -> None:
        """Start each service again whenever it ends; never returns."""
        async with asyncio.TaskGroup() as group:
            for service in self._services:
                group.create_task(self._keep(service), name=f"keep {service.name}")

    async def stop(self, *, hurry: asyncio.Event) -> None:
        """End one service after the other; once `hurry` is set, abort those that are left."""
        hurrying = asyncio.create_task(hurry.wait(), name="hurry")
        try:
            for service in self._services:
                stopping = asyncio.create_task(service.stop(), name=f"stop {service.name}")
                await asyncio.wait({stopping, hurrying}, return_when=asyncio.FIRST_COMPLETED)
                if hurry.is_set():
                    service.abort()
                await stopping
        finally:
            hurrying.cancel()

    async def _keep(self, service: Service) -> None:
        delay_s = _BACKOFF_MIN_S
        while True:
            began = time.monotonic()
            code = await service.wait()
            if time.monotonic() - began >= _STABLE_AFTER_S:
                delay_s = _BACKOFF_MIN_S
            self._say(f"{service.name} ended {describe_exit(code)}; starting it again")
            delay_s = await self._restart(service, delay_s)

    async def _restart(self, service: Service, delay_s: float) -> float:
        """Start it, however often that takes; returns how long to wait before the next time, in seconds."""
        while True:
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, _BACKOFF_MAX_S)
            try:
                await service.spawn()
            except LocalError as error:
                self._say(f"{error}; trying again")
                continue
            self._on_change()
            self._say(f"{service.name} runs again as process {service.pid}")
            return delay_s


def describe_exit(code: int) -> str:
    """A process' exit code in words; minus N stands for signal N."""
    return f"by signal {-code}" if code < 0 else f"with exit code {code}"


async def run_all(*works: Awaitable[None]) -> None:
    """Run works side by side; the first LocalError ends the others and is raised as it is."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
