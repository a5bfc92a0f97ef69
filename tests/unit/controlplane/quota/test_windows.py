"""Periods of budgets on the calendar."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.quota.windows import window_at
from tollway.config.v1 import resources_pb2 as pb

ZONES = ("", "UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia")
PERIODS = [period for period in pb.BudgetPeriod.values() if period]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("period", "zone", "start", "end"),
    [
        (pb.BUDGET_PERIOD_DAY, "", "2026-10-25", "2026-10-26"),
        (pb.BUDGET_PERIOD_DAY, "Europe/Berlin", "2026-10-24T22:00", "2026-10-25T23:00"),
        (pb.BUDGET_PERIOD_WEEK, "UTC", "2026-10-19", "2026-10-26"),
        (pb.BUDGET_PERIOD_MONTH, "Europe/Berlin", "2026-09-30T22:00", "2026-10-31T23:00"),
        (pb.BUDGET_PERIOD_QUARTER, "", "2026-10-01", "2027-01-01"),
        (pb.BUDGET_PERIOD_YEAR, "", "2026-01-01", "2027-01-01"),
    ],
)
def test_a_period_is_on_the_calendar_of_its_zone(period: int, zone: str, start: str, end: str) -> None:
    window = window_at(pb.BudgetPeriod.ValueType(period), zone, utc("2026-10-25T12:00"))
    assert (window.start_ms, window.end_ms) == (_ms(utc(start)), _ms(utc(end)))


def test_the_total_has_no_end() -> None:
    window = window_at(pb.BUDGET_PERIOD_TOTAL, "", utc("2026-10-25"))
    assert (window.start_ms, window.end_ms) == (0, None)


@given(
    st.sampled_from(PERIODS),
    st.sampled_from(ZONES),
    st.integers(946_684_800, 3_786_912_000),
)
def test_windows_follow_each_other_without_gap(period: int, zone: str, unix_time_s: int) -> None:
    word, now = pb.BudgetPeriod.ValueType(period), datetime.fromtimestamp(unix_time_s, UTC)
    window = window_at(word, zone, now)
    assert window.start_ms <= now.timestamp() * 1000
    if window.end_ms is None:
        return
    end = datetime.fromtimestamp(window.end_ms // 1000, UTC)
    assert now < end
    assert window_at(word, zone, end).start_ms == window.end_ms
    assert window_at(word, zone, end - timedelta(microseconds=1)) == window


def _ms(time: datetime) -> int:
    return int(time.timestamp()) * 1000
