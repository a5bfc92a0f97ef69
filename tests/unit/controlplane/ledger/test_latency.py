"""Percentiles from buckets are within 5% of the exact ones."""

import math

from hypothesis import given
from hypothesis import strategies as st

from controlplane.ledger.latency import FIRST_US, GROWTH, LAST_BUCKET, bucket_ms, bucket_of, percentile_ms

LONGEST_US = int(FIRST_US * GROWTH**LAST_BUCKET)
TIMES_US = st.lists(st.integers(FIRST_US, LONGEST_US), min_size=1, max_size=300)


@given(TIMES_US, st.sampled_from([0.5, 0.95]))
def test_percentiles_are_within_five_percent(times_us: list[int], fraction: float) -> None:
    exact_ms = sorted(times_us)[math.ceil(fraction * len(times_us)) - 1] / 1000
    found_ms = percentile_ms(((bucket_of(time), 1) for time in times_us), fraction)
    assert found_ms is not None
    assert abs(found_ms - exact_ms) <= 0.05 * exact_ms


@given(st.integers(0, 10**15))
def test_times_beyond_the_buckets_go_into_the_outer_ones(time_us: int) -> None:
    bucket = bucket_of(time_us)
    assert 0 <= bucket <= LAST_BUCKET
    if FIRST_US <= time_us <= LONGEST_US:
        assert abs(bucket_ms(bucket) - time_us / 1000) <= 0.05 * time_us / 1000


def test_there_is_no_percentile_of_nothing() -> None:
    assert percentile_ms([], 0.5) is None
