"""A price book as a Rater: the book's rows, and the admins' prices, which win."""

from controlplane.db.unit_of_work import ConfigStore, UnitOfWork
from controlplane.ledger.rerating.adjustments import RatedUsage, Rating
from controlplane.prices.catalog import load_index
from controlplane.prices.headers import PRICE_BOOK_KIND
from tollway.kernel.price_index import PriceIndex
from tollway.kernel.usage import USAGE_METERS, Usage

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
        cost_nano_usd = price.cost_nano_usd(Usage(**quantities), usage.service_tier)
        return None if cost_nano_usd is None else Rating(cost_nano_usd, price.is_free, price.name, price.revision)


async def has_book(unit: UnitOfWork, price_book: str) -> bool:
    """Whether `price_book`, a resource name, is a price book of the configuration."""
    found = await unit.resources.find(price_book)
    return found is not None and found.kind == PRICE_BOOK_KIND


async def load_rater(config: ConfigStore, price_book: str, config_revision: int) -> BookRater:
    """Rows of `price_book`, and prices of admins as they were at a revision of the configuration.

    Raises NotFound when the book was deleted since, and Unavailable when the database is away.
    """
    async with config.read() as view:
        return BookRater(await load_index(view, price_book, config_revision))
