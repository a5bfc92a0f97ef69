"""Putting a book in force from a moment on, and taking that back before it has happened. Pure."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from controlplane.errors import FailedPrecondition, InvalidArgument
from controlplane.prices.headers import starts_ms, to_ms
from controlplane.prices.timeline import Period, book_in_force
from tollway.admin.v1.price_books_pb2 import PriceBook, PriceBookActivation
from tollway.resources.violations import Violation

PAST_SLACK = timedelta(minutes=1)
"""A moment that is past by less than this counts as now: clocks differ, and a request takes its time."""
WITHDRAW_LEAD = timedelta(seconds=5)
"""An activation that takes effect sooner than this stays: a data plane might price by it already."""


def effective_moment(asked: datetime | None, book: str, books: Iterable[PriceBook], now: datetime) -> datetime:
    """From when `book` is to hold; `asked` is None for now. `books` are all headers.

    Raises InvalidArgument for a time in the past, and for one at which another book takes effect.
    """
    moment = now if asked is None else asked
    if moment < now - PAST_SLACK:
        text = "is in the past, where calls are priced already; leave it out for now, and re-rate the calls before"
        raise InvalidArgument([Violation("effective_from", text)], resource=book)
    if moment <= now:
        return max(now, from_ms(_last_immediate_ms(books) + 1))
    taken = next((other.name for other in books if other.name != book and to_ms(moment) in starts_ms(other)), None)
    if taken is not None:
        text = f"{taken} takes effect at that moment already; withdraw it, or choose another time"
        raise InvalidArgument([Violation("effective_from", text)], resource=book)
    return moment


def activate(book: PriceBook, moment: datetime, periods: Sequence[Period], now: datetime, principal: str) -> bool:
    """Adds an activation to `book`, in order; False when the book is in force at that moment anyway."""
    if book_in_force(periods, to_ms(moment)) == book.name:
        return False
    activation = PriceBookActivation(principal=principal)
    activation.effective_from.FromMilliseconds(to_ms(moment))
    activation.activate_time.FromDatetime(now)
    activations = sorted([*book.activations, activation], key=lambda found: found.effective_from.ToMilliseconds())
    del book.activations[:]
    book.activations.extend(activations)
    return True


def withdraw(book: PriceBook, now: datetime) -> None:
    """Takes back what takes effect later. Raises FailedPrecondition when nothing does."""
    latest_ms = to_ms(now + WITHDRAW_LEAD)
    kept = [found for found, start_ms in zip(book.activations, starts_ms(book), strict=True) if start_ms <= latest_ms]
    if len(kept) == len(book.activations):
        raise FailedPrecondition(
            f"{book.name} has no activation that takes effect later than in {WITHDRAW_LEAD.total_seconds():.0f} s; "
            "activate another book instead",
            resource=book.name,
        )
    del book.activations[:]
    book.activations.extend(kept)


def check_deletable(book: PriceBook, now: datetime) -> None:
    """Raises FailedPrecondition for a book that was in force, or will be."""
    starts = starts_ms(book)
    if not starts:
        return
    if min(starts) <= to_ms(now + WITHDRAW_LEAD):
        raise FailedPrecondition(f"{book.name} was in force, and ledger entries name it; it stays", resource=book.name)
    raise FailedPrecondition(f"{book.name} takes effect later; withdraw it first", resource=book.name)


def from_ms(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms // 1000, UTC) + timedelta(milliseconds=time_ms % 1000)


def _last_immediate_ms(books: Iterable[PriceBook]) -> int:
    """When the last activation for the moment it was asked took effect, by a clock that may be ahead of this one."""
    moments = [
        found.effective_from.ToMilliseconds()
        for book in books
        for found in book.activations
        if found.effective_from.ToMilliseconds() <= found.activate_time.ToMilliseconds()
    ]
    return max(moments, default=0)
