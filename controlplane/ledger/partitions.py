"""Daily partitions of ledger entries: their names and bounds. Pure."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from tollway.kernel.periods import DAY_MS
from tollway.kernel.usage import event_time_ms, first_event_id

DAYS_AHEAD = 7
DAYS_BACK = 35
DEFAULT_PARTITION = "ledger_entry_default"
_NAME_PREFIX = "ledger_entry_"
_NAME_DIGITS = 8
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Partition:
    """The entries of calls of one UTC day: `first` is the smallest event id of it, `end` that of the next day."""

    name: str
    first: uuid.UUID
    end: uuid.UUID


def partition_of(day: date) -> Partition:
    start_ms = day_number(day) * DAY_MS
    return Partition(
        name=f"{_NAME_PREFIX}{day:%Y%m%d}", first=first_event_id(start_ms), end=first_event_id(start_ms + DAY_MS)
    )


def day_number(day: date) -> int:
    """Days since 1970-01-01, by which days are locked."""
    return (day - _EPOCH).days


def day_of_name(name: str) -> date | None:
    """The day whose partition has that name; None for other names."""
    digits = name.removeprefix(_NAME_PREFIX)
    if digits == name or len(digits) != _NAME_DIGITS or not digits.isdecimal():
        return None
    try:
        return datetime.strptime(digits, "%Y%m%d").replace(tzinfo=UTC).date()
    except ValueError:
        return None


def standing_days(now: datetime) -> set[date]:
    """Days that have a partition before any entry: from yesterday to DAYS_AHEAD days from `now`."""
    today = now.astimezone(UTC).date()
    return {today + timedelta(days=offset) for offset in range(-1, DAYS_AHEAD + 1)}


def days_of(event_ids: Iterable[uuid.UUID], now: datetime) -> set[date]:
    """Days of `event_ids` that may get a partition; events of other days stay in the default one."""
    today = now.astimezone(UTC).date()
    first, last = today - timedelta(days=DAYS_BACK), today + timedelta(days=DAYS_AHEAD)
    numbers = {event_time_ms(event_id) // DAY_MS for event_id in event_ids}
    days = {_EPOCH + timedelta(days=number) for number in numbers if number <= (last - _EPOCH).days}
    return {day for day in days if day >= first}
