"""When days of entries are taken out of the ledger, and when producers are forgotten."""

import logging
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from controlplane.errors import Unavailable
from controlplane.ledger.retention.repository import RetentionRepository

PRODUCER_MARGIN_DAYS = 30
"""How many days longer than entries their producers are remembered."""

_log = logging.getLogger(__name__)


class DayRetirement:
    """Detaches days whose end is more than `retention_days` ago, 0 for none; `now` gives aware UTC times."""

    def __init__(self, repository: RetentionRepository, retention_days: int, now: Callable[[], datetime]) -> None:
        self._repository = repository
        self._retention_days = retention_days
        self._now = now

    async def run_once(self) -> int:
        """How many days were detached; one that cannot be had yet is left for the next time. Raises Unavailable."""
        for day in await self._repository.note_changes_by_hand():
            _log.warning("a day of the ledger was detached by hand, its late events are kept apart day=%s", day)
        if not self._retention_days:
            return 0
        detached = 0
        for day in await self._repository.attached_days():
            if day >= self._first_kept_day():
                break
            detached += await self._detach(day)
        before = self._now() - timedelta(days=self._retention_days + PRODUCER_MARGIN_DAYS)
        forgotten = await self._repository.forget_producers(before)
        if forgotten:
            _log.info("forgot producers that are booked and old producers=%d before=%s", forgotten, before.date())
        return detached

    def _first_kept_day(self) -> date:
        return self._now().astimezone(UTC).date() - timedelta(days=self._retention_days)

    async def _detach(self, day: date) -> bool:
        try:
            is_detached = await self._repository.detach(day)
        except Unavailable as error:
            _log.info("a day cannot be detached yet day=%s reason=%s", day, error.message)
            return False
        if is_detached:
            _log.info("detached a day of the ledger, its table stays day=%s", day)
        return is_detached
