"""Seeds buckets beside the answers that need them: a ledger that is slow to read holds up no other bucket."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Final

from controlplane.errors import Unavailable
from controlplane.quota.rows import BucketKey, BucketSpec
from controlplane.quota.seeding import Seeding
from controlplane.quota.seeds.repository import SeedRepository
from controlplane.quota.specs import Lookup

SEED_WAIT_S: Final = 0.25
SEEDS_AT_ONCE: Final = 4
SEEDING_TIMEOUT_S: Final = 300

logger = logging.getLogger(__name__)


class Seeder:
    """Each bucket is seeded by one task at a time. What fails is begun again when the bucket is asked for again."""

    def __init__(self, seeds: SeedRepository, lookup: Lookup) -> None:
        self._seeds = seeds
        self._lookup = lookup
        self._turns = asyncio.Semaphore(SEEDS_AT_ONCE)
        self._under_way: dict[BucketKey, asyncio.Task[None]] = {}

    async def seed(self, specs: Collection[BucketSpec], within_s: float = SEED_WAIT_S) -> None:
        """Begins what is not under way yet, and waits for that no longer than `within_s`."""
        groups: dict[tuple[str, int], list[BucketSpec]] = defaultdict(list)
        for spec in specs:
            if spec.key not in self._under_way:
                groups[spec.name.rule, spec.window_start_ms].append(spec)
        begun = [self._begin(group) for group in groups.values()]
        if begun:
            done, _ = await asyncio.wait(begun, timeout=within_s)
            for task in done:
                task.result()

    async def close(self) -> None:
        """Ends what is under way."""
        tasks = set(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, group: Sequence[BucketSpec]) -> "asyncio.Task[None]":
        task = asyncio.create_task(self._seed(group), name=f"seed {group[0].name.rule}")
        for spec in group:
            self._under_way[spec.key] = task
        return task

    async def _seed(self, group: Sequence[BucketSpec]) -> None:
        name = group[0].name
        try:
            async with self._turns:
                resource = self._lookup(name.rule)
                if resource is not None and resource.budget.generation == name.generation:
                    await self._seeds.seed(Seeding(resource.budget, group))
        except Unavailable as error:
            logger.warning("what the ledger holds for %s cannot be read: %s", name.rule, error.message)
        finally:
            for spec in group:
                del self._under_way[spec.key]
