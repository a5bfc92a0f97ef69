"""Time slots and periods on the clock and the calendar of a time zone. Pure.

Days, weeks and months are local ones: across a change of the clocks a day has 23 or 25 hours. All results are whole
quarter hours in UTC.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo

from tollway.admin.v1 import usage_pb2
from tollway.kernel.periods import QUARTER_HOUR_S, quarter_hour_start

MAX_SLOTS = 10_000
INTERVAL_HINT = "must be a multiple of 15 minutes (900 s) such as 15m, 1h, 1d, 1w or 1mo, at most a year"
_DAY_S = 86_400
_QUARTER_HOUR = timedelta(seconds=QUARTER_HOUR_S)
_INTERVAL = re.compile(r"(\d{1,9})(s|m|h|d|w|mo)")
_UNIT_S = {"s": 1, "m": 60, "h": 3_600}
_MOST = {"s": 366 * _DAY_S, "d": 366, "w": 53, "mo": 12}
_YEAR_MONTHS = 12


@dataclass(frozen=True, slots=True)
class Interval:
    """`count` seconds ("s"), or calendar days ("d"), weeks ("w") or months ("mo")."""

    count: int
    unit: str


def parse_interval(text: str) -> Interval:
    """Raises ValueError, which says what to write."""
    match = _INTERVAL.fullmatch(text)
    if match is None:
        raise ValueError(INTERVAL_HINT)
    count, unit = int(match[1]), match[2]
    if unit in _UNIT_S:
        count, unit = count * _UNIT_S[unit], "s"
    if not 0 < count <= _MOST[unit] or (unit == "s" and count % QUARTER_HOUR_S):
        raise ValueError(INTERVAL_HINT)
    return Interval(count, unit)


def slot_boundaries(start: datetime, end: datetime, interval: Interval, zone: tzinfo) -> list[datetime]:
    """Where slots begin in [start, end), and `end`; the first and the last slot are cut by the range.

    Raises ValueError when there are more than MAX_SLOTS slots.
    """
    boundaries = [start]
    for boundary in _boundaries(start, interval, zone):
        if boundary >= end:
            break
        if boundary > boundaries[-1]:
            boundaries.append(boundary)
        if len(boundaries) > MAX_SLOTS:
            raise ValueError(f"makes more than {MAX_SLOTS} time slots; take a longer one or a shorter range")
    return [*boundaries, end]


def period_range(period: "usage_pb2.UsagePeriod.ValueType", now: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    """Start and end of a period; one that goes on ends with the quarter hour that `now` is in."""
    today = now.astimezone(zone).date()
    first, after = _period_days(period, today)
    start = _midnight(first, zone)
    if after is not None:
        return start, _midnight(after, zone)
    return start, max(quarter_hour_start(now + _QUARTER_HOUR - timedelta(microseconds=1)), start + _QUARTER_HOUR)


def _period_days(period: "usage_pb2.UsagePeriod.ValueType", today: date) -> tuple[date, date | None]:
    """The first day, and the day after the last one, None of periods that go on."""
    monday = today - timedelta(days=today.weekday())
    month = today.replace(day=1)
    days: dict[int, tuple[date, date | None]] = {
        usage_pb2.USAGE_PERIOD_TODAY: (today, None),
        usage_pb2.USAGE_PERIOD_YESTERDAY: (today - timedelta(days=1), today),
        usage_pb2.USAGE_PERIOD_WEEK_TO_DATE: (monday, None),
        usage_pb2.USAGE_PERIOD_LAST_WEEK: (monday - timedelta(days=7), monday),
        usage_pb2.USAGE_PERIOD_MONTH_TO_DATE: (month, None),
        usage_pb2.USAGE_PERIOD_LAST_MONTH: (_month_start(_month_number(today) - 1), month),
        usage_pb2.USAGE_PERIOD_QUARTER_TO_DATE: (_month_start(_month_number(today) // 3 * 3), None),
        usage_pb2.USAGE_PERIOD_YEAR_TO_DATE: (today.replace(month=1, day=1), None),
    }
    return days[period]


def _boundaries(start: datetime, interval: Interval, zone: tzinfo) -> Iterator[datetime]:
    """Where slots begin, from at or before `start` on, without end."""
    first = start.astimezone(zone).date()
    if interval.unit == "s":
        return _clock_boundaries(first, interval.count, zone)
    return (_midnight(day, zone) for day in _first_days(first, interval))


def _clock_boundaries(first: date, length_s: int, zone: tzinfo) -> Iterator[datetime]:
    """Every `length_s`, from each local midnight anew where that divides a day, else from the first one on."""
    length = timedelta(seconds=length_s)
    restarts = _DAY_S % length_s == 0
    time, day = _midnight(first, zone), first
    while True:
        day += timedelta(days=1)
        next_midnight = _midnight(day, zone)
        while time < next_midnight:
            yield time
            time += length
        if restarts:
            time = next_midnight


def _first_days(first: date, interval: Interval) -> Iterator[date]:
    """The first day of each slot of whole days: weeks from Monday on, months that divide a year from January on."""
    day, step = first, timedelta(days=interval.count)
    if interval.unit == "mo":
        month = _month_number(first)
        aligned = month - month % interval.count if _YEAR_MONTHS % interval.count == 0 else month
        return _every(lambda number: _month_start(aligned + number * interval.count))
    if interval.unit == "w":
        day, step = first - timedelta(days=first.weekday()), 7 * step
    return _every(lambda number: day + number * step)


def _every(day_of: Callable[[int], date]) -> Iterator[date]:
    number = 0
    while True:
        yield day_of(number)
        number += 1


def _midnight(day: date, zone: tzinfo) -> datetime:
    """When a local day begins, which is not always at midnight."""
    return quarter_hour_start(datetime(day.year, day.month, day.day, tzinfo=zone))


def _month_number(day: date) -> int:
    return day.year * _YEAR_MONTHS + day.month - 1


def _month_start(number: int) -> date:
    return date(number // _YEAR_MONTHS, number % _YEAR_MONTHS + 1, 1)
