from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.ledger.periods.months import (
    Calendar,
    month_of,
    next_month,
    parse_period,
    period_name,
    previous_month,
    start_of,
)

OCTOBER = date(2026, 10, 1)
months = st.dates(date(1970, 2, 1), date(2099, 11, 1)).map(lambda day: day.replace(day=1))


def us_of(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@given(months)
def test_months_follow_each_other(month: date) -> None:
    assert previous_month(next_month(month)) == month == parse_period(period_name(month))
    assert start_of(month) < start_of(next_month(month))


def test_a_month_is_closed_from_its_first_microsecond_to_its_last() -> None:
    calendar = Calendar([OCTOBER])
    start, end = us_of(start_of(OCTOBER)), us_of(start_of(next_month(OCTOBER)))
    assert [calendar.is_closed(time) for time in (start - 1, start, end - 1, end)] == [False, True, True, False]


def test_months_are_those_of_utc() -> None:
    assert month_of(datetime(2026, 11, 1, 1, tzinfo=timezone(timedelta(hours=2)))) == OCTOBER


@pytest.mark.parametrize("name", ["2026-10", "ledgerPeriods/2026-13", "ledgerPeriods/2026-1", "ledgerPeriods/0000-01"])
def test_names_of_no_month(name: str) -> None:
    assert parse_period(name) is None
