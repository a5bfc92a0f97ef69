"""Files in LiteLLM's format: what becomes of each key, exactly, and what is left out by name."""

import gzip
import json
import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.prices.litellm import UnreadableFile, import_litellm
from tollway.config.v1.resources_pb2 import Resource
from tollway.kernel.price_index import PriceIndex
from tollway.kernel.usage import Meter, Usage
from tollway.resources.imports import ImportedBook
from tollway.resources.pricing import compile_book, make_index

FILE = Path("tests/golden/prices/litellm.json").read_bytes()


def rates(imported: ImportedBook, row_id: str) -> dict[tuple[str, str, int], int]:
    row = next(row for row in imported.book.prices if row.id == row_id)
    return {
        (Meter(r.meter).word, r.service_tier, r.above_input_tokens): r.nano_usd_per_million for r in row.price.rates
    }


def index_of(imported: ImportedBook) -> PriceIndex:
    book, problems = compile_book(Resource(name="priceBooks/b", price_book=imported.book))
    assert not problems
    return make_index({}, {"priceBooks/b": book})


def entry(**fields: Any) -> bytes:
    return json.dumps({"m": {"litellm_provider": "openai", **fields}}).encode()


def test_every_kind_of_key_finds_its_meter() -> None:
    imported = import_litellm(FILE)
    assert rates(imported, "openai/gpt-4o") == {
        ("input", "", 0): 2_500_000_000,
        ("cache_read", "", 0): 1_250_000_000,
        ("output", "", 0): 10_000_000_000,
        ("input", "batch", 0): 1_250_000_000,
        ("output", "batch", 0): 5_000_000_000,
        ("input", "priority", 0): 4_250_000_000,
        ("cache_read", "priority", 0): 2_125_000_000,
        ("output", "priority", 0): 17_000_000_000,
    }
    long = rates(imported, "openai/gpt-5.4")
    assert long["input", "", 272_000] == 5_000_000_000
    assert long["input", "flex", 272_000] == 2_500_000_000
    assert long["reasoning", "", 0] == long["output", "", 0] == 15_000_000_000
    assert rates(imported, "openai/gpt-5-search")["search", "", 0] == 10_000_000 * 10**6
    assert rates(imported, "openai/gpt-image-1")["output_image", "", 0] == 40_000_000_000
    assert rates(imported, "openai/gpt-4o-audio-preview")["input_audio", "", 0] == 40_000_000_000
    assert rates(imported, "openai/whisper-1") == {("second", "", 0): 100_000 * 10**6}
    assert rates(imported, "openai/tts-1") == {("character", "", 0): 15_000_000_000}
    assert rates(imported, "openai_compatible/qwen-long")["output", "", 32_000] == 1_920_000_000
    assert rates(imported, "openai_compatible/ocr-latest") == {("page", "", 0): 1_000_000 * 10**6}
    assert rates(imported, "openai_compatible/rerank-v3.5")["search", "", 0] == 2_000_000 * 10**6
    assert rates(imported, "openai/gpt-3.5-turbo-instruct")["input", "", 0] == 1_600_000_000
    assert "sample_spec" not in str(imported.book) + str(imported.omissions)
    assert import_litellm(gzip.compress(FILE)).digest == imported.digest


@pytest.mark.parametrize(
    ("name", "provider", "row"),
    [
        ("azure/gpt-4o", "azure", "azure-openai/gpt-4o"),
        ("gemini/gemini-2.5-pro", "gemini", "google-ai-studio/gemini-2.5-pro"),
        ("gemini-2.5-pro", "vertex_ai-language-models", "vertex-ai/gemini-2.5-pro"),
        ("vertex_ai/claude-sonnet-4@20250514", "vertex_ai-anthropic_models", "vertex-ai/claude-sonnet-4@20250514"),
        ("anthropic.claude-3-haiku-20240307-v1:0", "bedrock", "bedrock/anthropic.claude-3-haiku-20240307-v1:0"),
        ("us.amazon.nova-pro-v1:0", "bedrock_converse", "bedrock/us.amazon.nova-pro-v1:0"),
        ("together_ai/meta-llama/Llama-3-8b", "together_ai", "together/meta-llama/Llama-3-8b"),
        ("openrouter/openai/gpt-4o", "openrouter", "openrouter/openai/gpt-4o"),
        ("command-r", "cohere_chat", "cohere/command-r"),
        ("text-completion-openai/babbage-002", "text-completion-openai", "openai/babbage-002"),
    ],
)
def test_providers_by_their_names_in_the_file(name: str, provider: str, row: str) -> None:
    imported = import_litellm(json.dumps({name: {"litellm_provider": provider, "input_cost_per_token": 1e-6}}).encode())
    assert rates(imported, row) == {("input", "", 0): 10**9}


def test_what_is_left_out_is_named_with_the_reason() -> None:
    omissions = import_litellm(FILE).omissions
    by_subject = {subject: reason for reason, subjects in omissions.items() for subject in subjects}
    assert set(by_subject) == {
        "hd/1024-x-1024/dall-e-3",
        "gpt-image-1",
        "gpt-4o",
        "openai_compatible/ocr-latest",
    }
    assert "input_cost_per_pixel" in by_subject["gpt-image-1"]
    assert "size of the context" in by_subject["gpt-4o"]


def test_models_are_matched_whole_and_fine_tuned_ones_by_their_base() -> None:
    index = index_of(import_litellm(FILE))
    assert index.find("openai", "gpt-4o-2024-08-06", 0) is None
    tuned = index.find("openai", "ft:gpt-4o-mini-2024-07-18:acme::abc", 0)
    assert tuned is not None
    assert tuned.name == "priceBooks/b/openai/ft:gpt-4o-mini-2024-07-18"
    tiered = index.find("openai_compatible", "qwen-long", 0)
    assert tiered is not None
    assert tiered.cost_nano_usd(Usage(input=32_000)) == 32_000 * 320
    assert tiered.cost_nano_usd(Usage(input=32_001)) == 32_001 * 640


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"input_cost_per_token": -1e-6}, "is not a price"),
        ({"input_cost_per_token": True}, "is not a price"),
        ({"input_cost_per_token": "1e-6"}, "is not a price"),
        ({"input_cost_per_token": [1]}, "is not a price"),
        ({"input_cost_per_token": 1e30}, "credible"),
        ({"input_cost_per_token": 1e-300}, "credible"),
        ({"input_cost_per_parsec": 1}, "input_cost_per_parsec"),
        ({"input_cost_per_token_above_2parsec_tokens": 1}, "above_2parsec"),
        ({"input_cost_per_second": 1, "output_cost_per_second": 2}, "second price"),
        ({"tiered_pricing": [{"range": [10, 20], "input_cost_per_token": 1}]}, "one range"),
        ({"tiered_pricing": [{"range": [0, 20]}, {"range": [30, 40]}]}, "one range"),
        ({"tiered_pricing": "cheap"}, "one range"),
        ({"tiered_pricing": [{"range": [0, 1e999], "input_cost_per_token": 1}]}, "one range"),
        ({"tiered_pricing": [{"range": [0, 9], "cost_of_love": 1}]}, "cost_of_love"),
        ({"search_context_cost_per_query": {}}, "differs by size"),
        ({"max_tokens": 5}, "no price that this release has a meter for"),
    ],
)
def test_what_is_no_price_is_left_out_by_name(fields: dict[str, Any], says: str) -> None:
    imported = import_litellm(entry(**fields).replace(b"Infinity", b"1e999"))
    assert any(says in reason for reason, subjects in imported.omissions.items() if "m" in subjects), imported.omissions


@pytest.mark.parametrize("name", ["", "a b\x00", "\\ud800", "x" * 300])
def test_a_name_that_no_model_can_have_is_left_out(name: str) -> None:
    escaped = name.replace("\x00", "\\u0000")
    content = f'{{"{escaped}": {{"litellm_provider": "openai", "input_cost_per_token": 1}}}}'
    imported = import_litellm(content.encode())
    assert imported.omissions["is no name of a model"]
    assert "\0" not in str(imported.omissions)


def test_a_compressed_file_may_not_be_endless() -> None:
    bomb = gzip.compress(bytes(40 * 1_048_576))
    with pytest.raises(UnreadableFile, match="larger than"):
        import_litellm(bomb)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    [
        "input_cost_per_token",
        "output_cost_per_token_flex",
        "cache_read_input_token_cost_above_200k_tokens",
        "input_cost_per_token_above_1k_tokens_batches",
        "tiered_pricing",
        "search_context_cost_per_query",
        "output_cost_per_image",
    ]
)


@given(st.dictionaries(st.text(max_size=8), st.dictionaries(KEYS, JSON_VALUES, max_size=5), max_size=4))
def test_no_file_yields_a_negative_a_float_or_a_row_that_does_not_compile(models: dict[str, dict[str, Any]]) -> None:
    content = {name: {"litellm_provider": "openai", **fields} for name, fields in models.items()}
    imported = import_litellm(json.dumps(content).encode())
    for row in imported.book.prices:
        for rate in row.price.rates:
            assert type(rate.nano_usd_per_million) is int
            assert 0 <= rate.nano_usd_per_million < 1 << 63
    index_of(imported)
    priced = {row.model for row in imported.book.prices}
    named = {subject for subjects in imported.omissions.values() for subject in subjects}
    for name in models:
        assert name in priced or name.removeprefix("openai/") in priced or named


@given(st.decimals(min_value=0, max_value=10, places=12, allow_nan=False))
def test_a_price_is_read_digit_for_digit_and_rounded_up_once(price_usd: Decimal) -> None:
    content = f'{{"m": {{"litellm_provider": "openai", "input_cost_per_token": {price_usd:f}}}}}'
    (rate,) = import_litellm(content.encode()).book.prices[0].price.rates
    assert rate.nano_usd_per_million == math.ceil(Fraction(price_usd) * 10**15)
