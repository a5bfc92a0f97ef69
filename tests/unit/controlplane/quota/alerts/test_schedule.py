from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from controlplane.quota.alerts.schedule import GIVE_UP_AFTER, next_attempt
from tests.unit.controlplane.quota.alerts.specimens import NOW


def test_delays_grow_to_an_hour() -> None:
    delays = [next_attempt(NOW, NOW, attempts) for attempts in range(1, 8)]
    seconds = [int((moment - NOW).total_seconds()) for moment in delays if moment is not None]
    assert seconds == [5, 30, 120, 600, 1800, 3600, 3600]


def test_what_a_receiver_asks_for_is_kept_up_to_an_hour() -> None:
    assert next_attempt(NOW, NOW, 1, retry_after_s=60) == NOW + timedelta(seconds=60)
    assert next_attempt(NOW, NOW, 4, retry_after_s=60) == NOW + timedelta(seconds=600)
    assert next_attempt(NOW, NOW, 1, retry_after_s=10**9) == NOW + timedelta(hours=1)


def test_after_a_day_there_is_no_other_try() -> None:
    late = NOW + GIVE_UP_AFTER
    assert next_attempt(NOW, late - timedelta(hours=1), 30) == late
    assert next_attempt(NOW, late - timedelta(minutes=59), 30) is None


@given(st.integers(0, 20))
def test_tries_end_within_a_day_and_are_some_thirty(jitter_percent: int) -> None:
    moment, attempts = NOW, 0
    while True:
        attempts += 1
        following = next_attempt(NOW, moment, attempts, jitter_percent=jitter_percent)
        if following is None:
            break
        assert moment < following <= NOW + GIVE_UP_AFTER
        moment = following
    assert 24 <= attempts <= 30
