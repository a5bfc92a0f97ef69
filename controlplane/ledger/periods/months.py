"""Calendar months in UTC: their bounds, and which are closed. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from tollway.kernel.periods import DAY_MS

PERIOD_COLLECTION = "ledgerPeriods"
_DAY_US = DAY_MS * 1000
_EPOCH = date(1970, 1, 1)
_NAME = re.compile(rf"{PERIOD_COLLECTION}/(\d{{4}})-(\d{{2}})")


@dataclass(frozen=True, slots=True)
class ClosedMonth:
    """A month by its first day, and its sums when it was closed."""

    month: date
    close_time: datetime
    principal: str
    attempts: int
    cost_nano_usd: int


@dataclass(frozen=True, slots=True)
class MonthSums:
    """What the ledger shows for a month now."""

    attempts: int = 0
    cost_nano_usd: int = 0


class Calendar:
    """Which months are closed, by their first days."""

    def __init__(self, closed: Iterable[date]) -> None:
        self._closed = frozenset(closed)

    def is_closed(self, time_us: int) -> bool:
        """Whether the month of a time in Unix microseconds is closed."""
        day = _EPOCH + timedelta(days=time_us // _DAY_US)
        return day.replace(day=1) in self._closed


def month_of(time: datetime) -> date:
    """The first day of the month that holds `time`, which is aware."""
    return time.astimezone(UTC).date().replace(day=1)


def next_month(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)


def previous_month(month: date) -> date:
    return (month - timedelta(days=1)).replace(day=1)


def start_of(month: date) -> datetime:
    return datetime(month.year, month.month, 1, tzinfo=UTC)


def period_name(month: date) -> str:
    return f"{PERIOD_COLLECTION}/{month:%Y-%m}"


def parse_period(name: str) -> date | None:
    """The month that `name` names; None when it names none from 1970 to 2099."""
    found = _NAME.fullmatch(name)
    if found is None or not 1970 <= int(found[1]) < 2100 or not 1 <= int(found[2]) <= 12:
        return None
    return date(int(found[1]), int(found[2]), 1)
