"""Which rollups add up to a time slot: the coarsest spans that fill it exactly. Pure."""

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from controlplane.ledger.times import EPOCH
from tollway.kernel.periods import HOUR_S, QUARTER_HOUR_S

DAY_S = 86_400
SUM_SPANS_S = (DAY_S, HOUR_S, QUARTER_HOUR_S)
LATENCY_SPANS_S = (DAY_S, QUARTER_HOUR_S)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Piece:
    """Rollups of `span_s` whose slot begins in [start, end): a part of the time slot with this number."""

    number: int
    span_s: int
    start: datetime
    end: datetime


def cover(boundaries: Sequence[datetime], folded: Collection[date], spans_s: Sequence[int]) -> list[Piece]:
    """Pieces of each slot between two `boundaries`, which are whole quarter hours.

    Only UTC days in `folded` have coarser spans than the quarter hour; `spans_s` is what may be used, falling.
    """
    slots = enumerate(itertools.pairwise(boundaries))
    return [piece for number, (start, end) in slots for piece in _joined(number, start, end, folded, spans_s)]


def _joined(
    number: int, start: datetime, end: datetime, folded: Collection[date], spans_s: Sequence[int]
) -> Iterator[Piece]:
    """Neighbours of the same span as one."""
    last: Piece | None = None
    for piece in _by_day(number, start, end, folded, spans_s):
        if last is not None and last.span_s == piece.span_s:
            last = Piece(number, last.span_s, last.start, piece.end)
            continue
        if last is not None:
            yield last
        last = piece
    if last is not None:
        yield last


def _by_day(
    number: int, start: datetime, end: datetime, folded: Collection[date], spans_s: Sequence[int]
) -> Iterator[Piece]:
    while start < end:
        midnight = datetime(start.year, start.month, start.day, tzinfo=UTC)
        stop = min(end, midnight + _DAY)
        usable = spans_s if midnight.date() in folded else spans_s[-1:]
        yield from _filled(number, start, stop, usable)
        start = stop


def _filled(number: int, start: datetime, end: datetime, spans_s: Sequence[int]) -> Iterator[Piece]:
    """The coarsest span that fits within a day, and what is left before and after it with finer ones."""
    span = timedelta(seconds=spans_s[0])
    first = start + (EPOCH - start) % span
    last = end - (end - EPOCH) % span
    if first >= last:
        if start < end:
            yield from _filled(number, start, end, spans_s[1:])
        return
    yield from _filled(number, start, first, spans_s[1:]) if start < first else ()
    yield Piece(number, spans_s[0], first, last)
    yield from _filled(number, last, end, spans_s[1:]) if last < end else ()
