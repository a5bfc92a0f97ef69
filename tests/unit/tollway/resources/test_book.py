"""The built-in price book agrees with the catalog that it is built from."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage as CatalogUsage
from genai_prices import calc_price

from tollctl.sim.served import EMBED_NANO_USD, INPUT_NANO_USD, OUTPUT_NANO_USD
from tollway.config.v1.resources_pb2 import BookPrice, PriceBook
from tollway.kernel.pricing import UNITS_PER_RATE
from tollway.kernel.usage import Meter
from tollway.resources.book import build_price_book, installed_source, source_version
from tollway.resources.providers import PROVIDERS


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return build_price_book()


def rates(row: BookPrice) -> dict[tuple[Meter, int], int]:
    return {(Meter(r.meter), r.above_input_tokens): r.nano_usd_per_million for r in row.price.rates}


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


def test_sources_are_ordered_by_version(book: PriceBook) -> None:
    assert book.source == installed_source()
    assert source_version("genai-prices 0.2.10 (1)") > source_version("genai-prices 0.2.9 (2)")
    assert source_version("genai-prices 0.2.9 (2)") > source_version("genai-prices 0.2.9 (1)")
    assert source_version("something else") == ()
