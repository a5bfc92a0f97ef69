"""Works on runs in the background. Any replica may; one that ends leaves nothing behind but a batch not begun."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime

from controlplane.errors import Unavailable
from controlplane.ledger.repository import EntriesRejected, PartitionAppeared
from controlplane.ledger.rerating.adjustments import Adjustment, Posting, Rater, Standing, adjustments_of
from controlplane.ledger.rerating.differences import Differences, summed
from controlplane.ledger.rerating.repository import Batch, ReratingRepository
from controlplane.ledger.rerating.runs import ReratingRun
from controlplane.ledger.times import unix_us

IDLE_S = 1.0
RETRY_S = 1.0
_log = logging.getLogger(__name__)

LoadRater = Callable[[ReratingRun], Awaitable[Rater]]
"""The prices that a run rates by: the same whenever it is asked. Raises Unavailable."""


class ReratingWorker:
    """`run` is a task for the life of the process; `now` gives aware UTC times."""

    def __init__(self, repository: ReratingRepository, load: LoadRater, now: Callable[[], datetime]) -> None:
        self._repository = repository
        self._load = load
        self._now = now
        self._due = asyncio.Event()
        self._loaded: tuple[str, int] | None = None
        self._rater: Rater | None = None

    def wake(self) -> None:
        """Says that there is a new run, or one to post."""
        self._due.set()

    async def run(self) -> None:
        while True:
            self._due.clear()
            try:
                while await self.work():
                    pass
            except Unavailable as error:
                _log.warning("re-rating waits: %s", error.message)
                await asyncio.sleep(RETRY_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE_S):
                    await self._due.wait()

    async def work(self) -> bool:
        """Does one batch; False when there was none to do. Raises Unavailable, after which it may be tried again."""
        run: ReratingRun | None = None
        try:
            async with self._repository.next_batch() as batch:
                if batch is None:
                    return False
                run = batch.run
                await self._do(batch)
        except PartitionAppeared as error:
            raise Unavailable("partitions of the ledger are being made") from error
        except EntriesRejected as error:
            if run is None:
                raise
            _log.error("re-rating failed run=%s reason=%s", run.name, error)
            await self._repository.fail(run.run_id, f"an adjustment cannot be booked: {error}", self._now())
        return True

    async def _do(self, batch: Batch) -> None:
        rater = await self._rater_of(batch.run)
        posting = Posting(batch.run.run_id, self._posting_time_us(batch.run), await batch.read_calendar())
        standings = await batch.read_standings()
        # In a thread, because thousands of prices would hold up everything else that this process answers.
        adjustments, differences = await asyncio.to_thread(_rate, standings, rater, posting)
        await batch.keep(adjustments, differences, self._now())

    async def _rater_of(self, run: ReratingRun) -> Rater:
        wanted = (run.price_book, run.config_revision)
        if self._rater is None or self._loaded != wanted:
            self._rater, self._loaded = await self._load(run), wanted
        return self._rater

    def _posting_time_us(self, run: ReratingRun) -> int:
        return unix_us(run.post_time or self._now())


def _rate(standings: list[Standing], rater: Rater, posting: Posting) -> tuple[list[Adjustment], Differences]:
    changes = list(adjustments_of(standings, rater, posting))
    return [adjustment for _, adjustment in changes], summed(changes)
