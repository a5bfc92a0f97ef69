"""Periods of budgets on the calendar of a time zone. Pure."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from tollway.config.v1 import resources_pb2 as pb
from tollway.kernel.periods import quarter_hour_start

_MONTHS = {pb.BUDGET_PERIOD_MONTH: 1, pb.BUDGET_PERIOD_QUARTER: 3, pb.BUDGET_PERIOD_YEAR: 12}
_YEAR_MONTHS = 12


@dataclass(frozen=True, slots=True)
class Window:
    """A period in Unix milliseconds, its end left out; the one of BUDGET_PERIOD_TOTAL is from 0 on, without end."""

    start_ms: int
    end_ms: int | None


def window_at(period: "pb.BudgetPeriod.ValueType", time_zone: str, now: datetime) -> Window:
    """The period that `now` is in. Weeks begin on Monday, days when they begin in `time_zone` ("" is UTC).

    Raises ValueError for a period or a zone that is not known (zoneinfo.ZoneInfoNotFoundError is a KeyError).
    """
    if period == pb.BUDGET_PERIOD_TOTAL:
        return Window(0, None)
    zone: tzinfo = UTC if time_zone in ("", "UTC") else ZoneInfo(time_zone)
    first, after = _days(period, now.astimezone(zone).date())
    return Window(_begin_ms(first, zone), _begin_ms(after, zone))


def _days(period: "pb.BudgetPeriod.ValueType", today: date) -> tuple[date, date]:
    """The first day, and the one after the last."""
    if period == pb.BUDGET_PERIOD_DAY:
        return today, today + timedelta(days=1)
    if period == pb.BUDGET_PERIOD_WEEK:
        monday = today - timedelta(days=today.weekday())
        return monday, monday + timedelta(days=7)
    if period not in _MONTHS:
        raise ValueError(f"budget period {period} is not known")
    length = _MONTHS[period]
    number = today.year * _YEAR_MONTHS + today.month - 1
    number -= number % length
    return _month_start(number), _month_start(number + length)


def _month_start(number: int) -> date:
    return date(number // _YEAR_MONTHS, number % _YEAR_MONTHS + 1, 1)


def _begin_ms(day: date, zone: tzinfo) -> int:
    """When a local day begins, which is not always at midnight; a whole quarter hour, as sums of the ledger are."""
    return int(quarter_hour_start(datetime(day.year, day.month, day.day, tzinfo=zone)).timestamp()) * 1000
