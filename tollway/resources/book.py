"""The built-in price book: rows of the genai-prices catalog for the providers known here, and the simulator's."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time
from decimal import Decimal
from importlib import metadata
from typing import TYPE_CHECKING, Any

from tollway.config.v1.resources_pb2 import BookPrice, ModelMatch, ModelMatchAll, ModelMatchAny, Price, PriceBook, Rate
from tollway.kernel.money import NANO_PER_USD
from tollway.kernel.pricing import UNITS_PER_RATE
from tollway.kernel.usage import Meter
from tollway.resources.providers import PROVIDERS, ProviderRow

if TYPE_CHECKING:
    from genai_prices import types as catalog

CATALOG_PACKAGE = "genai-prices"
# Raised whenever the rows built from one version of the catalog change.
BUILDER_VERSION = 1

_SIM_EMBED_NANO_USD = 100_000_000
_SIM_INPUT_NANO_USD = 1_000_000_000
_SIM_OUTPUT_NANO_USD = 4_000_000_000

# The catalog's price keys: the meter, and how many units the price buys.
_METERS: dict[str, tuple[Meter, int]] = {
    "input_mtok": (Meter.INPUT, UNITS_PER_RATE),
    "cache_read_mtok": (Meter.CACHE_READ, UNITS_PER_RATE),
    "cache_write_mtok": (Meter.CACHE_WRITE_5M, UNITS_PER_RATE),
    "cache_write_1h_mtok": (Meter.CACHE_WRITE_1H, UNITS_PER_RATE),
    "output_mtok": (Meter.OUTPUT, UNITS_PER_RATE),
    "output_reasoning_mtok": (Meter.REASONING, UNITS_PER_RATE),
    "input_audio_mtok": (Meter.INPUT_AUDIO, UNITS_PER_RATE),
    "output_audio_mtok": (Meter.OUTPUT_AUDIO, UNITS_PER_RATE),
    "cache_audio_read_mtok": (Meter.CACHE_READ_AUDIO, UNITS_PER_RATE),
    "requests_kcount": (Meter.REQUEST, 1_000),
}


def installed_source() -> str:
    """What a book built here says as its source, e.g. "genai-prices 0.2.3 (1)"; costs no import of the catalog."""
    return f"{CATALOG_PACKAGE} {metadata.version(CATALOG_PACKAGE)} ({BUILDER_VERSION})"


def source_version(source: str) -> tuple[int, ...]:
    """A number to compare sources by; () for one that this module did not write."""
    words = source.removeprefix(f"{CATALOG_PACKAGE} ").replace("(", "").replace(")", "").replace(" ", ".").split(".")
    return tuple(int(word) for word in words) if all(word.isdecimal() for word in words) else ()


def build_price_book() -> PriceBook:
    """The book of the installed catalog; imports the catalog, which takes about half a second."""
    from genai_prices.data import providers

    known = {provider.id: provider for provider in providers}
    book = PriceBook(source=installed_source())
    for row in PROVIDERS.values():
        if row.catalog_id in known:
            book.prices.extend(_catalog_prices(row, known[row.catalog_id].models))
    book.prices.extend(_sim_prices())
    return book


def _catalog_prices(row: ProviderRow, models: Iterable["catalog.ModelInfo"]) -> Iterator[BookPrice]:
    for model in models:
        match = _model_match(model.match)
        for suffix, since_ms, prices in _variants(model.prices):
            rates = [rate for key, price in vars(prices).items() if key in _METERS for rate in _rates(key, price)]
            if rates:
                yield BookPrice(
                    id=f"{row.name}/{model.id}{suffix}",
                    price=Price(provider=row.name, models=match, rates=rates, effective_from_ms=since_ms),
                )


def _variants(
    prices: "catalog.ModelPrice | list[catalog.ConditionalPrice]",
) -> Iterator[tuple[str, int, "catalog.ModelPrice"]]:
    """Each price with a suffix for its id and the Unix milliseconds it holds from; times of day are left out."""
    if not isinstance(prices, list):
        yield "", 0, prices
        return
    for conditional in prices:
        if conditional.constraint is None:
            yield "", 0, conditional.prices
            continue
        start = getattr(conditional.constraint, "start_date", None)
        if start is not None:
            since = datetime.combine(start, time(), UTC)
            yield f"@{start.isoformat()}", int(since.timestamp()) * 1000, conditional.prices


def _rates(key: str, price: Any) -> Iterator[Rate]:
    meter, per = _METERS[key]
    if isinstance(price, Decimal):
        yield _rate(meter, per, price, 0)
    elif price is not None:
        yield _rate(meter, per, price.base, 0)
        for tier in price.tiers:
            yield _rate(meter, per, tier.price, tier.start)


def _rate(meter: Meter, per: int, price_usd: Decimal, above_input_tokens: int) -> Rate:
    nano_usd = price_usd * NANO_PER_USD * UNITS_PER_RATE / per
    # A catalog price finer than a nano-USD per million is rounded up: never cheaper than the provider says.
    whole = int(nano_usd.to_integral_value(rounding="ROUND_CEILING"))
    return Rate(meter=int(meter), nano_usd_per_million=whole, above_input_tokens=above_input_tokens)  # type: ignore[arg-type]


def _model_match(clause: "catalog.MatchLogic") -> list[ModelMatch]:
    """The disjunction that `clause` is."""
    match type(clause).__name__:
        case "ClauseOr":
            return [match for part in clause.or_ for match in _model_match(part)]  # type: ignore[union-attr]
        case "ClauseAnd":
            parts = [ModelMatchAny(models=_model_match(part)) for part in clause.and_]  # type: ignore[union-attr]
            return [ModelMatch(all=ModelMatchAll(alternatives=parts))]
        case "ClauseEquals":
            return [ModelMatch(exact=clause.equals)]  # type: ignore[union-attr]
        case "ClauseStartsWith":
            return [ModelMatch(prefix=clause.starts_with)]  # type: ignore[union-attr]
        case "ClauseEndsWith":
            return [ModelMatch(suffix=clause.ends_with)]  # type: ignore[union-attr]
        case "ClauseContains":
            return [ModelMatch(contains=clause.contains)]  # type: ignore[union-attr]
        case "ClauseRegex":
            return [ModelMatch(regex=clause.regex)]  # type: ignore[union-attr]
        case unknown:
            raise TypeError(f"{CATALOG_PACKAGE} matches models by {unknown}, which this book cannot express")


def _sim_prices() -> Iterator[BookPrice]:
    yield _sim_price("sim/embed", ModelMatch(exact="embed"), ((Meter.INPUT, _SIM_EMBED_NANO_USD),))
    rates = ((Meter.INPUT, _SIM_INPUT_NANO_USD), (Meter.OUTPUT, _SIM_OUTPUT_NANO_USD))
    yield _sim_price("sim/*", ModelMatch(glob="*"), rates)


def _sim_price(price_id: str, match: ModelMatch, rates: Iterable[tuple[Meter, int]]) -> BookPrice:
    lines = [Rate(meter=int(meter), nano_usd_per_million=nano) for meter, nano in rates]  # type: ignore[arg-type]
    return BookPrice(id=price_id, price=Price(provider="sim", models=[match], rates=lines))
