"""Which book is in force when: each activation holds until the next one of any book. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tollway.admin.v1.price_books_pb2 import (
    PRICE_BOOK_STATE_ACTIVE,
    PRICE_BOOK_STATE_IMPORTED,
    PRICE_BOOK_STATE_SCHEDULED,
    PRICE_BOOK_STATE_SUPERSEDED,
    PriceBookState,
)

RETENTION_MS = 24 * 3_600_000
"""How long data planes keep a superseded book: beyond any call that began in its time."""


@dataclass(frozen=True, slots=True)
class Period:
    """A book holds from `start_ms` until before `end_ms`, Unix milliseconds; None for no end."""

    book: str
    start_ms: int
    end_ms: int | None


def periods_of(starts: Iterable[tuple[str, Iterable[int]]]) -> list[Period]:
    """All periods in order; `starts` has the moments of activation of each book."""
    moments = sorted((start, book) for book, times in starts for start in times)
    ends: list[int | None] = [start for start, _ in moments[1:]]
    return [Period(book, start, end) for (start, book), end in zip(moments, [*ends, None], strict=False)]


def book_in_force(periods: Iterable[Period], time_ms: int) -> str:
    """Full name of the book for calls that begin at `time_ms`; "" when there is none."""
    begun = [period.book for period in periods if period.start_ms <= time_ms]
    return begun[-1] if begun else ""


def state_at(book: str, periods: Sequence[Period], time_ms: int) -> PriceBookState.ValueType:
    own = [period for period in periods if period.book == book]
    if book_in_force(periods, time_ms) == book:
        return PRICE_BOOK_STATE_ACTIVE
    if any(period.start_ms > time_ms for period in own):
        return PRICE_BOOK_STATE_SCHEDULED
    return PRICE_BOOK_STATE_SUPERSEDED if own else PRICE_BOOK_STATE_IMPORTED


def is_needed(book: str, periods: Iterable[Period], time_ms: int) -> bool:
    """Whether data planes may have calls to price by `book`, now or later."""
    return any(p.end_ms is None or p.end_ms > time_ms - RETENTION_MS for p in periods if p.book == book)
