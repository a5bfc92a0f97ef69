"""When which book is in force, by its activations."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.errors import FailedPrecondition, InvalidArgument
from controlplane.prices.activation import (
    PAST_SLACK,
    activate,
    check_deletable,
    effective_moment,
    from_ms,
    withdraw,
)
from controlplane.prices.headers import starts_ms, to_ms
from controlplane.prices.timeline import RETENTION_MS, book_in_force, is_needed, periods_of
from tollway.admin.v1.price_books_pb2 import PriceBook, PriceBookActivation

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
STARTS = st.dictionaries(
    st.sampled_from("abc"), st.lists(st.integers(0, 50), max_size=3, unique=True), max_size=3
).filter(lambda starts: len({s for own in starts.values() for s in own}) == sum(map(len, starts.values())))


def book(name: str, *starts: datetime, said: datetime = NOW) -> PriceBook:
    found = PriceBook(name=f"priceBooks/{name}")
    for start in starts:
        activation = PriceBookActivation()
        activation.effective_from.FromDatetime(start)
        activation.activate_time.FromDatetime(said)
        found.activations.append(activation)
    return found


@given(STARTS, st.integers(0, 60))
def test_at_each_moment_the_last_activation_before_it_counts(starts: dict[str, list[int]], time_ms: int) -> None:
    periods = periods_of(starts.items())
    begun = [(start, name) for name, own in starts.items() for start in own if start <= time_ms]
    assert book_in_force(periods, time_ms) == (max(begun)[1] if begun else "")
    assert all(one.end_ms == after.start_ms for one, after in pairwise(periods))


@given(STARTS, st.integers(0, 60))
def test_a_book_that_is_not_needed_priced_nothing_for_a_day_and_will_not(
    starts: dict[str, list[int]], time_ms: int
) -> None:
    periods = periods_of(starts.items())
    late_ms = time_ms + RETENTION_MS
    for name in starts:
        if not is_needed(name, periods, late_ms):
            assert name not in {book_in_force(periods, at) for at in (time_ms, late_ms, late_ms + 100)}
    assert book_in_force(periods, late_ms) == "" or is_needed(book_in_force(periods, late_ms), periods, late_ms)


def test_now_is_now_and_the_past_is_refused() -> None:
    assert effective_moment(None, "priceBooks/a", [], NOW) == NOW
    assert effective_moment(NOW - PAST_SLACK, "priceBooks/a", [], NOW) == NOW
    with pytest.raises(InvalidArgument, match="re-rate"):
        effective_moment(NOW - PAST_SLACK - timedelta(milliseconds=1), "priceBooks/a", [], NOW)


def test_now_is_after_what_a_faster_clock_put_in_force_and_not_after_what_was_meant_for_later() -> None:
    fast = NOW + timedelta(seconds=40)
    others = [book("b", fast, said=fast), book("c", NOW + timedelta(hours=1))]
    assert effective_moment(None, "priceBooks/a", others, NOW) == fast + timedelta(milliseconds=1)


def test_a_moment_belongs_to_one_book() -> None:
    later = NOW + timedelta(hours=1)
    with pytest.raises(InvalidArgument, match="priceBooks/b takes effect at that moment"):
        effective_moment(later, "priceBooks/a", [book("b", later)], NOW)
    assert effective_moment(later, "priceBooks/b", [book("b", later)], NOW) == later


def test_activating_what_is_in_force_changes_nothing() -> None:
    own = book("a", NOW - timedelta(days=1))
    periods = periods_of([(own.name, starts_ms(own))])
    assert not activate(own, NOW, periods, NOW, "ada")
    other = book("b")
    assert activate(other, NOW, periods, NOW, "ada")
    assert [(a.effective_from.ToDatetime(UTC), a.principal) for a in other.activations] == [(NOW, "ada")]


def test_only_what_has_not_taken_effect_is_taken_back() -> None:
    found = book("a", NOW - timedelta(days=1), NOW + timedelta(seconds=2), NOW + timedelta(hours=1))
    withdraw(found, NOW)
    assert len(found.activations) == 2
    with pytest.raises(FailedPrecondition, match="later than in 5 s"):
        withdraw(found, NOW)


def test_only_a_book_without_activations_is_deletable() -> None:
    check_deletable(book("a"), NOW)
    with pytest.raises(FailedPrecondition, match="was in force"):
        check_deletable(book("a", NOW), NOW)
    with pytest.raises(FailedPrecondition, match="withdraw"):
        check_deletable(book("a", NOW + timedelta(days=1)), NOW)


@given(st.integers(0, 4 * 10**12))
def test_milliseconds_survive(time_ms: int) -> None:
    assert to_ms(from_ms(time_ms)) == time_ms
