"""Pieces fill a slot exactly, with spans that are there and begin where they can."""

import itertools
from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from controlplane.ledger.reading.cover import LATENCY_SPANS_S, SUM_SPANS_S, Piece, cover

START = datetime(2026, 3, 1, tzinfo=UTC)
QUARTER_HOUR = timedelta(minutes=15)
DAYS = [date(2026, 3, 1) + timedelta(days=n) for n in range(6)]


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return START + timedelta(days=day - 1, hours=hour, minutes=minute)


def test_the_coarsest_spans_stand_in_the_middle() -> None:
    pieces = cover([at(1, 22, 30), at(4, 1, 15)], DAYS, SUM_SPANS_S)
    assert pieces == [
        Piece(0, 900, at(1, 22, 30), at(1, 23)),
        Piece(0, 3600, at(1, 23), at(2)),
        Piece(0, 86_400, at(2), at(4)),
        Piece(0, 3600, at(4), at(4, 1)),
        Piece(0, 900, at(4, 1), at(4, 1, 15)),
    ]


def test_days_that_are_not_folded_have_quarter_hours_only() -> None:
    pieces = cover([at(1), at(4)], {date(2026, 3, 1), date(2026, 3, 3)}, SUM_SPANS_S)
    assert [(piece.span_s, piece.start) for piece in pieces] == [(86_400, at(1)), (900, at(2)), (86_400, at(3))]


def test_a_slot_within_an_hour_has_one_piece() -> None:
    assert cover([at(1, 3, 15), at(1, 3, 45)], DAYS, SUM_SPANS_S) == [Piece(0, 900, at(1, 3, 15), at(1, 3, 45))]


@given(
    st.lists(st.integers(0, 96 * 5), min_size=2, max_size=12, unique=True),
    st.sets(st.sampled_from(DAYS)),
    st.sampled_from([SUM_SPANS_S, LATENCY_SPANS_S, SUM_SPANS_S[-1:]]),
)
def test_pieces_fill_each_slot_exactly(places: list[int], folded: set[date], spans_s: tuple[int, ...]) -> None:
    boundaries = [START + QUARTER_HOUR * place for place in sorted(places)]
    pieces = cover(boundaries, folded, spans_s)
    for number, (start, end) in enumerate(itertools.pairwise(boundaries)):
        own = [piece for piece in pieces if piece.number == number]
        assert (own[0].start, own[-1].end) == (start, end)
        assert all(earlier.end == later.start for earlier, later in itertools.pairwise(own))
        assert all(earlier.span_s != later.span_s for earlier, later in itertools.pairwise(own))
    for piece in pieces:
        assert piece.span_s in spans_s
        assert piece.start.timestamp() % piece.span_s == piece.end.timestamp() % piece.span_s == 0
        if piece.span_s > 900:
            length = (piece.end - piece.start).days + 1
            touched = {(piece.start + timedelta(days=n)).date() for n in range(length)}
            assert {day for day in touched if datetime(day.year, day.month, day.day, tzinfo=UTC) < piece.end} <= folded
