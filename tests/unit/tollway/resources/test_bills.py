"""Bills worked out by hand from the providers' price lists, one of each kind of price that the built-in book has.

A price of 1 USD for a million tokens is 1,000 nano-USD a token; one of 1 USD for a thousand is 1,000,000 apiece.
"""

from datetime import UTC, datetime

import pytest

from tollway.config.v1.resources_pb2 import Resource
from tollway.kernel.price_index import PriceIndex
from tollway.kernel.usage import Usage
from tollway.resources.book import build_price_book
from tollway.resources.pricing import compile_book, make_index

NOW_MS = int(datetime(2026, 11, 28, 12, tzinfo=UTC).timestamp()) * 1_000


@pytest.fixture(scope="module")
def index() -> PriceIndex:
    compiled, problems = compile_book(Resource(name="priceBooks/b", price_book=build_price_book().book))
    assert not problems
    return make_index({}, {"priceBooks/b": compiled})


def bill(index: PriceIndex, provider: str, model: str, usage: Usage, tier: str = "") -> int | None:
    """Nano-USD; None when it is not priced."""
    price = index.find(provider, model, NOW_MS)
    return None if price is None else price.cost_nano_usd(usage, tier)


PLAIN = Usage(input=1_000, output=1_000)
CACHED = Usage(input=1_000, cache_read=2_000, output=300, reasoning=100)
WRITTEN = Usage(input=100, cache_read=1_000, cache_write_5m=1_000, cache_write_1h=1_000, output=100)
SPOKEN = Usage(input=1_000, input_audio=1_000, output=500, output_audio=500)
DRAWN = Usage(input=1_000, output=200, output_image=1_290)


@pytest.mark.parametrize(
    ("provider", "model", "usage", "nano_usd"),
    [
        ("openai", "gpt-4o", PLAIN, 1_000 * 2_500 + 1_000 * 10_000),
        ("openai", "gpt-5", CACHED, 1_000 * 1_250 + 2_000 * 125 + 300 * 10_000),
        ("anthropic", "claude-sonnet-4-5", WRITTEN, 100 * 3_000 + 1_000 * (300 + 3_750 + 6_000) + 100 * 15_000),
        ("perplexity", "sonar-deep-research", CACHED, 3_000 * 2_000 + 200 * 8_000 + 100 * 3_000),
        ("openai", "gpt-audio", SPOKEN, 1_000 * (2_500 + 32_000) + 500 * (10_000 + 64_000)),
        ("google-ai-studio", "gemini-2.5-flash", Usage(input_audio=500, cache_read_audio=70), 500 * 1_000 + 70 * 100),
        ("google-ai-studio", "gemini-nano-banana-2.1", DRAWN, 1_000 * 1_500 + 200 * 7_500 + 1_290 * 30_000),
        ("google-ai-studio", "gemini-embedding-2", Usage(input=10, input_image=100), 10 * 200 + 100 * 450),
        ("cohere", "embed-v4.0", Usage(input=10, input_image=1_000), 10 * 120 + 1_000 * 470),
        ("mistral", "mistral-ocr-4-1", Usage(page=3), 3 * 4_000_000),
        ("openai", "tts-1", Usage(character=2_000), 2_000 * 15_000),
        ("openai", "whisper-1", Usage(second=90), 90 * 100_000),
        ("azure-openai", "gpt-5", CACHED, 1_000 * 1_250 + 2_000 * 125 + 300 * 10_000),
        ("azure-openai", "o1", CACHED, 1_000 * 15_000 + 2_000 * 7_500 + 300 * 60_000),
        ("vertex-ai", "claude-sonnet-5", WRITTEN, 100 * 2_000 + 1_000 * (200 + 2_500 + 4_000) + 100 * 10_000),
        ("vertex-ai", "claude-sonnet-4-5@20250929", PLAIN, 1_000 * 3_000 + 1_000 * 15_000),
        ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", PLAIN, 1_000 * 3_300 + 1_000 * 16_500),
        ("bedrock", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", PLAIN, 1_000 * 3_000 + 1_000 * 15_000),
        (
            "bedrock",
            "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
            PLAIN,
            1_000 * 3_300 + 1_000 * 16_500,
        ),
        ("fireworks", "accounts/fireworks/models/deepseek-v3p2", PLAIN, 1_000 * 560 + 1_000 * 1_680),
        ("together", "Qwen/Qwen3.5-9B", PLAIN, 1_000 * 170 + 1_000 * 250),
        ("databricks", "databricks-gpt-oss-120b", PLAIN, 1_000 * 150 + 1_000 * 600),
        ("cerebras", "gpt-oss-120b", PLAIN, 1_000 * 350 + 1_000 * 750),
    ],
)
def test_a_meter_costs_what_the_list_says(
    index: PriceIndex, provider: str, model: str, usage: Usage, nano_usd: int
) -> None:
    assert bill(index, provider, model, usage) == nano_usd


@pytest.mark.parametrize(
    ("provider", "model", "threshold", "below", "above"),
    [
        ("google-ai-studio", "gemini-2.5-pro", 200_000, (1_250, 125, 10_000), (2_500, 250, 15_000)),
        ("vertex-ai", "gemini-3.1-pro-preview", 200_000, (2_000, 200, 12_000), (4_000, 400, 18_000)),
        ("anthropic", "claude-sonnet-4-5", 200_000, (3_000, 300, 15_000), (6_000, 600, 22_500)),
        ("openai", "gpt-5.5", 272_000, (5_000, 500, 30_000), (10_000, 1_000, 45_000)),
        ("azure-openai", "gpt-5.5", 272_000, (5_000, 500, 30_000), (10_000, 1_000, 45_000)),
        ("xai", "grok-4.5", 199_999, (2_000, 300, 6_000), (4_000, 600, 12_000)),
    ],
)
def test_a_call_with_more_input_than_the_threshold_costs_the_higher_rates_for_all_of_its_tokens(
    index: PriceIndex,
    provider: str,
    model: str,
    threshold: int,
    below: tuple[int, int, int],
    above: tuple[int, int, int],
) -> None:
    """Rates are nano-USD a token of input, cached input and output; cached tokens count towards the threshold."""
    for more, (fresh, cached, output) in ((0, below), (1, above)):
        usage = Usage(input=threshold - 100 + more, cache_read=100, output=10)
        expected = usage.input * fresh + 100 * cached + 10 * output
        assert bill(index, provider, model, usage) == expected


@pytest.mark.parametrize(
    ("provider", "model", "usage", "nano_usd"),
    [
        (
            "anthropic",
            "claude-opus-5",
            Usage(input=100, output=10, search=3),
            100 * 5_000 + 10 * 25_000 + 3 * 10_000_000,
        ),
        ("vertex-ai", "claude-opus-5", Usage(input=100, search=2), 100 * 5_000 + 2 * 10_000_000),
        ("vertex-ai", "claude-sonnet-5", Usage(search=1), 10_000_000),
        ("google-ai-studio", "gemini-2.5-pro", Usage(search=1), 35_000_000),
        ("vertex-ai", "gemini-2.0-flash-lite", Usage(search=1), 35_000_000),
        ("vertex-ai", "gemini-3.5-flash", Usage(search=4), 4 * 14_000_000),
        ("google-ai-studio", "gemini-3.1-flash-lite-image", Usage(search=1), 14_000_000),
        ("xai", "grok-4.5", Usage(search=2), 2 * 5_000_000),
        ("perplexity", "sonar-deep-research", Usage(search=10), 10 * 5_000_000),
        ("perplexity", "sonar", Usage(search=3), 12_000_000),
        ("perplexity", "sonar-pro-search", Usage(input=10, output=5, search=9), 10 * 3_000 + 5 * 15_000 + 18_000_000),
        ("openrouter", "perplexity/sonar-pro-search", Usage(input=10), 10 * 3_000 + 18_000_000),
        (
            "bedrock",
            "us.amazon.nova-premier-v1:0",
            Usage(input=10, output=5, search=2),
            10 * 2_500 + 5 * 12_500 + 2 * 30_000_000,
        ),
        ("bedrock", "global.amazon.nova-2-lite-v1:0", Usage(search=1), 30_000_000),
        ("google-ai-studio", "gemini-robotics-er-2-preview", Usage(search=2), 2 * 14_000_000),
        ("vertex-ai", "gemini-omni-1.1-flash", Usage(search=1), 14_000_000),
        ("openai", "gpt-4o-search-preview", PLAIN, 1_000 * 2_500 + 1_000 * 10_000 + 25_000_000),
        ("openai", "gpt-4o-mini-search-preview-2025-03-11", PLAIN, 1_000 * 150 + 1_000 * 600 + 25_000_000),
        ("openai", "gpt-4o-mini", PLAIN, 1_000 * 150 + 1_000 * 600),
        ("openai", "gpt-5-search-api", PLAIN, 1_000 * 1_250 + 1_000 * 10_000 + 10_000_000),
        ("cohere", "rerank-v3.5", Usage(search=3), 3 * 2_000_000),
        ("cohere", "rerank-multilingual-v3.0", Usage(search=1), 2_000_000),
        ("cohere", "rerank-v4.0-fast", Usage(search=1), 2_000_000),
        ("cohere", "rerank-v4.0-pro", Usage(search=2), 2 * 2_500_000),
        ("bedrock", "cohere.rerank-v3-5:0", Usage(search=1), 2_000_000),
        ("bedrock", "arn:aws:bedrock:us-west-2::foundation-model/amazon.rerank-v1:0", Usage(search=2), 2 * 1_000_000),
        ("voyage", "rerank-2.5", Usage(input=40_000), 40_000 * 50),
    ],
)
def test_searches_and_rankings_cost_what_the_list_says(
    index: PriceIndex, provider: str, model: str, usage: Usage, nano_usd: int
) -> None:
    assert bill(index, provider, model, usage) == nano_usd


@pytest.mark.parametrize(
    ("provider", "model"),
    [("anthropic", "claude-3-haiku"), ("vertex-ai", "claude-3-haiku"), ("google-ai-studio", "gemini-embedding-001")],
)
def test_a_search_that_no_list_has_a_price_of_leaves_the_call_unpriced(
    index: PriceIndex, provider: str, model: str
) -> None:
    assert bill(index, provider, model, Usage(input=1)) is not None
    assert bill(index, provider, model, Usage(input=1, search=1)) is None


@pytest.mark.parametrize(
    ("provider", "model", "tier", "usage", "nano_usd"),
    [
        ("anthropic", "claude-opus-5", "fast", PLAIN, 1_000 * 10_000 + 1_000 * 50_000),
        ("anthropic", "claude-opus-5", "fast", Usage(cache_read=10, cache_write_1h=10), 10 * (1_000 + 20_000)),
        ("anthropic", "claude-opus-5", "fast", Usage(search=1), 10_000_000),
        ("anthropic", "claude-opus-4-6", "us", PLAIN, 1_000 * 5_500 + 1_000 * 27_500),
        ("anthropic", "claude-opus-5", "us", WRITTEN, 100 * 5_500 + 1_000 * (550 + 6_875 + 11_000) + 100 * 27_500),
        ("anthropic", "claude-opus-5", "us", Usage(search=1), 10_000_000),
        ("anthropic", "claude-opus-5", "fast-us", PLAIN, 1_000 * 11_000 + 1_000 * 55_000),
        ("anthropic", "claude-opus-5", "fast-us", Usage(cache_read=10, cache_write_1h=10), 10 * (1_100 + 22_000)),
        ("anthropic", "claude-sonnet-4-6", "priority-us", PLAIN, 1_000 * 3_300 + 1_000 * 16_500),
        ("anthropic", "claude-haiku-4-5", "us", PLAIN, 1_000 * 1_000 + 1_000 * 5_000),
        ("anthropic", "claude-opus-5", "batch", PLAIN, 1_000 * 2_500 + 1_000 * 12_500),
        ("openai", "gpt-5.5", "flex", CACHED, 1_000 * 2_500 + 2_000 * 250 + 300 * 15_000),
        ("openai", "gpt-5.5", "priority", Usage(input=300_000, output=10), 300_000 * 12_500 + 10 * 75_000),
        ("openai", "gpt-5.5", "fast", PLAIN, 1_000 * 12_500 + 1_000 * 75_000),
        ("azure-openai", "gpt-5.5", "flex", PLAIN, 1_000 * 2_500 + 1_000 * 15_000),
        ("google-ai-studio", "gemini-3.5-flash", "flex", CACHED, 1_000 * 750 + 2_000 * 150 + 300 * 4_500),
        ("vertex-ai", "gemini-3.5-flash", "priority", CACHED, 1_000 * 2_700 + 2_000 * 270 + 300 * 16_200),
        ("google-ai-studio", "gemini-3.5-flash", "priority", Usage(search=1), 14_000_000),
        ("vertex-ai", "gemini-2.5-pro", "priority", Usage(input=300_000, output=10), 300_000 * 4_500 + 10 * 27_000),
        ("google-ai-studio", "gemini-2.5-flash", "flex", Usage(input_audio=10), 10 * 500),
        ("google-ai-studio", "gemini-3.8-flash-tts", "priority", PLAIN, 1_000 * 900 + 1_000 * 16_200),
        ("bedrock", "us.amazon.nova-pro-v1:0", "priority", PLAIN, 1_000 * 1_400 + 1_000 * 5_600),
        ("bedrock", "us.amazon.nova-pro-v1:0", "flex", CACHED, 1_000 * 400 + 2_000 * 200 + 300 * 1_600),
        ("bedrock", "amazon.nova-pro-v1:0", "optimized", PLAIN, 1_000 * 1_000 + 1_000 * 4_000),
        ("bedrock", "us.anthropic.claude-3-5-haiku-20241022-v1:0", "optimized", PLAIN, 1_000 * 1_000 + 1_000 * 5_000),
        ("bedrock", "openai.gpt-oss-120b-1:0", "flex", PLAIN, 1_000 * 75 + 1_000 * 300),
        ("groq", "openai/gpt-oss-20b", "flex", PLAIN, 1_000 * 75 + 1_000 * 300),
    ],
)
def test_a_service_tier_costs_what_the_list_says(
    index: PriceIndex, provider: str, model: str, tier: str, usage: Usage, nano_usd: int
) -> None:
    assert bill(index, provider, model, usage, tier) == nano_usd
