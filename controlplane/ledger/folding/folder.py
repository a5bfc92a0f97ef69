"""When days are folded: an hour after they are over, and again some minutes after a late booking has unfolded one."""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from controlplane.ledger.folding.repository import FoldRepository

FOLD_AFTER = timedelta(hours=1)
FOLD_AGAIN_AFTER = timedelta(minutes=10)

_log = logging.getLogger(__name__)


class DayFolder:
    """Several processes may have one: a day is folded by one at a time. `now` gives aware UTC times."""

    def __init__(self, days: FoldRepository, now: Callable[[], datetime]) -> None:
        self._days = days
        self._now = now

    async def fold_all(self) -> int:
        """Fold every day whose time has come, the latest first; how many those were. Raises Unavailable."""
        folded = 0
        while True:
            now = self._now()
            last = (now - FOLD_AFTER).astimezone(UTC).date() - timedelta(days=1)
            day = await self._days.fold_latest(last, settled=now - FOLD_AGAIN_AFTER)
            if day is None:
                return folded
            folded += 1
            _log.info("day folded day=%s", day)

    async def count_values(self) -> Mapping[str, int]:
        """How many values each declared metadata key has had today. Raises Unavailable."""
        return await self._days.count_values(self._now().astimezone(UTC).date())
