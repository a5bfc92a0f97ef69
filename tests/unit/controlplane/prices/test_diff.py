"""Differences of two books."""

from hypothesis import given
from hypothesis import strategies as st

from controlplane.prices.diff import diff_books
from controlplane.prices.render import diff_summary, render_change
from tollway.config.v1.resources_pb2 import Band, BookPrice, ModelMatch, Price, Rate
from tollway.kernel.usage import Meter

NOW_MS = 1_000
BANDS = st.none() | st.builds(Band, start_minute=st.sampled_from([0, 60]), end_minute=st.just(120))


def rate(meter: Meter, nano_usd: int, above: int = 0, tier: str = "") -> Rate:
    return Rate(meter=int(meter), nano_usd_per_million=nano_usd, above_input_tokens=above, service_tier=tier)  # type: ignore[arg-type]


def row(model: str, *rates: Rate, start_ms: int = 0, band: Band | None = None) -> BookPrice:
    price = Price(provider="p", models=[ModelMatch(exact=model)], rates=rates, effective_from_ms=start_ms, band=band)
    return BookPrice(id=f"p/{model}@{start_ms}", model=model, price=price)


RATES = st.lists(
    st.builds(
        rate, st.sampled_from([Meter.INPUT, Meter.SECOND]), st.integers(0, 3), st.sampled_from([0, 9]), st.just("")
    ),
    max_size=3,
    unique_by=lambda found: (found.meter, found.above_input_tokens),
)
BOOKS = st.lists(
    st.builds(
        lambda model, rates, start_ms, band: row(model, *rates, start_ms=start_ms, band=band),
        st.sampled_from("ab"),
        RATES,
        st.sampled_from([0, 500, NOW_MS, 2_000]),
        BANDS,
    ),
    max_size=5,
    unique_by=lambda found: (found.model, found.price.effective_from_ms, str(found.price.band)),
)


@given(BOOKS)
def test_a_book_does_not_differ_from_itself(book: list[BookPrice]) -> None:
    assert diff_books(book, book, NOW_MS).changes == ()
    assert diff_books(book, list(reversed(book)), NOW_MS).changes == ()


@given(BOOKS, BOOKS)
def test_the_other_way_round_is_the_same_with_before_and_after_swapped(
    one: list[BookPrice], other: list[BookPrice]
) -> None:
    there, back = diff_books(one, other, NOW_MS), diff_books(other, one, NOW_MS)
    assert [(c.key, c.before, c.after) for c in there.changes] == [(c.key, c.after, c.before) for c in back.changes]
    assert (there.added, there.removed, there.changed) == (back.removed, back.added, back.changed)
    assert there.unchanged == back.unchanged
    summary = diff_summary("priceBooks/x", there)
    assert summary.added + summary.removed + summary.changed == len(there.changes)
    assert list(there.changes) == sorted(there.changes, key=lambda change: change.key)


@given(BOOKS, BOOKS)
def test_what_changes_taken_from_the_other_book_leads_there(one: list[BookPrice], other: list[BookPrice]) -> None:
    """Every rate in force now or later is unchanged, or in a line with its value."""
    diff = diff_books(one, other, NOW_MS)
    everything = diff_books([], other, NOW_MS)
    named = {change.key: change.after for change in diff.changes}
    same = diff_books([], one, NOW_MS)
    known = {change.key: change.after for change in same.changes}
    for change in everything.changes:
        assert named.get(change.key, known.get(change.key)) == change.after


def test_what_holds_now_is_compared_with_what_holds_now_and_what_comes_with_what_comes() -> None:
    old = [row("a", rate(Meter.INPUT, 1)), row("a", rate(Meter.INPUT, 2), start_ms=500)]
    new = [row("a", rate(Meter.INPUT, 2)), row("a", rate(Meter.INPUT, 3), start_ms=2_000)]
    (change,) = diff_books(old, new, NOW_MS).changes
    assert (change.key.effective_from_ms, change.before, change.after) == (2_000, None, 3)
    line = render_change(change)
    assert (line.before_usd, line.after_usd, line.per) == ("", "0.000000003", 1_000_000)
    assert line.effective_from.ToMilliseconds() == 2_000
