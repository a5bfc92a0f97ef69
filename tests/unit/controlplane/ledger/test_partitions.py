"""Partitions cover every event id of their day, and only those."""

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from controlplane.ledger.partitions import DAYS_AHEAD, DAYS_BACK, days_of, partition_of, standing_days
from tollway.kernel.usage import event_id

NOW = datetime(2026, 11, 22, 23, 59, tzinfo=UTC)


@given(st.integers(1_577_836_800, 4_102_444_799), st.integers(1, 2**34 - 1))
def test_an_event_lies_in_the_partition_of_its_day(unix_s: int, boot_id: int) -> None:
    identity = event_id(unix_s * 1000, boot_id, 1)
    day = datetime.fromtimestamp(unix_s, UTC).date()
    partition = partition_of(day)
    assert partition.first <= identity < partition.end
    assert partition.end == partition_of(day + timedelta(days=1)).first


def test_names_tell_the_day() -> None:
    assert partition_of(date(2026, 1, 2)).name == "ledger_entry_20260102"


def test_standing_days_reach_ahead() -> None:
    days = standing_days(NOW)
    assert min(days) == date(2026, 11, 21)
    assert max(days) == date(2026, 11, 22) + timedelta(days=DAYS_AHEAD)
    assert len(days) == DAYS_AHEAD + 2


def test_days_far_off_get_no_partition() -> None:
    offsets = (0, -1, -DAYS_BACK, -DAYS_BACK - 1, DAYS_AHEAD, DAYS_AHEAD + 1, 20_000)
    times = [NOW + timedelta(days=offset) for offset in offsets]
    found = days_of((event_id(int(time.timestamp() * 1000), 1, 1) for time in times), NOW)
    assert found == {NOW.date() + timedelta(days=offset) for offset in (0, -1, -DAYS_BACK, DAYS_AHEAD)}
