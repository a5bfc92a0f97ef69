"""Rotation: at most two digests are valid, and the newest is the one that lasts."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from controlplane.keys.digests import lasting_digest, rotated_digests, valid_digests
from controlplane.keys.rows import StoredDigest

START = datetime(2030, 1, 1, tzinfo=UTC)
KEY = "teams/a/keys/b"
DAY = timedelta(hours=24)


def test_the_former_secret_stays_for_the_overlap() -> None:
    first = rotated_digests((), b"1", KEY, START, DAY)
    second = rotated_digests(first, b"2", KEY, START + timedelta(hours=1), DAY)
    assert [(row.digest, row.expire_time) for row in second] == [(b"2", None), (b"1", START + timedelta(hours=25))]


def test_without_overlap_it_ends_at_once() -> None:
    first = rotated_digests((), b"1", KEY, START, DAY)
    assert [row.digest for row in rotated_digests(first, b"2", KEY, START, timedelta())] == [b"2"]


def test_going_back_to_the_former_secret_swaps_them() -> None:
    first = rotated_digests((), b"1", KEY, START, DAY)
    second = rotated_digests(first, b"2", KEY, START + timedelta(hours=1), DAY)
    third = rotated_digests(second, b"1", KEY, START + timedelta(hours=2), DAY)
    assert lasting_digest(third) == b"1"
    assert [row.digest for row in third] == [b"1", b"2"]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 48), st.integers(0, 30)), min_size=1, max_size=12))
def test_any_rotations_leave_at_most_two_and_never_prolong(steps: list[tuple[int, int, int]]) -> None:
    digests: list[StoredDigest] = []
    now = START
    for digest, overlap_h, pause_h in steps:
        now += timedelta(hours=pause_h, seconds=1)
        ends = {row.digest: row.expire_time for row in digests}
        digests = rotated_digests(digests, bytes([digest]), KEY, now, timedelta(hours=overlap_h))
        valid = valid_digests(digests, now)
        assert lasting_digest(digests) == bytes([digest])
        assert len(digests) <= 2
        assert len({row.digest for row in digests}) == len(digests)
        for row in valid[1:]:
            before = ends[row.digest]
            assert row.expire_time is not None
            assert row.expire_time <= now + timedelta(hours=overlap_h)
            assert before is None or row.expire_time <= before
