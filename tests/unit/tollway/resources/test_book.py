"""The built-in price book agrees with the catalog that it is built from."""

import math
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from genai_prices import Usage as CatalogUsage
from genai_prices import calc_price
from genai_prices.data import providers as catalog_providers

from tollctl.sim.served import EMBED_NANO_USD, INPUT_NANO_USD, OUTPUT_NANO_USD
from tollway.config.v1.resources_pb2 import BookPrice, PriceBook, Resource
from tollway.kernel.price_index import PriceIndex
from tollway.kernel.pricing import UNITS_PER_RATE
from tollway.kernel.service_tiers import canonical_tier
from tollway.kernel.usage import Meter, Usage
from tollway.resources.book import build_price_book, installed_fingerprint, installed_source
from tollway.resources.imports import ImportedBook
from tollway.resources.list_prices import TIERS
from tollway.resources.pricing import compile_book, make_index
from tollway.resources.providers import PROVIDERS, ProviderRow

# Moments at which some price of the catalog is another one: by date, and off-peak by the hour.
MOMENTS = [
    datetime(2024, 1, 1, tzinfo=UTC),
    datetime(2026, 10, 13, 23, 59, 59, tzinfo=UTC),
    datetime(2026, 10, 14, tzinfo=UTC),
    *(datetime(2026, 11, 28, hour, 30, tzinfo=UTC) for hour in (0, 1, 5, 9, 13, 17)),
    datetime(2026, 11, 28, 16, 29, 59, tzinfo=UTC),
    datetime(2027, 3, 1, 1, 0, tzinfo=UTC),
]
TIER_KEYS = {"processing", "service_tier", "speed"}


@pytest.fixture(scope="module")
def imported() -> ImportedBook:
    return build_price_book()


@pytest.fixture(scope="module")
def book(imported: ImportedBook) -> PriceBook:
    return imported.book


@pytest.fixture(scope="module")
def whole() -> tuple[ImportedBook, PriceIndex]:
    """A book of every provider of the catalog, and an index of it."""
    built = build_price_book([ProviderRow(found.id, catalog_id=found.id) for found in catalog_providers])
    compiled, problems = compile_book(Resource(name="priceBooks/all", price_book=built.book))
    assert not problems
    return built, make_index({}, {"priceBooks/all": compiled})


def rates(row: BookPrice) -> dict[tuple[Meter, int], int]:
    ordinary = [r for r in row.price.rates if not r.service_tier]
    return {(Meter(r.meter), r.above_input_tokens): r.nano_usd_per_million for r in ordinary}


def test_rows_are_unique_known_and_priced(book: PriceBook) -> None:
    assert len({row.id for row in book.prices}) == len(book.prices) > 50
    for row in book.prices:
        assert row.price.provider in PROVIDERS
        assert row.price.models
        assert row.price.rates


def test_every_openai_row_costs_what_the_catalog_says(book: PriceBook) -> None:
    now = datetime.now(UTC)
    checked = 0
    for row in book.prices:
        exact = next((match.exact for match in row.price.models if match.exact), None)
        known = rates(row)
        if row.price.provider != "openai" or exact is None or not {(Meter.INPUT, 0), (Meter.OUTPUT, 0)} <= set(known):
            continue
        later = [r for r in book.prices if r.id.partition("@")[0] == row.id.partition("@")[0]]
        in_force = max(
            (r for r in later if r.price.effective_from_ms <= now.timestamp() * 1000),
            key=lambda r: r.price.effective_from_ms,
        )
        if in_force.id != row.id:
            continue
        usage = CatalogUsage(input_tokens=1000, output_tokens=500)
        expected = calc_price(usage, exact, provider_id="openai", genai_request_timestamp=now).total_price
        nano = known[Meter.INPUT, 0] * 1000 + known[Meter.OUTPUT, 0] * 500
        assert Decimal(nano) / 1_000_000 / 1_000_000_000 == expected, row.id
        checked += 1
    assert checked > 50


def test_the_simulator_has_its_documented_prices(book: PriceBook) -> None:
    embed, rest = [row for row in book.prices if row.price.provider == "sim"]
    assert rates(embed) == {(Meter.INPUT, 0): 100_000_000}
    assert embed.price.models[0].exact == "embed"
    assert rates(rest) == {(Meter.INPUT, 0): 1_000_000_000, (Meter.OUTPUT, 0): 4_000_000_000}
    assert rest.price.models[0].glob == "*"


def test_the_simulator_says_what_its_calls_cost_at_these_prices(book: PriceBook) -> None:
    embed, rest = [row for row in book.prices if row.price.provider == "sim"]
    assert rates(embed)[Meter.INPUT, 0] == EMBED_NANO_USD * UNITS_PER_RATE
    assert rates(rest)[Meter.INPUT, 0] == INPUT_NANO_USD * UNITS_PER_RATE
    assert rates(rest)[Meter.OUTPUT, 0] == OUTPUT_NANO_USD * UNITS_PER_RATE


def test_every_model_whose_price_depends_costs_what_the_catalog_says(whole: tuple[ImportedBook, PriceIndex]) -> None:
    """By date, time of day, tier and threshold; a nano-USD more at most, where the catalog is finer than one."""
    _, index = whole
    usage = Usage(input=300_000, cache_read=100, output=500)
    checked = 0
    for provider in catalog_providers:
        for model in provider.models:
            name = _name_of(model.match)
            depends = isinstance(model.prices, list) or model.price_variants
            if name is None or not depends or provider.find_model(name) is not model:
                continue
            for moment in MOMENTS:
                for context in _contexts(provider.id, model, moment):
                    prices = model.get_prices(moment, context)
                    if prices.input_mtok is None or prices.output_mtok is None:
                        continue
                    price = index.find(provider.id, name, int(moment.timestamp() * 1000))
                    assert price is not None, (provider.id, name, moment)
                    cost = price.cost_nano_usd(usage, canonical_tier("".join(context.values())))
                    expected = _catalog_nano_usd(model, moment, context, usage)
                    assert cost is not None
                    assert expected <= cost <= expected + 1, (price.name, moment, context, usage)
                    checked += 1
    assert checked > 5_000


def test_off_peak_prices_are_in_the_book(whole: tuple[ImportedBook, PriceIndex]) -> None:
    built, index = whole
    assert any(row.price.HasField("band") for row in built.book.prices)
    usage = Usage(input=1_000_000)
    costs = {}
    for hour in (0, 1, 16, 17):
        moment = datetime(2026, 11, 28, hour, 30, tzinfo=UTC)
        price = index.find("deepseek", "deepseek-reasoner", int(moment.timestamp() * 1000))
        assert price is not None
        costs[hour] = price.cost_nano_usd(usage)
    assert costs[0] == costs[1]
    assert costs[16] == costs[17] != costs[0]


def test_what_a_provider_serves_of_others_is_priced_after_its_own(imported: ImportedBook) -> None:
    """But for ids that the provider has itself, and for models of providers whose prices depend on the time of day."""
    by_id = {provider.id: provider for provider in catalog_providers}
    azure = {row.model: row for row in imported.book.prices if row.price.provider == "azure-openai"}
    own = [model.id for model in by_id["azure"].models if model.id in azure]
    borrowed = [model for model in azure if model not in own]
    assert list(azure) == [*own, *borrowed]
    assert "stands there twice; the first one is used" not in imported.omissions
    lenders = [other for other in by_id["azure"].fallback_model_providers or () if other != "deepseek"]
    assert {"gpt-5", "claude-opus-5", "grok-4.5", "kimi-k3"} <= set(borrowed)
    assert set(borrowed) <= {model.id for other in lenders for model in by_id[other].models}
    assert rates(azure["davinci"]) == {(Meter.INPUT, 0): 2_000_000_000}
    timed = imported.omissions["is a model of deepseek, where prices depend on the time of day, and nowhere else"]
    assert set(timed) == {f"azure-openai/{model.id}" for model in by_id["deepseek"].models}


def test_what_is_left_out_is_named(imported: ImportedBook) -> None:
    left_out = {reason: len(subjects) for reason, subjects in imported.omissions.items()}
    assert left_out["is a provider that this release does not speak"] > 20
    assert left_out["has a price for storage_searches_kcount, which this release has no meter for"] > 10


def test_the_book_says_where_it_is_from_and_is_the_same_each_time(imported: ImportedBook) -> None:
    assert imported.book.source == installed_source()
    again = build_price_book()
    assert (again.digest, again.name) == (imported.digest, imported.name)
    assert installed_fingerprint() == installed_fingerprint()


def _contexts(provider: str, model: Any, moment: datetime) -> list[dict[str, str]]:
    """The ordinary tier, and each that the catalog has prices of `model` for, where no price list has it before."""
    variants = [v for v in model.price_variants or () if TIER_KEYS.issuperset(v.when)]
    if provider in {tier.provider for tier in TIERS}:
        variants = [v for v in variants if v.constraint is None or v.constraint.active(moment)]
    return [{}, *(dict(variant.when) for variant in variants)]


def _name_of(clause: Any) -> str | None:
    """A name that the clause certainly matches."""
    match type(clause).__name__:
        case "ClauseEquals":
            return str(clause.equals)
        case "ClauseOr":
            return next((name for part in clause.or_ if (name := _name_of(part))), None)
        case _:
            return None


def _catalog_nano_usd(model: Any, moment: datetime, context: dict[str, str], usage: Usage) -> int:
    reported = CatalogUsage(
        input_tokens=usage.input + usage.cache_read, cache_read_tokens=usage.cache_read, output_tokens=usage.output
    )
    total: Decimal = model.get_prices(moment, context).calc_price(reported)["total_price"]
    return math.ceil(Fraction(total) * 1_000_000_000)
