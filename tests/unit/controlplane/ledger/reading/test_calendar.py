"""Slots and periods are those of local clocks and calendars, whole quarter hours that join without a gap."""

import itertools
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.ledger.reading.calendar import (
    MAX_SLOTS,
    Interval,
    parse_interval,
    period_range,
    slot_boundaries,
)
from tollway.admin.v1 import usage_pb2
from tollway.resources.time_zones import parse_time_zone

BERLIN, NEW_YORK, KOLKATA = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("Asia/Kolkata")
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Asia/Beirut",
    "Pacific/Apia",
)
INTERVALS = ("15m", "30m", "1h", "2h", "7h", "1d", "3d", "1w", "1mo", "3mo", "5mo", "86400s")


def hours(boundaries: list[datetime]) -> list[float]:
    return [(end - start) / timedelta(hours=1) for start, end in itertools.pairwise(boundaries)]


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("15m", Interval(900, "s")),
        ("3600s", Interval(3600, "s")),
        ("24h", Interval(86_400, "s")),
        ("1d", Interval(1, "d")),
        ("2w", Interval(2, "w")),
        ("1mo", Interval(1, "mo")),
    ],
)
def test_intervals(text: str, interval: Interval) -> None:
    assert parse_interval(text) == interval


@pytest.mark.parametrize(
    "text", ["", "1", "h", "10m", "0d", "1y", "1 h", "-1h", "1.5h", "9999999999s", "54w", "13mo", "1d2h"]
)
def test_what_is_no_interval_says_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="multiple of 15 minutes"):
        parse_interval(text)


def test_days_have_23_and_25_hours_where_the_clocks_change() -> None:
    spring = slot_boundaries(
        datetime(2026, 3, 28, tzinfo=BERLIN).astimezone(UTC),
        datetime(2026, 3, 31, tzinfo=BERLIN).astimezone(UTC),
        Interval(1, "d"),
        BERLIN,
    )
    assert hours(spring) == [24, 23, 24]
    autumn = slot_boundaries(
        datetime(2026, 10, 31, tzinfo=NEW_YORK).astimezone(UTC),
        datetime(2026, 11, 3, tzinfo=NEW_YORK).astimezone(UTC),
        Interval(1, "d"),
        NEW_YORK,
    )
    assert hours(autumn) == [24, 25, 24]


def test_hours_of_a_clock_change_are_told_apart() -> None:
    start, end = (
        datetime(2026, 10, 25, tzinfo=BERLIN).astimezone(UTC),
        datetime(2026, 10, 26, tzinfo=BERLIN).astimezone(UTC),
    )
    assert hours(slot_boundaries(start, end, Interval(3600, "s"), BERLIN)) == [1.0] * 25
    assert hours(slot_boundaries(start, end, Interval(6 * 3600, "s"), BERLIN)) == [6, 6, 6, 6, 1]


def test_a_zone_off_by_half_an_hour_has_its_own_midnights() -> None:
    start = datetime(2026, 11, 1, 10, 0, tzinfo=UTC)
    boundaries = slot_boundaries(start, start + timedelta(days=2), Interval(1, "d"), KOLKATA)
    assert boundaries[1:3] == [datetime(2026, 11, 1, 18, 30, tzinfo=UTC), datetime(2026, 11, 2, 18, 30, tzinfo=UTC)]
    assert hours(boundaries) == [8.5, 24, 15.5]


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    start, end = datetime(2026, 11, 18, tzinfo=UTC), datetime(2027, 1, 5, tzinfo=UTC)
    weeks = slot_boundaries(start, end, Interval(1, "w"), UTC)
    assert weeks[1] == datetime(2026, 11, 23, tzinfo=UTC) and all(week.weekday() == 0 for week in weeks[1:-1])
    months = slot_boundaries(start, end, Interval(1, "mo"), UTC)
    assert months == [start, datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC), end]
    quarters = slot_boundaries(start, end, Interval(3, "mo"), UTC)
    assert quarters == [start, datetime(2027, 1, 1, tzinfo=UTC), end]


@given(
    st.sampled_from(ZONES),
    st.sampled_from(INTERVALS),
    st.integers(0, 2_000_000),
    st.integers(1, 9_000),
)
def test_slots_fill_the_range_with_whole_quarter_hours(zone: str, interval: str, first: int, length: int) -> None:
    start = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=15) * first
    end = start + timedelta(minutes=15) * length
    boundaries = slot_boundaries(start, end, parse_interval(interval), parse_time_zone(zone))
    assert (boundaries[0], boundaries[-1]) == (start, end)
    assert all(earlier < later for earlier, later in itertools.pairwise(boundaries))
    assert all(boundary.timestamp() % 900 == 0 for boundary in boundaries)


@given(st.sampled_from(ZONES), st.integers(0, 30_000))
def test_each_slot_of_a_day_is_one_local_day(zone: str, first: int) -> None:
    start = datetime(2011, 1, 1, tzinfo=UTC) + timedelta(hours=first)
    place = parse_time_zone(zone)
    boundaries = slot_boundaries(start, start + timedelta(days=20), Interval(1, "d"), place)
    for begin, end in itertools.pairwise(boundaries):
        last = end - timedelta(microseconds=1)
        assert begin.astimezone(place).date() == last.astimezone(place).date()


def test_too_many_slots_are_refused() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    quarter = timedelta(minutes=15)
    assert len(slot_boundaries(start, start + MAX_SLOTS * quarter, Interval(900, "s"), UTC)) == MAX_SLOTS + 1
    with pytest.raises(ValueError, match="time slots"):
        slot_boundaries(start, start + (MAX_SLOTS + 1) * quarter, Interval(900, "s"), UTC)


NOW = datetime(2026, 11, 18, 3, 7, tzinfo=UTC)  # still Tuesday the 17th in New York


@pytest.mark.parametrize(
    ("period", "first", "after"),
    [
        ("TODAY", date(2026, 11, 17), None),
        ("YESTERDAY", date(2026, 11, 16), date(2026, 11, 17)),
        ("WEEK_TO_DATE", date(2026, 11, 16), None),
        ("LAST_WEEK", date(2026, 11, 9), date(2026, 11, 16)),
        ("MONTH_TO_DATE", date(2026, 11, 1), None),
        ("LAST_MONTH", date(2026, 10, 1), date(2026, 11, 1)),
        ("QUARTER_TO_DATE", date(2026, 10, 1), None),
        ("YEAR_TO_DATE", date(2026, 1, 1), None),
    ],
)
def test_periods_are_of_the_local_calendar(period: str, first: date, after: date | None) -> None:
    number = usage_pb2.UsagePeriod.Value(f"USAGE_PERIOD_{period}")
    start, end = period_range(number, NOW, NEW_YORK)
    assert start == datetime(first.year, first.month, first.day, tzinfo=NEW_YORK)
    if after is None:
        assert end == datetime(2026, 11, 18, 3, 15, tzinfo=UTC)
    else:
        assert end == datetime(after.year, after.month, after.day, tzinfo=NEW_YORK)


def test_every_period_is_known_and_none_is_empty() -> None:
    midnight = datetime(2026, 1, 1, tzinfo=UTC)
    for number in usage_pb2.UsagePeriod.values()[1:]:
        start, end = period_range(number, midnight, UTC)
        assert start < end


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", "Europe", "a" * 500, "\0"])
def test_unknown_time_zones_are_told(name: str) -> None:
    with pytest.raises(ValueError, match="IANA"):
        parse_time_zone(name)
