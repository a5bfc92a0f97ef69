"""Windows and overlaps, against counting that looks at every moment."""

from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.limits.counting import most_at_once, most_within, span_ms

TIMES = st.integers(0, 60)


@given(st.lists(st.tuples(TIMES, st.integers(1, 5))), st.integers(1, 20))
def test_the_most_within_a_window_is_that_of_every_window(arrivals: list[tuple[int, int]], window_ms: int) -> None:
    every = [sum(n for t, n in arrivals if start <= t < start + window_ms) for start in range(-20, 61)]
    assert most_within(arrivals, window_ms) == max(every)


@given(st.lists(st.tuples(TIMES, TIMES)))
def test_the_most_at_once_is_that_of_every_moment(spans: list[tuple[int, int]]) -> None:
    assert most_at_once(spans) == max(sum(begin <= t < end for begin, end in spans) for t in range(61))


def test_one_that_ends_makes_room_for_one_that_begins() -> None:
    assert most_at_once([(0, 5), (5, 9)]) == 1
    assert most_at_once([]) == most_within([], 10) == span_ms([]) == 0
    assert span_ms([7, 3, 5]) == 4
