"""Re-rating on a ledger of plain values: what it adds up to, whatever was rated before."""

import re
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controlplane.ledger.periods.months import Calendar
from controlplane.ledger.rerating.adjustments import (
    MAX_COST_NANO_USD,
    Adjustment,
    Posting,
    RatedUsage,
    Rater,
    Rating,
    Standing,
    adjustment_of,
    adjustments_of,
)
from controlplane.ledger.rerating.book import BookRater
from controlplane.ledger.rerating.differences import DifferenceSums, summed
from tollway.kernel.price_index import PriceIndex
from tollway.kernel.pricing import Price, Rate
from tollway.kernel.usage import Meter, SettlementState

NOON_US = 1_795_262_400_000_000
DAY_US = 86_400_000_000
POSTING_US = NOON_US + 40 * DAY_US
MODELS = ("a", "b", "c")
BASES = (SettlementState.REPORTED, SettlementState.ESTIMATED, SettlementState.PARTIAL)


@dataclass(slots=True)
class Booked:
    """An attempt and its adjustments."""

    identity: uuid.UUID
    team: str
    usage: RatedUsage
    basis: SettlementState
    state: SettlementState
    cost_nano_usd: int
    adjustments: list[Adjustment] = field(default_factory=list)

    def standing(self) -> Standing:
        """As the database adds it up."""
        state = self.state + sum(a.state - a.prior_state for a in self.adjustments)
        cost_nano_usd = self.cost_nano_usd + sum(a.difference_nano_usd for a in self.adjustments)
        model = self.usage.upstream_model
        return Standing(self.identity, self.team, model, self.usage, self.basis, SettlementState(state), cost_nano_usd)


Attempt = tuple[str, RatedUsage, SettlementState]
quantities = st.integers(0, 2**53)
usages = st.builds(
    RatedUsage,
    st.just("sim"),
    st.sampled_from(MODELS),
    st.just(""),
    st.integers(NOON_US, NOON_US + 30 * DAY_US),
    st.fixed_dictionaries({"output": quantities}, optional={"input": quantities, "cache_read": quantities}),
)
attempts = st.lists(st.tuples(st.sampled_from("xy"), usages, st.sampled_from(BASES)), max_size=12)
rates = st.fixed_dictionaries(
    {Meter.OUTPUT: st.sampled_from([0, 1, 333_333, 10**9, 2**40])},
    optional={Meter.INPUT: st.sampled_from([0, 1, 7, 10**10])},
)
books = st.dictionaries(st.sampled_from(MODELS), st.lists(st.tuples(rates, st.integers(0, 30)), min_size=1, max_size=3))
calendars = st.sampled_from([Calendar([]), Calendar([date(2026, 11, 1)]), Calendar([date(2026, 12, 1)])])


def rater_of(book: dict[str, list[tuple[dict[Meter, int], int]]]) -> Rater:
    """Prices by model, each from some day on; for models that are not in `book` no price is known."""
    prices = [
        Price(
            name=f"{model}@{day}",
            revision=1,
            provider="sim",
            models=re.compile(model),
            rates=tuple(Rate(meter, nano) for meter, nano in by_meter.items()),
            effective_from_ms=(NOON_US + day * DAY_US) // 1000 if day else 0,
        )
        for model, variants in book.items()
        for by_meter, day in variants
    ]
    return BookRater(PriceIndex(prices))


raters = st.builds(rater_of, books)


def ledger_of(given: Sequence[Attempt], rater: Rater) -> list[Booked]:
    """As data planes that price by `rater` would have it."""
    ledger = []
    for number, (team, usage, basis) in enumerate(given):
        rating = rater.rate(usage)
        state = SettlementState.UNPRICED if rating is None else SettlementState.FREE if rating.is_free else basis
        cost_nano_usd = 0 if rating is None else min(rating.cost_nano_usd, MAX_COST_NANO_USD)
        ledger.append(Booked(uuid.UUID(int=number), f"teams/{team}", usage, basis, state, cost_nano_usd))
    return ledger


def rerate(ledger: Sequence[Booked], rater: Rater, run: int, calendar: Calendar) -> list[Adjustment]:
    """Posts, and says what."""
    by_identity = {booked.identity: booked for booked in ledger}
    posting = Posting(uuid.UUID(int=run), POSTING_US, calendar)
    posted = []
    for standing, adjustment in adjustments_of([booked.standing() for booked in ledger], rater, posting):
        by_identity[standing.event_id].adjustments.append(adjustment)
        posted.append(adjustment)
    return posted


def sums(ledger: Sequence[Booked]) -> Counter[tuple[str, ...]]:
    """Cost and states by team and model, as rollups count them."""
    found: Counter[tuple[str, ...]] = Counter()
    for booked in ledger:
        group = (booked.team, booked.usage.upstream_model)
        found[(*group, "cost")] += booked.cost_nano_usd
        found[(*group, booked.state.word)] += 1
        for adjustment in booked.adjustments:
            found[(*group, "cost")] += adjustment.difference_nano_usd
            found[(*group, adjustment.prior_state.word)] -= 1
            found[(*group, adjustment.state.word)] += 1
    return Counter({key: number for key, number in found.items() if number})


@given(attempts, raters, calendars)
def test_the_same_book_changes_nothing(given: list[Attempt], book: Rater, calendar: Calendar) -> None:
    assert rerate(ledger_of(given, book), book, 1, calendar) == []


@given(attempts, raters, raters, calendars)
def test_a_second_time_changes_nothing(given: list[Attempt], first: Rater, book: Rater, calendar: Calendar) -> None:
    ledger = ledger_of(given, first)
    rerate(ledger, book, 1, calendar)
    assert rerate(ledger, book, 2, calendar) == []


@given(attempts, raters, raters, calendars)
def test_sums_are_those_of_a_ledger_that_had_the_book_from_the_beginning(
    given: list[Attempt], first: Rater, book: Rater, calendar: Calendar
) -> None:
    ledger = ledger_of(given, first)
    rerate(ledger, book, 1, calendar)
    assert sums(ledger) == sums(ledger_of(given, book))


@given(attempts, raters, raters, calendars)
def test_another_book_and_back_gives_the_first_sums(
    given: list[Attempt], first: Rater, other: Rater, calendar: Calendar
) -> None:
    ledger = ledger_of(given, first)
    before = sums(ledger)
    rerate(ledger, other, 1, calendar)
    rerate(ledger, first, 2, calendar)
    assert sums(ledger) == before


@given(attempts, raters, raters, calendars)
def test_adjustments_are_whole_numbers_that_change_something(
    given: list[Attempt], first: Rater, book: Rater, calendar: Calendar
) -> None:
    posted = rerate(ledger_of(given, first), book, 1, calendar)
    assert all(a.difference_nano_usd or a.state is not a.prior_state for a in posted)
    assert {type(a.difference_nano_usd) for a in posted} <= {int}
    assert len({a.event_id for a in posted}) == len(posted)


@given(attempts, raters, raters, calendars)
def test_differences_are_what_the_sums_move_by(
    given: list[Attempt], first: Rater, book: Rater, calendar: Calendar
) -> None:
    ledger = ledger_of(given, first)
    before, standings = sums(ledger), [booked.standing() for booked in ledger]
    found = summed(adjustments_of(standings, book, Posting(uuid.UUID(int=1), POSTING_US, calendar)))
    rerate(ledger, book, 1, calendar)
    after = sums(ledger)
    for (team, model), difference in found.items():
        cost = (team, model, "cost")
        unpriced = (team, model, SettlementState.UNPRICED.word)
        assert difference.difference_nano_usd == after[cost] - before[cost]
        assert difference.newly_unpriced_entries - difference.newly_priced_entries == after[unpriced] - before[unpriced]
    assert sum(d.changed_entries for d in found.values()) == sum(len(booked.adjustments) for booked in ledger)


def standing(**fields: Any) -> Standing:
    usage = RatedUsage("sim", "a", "", NOON_US, {"output": 10})
    values = Standing(uuid.UUID(int=1), "teams/x", "a", usage, SettlementState.ESTIMATED, SettlementState.UNPRICED, 0)
    return values._replace(**fields)


OPEN = Posting(uuid.UUID(int=7), POSTING_US, Calendar([]))
CLOSED = OPEN._replace(calendar=Calendar([date(2026, 11, 1)]))


def test_what_turns_out_to_be_free_is_unpriced_no_more() -> None:
    found = adjustment_of(standing(), Rating(0, True, "prices/p", 3), OPEN)
    assert found is not None and (found.difference_nano_usd, found.state) == (0, SettlementState.FREE)
    assert (found.price, found.price_revision, found.prior_state) == ("prices/p", 3, SettlementState.UNPRICED)


def test_what_has_a_price_now_becomes_what_its_basis_says() -> None:
    found = adjustment_of(standing(), Rating(12, False, "prices/p", 3), OPEN)
    assert found is not None and (found.difference_nano_usd, found.state) == (12, SettlementState.ESTIMATED)


def test_what_has_no_price_any_more_is_unpriced_and_never_free() -> None:
    before = standing(state=SettlementState.ESTIMATED, cost_nano_usd=5)
    found = adjustment_of(before, None, OPEN)
    assert found is not None and (found.difference_nano_usd, found.state) == (-5, SettlementState.UNPRICED)
    assert (found.price, found.price_revision) == ("", 0)


def test_another_price_of_the_same_cost_is_no_difference() -> None:
    before = standing(state=SettlementState.ESTIMATED, cost_nano_usd=5)
    assert adjustment_of(before, Rating(5, False, "prices/other", 9), OPEN) is None


def test_an_adjustment_lands_where_its_entry_is_unless_its_month_is_closed() -> None:
    rating = Rating(12, False, "prices/p", 3)
    here, later = adjustment_of(standing(), rating, OPEN), adjustment_of(standing(), rating, CLOSED)
    assert here is not None and (here.start_time_us, here.is_closed) == (NOON_US, False)
    assert later is not None and (later.start_time_us, later.is_closed) == (POSTING_US, True)
    assert here.event_id.int >> 80 == NOON_US // 1000 and later.event_id.int >> 80 == POSTING_US // 1000
    assert later.adjusts == standing().event_id


def test_costs_are_bounded_as_data_planes_bound_them() -> None:
    found = adjustment_of(standing(), Rating(2**70, False, "prices/p", 3), OPEN)
    assert found is not None and found.difference_nano_usd == 2**53


def test_sums_tell_closed_months_apart() -> None:
    rating = Rating(12, False, "prices/p", 3)
    changes = [(standing(), a) for p in (OPEN, CLOSED) if (a := adjustment_of(standing(), rating, p)) is not None]
    assert summed(changes) == {("teams/x", "a"): DifferenceSums(2, 2, 0, 1, 0, 24, 12)}
