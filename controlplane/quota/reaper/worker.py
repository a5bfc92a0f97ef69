"""Works through what is due in quota, on every control plane, one at a time."""

import asyncio
import logging

from controlplane.errors import Unavailable
from controlplane.quota.metrics import QuotaMetrics
from controlplane.quota.reaper.repository import BATCH_LEASES, ReaperRepository
from controlplane.quota.repository import RaceLost
from controlplane.quota.rows import BucketRow
from controlplane.quota.seeding import Seeding
from controlplane.quota.seeds.repository import SeedRepository
from controlplane.quota.specs import Lookup, spec_of
from tollway.config.v1 import resources_pb2 as pb

INTERVAL_S = 3.0
PRUNE_EVERY = 200
SEEDS_A_TURN = 50

logger = logging.getLogger(__name__)


class Reaper:
    """`lookup` gives a resource in machine form as the configuration has it."""

    def __init__(self, repository: ReaperRepository, seeds: SeedRepository, lookup: Lookup, metrics: QuotaMetrics):
        self._repository = repository
        self._seeds = seeds
        self._lookup = lookup
        self._metrics = metrics

    async def run(self) -> None:
        """Never ends by itself: while the database is away nothing is due."""
        turns = 0
        while True:
            await asyncio.sleep(INTERVAL_S)
            turns += 1
            try:
                await self.work(prunes=turns % PRUNE_EVERY == 1)
            except (Unavailable, RaceLost) as error:
                logger.debug("leases not reaped, tried again soon error=%r", str(error))

    async def work(self, *, prunes: bool = False) -> None:
        """One turn. Raises Unavailable and RaceLost."""
        async with self._repository.turn() as is_mine:
            if is_mine:
                while await self._repository.reap(self._is_enforced) == BATCH_LEASES:
                    continue
                await self._settle_seeds()
                if prunes:
                    await self._repository.prune()
        sums = await self._repository.read_sums()
        self._metrics.set_sums(sums.escrow, sums.suspense_nano_usd, sums.gap_nano_usd)

    async def _settle_seeds(self) -> None:
        """Calls that ran while a budget was made do not charge it: by now they are in the ledger."""
        for bucket in await self._repository.unsettled_seeds(SEEDS_A_TURN):
            spec = spec_of(bucket.name, self._lookup, bucket.key.window_start_ms * 1000)
            resource = self._lookup(bucket.name.rule)
            if spec is None or resource is None or spec.key != bucket.key:
                continue
            try:
                await self._seeds.seed_again(Seeding({bucket.name.rule: resource.budget}, [spec]))
            except Unavailable as error:
                logger.warning("%s is not looked at again now: %s", bucket.name.rule, error.message)
                await self._repository.postpone_seed(bucket.key)

    def _is_enforced(self, bucket: BucketRow) -> bool:
        resource = self._lookup(bucket.name.rule)
        return resource is None or resource.budget.mode != pb.ENFORCEMENT_MODE_AUDIT
