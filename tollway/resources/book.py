"""The price book of the installed genai-prices catalog, for the providers known here and the simulated one.

What the catalog lacks is added from the providers' own price lists.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from importlib import metadata
from typing import TYPE_CHECKING, Any

from tollway.config.v1.resources_pb2 import BookPrice, ModelMatch, ModelMatchAll, ModelMatchAny, Price, Rate
from tollway.kernel.pricing import ORDINARY_TIER, UNITS_PER_RATE
from tollway.kernel.service_tiers import canonical_tier, is_tier
from tollway.kernel.usage import Meter
from tollway.resources.imports import BookWriter, ImportedBook, Note, RateWriter
from tollway.resources.list_prices import METERS, MODELS, TIERS, add_listed_rates, listed_rows
from tollway.resources.periods import Period, catalog_periods
from tollway.resources.providers import PROVIDERS, ProviderRow
from tollway.resources.rates import catalog_nano_usd

if TYPE_CHECKING:
    from genai_prices import types as catalog

CATALOG_PACKAGE = "genai-prices"
# Raised whenever the rows built from one version of the catalog change.
BUILDER_VERSION = 4

_THOUSAND = 1_000
_HOUR_S = 3_600
# What the catalog tells variants of prices apart by that upstreams report as the service tier.
_TIER_KEYS = frozenset({"processing", "service_tier", "speed"})
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
    """Differs whenever a book built here could: by catalog, what is added to it, how it is read, and for whom."""
    providers = sorted((row.name, row.catalog_id) for row in PROVIDERS.values())
    said = repr((installed_source(), BUILDER_VERSION, (MODELS, METERS, TIERS), providers))
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def build_price_book(known_providers: Iterable[ProviderRow] = tuple(PROVIDERS.values())) -> ImportedBook:
    """The book of the installed catalog; imports the catalog, which takes about half a second."""
    from genai_prices.data import providers

    source = installed_source()
    writer = BookWriter(source, source.replace(" ", "-"))
    known: dict[str, list[ProviderRow]] = {}
    for row in known_providers:
        known.setdefault(row.catalog_id, []).append(row)
    by_id = {provider.id: provider for provider in providers}
    for provider in providers:
        rows = known.get(provider.id, [])
        if not rows:
            subject = f"{provider.id} ({len(provider.models)} models)"
            writer.omit(subject, "is a provider that this release does not speak")
            continue
        for row in rows:
            _add_provider(writer, row.name, provider, by_id)
    return writer.finish()


def _add_provider(
    writer: BookWriter, name: str, provider: "catalog.Provider", by_id: Mapping[str, "catalog.Provider"]
) -> None:
    """Adds the provider's models, then those of others that it serves too and that it has no model of that id of."""
    for row in listed_rows(provider.id, name):
        writer.add(row)
    for model in provider.models:
        _add_model(writer, name, provider.id, model)
    known = {model.id for model in provider.models}
    for lender in (by_id[other] for other in provider.fallback_model_providers or () if other in by_id):
        keeps_hours = _keeps_hours(lender)
        for model in lender.models:
            if model.id in known:
                continue
            known.add(model.id)
            if keeps_hours:
                reason = f"is a model of {lender.id}, where prices depend on the time of day, and nowhere else"
                writer.omit(f"{name}/{model.id}", reason)
            else:
                _add_model(writer, name, lender.id, model)


def _keeps_hours(provider: "catalog.Provider") -> bool:
    """Whether prices depend on the time of day there: those of other places that serve its models are then others."""
    periods = (period for model in provider.models for period in catalog_periods(model, lambda reason: None))
    return any(period.band for period in periods)


def _add_model(writer: BookWriter, provider: str, catalog_id: str, model: "catalog.ModelInfo") -> None:
    """Adds `model` of the catalog's provider `catalog_id`, which `provider` serves."""
    subject = f"{provider}/{model.id}"

    def omit(reason: str) -> None:
        writer.omit(subject, reason)

    try:
        match = _model_match(model.match)
    except ValueError as error:
        return omit(str(error))
    for period in catalog_periods(model, omit):
        price = Price(
            provider=provider,
            models=match,
            rates=_rates(period, catalog_id, model.id, omit),
            effective_from_ms=period.effective_from_ms,
            band=period.band,
        )
        if price.rates:
            writer.add(BookPrice(id=f"{subject}{period.suffix}", model=model.id, price=price))
        else:
            omit("has no price that this release has a meter for")
    return None


def _rates(period: Period, catalog_id: str, model: str, omit: Note) -> list[Rate]:
    rates = RateWriter()
    for tier, prices in _prices_by_tier(period, omit):
        for key, price in prices.items():
            _add_rates(rates, key, price, tier, omit)
    add_listed_rates(rates, catalog_id, model)
    return rates.rates()


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
    if len(when) != 1 or not _TIER_KEYS.issuperset(when):
        return ORDINARY_TIER
    tier = canonical_tier(*when.values())
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
