"""What is added to the catalog is about models that it has, and says nothing that it says itself."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from genai_prices.data import providers as catalog_providers

from tollway.kernel.pricing import ORDINARY_TIER
from tollway.kernel.usage import Meter
from tollway.resources.book import build_price_book
from tollway.resources.imports import RateWriter
from tollway.resources.list_prices import (
    METERS,
    MODELS,
    TIERS,
    ListedMeter,
    ListedModel,
    ListedTier,
    add_listed_rates,
    listed_rows,
)
from tollway.resources.providers import PROVIDERS

CATALOG = {provider.id: provider for provider in catalog_providers}
CATALOG_KEYS = {
    Meter.SEARCH: "web_searches_kcount",
    Meter.REQUEST: "requests_kcount",
    Meter.INPUT_IMAGE: "input_image_mtok",
}
SPLIT_OFF = {"gpt-4o-mini-search-preview": "gpt-4o-mini"}


SEARCHES = {
    "anthropic": r".*",
    "gemini": r".*",
    "bedrock": r".*(?:amazon\.nova-|rerank).*",
    "cohere": r"cohere/rerank.*",
    "openai": r"perplexity/sonar.*",
}
"""Models, after their providers, that answers of each dialect can tell searches of: of OpenAI's only Perplexity's."""
NEVER_SEARCH = r"claude-(?:2|v1|3-(?:haiku|opus|sonnet).*|3-opus-latest)|gemini-pro|gemini-embedding-.*|gemma-.*"
"""Models that have no tool for it."""


def served(provider: str, models: str) -> Iterator[Any]:
    return (model for model in CATALOG[provider].models if re.fullmatch(models, model.id))


def prices(model: Any) -> list[Any]:
    return [found.prices for found in model.prices] if isinstance(model.prices, list) else [model.prices]


@pytest.mark.parametrize("listed", MODELS, ids=lambda listed: listed.model)
def test_a_model_is_one_that_the_catalog_lacks(listed: ListedModel) -> None:
    for glob in listed.globs:
        found = CATALOG[listed.provider].find_model(glob.replace("*", ""))
        assert (found and found.id) == SPLIT_OFF.get(listed.model)
    assert listed.page.startswith("https://")


@pytest.mark.parametrize("listed", METERS, ids=lambda listed: f"{listed.provider}-{listed.models}")
def test_a_rate_is_for_models_that_the_catalog_has_no_rate_for(listed: ListedMeter) -> None:
    lacking = [
        model
        for model in served(listed.provider, listed.models)
        if all(getattr(price, CATALOG_KEYS[listed.rate.meter]) is None for price in prices(model))
    ]
    assert lacking
    assert listed.page.startswith("https://")


@pytest.mark.parametrize("listed", TIERS, ids=lambda listed: f"{listed.provider}-{listed.service_tier}")
def test_a_tier_is_one_of_models_that_the_catalog_has_no_variant_for(listed: ListedTier) -> None:
    tiers = [
        {value for variant in model.price_variants or () for value in variant.when.values()}
        for model in served(listed.provider, listed.models)
    ]
    assert any(listed.service_tier not in found for found in tiers)
    assert listed.page.startswith("https://")


def test_what_the_catalog_says_itself_stays() -> None:
    rates = RateWriter()
    rates.add(Meter.INPUT, 1_000, 0, ORDINARY_TIER)
    rates.add(Meter.OUTPUT, 4_000, 0, ORDINARY_TIER)
    rates.add(Meter.OUTPUT_IMAGE, 9_000, 0, "batch")
    rates.add(Meter.INPUT, 700, 0, "priority")
    rates.add(Meter.SEARCH, 5, 0, ORDINARY_TIER)
    add_listed_rates(rates, "google", "gemini-3.5-flash")
    told = {(Meter(rate.meter), rate.service_tier): rate.nano_usd_per_million for rate in rates.rates()}
    assert told == {
        (Meter.INPUT, ORDINARY_TIER): 1_000,
        (Meter.INPUT, "priority"): 700,
        (Meter.INPUT, "flex"): 500,
        (Meter.OUTPUT, ORDINARY_TIER): 4_000,
        (Meter.OUTPUT, "flex"): 2_000,
        (Meter.OUTPUT_IMAGE, "batch"): 9_000,
        (Meter.SEARCH, ORDINARY_TIER): 5,
    }


def test_a_part_of_a_rate_is_rounded_up_at_every_threshold() -> None:
    rates = RateWriter()
    rates.add(Meter.OUTPUT, 3, 0, ORDINARY_TIER)
    rates.add(Meter.OUTPUT, 5, 200_000, ORDINARY_TIER)
    add_listed_rates(rates, "aws", "amazon.nova-pro-v1:0")
    scaled = {(r.service_tier, r.above_input_tokens): r.nano_usd_per_million for r in rates.rates() if r.service_tier}
    assert scaled == {
        ("flex", 0): 2,
        ("flex", 200_000): 3,
        ("priority", 0): 6,
        ("priority", 200_000): 9,
        ("optimized", 0): 4,
        ("optimized", 200_000): 7,
    }


def test_a_model_without_any_price_gets_none() -> None:
    rates = RateWriter()
    add_listed_rates(rates, "google", "gemini-3.5-flash")
    assert rates.rates() == []


def test_a_row_is_of_the_provider_that_it_is_made_for() -> None:
    rows = list(listed_rows("aws", "bedrock"))
    assert [row.id for row in rows] == ["bedrock/cohere.rerank-v3-5:0", "bedrock/amazon.rerank-v1:0"]
    assert {row.price.provider for row in rows} == {"bedrock"}


def test_every_model_that_can_search_has_a_price_for_it() -> None:
    rows = [row for row in build_price_book().book.prices if row.price.provider in PROVIDERS]
    searching = [
        row
        for row in rows
        if re.fullmatch(SEARCHES[PROVIDERS[row.price.provider].dialect], f"{row.price.provider}/{row.model}")
        and re.fullmatch(NEVER_SEARCH, row.model) is None
    ]
    assert {PROVIDERS[row.price.provider].dialect for row in searching} == SEARCHES.keys()
    assert [row.id for row in searching if Meter.SEARCH not in {Meter(rate.meter) for rate in row.price.rates}] == []
