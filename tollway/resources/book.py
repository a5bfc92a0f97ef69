"""The price book of the installed genai-prices catalog, for the providers known here and the simulated one."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from importlib import metadata
from typing import TYPE_CHECKING, Any

from tollway.config.v1.resources_pb2 import BookPrice, ModelMatch, ModelMatchAll, ModelMatchAny, Price
from tollway.kernel.pricing import ORDINARY_TIER, UNITS_PER_RATE
from tollway.kernel.service_tiers import canonical_tier, is_tier
from tollway.kernel.usage import Meter
from tollway.resources.imports import BookWriter, ImportedBook, Note, RateWriter
from tollway.resources.periods import Period, catalog_periods
from tollway.resources.providers import PROVIDERS, ProviderRow
from tollway.resources.rates import catalog_nano_usd

if TYPE_CHECKING:
    from genai_prices import types as catalog

CATALOG_PACKAGE = "genai-prices"
# Raised whenever the rows built from one version of the catalog change.
BUILDER_VERSION = 2

_THOUSAND = 1_000
_HOUR_S = 3_600
# The catalog's price keys: the meter, and how many units the price buys.
_METERS: Mapping[str, tuple[Meter, int]] = {
    "input_mtok": (Meter.INPUT, UNITS_PER_RATE),
    "cache_read_mtok": (Meter.CACHE_READ, UNITS_PER_RATE),
    "cache_write_mtok": (Meter.CACHE_WRITE_5M, UNITS_PER_RATE),
    "cache_write_5m_mtok": (Meter.CACHE_WRITE_5M, UNITS_PER_RATE),
    "cache_write_1h_mtok": (Meter.CACHE_WRITE_1H, UNITS_PER_RATE),
    "output_mtok": (Meter.OUTPUT, UNITS_PER_RATE),
    "output_reasoning_mtok": (Meter.REASONING, UNITS_PER_RATE),
    "input_audio_mtok": (Meter.INPUT_AUDIO, UNITS_PER_RATE),
    "output_audio_mtok": (Meter.OUTPUT_AUDIO, UNITS_PER_RATE),
    "cache_audio_read_mtok": (Meter.CACHE_READ_AUDIO, UNITS_PER_RATE),
    "input_image_mtok": (Meter.INPUT_IMAGE, UNITS_PER_RATE),
    "output_image_mtok": (Meter.OUTPUT_IMAGE, UNITS_PER_RATE),
    "input_mchars": (Meter.CHARACTER, UNITS_PER_RATE),
    "audio_hours": (Meter.SECOND, _HOUR_S),
    "input_audio_hours": (Meter.SECOND, _HOUR_S),
    "input_document_kpages": (Meter.PAGE, _THOUSAND),
    "web_searches_kcount": (Meter.SEARCH, _THOUSAND),
    "requests_kcount": (Meter.REQUEST, _THOUSAND),
}


def installed_source() -> str:
    """What a book built here says as its source, e.g. "genai-prices 0.2.3"; costs no import of the catalog."""
    return f"{CATALOG_PACKAGE} {metadata.version(CATALOG_PACKAGE)}"


def installed_fingerprint() -> str:
    """Differs whenever a book built here could: by catalog, by this release's way to read it, and by its providers."""
    said = repr((installed_source(), BUILDER_VERSION, sorted((r.name, r.catalog_id) for r in PROVIDERS.values())))
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def build_price_book(known_providers: Iterable[ProviderRow] = tuple(PROVIDERS.values())) -> ImportedBook:
    """The book of the installed catalog; imports the catalog, which takes about half a second."""
    from genai_prices.data import providers

    source = installed_source()
    writer = BookWriter(source, source.replace(" ", "-"))
    known: dict[str, list[ProviderRow]] = {}
    for row in known_providers:
        known.setdefault(row.catalog_id, []).append(row)
    for provider in providers:
        rows = known.get(provider.id, [])
        if not rows:
            subject = f"{provider.id} ({len(provider.models)} models)"
            writer.omit(subject, "is a provider that this release does not speak")
            continue
        for row in rows:
            for model in provider.models:
                _add_model(writer, row.name, model)
    return writer.finish()


def _add_model(writer: BookWriter, provider: str, model: "catalog.ModelInfo") -> None:
    subject = f"{provider}/{model.id}"
    try:
        match = _model_match(model.match)
    except ValueError as error:
        writer.omit(subject, str(error))
        return
    for period in catalog_periods(model, lambda reason: writer.omit(subject, reason)):
        rates = RateWriter()
        for tier, prices in _prices_by_tier(period, lambda reason: writer.omit(subject, reason)):
            for key, price in prices.items():
                _add_rates(rates, key, price, tier, lambda reason: writer.omit(subject, reason))
        price = Price(
            provider=provider,
            models=match,
            rates=rates.rates(),
            effective_from_ms=period.effective_from_ms,
            band=period.band,
        )
        if price.rates:
            writer.add(BookPrice(id=f"{subject}{period.suffix}", model=model.id, price=price))
        else:
            writer.omit(subject, "has no price that this release has a meter for")


def _prices_by_tier(period: Period, omit: Note) -> Iterator[tuple[str, dict[str, Any]]]:
    """Prices by key, for the ordinary tier and then for each that the catalog has prices of; its first word counts."""
    yield ORDINARY_TIER, _priced(period.prices)
    tiers: dict[str, dict[str, Any]] = {}
    for variant in period.variants:
        prices = _priced(variant.prices)
        tier = _tier(variant.when)
        if tier:
            tiers[tier] = prices | tiers.get(tier, {})
        elif prices:
            said = ", ".join(f"{name} {value}" for name, value in sorted(variant.when.items()))
            omit(f"has prices for {said}, which no upstream reports as a service tier")
    yield from tiers.items()


def _priced(prices: "catalog.ModelPrice") -> dict[str, Any]:
    return {key: price for key, price in vars(prices).items() if price is not None and not key.startswith("_")}


def _tier(when: Mapping[str, str]) -> str:
    """The tier that a variant is for, "" when it is for something else."""
    if when == {"processing": "batch"}:
        return "batch"
    tier = canonical_tier(when.get("service_tier", "")) if len(when) == 1 else ORDINARY_TIER
    return tier if is_tier(tier) else ORDINARY_TIER


def _add_rates(rates: RateWriter, key: str, price: Any, tier: str, omit: Note) -> None:
    if key not in _METERS:
        return omit(f"has a price for {key}, which this release has no meter for")
    meter, per = _METERS[key]
    steps = [(0, price)]
    if not isinstance(price, Decimal):
        steps = [(0, price.base), *((step.start, step.price) for step in price.tiers)]
    for above, price_usd in steps:
        try:
            is_new = rates.add(meter, catalog_nano_usd(price_usd, per), above, tier)
        except ValueError as error:
            return omit(f"has a price for {key}: {error}")
        if not is_new:
            omit(f"has a second price for {meter.word}, {key}; the first one is used")
    return None


def _model_match(clause: "catalog.MatchLogic") -> list[ModelMatch]:
    """The disjunction that `clause` is. Raises ValueError for a test that books cannot express."""
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
            raise ValueError(f"is matched by {unknown}, which books cannot express")
