"""Seeds buckets beside the answers that need them: a ledger that is slow to read holds up no other bucket."""

import asyncio
import logging
from collections.abc import Collection
from typing import Final, NamedTuple

from controlplane.errors import Unavailable
from controlplane.quota.rows import BucketKey, BucketSpec
from controlplane.quota.seeding import Seeding, entry_dimensions
from controlplane.quota.seeds.repository import SeedRepository
from controlplane.quota.specs import Lookup
from tollway.config.v1 import resources_pb2 as pb

SEED_WAIT_S: Final = 0.25
SEEDS_AT_ONCE: Final = 4
SEEDING_TIMEOUT_S: Final = 300

logger = logging.getLogger(__name__)


class _Reading(NamedTuple):
    """What is read of the ledger at once: calls of one window, told apart by these dimensions too."""

    window_start_ms: int
    window_end_ms: int | None
    dimensions: tuple[str, ...]


class Seeder:
    """Buckets that wait for the same reading are seeded by one task, however many they are.

    What fails is begun again when the bucket is asked for again.
    """

    def __init__(self, seeds: SeedRepository, lookup: Lookup) -> None:
        self._seeds = seeds
        self._lookup = lookup
        self._turns = asyncio.Semaphore(SEEDS_AT_ONCE)
        self._waiting: dict[_Reading, list[BucketSpec]] = {}
        self._tasks: dict[BucketKey, asyncio.Task[None]] = {}

    async def seed(self, specs: Collection[BucketSpec], within_s: float = SEED_WAIT_S) -> None:
        """Begins what is not under way yet, and waits for that no longer than `within_s`."""
        begun = {self._begin(spec) for spec in specs if spec.key not in self._tasks}
        if begun:
            done, _ = await asyncio.wait(begun, timeout=within_s)
            for task in done:
                task.result()

    async def close(self) -> None:
        """Ends what is under way."""
        tasks = set(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, spec: BucketSpec) -> "asyncio.Task[None]":
        budget = self._budget(spec)
        reading = _Reading(spec.window_start_ms, spec.window_end_ms, () if budget is None else entry_dimensions(budget))
        waiting = self._waiting.get(reading)
        if waiting is None:
            self._waiting[reading] = [spec]
            task = asyncio.create_task(self._seed(reading), name=f"seed {spec.name.rule}")
        else:
            task = self._tasks[waiting[0].key]
            waiting.append(spec)
        self._tasks[spec.key] = task
        return task

    async def _seed(self, reading: _Reading) -> None:
        specs: list[BucketSpec] = []
        try:
            async with self._turns:
                specs = self._waiting.pop(reading)
                budgets = {spec.name.rule: budget for spec in specs if (budget := self._budget(spec)) is not None}
                known = [spec for spec in specs if spec.name.rule in budgets]
                if known:
                    await self._seeds.seed(Seeding(budgets, known))
        except Unavailable as error:
            logger.warning("what the ledger holds for %d buckets cannot be read: %s", len(specs), error.message)
        finally:
            for spec in specs or self._waiting.pop(reading, []):
                del self._tasks[spec.key]

    def _budget(self, spec: BucketSpec) -> pb.Budget | None:
        """That of `spec`, as it is now; None when it is gone or counts otherwise."""
        resource = self._lookup(spec.name.rule)
        if resource is None or resource.budget.generation != spec.name.generation:
            return None
        return resource.budget
