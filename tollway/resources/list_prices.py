"""What providers' own price lists say and the price catalog does not: models, single rates, and service tiers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from tollway.config.v1.resources_pb2 import BookPrice, ModelMatch, Price, Rate
from tollway.kernel.pricing import ORDINARY_TIER, UNITS_PER_RATE
from tollway.kernel.usage import Meter
from tollway.resources.imports import RateWriter
from tollway.resources.rates import catalog_nano_usd

_PERCENT = 100
_THOUSAND = 1_000
_CACHE_READS = frozenset({Meter.CACHE_READ, Meter.CACHE_READ_AUDIO})
_APIECE = frozenset({Meter.REQUEST, Meter.SEARCH, Meter.IMAGE, Meter.SECOND, Meter.CHARACTER, Meter.PAGE})


@dataclass(frozen=True, slots=True)
class ListedRate:
    """US dollars for `per` units of `meter`."""

    meter: Meter
    usd: str
    per: int = UNITS_PER_RATE


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model that `provider`, an id of the catalog, serves and the catalog lacks; `page` is the list that says so.

    Its `globs` are asked before the rows of the catalog.
    """

    provider: str
    model: str
    globs: tuple[str, ...]
    rates: tuple[ListedRate, ...]
    page: str


@dataclass(frozen=True, slots=True)
class ListedMeter:
    """A rate of models of the catalog whose id matches `models` as a whole, where they have none for its meter."""

    provider: str
    models: str
    rate: ListedRate
    page: str


@dataclass(frozen=True, slots=True)
class ListedTier:
    """What tokens of a service tier cost in percent of the rates of another, where the catalog has no rate for it.

    `of` is that other tier, the ordinary one as a rule; one that is listed before is there too. A discount is not taken
    off cached tokens: lists say "same as standard" of them.
    """

    provider: str
    models: str
    service_tier: str
    percent: int
    page: str
    of: str = ORDINARY_TIER


def _searches(usd: str) -> ListedRate:
    return ListedRate(Meter.SEARCH, usd, _THOUSAND)


def _requests(usd: str) -> ListedRate:
    return ListedRate(Meter.REQUEST, usd, _THOUSAND)


def _tokens(usd: str) -> ListedRate:
    return ListedRate(Meter.INPUT, usd)


_ANTHROPIC = "https://platform.claude.com/docs/en/about-claude/pricing"
_OPENAI = "https://developers.openai.com/api/docs/pricing"
_GEMINI = "https://ai.google.dev/gemini-api/docs/pricing"
_VERTEX = "https://cloud.google.com/vertex-ai/generative-ai/pricing"
_BEDROCK = "https://aws.amazon.com/bedrock/pricing/"
_COHERE = "https://cohere.com/pricing"
_VOYAGE = "https://docs.voyageai.com/docs/pricing"
_PERPLEXITY = "https://docs.perplexity.ai/docs/getting-started/pricing"
_PRO_SEARCH = "https://openrouter.ai/perplexity/sonar-pro-search"
_XAI = "https://docs.x.ai/developers/pricing"

_SEARCH_PREVIEW = (ListedRate(Meter.INPUT, "0.15"), ListedRate(Meter.OUTPUT, "0.60"), _requests("25"))
_CLAUDE_WITH_GEOGRAPHY = r"claude-[a-z]+-(?:4-[6-9]|[5-9]).*"
_GEMINI_BEFORE_3 = r"gemini-(?:[12]\.|live-2\.|flash-1\.5|pro-1\.5).*"
_TIERED_AT_BEDROCK = (
    r"(?:global\.|regional\.)?(?:amazon\.nova-|deepseek\.|google\.gemma-|minimax\.|mistral\.|moonshotai\.|nvidia\."
    r"|openai\.gpt-oss-|qwen\.|zai\.).*"
)
_OPTIMIZED_AT_BEDROCK = r"(?:regional\.)?(?:amazon\.nova-pro|anthropic\.claude-3-5-haiku|meta\.llama3-1-).*"

MODELS: tuple[ListedModel, ...] = (
    ListedModel("cohere", "rerank-v4.0-pro", ("rerank-v4.0-pro",), (_searches("2.50"),), _COHERE),
    ListedModel("cohere", "rerank-v4.0-fast", ("rerank-v4.0-fast",), (_searches("2.00"),), _COHERE),
    ListedModel("cohere", "rerank-v3.5", ("rerank-v3.5",), (_searches("2.00"),), _COHERE),
    ListedModel(
        "cohere", "rerank-v3.0", ("rerank-english-v3.0", "rerank-multilingual-v3.0"), (_searches("2.00"),), _COHERE
    ),
    ListedModel("aws", "cohere.rerank-v3-5:0", ("*cohere.rerank-v3-5:0",), (_searches("2.00"),), _BEDROCK),
    ListedModel("aws", "amazon.rerank-v1:0", ("*amazon.rerank-v1:0",), (_searches("1.00"),), _BEDROCK),
    ListedModel("voyageai", "rerank-3", ("rerank-3",), (_tokens("0.05"),), _VOYAGE),
    ListedModel("voyageai", "rerank-3-lite", ("rerank-3-lite",), (_tokens("0.02"),), _VOYAGE),
    ListedModel("voyageai", "rerank-2.5", ("rerank-2.5",), (_tokens("0.05"),), _VOYAGE),
    ListedModel("voyageai", "rerank-2.5-lite", ("rerank-2.5-lite",), (_tokens("0.02"),), _VOYAGE),
    ListedModel("voyageai", "rerank-2", ("rerank-2",), (_tokens("0.05"),), _VOYAGE),
    ListedModel("voyageai", "rerank-2-lite", ("rerank-2-lite",), (_tokens("0.02"),), _VOYAGE),
    ListedModel("openai", "gpt-4o-mini-search-preview", ("gpt-4o-mini-search-preview*",), _SEARCH_PREVIEW, _OPENAI),
)

METERS: tuple[ListedMeter, ...] = (
    ListedMeter("google", r"claude-(?!3-(?:haiku|opus|sonnet)).*", _searches("10"), _VERTEX),
    ListedMeter("google", _GEMINI_BEFORE_3, _searches("35"), _GEMINI),
    ListedMeter("google", r"gemini-(?:3|omni-|robotics-er-2).*", _searches("14"), _GEMINI),
    ListedMeter("aws", r"(?:global\.|regional\.)?amazon\.nova-.*", _searches("30"), _BEDROCK),
    ListedMeter("openai", r"gpt-4o-search-preview", _requests("25"), _OPENAI),
    ListedMeter("openai", r"gpt-5-search-api", _requests("10"), _OPENAI),
    ListedMeter("x-ai", r"grok-(?!voice).*", _searches("5"), _XAI),
    ListedMeter("perplexity", r"sonar(?:-pro|-pro-search|-reasoning|-reasoning-pro)?", _searches("0"), _PERPLEXITY),
    ListedMeter("perplexity", r"sonar-pro-search", _requests("18"), _PRO_SEARCH),
    ListedMeter("openrouter", r"perplexity/sonar-pro-search", _requests("18"), _PRO_SEARCH),
    ListedMeter("cohere", r"embed-v4\.0", ListedRate(Meter.INPUT_IMAGE, "0.47"), _COHERE),
)

TIERS: tuple[ListedTier, ...] = (
    ListedTier("anthropic", _CLAUDE_WITH_GEOGRAPHY, "us", 110, _ANTHROPIC),
    ListedTier("anthropic", _CLAUDE_WITH_GEOGRAPHY, "fast-us", 110, _ANTHROPIC, of="fast"),
    ListedTier("anthropic", _CLAUDE_WITH_GEOGRAPHY, "priority-us", 110, _ANTHROPIC),
    ListedTier("google", r"gemini-.*", "flex", 50, _GEMINI),
    ListedTier("google", r"gemini-.*", "priority", 180, _GEMINI),
    ListedTier("aws", _TIERED_AT_BEDROCK, "flex", 50, _BEDROCK),
    ListedTier("aws", _TIERED_AT_BEDROCK, "priority", 175, _BEDROCK),
    ListedTier("aws", _OPTIMIZED_AT_BEDROCK, "optimized", 125, _BEDROCK),
)


def listed_rows(catalog_id: str, provider: str) -> Iterator[BookPrice]:
    """Rows for `provider` of the models that the catalog's provider `catalog_id` lacks."""
    for listed in MODELS:
        if listed.provider == catalog_id:
            rates = RateWriter()
            for rate in listed.rates:
                _add(rates, rate)
            matches = [ModelMatch(glob=glob) for glob in listed.globs]
            price = Price(provider=provider, models=matches, rates=rates.rates())
            yield BookPrice(id=f"{provider}/{listed.model}", model=listed.model, price=price)


def add_listed_rates(rates: RateWriter, catalog_id: str, model: str) -> None:
    """Adds what the catalog's `model` of its provider `catalog_id` lacks to the `rates` that it has, if it has any."""
    known = rates.rates()
    if not known:
        return
    for listed in METERS:
        if listed.provider == catalog_id and _pattern(listed.models).fullmatch(model):
            _add_missing(rates, known, listed.rate)
    for tier in TIERS:
        if tier.provider == catalog_id and _pattern(tier.models).fullmatch(model):
            _add_tier(rates, tier)


@cache
def _pattern(models: str) -> re.Pattern[str]:
    """More are asked for by turns than the `re` module keeps."""
    return re.compile(models)


def _add_missing(rates: RateWriter, known: list[Rate], rate: ListedRate) -> None:
    if rate.meter not in {Meter(found.meter) for found in known}:
        _add(rates, rate)


def _add_tier(rates: RateWriter, tier: ListedTier) -> None:
    known = rates.rates()
    if any(rate.service_tier == tier.service_tier for rate in known):
        return
    same = _APIECE if tier.percent > _PERCENT else _APIECE | _CACHE_READS
    for rate in known:
        meter = Meter(rate.meter)
        if rate.service_tier == tier.of and meter not in same:
            nano_usd = -(-rate.nano_usd_per_million * tier.percent // _PERCENT)
            rates.add(meter, nano_usd, rate.above_input_tokens, tier.service_tier)


def _add(rates: RateWriter, rate: ListedRate) -> None:
    rates.add(rate.meter, catalog_nano_usd(Decimal(rate.usd), rate.per), 0, ORDINARY_TIER)
