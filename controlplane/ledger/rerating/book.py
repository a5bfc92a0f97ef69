"""A price book of the configuration as a Rater: the book's rows and the admins' prices, which win."""

from collections.abc import Iterable, Iterator

from controlplane.db.unit_of_work import ConfigStore, ReadView, UnitOfWork
from controlplane.ledger.rerating.adjustments import RatedUsage, Rating
from controlplane.prices.book import PRICE_BOOK_KIND, stored_price_book
from controlplane.resources.convert import resource_to_message
from controlplane.resources.rows import StoredResource
from tollway.admin.v1 import prices_pb2 as admin
from tollway.config.v1 import resources_pb2 as machine
from tollway.kernel.pricing import Price, PriceIndex, Rate
from tollway.kernel.usage import USAGE_METERS, Meter, Usage
from tollway.resources.kinds import PRICE
from tollway.resources.patterns import compile_model_matches
from tollway.resources.project import project_price

BOOK_COLLECTION = "priceBooks"
_USAGE_WORDS = frozenset(name for _, name in USAGE_METERS)


class BookRater:
    """Rates by the price that holds for a model at the start of an attempt."""

    def __init__(self, prices: PriceIndex) -> None:
        self._prices = prices

    def rate(self, usage: RatedUsage) -> Rating | None:
        price = self._prices.find(usage.provider, usage.upstream_model, usage.start_time_us // 1000)
        if price is None:
            return None
        quantities = {word: quantity for word, quantity in usage.meters.items() if word in _USAGE_WORDS}
        cost_nano_usd = price.cost_nano_usd(Usage(**quantities))
        return None if cost_nano_usd is None else Rating(cost_nano_usd, price.is_free, price.name, price.revision)


async def has_book(unit: UnitOfWork, price_book: str) -> bool:
    """Whether `price_book`, a resource name, is a price book of the configuration."""
    found = await unit.resources.find(price_book)
    return found is not None and found.kind == PRICE_BOOK_KIND


async def load_rater(config: ConfigStore, price_book: str, config_revision: int) -> BookRater:
    """Prices of `price_book` and of admins as they were at a revision of the configuration.

    Raises Unavailable when the database is away.
    """
    async with config.read() as view:
        prices = [*await _admin_prices(view, config_revision), *await _book_prices(view, price_book, config_revision)]
    return BookRater(PriceIndex(prices))


async def _admin_prices(view: ReadView, revision: int) -> list[Price]:
    rows = await view.resources.list_as_of(PRICE.name, revision)
    return [_admin_price(row) for row in rows]


async def _book_prices(view: ReadView, price_book: str, revision: int) -> list[Price]:
    rows = await view.resources.list_as_of(PRICE_BOOK_KIND, revision)
    return [price for row in rows if row.name == price_book for price in _rows_of(row)]


def _admin_price(row: StoredResource) -> Price:
    message = resource_to_message(PRICE, row)
    assert isinstance(message, admin.Price)
    form = project_price(message, row.revision).price
    exact = all(match.WhichOneof("test") == "exact" for match in form.models)
    return _price(form, row.name, row.revision, override=True, exact=exact)


def _rows_of(row: StoredResource) -> Iterator[Price]:
    """The rows that compile, as data planes take them."""
    for line in stored_price_book(row).prices:
        try:
            yield _price(line.price, f"{row.name}/{line.id}", row.revision)
        except ValueError:
            continue


def _price(form: machine.Price, name: str, revision: int, *, override: bool = False, exact: bool = False) -> Price:
    return Price(
        name=name,
        revision=revision,
        provider=form.provider,
        models=compile_model_matches(form.models),
        rates=tuple(_rates(form.rates)),
        effective_from_ms=form.effective_from_ms,
        override=override,
        exact=exact,
    )


def _rates(rates: Iterable[machine.Rate]) -> Iterator[Rate]:
    for rate in rates:
        yield Rate(Meter(rate.meter), rate.nano_usd_per_million, rate.above_input_tokens)
