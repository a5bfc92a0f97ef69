"""Which price holds for a call: admins' prices before books, and of the books the one in force when it began."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from tollway.kernel.pricing import Price

_REMEMBERED_MODELS = 4096


@dataclass(frozen=True, slots=True)
class PriceBook:
    """A version of all prices: rows in order of precedence, and the moments from which it was put in force.

    `effective_from_ms` are Unix milliseconds; the book holds from each of them until another book takes effect.
    """

    name: str
    effective_from_ms: tuple[int, ...]
    rows: tuple[Price, ...]


@dataclass(frozen=True, slots=True)
class Matching:
    """What matches one model: admins' prices, and the rows of each book, both in order of precedence."""

    prices: tuple[Price, ...]
    rows: tuple[tuple[Price, ...], ...]


@dataclass(slots=True)
class PriceIndex:
    """Admins' prices and books of one moment, and which price holds for a model.

    An admin's price wins over every book. Among admins' prices one for the provider comes before one for every
    provider, an exact model before a pattern, one for a band of the day before one for all of it, then the later
    `effective_from_ms`, then the order given. One without rates is a discount on what the book says.
    """

    prices: Sequence[Price] = ()
    books: Sequence[PriceBook] = ()
    _starts_ms: list[int] = field(init=False, repr=False, compare=False)
    _in_force: list[int] = field(init=False, repr=False, compare=False)
    _found: dict[tuple[str, str], Matching] = field(default_factory=dict, init=False, repr=False, compare=False)
    _discounted: dict[tuple[int, int], Price] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        periods = sorted((start, b.name, at) for at, b in enumerate(self.books) for start in b.effective_from_ms)
        self._starts_ms = [start for start, _, _ in periods]
        self._in_force = [at for _, _, at in periods]

    def find(self, provider: str, model: str, time_ms: int) -> Price | None:
        """The price of `model` at `provider` for a call that began at `time_ms`, or None when none is known."""
        found = self._found.get((provider, model))
        if found is None:
            found = self.matching(provider, model)
            if len(self._found) < _REMEMBERED_MODELS:
                self._found[provider, model] = found
        price = None
        if found.prices:
            price = _first(found.prices, time_ms)
            if price is not None and price.rates:
                return price
        period = bisect_right(self._starts_ms, time_ms) - 1
        row = None if period < 0 else _first(found.rows[self._in_force[period]], time_ms)
        return row if row is None or price is None else self._discount(row, price)

    def matching(self, provider: str, model: str) -> Matching:
        """All that could hold for `model` at `provider` at some time."""
        prices = sorted(_matches(self.prices, provider, model), key=_precedence)
        return Matching(tuple(prices), tuple(tuple(_matches(book.rows, provider, model)) for book in self.books))

    def book_at(self, time_ms: int) -> PriceBook | None:
        """The book in force for calls that began at `time_ms`; None before the first."""
        period = bisect_right(self._starts_ms, time_ms) - 1
        return None if period < 0 else self.books[self._in_force[period]]

    def _discount(self, row: Price, discount: Price) -> Price:
        """`row` under the name of the admin's price that takes something off it."""
        key = (id(row), id(discount))
        price = self._discounted.get(key)
        if price is None:
            price = replace(row, name=discount.name, revision=discount.revision, discount_ppm=discount.discount_ppm)
            self._discounted[key] = price
        return price


def _matches(prices: Iterable[Price], provider: str, model: str) -> Iterable[Price]:
    return (price for price in prices if price.provider in ("", provider) and price.models.fullmatch(model))


def _precedence(price: Price) -> tuple[bool, bool, bool, int]:
    return price.provider == "", not price.exact, price.band is None, -price.effective_from_ms


def _first(prices: Iterable[Price], time_ms: int) -> Price | None:
    for price in prices:
        if price.holds(time_ms):
            return price
    return None
