from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from controlplane.quota.alerts.schedule import GIVE_UP_AFTER, next_attempt
from tests.unit.controlplane.quota.alerts.specimens import NOW

END = NOW + GIVE_UP_AFTER


def test_delays_grow_to_an_hour() -> None:
    delays = [next_attempt(END, NOW, attempts) for attempts in range(1, 8)]
    seconds = [int((moment - NOW).total_seconds()) for moment in delays if moment is not None]
    assert seconds == [5, 30, 120, 600, 1800, 3600, 3600]


def test_what_a_receiver_asks_for_is_kept_up_to_an_hour() -> None:
    assert next_attempt(END, NOW, 1, retry_after_s=60) == NOW + timedelta(seconds=60)
    assert next_attempt(END, NOW, 4, retry_after_s=60) == NOW + timedelta(seconds=600)
    assert next_attempt(END, NOW, 1, retry_after_s=10**9) == NOW + timedelta(hours=1)


def test_after_a_day_there_is_no_other_try() -> None:
    assert next_attempt(END, END - timedelta(hours=1), 30) == END
    assert next_attempt(END, END - timedelta(minutes=59), 30) is None


@given(st.integers(0, 20))
def test_tries_end_within_a_day_and_are_some_thirty(jitter_percent: int) -> None:
    moment, attempts = NOW, 0
    while True:
        attempts += 1
        following = next_attempt(END, moment, attempts, jitter_percent=jitter_percent)
        if following is None:
            break
        assert moment < following <= END
        moment = following
    assert 24 <= attempts <= 30
