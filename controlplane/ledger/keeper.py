"""Keeps the ledger's partitions ahead of its entries."""

import logging
from collections.abc import Callable, Iterable
from datetime import date, datetime

from controlplane.errors import Unavailable
from controlplane.ledger.entries import LedgerEntry
from controlplane.ledger.partitions import days_of, partition_of, standing_days
from controlplane.ledger.repository import PartitionRepository

_log = logging.getLogger(__name__)


class PartitionKeeper:
    """Creates partitions by day and remembers which are there; `now` gives aware UTC times."""

    def __init__(self, partitions: PartitionRepository, now: Callable[[], datetime]) -> None:
        self._partitions = partitions
        self._now = now
        self._known: set[date] = set()

    async def keep_ahead(self) -> int:
        """Create what the next days need; returns how many entries have no partition of their own.

        Raises Unavailable.
        """
        days = standing_days(self._now())
        await self._ensure(days)
        return await self._partitions.count_stray_entries()

    async def make_room(self, entries: Iterable[LedgerEntry]) -> None:
        """Create the partitions that `entries` belong to; those that it cannot make are left to the default one."""
        missing = days_of((entry.event_id for entry in entries), self._now()) - self._known
        if not missing:
            return
        try:
            await self._ensure(missing)
        except Unavailable as error:
            _log.warning("partitions not created days=%d reason=%s", len(missing), error.message)

    async def _ensure(self, days: set[date]) -> None:
        await self._partitions.ensure(partition_of(day) for day in days)
        self._known |= days
