"""Pure: machine prices and books into what calls are priced by. Both planes price by what is compiled here."""

from collections.abc import Iterable, Iterator, Mapping

from tollway.config.v1 import resources_pb2 as machine
from tollway.kernel.plain_tests import PlainTests
from tollway.kernel.price_index import PriceBook, PriceIndex
from tollway.kernel.pricing import EVERY_DAY, MINUTES_PER_DAY, PARTS_PER_MILLION, Band, Price, Rate
from tollway.kernel.usage import Meter
from tollway.resources.patterns import compile_model_matches

_METERS = {int(meter): meter for meter in Meter}
_DAYS_PER_WEEK = 7
_EVERY_MODEL = PlainTests(prefixes=("",))


def compile_price(resource: machine.Resource) -> Price:
    """An admin's price. Raises ValueError that says why it does not compile."""
    form = resource.price
    exact = all(match.WhichOneof("test") == "exact" for match in form.models)
    if not form.rates and not form.discount_ppm:
        raise ValueError("has neither rates nor a discount")
    return _compile(form, resource.name, resource.revision, exact=exact)


def compile_book(resource: machine.Resource) -> tuple[PriceBook, str]:
    """The rows that compile, in order of precedence, and what is wrong with the others, "" when nothing is."""
    rows: list[tuple[str, Price]] = []
    problems = []
    for row in resource.price_book.prices:
        try:
            rows.append((book_model(row), _compile_row(row, resource)))
        except ValueError as error:
            problems.append(f"row {row.id}: {error}")
    effective_from_ms = tuple(resource.price_book.effective_from_ms) or (0,)
    return PriceBook(resource.name, effective_from_ms, _in_order(rows)), "; ".join(problems)


def compile_ceiling(resource: machine.Resource) -> Price | None:
    """What calls of unknown price cost a budget, None when it does not say. Raises ValueError as `compile_price`."""
    rates = tuple(_rates(resource.budget.ceiling_rates))
    return Price(resource.name, resource.revision, "", _EVERY_MODEL, rates) if rates else None


def make_index(prices: Mapping[str, Price], books: Mapping[str, PriceBook]) -> PriceIndex:
    """Prices and books by full name; the order in which they were found makes no difference."""
    return PriceIndex(tuple(prices[name] for name in sorted(prices)), tuple(books[name] for name in sorted(books)))


def book_model(row: machine.BookPrice) -> str:
    """The model that a row of a book is about, as the book's source names it."""
    return row.model or row.id.removeprefix(f"{row.price.provider}/").partition("@")[0]


def _compile_row(row: machine.BookPrice, book: machine.Resource) -> Price:
    if row.price.discount_ppm:
        raise ValueError("has a discount, which only an admin's price may have")
    if not row.price.rates:
        raise ValueError("has no rates")
    return _compile(row.price, f"{book.name}/{row.id}", book.revision)


def _in_order(rows: Iterable[tuple[str, Price]]) -> tuple[Price, ...]:
    """The first row that matches tells the model; of a model's rows the latest comes first, then those with a band."""
    by_model: dict[tuple[str, str], list[Price]] = {}
    for model, price in rows:
        by_model.setdefault((price.provider, model), []).append(price)
    for group in by_model.values():
        group.sort(key=lambda price: (-price.effective_from_ms, price.band is None))
    return tuple(price for group in by_model.values() for price in group)


def _compile(form: machine.Price, name: str, revision: int, *, exact: bool = False) -> Price:
    if not 0 <= form.discount_ppm <= PARTS_PER_MILLION:
        raise ValueError(f"has a discount of {form.discount_ppm} parts per million")
    return Price(
        name=name,
        revision=revision,
        provider=form.provider,
        models=compile_model_matches(form.models),
        rates=tuple(_rates(form.rates)),
        effective_from_ms=form.effective_from_ms,
        exact=exact,
        band=_band(form.band) if form.HasField("band") else None,
        discount_ppm=form.discount_ppm,
    )


def _band(form: machine.Band) -> Band:
    if not (0 <= form.start_minute < MINUTES_PER_DAY and 0 <= form.end_minute < MINUTES_PER_DAY):
        raise ValueError("has a band that is not within the minutes of a day")
    if any(not 1 <= weekday <= _DAYS_PER_WEEK for weekday in form.weekdays):
        raise ValueError("has a band on a day that no week has")
    weekdays = sum(1 << weekday - 1 for weekday in set(form.weekdays)) or EVERY_DAY
    return Band(form.start_minute, form.end_minute, weekdays)


def _rates(rates: Iterable[machine.Rate]) -> Iterator[Rate]:
    for rate in rates:
        meter = _METERS.get(rate.meter)
        if meter is None:
            raise ValueError(f"has a rate for meter {rate.meter}, which this release does not know")
        if rate.nano_usd_per_million < 0:
            raise ValueError(f"has a negative rate for {meter.word}")
        yield Rate(meter, rate.nano_usd_per_million, rate.above_input_tokens, rate.service_tier)
