"""Pure: a price book of a file in the format of LiteLLM's model_prices_and_context_window.json."""

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from tollway.config.v1.resources_pb2 import BookPrice, ModelMatch, Price
from tollway.kernel.pricing import ORDINARY_TIER
from tollway.kernel.usage import Meter
from tollway.resources.imports import BookWriter, ImportedBook, Note, RateWriter
from tollway.resources.providers import PROVIDERS
from tollway.resources.rates import catalog_nano_usd

SOURCE = "LiteLLM"
MAX_FILE_BYTES = 32 * 1_048_576

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = zlib.MAX_WBITS | 16
_TOKENS_PER_K = 1_000
_FINE_TUNED = "ft:"
_NOT_A_MODEL = "sample_spec"
_TIERED_PRICING = "tiered_pricing"
_SEARCHES = "search_context_cost_per_query"
_PRICE_WORDS = ("cost", "pric")
_MAX_MODEL = 256
_MOST_TOKENS = 10**12

# Names of providers in the file that mean one of ours.
_PROVIDERS: Mapping[str, str] = {
    **{name: name for name in PROVIDERS},
    "azure": "azure-openai",
    "bedrock_converse": "bedrock",
    "cohere_chat": "cohere",
    "fireworks_ai": "fireworks",
    "gemini": "google-ai-studio",
    "jina_ai": "jina",
    "nvidia_nim": "nvidia-nim",
    "text-completion-openai": "openai",
    "together_ai": "together",
    "vertex_ai": "vertex-ai",
}
_KINDS_OF_VERTEX = "vertex_ai-"

# What a key says one unit costs of; a threshold and a tier may follow it.
_METERS: Mapping[str, Meter] = {
    "input_cost_per_token": Meter.INPUT,
    "output_cost_per_token": Meter.OUTPUT,
    "cache_read_input_token_cost": Meter.CACHE_READ,
    "cache_creation_input_token_cost": Meter.CACHE_WRITE_5M,
    "cache_creation_input_token_cost_above_1hr": Meter.CACHE_WRITE_1H,
    "output_cost_per_reasoning_token": Meter.REASONING,
    "input_cost_per_audio_token": Meter.INPUT_AUDIO,
    "output_cost_per_audio_token": Meter.OUTPUT_AUDIO,
    "cache_read_input_audio_token_cost": Meter.CACHE_READ_AUDIO,
    "cache_read_input_token_cost_per_audio_token": Meter.CACHE_READ_AUDIO,
    "input_cost_per_image_token": Meter.INPUT_IMAGE,
    "output_cost_per_image_token": Meter.OUTPUT_IMAGE,
    "input_cost_per_image": Meter.IMAGE,
    "output_cost_per_image": Meter.IMAGE,
    "input_cost_per_second": Meter.SECOND,
    "output_cost_per_second": Meter.SECOND,
    "input_cost_per_audio_per_second": Meter.SECOND,
    "input_cost_per_character": Meter.CHARACTER,
    "output_cost_per_character": Meter.CHARACTER,
    "ocr_cost_per_page": Meter.PAGE,
    "input_cost_per_query": Meter.SEARCH,
    "input_cost_per_request": Meter.REQUEST,
}
_TIERS: Mapping[str | None, str] = {None: ORDINARY_TIER, "batches": "batch", "flex": "flex", "priority": "priority"}
_KEY = re.compile(
    r"(?P<base>.+?)(?:_(?P<early>batches|flex|priority))?(?:_above_(?P<thousands>\d{1,6})k_tokens)?"
    r"(?:_(?P<late>batches|flex|priority))?"
)


class UnreadableFile(Exception):
    """The file is not in this format at all; the message says where it is not."""


@dataclass(frozen=True, slots=True)
class _Key:
    """What a key of an entry is the price of."""

    meter: Meter
    service_tier: str
    above_input_tokens: int


def import_litellm(content: bytes) -> ImportedBook:
    """The book that `content`, JSON and maybe gzipped, makes. Raises UnreadableFile."""
    writer = BookWriter(SOURCE, SOURCE.lower())
    for name, entry in _load(_unpacked(content)).items():
        if name == _NOT_A_MODEL:
            continue
        if not isinstance(entry, dict):
            writer.omit(name, "is not an object")
            continue
        _add_entry(writer, name, entry)
    return writer.finish()


def _unpacked(content: bytes) -> bytes:
    if not content.startswith(_GZIP_MAGIC):
        return content
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    try:
        unpacked = unpacker.decompress(content, MAX_FILE_BYTES)
    except zlib.error as error:
        raise UnreadableFile(f"is damaged: {error}") from None
    if not unpacker.eof:
        raise UnreadableFile(f"is cut off, or larger than {MAX_FILE_BYTES} bytes")
    return unpacked


def _load(content: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(content, parse_float=_decimal, parse_constant=_no_constant)
    except RecursionError:
        raise UnreadableFile("is nested too deep") from None
    except ValueError as error:
        raise UnreadableFile(f"is not JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise UnreadableFile("is not a JSON object of models")
    return parsed


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text[:40]} is no number") from None


def _no_constant(text: str) -> Decimal:
    raise ValueError(f"{text} is no price")


def _add_entry(writer: BookWriter, name: str, entry: Mapping[str, Any]) -> None:
    said = entry.get("litellm_provider")
    provider = _provider(said) if isinstance(said, str) else None
    if provider is None:
        shown = f'"{said}"' if isinstance(said, str) else "none"
        return writer.omit(name, f"is of provider {shown}, which this release does not speak")
    place, _, rest = name.partition("/")
    model = rest if rest and _provider(place) == provider else name
    if provider == "openai" and "/" in model:
        return writer.omit(name, "is a variant of a model by size, quality or region, which calls do not name")
    if not model or len(model) > _MAX_MODEL or not model.isprintable():
        return writer.omit(name, "is no name of a model")
    rates = RateWriter()
    _add_prices(rates, entry, lambda reason: writer.omit(name, reason))
    price = Price(provider=provider, models=_matches(model), rates=rates.rates())
    if not price.rates:
        return writer.omit(name, "has no price that this release has a meter for")
    return writer.add(BookPrice(id=f"{provider}/{model}", model=model, price=price))


def _provider(said: str) -> str | None:
    """Which of ours `said` means; the file tells models of Vertex apart by who made them."""
    return _PROVIDERS.get("vertex_ai" if said.startswith(_KINDS_OF_VERTEX) else said)


def _matches(model: str) -> list[ModelMatch]:
    """A fine-tuned model is called by its base, and what its owner named it."""
    exact = [ModelMatch(exact=model)]
    return [*exact, ModelMatch(prefix=f"{model}:")] if model.startswith(_FINE_TUNED) else exact


def _add_prices(rates: RateWriter, entry: Mapping[str, Any], omit: Note) -> None:
    for name, value in entry.items():
        if value is None:
            continue
        if name == _TIERED_PRICING:
            _add_tiers(rates, value, omit)
        elif name == _SEARCHES:
            _add_searches(rates, value, omit)
        elif key := _parse_key(name):
            _add_price(rates, name, key, value, omit)
        elif any(word in name for word in _PRICE_WORDS):
            omit(f"has {name}, which this release has no meter for")


def _parse_key(name: str) -> _Key | None:
    """None for what is not the price of a meter."""
    if name in _METERS:
        return _Key(_METERS[name], ORDINARY_TIER, 0)
    match = _KEY.fullmatch(name)
    if match is None or match["base"] not in _METERS or (match["early"] and match["late"]):
        return None
    thousands = int(match["thousands"] or 0)
    return _Key(_METERS[match["base"]], _TIERS[match["early"] or match["late"]], thousands * _TOKENS_PER_K)


def _add_price(rates: RateWriter, name: str, key: _Key, value: object, omit: Note) -> None:
    try:
        nano_usd = catalog_nano_usd(_number(value), 1)
    except ValueError as error:
        return omit(f"has {name}: {error}")
    if not rates.add(key.meter, nano_usd, key.above_input_tokens, key.service_tier):
        omit(f"has {name}, a second price for {key.meter.word}; the first one is used")
    return None


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError(f"{json.dumps(value, default=str)[:40]} is not a price")
    return Decimal(value)


def _add_searches(rates: RateWriter, value: object, omit: Note) -> None:
    """Prices of a search by the size of its context, which usage does not tell apart."""
    prices = list(value.values()) if isinstance(value, dict) else [value]
    if not prices or any(price != prices[0] for price in prices):
        return omit(f"has {_SEARCHES} that differs by size of the context, which usage does not tell")
    return _add_price(rates, _SEARCHES, _Key(Meter.SEARCH, ORDINARY_TIER, 0), prices[0], omit)


def _add_tiers(rates: RateWriter, value: object, omit: Note) -> None:
    """Prices by ranges of input tokens, which must follow one another from 0 on."""
    tiers = list(_tiers(value))
    starts = [start for start, _, _ in tiers]
    ends = [end for _, end, _ in tiers]
    if not tiers or starts != [0, *ends[:-1]] or starts != sorted(set(starts)):
        return omit(f"has {_TIERED_PRICING} that is not one range of input tokens after the other")
    for start, _, tier in tiers:
        for name, price in tier.items():
            key = _parse_key(name)
            if key is not None and not key.above_input_tokens:
                _add_price(rates, name, _Key(key.meter, key.service_tier, start), price, omit)
            elif any(word in name for word in _PRICE_WORDS):
                omit(f"has {name} in {_TIERED_PRICING}, which this release has no meter for")
    return None


def _tiers(value: object) -> Iterator[tuple[int, int, Mapping[str, Any]]]:
    """Start, end and content of each range; one that is none has the impossible bounds -1."""
    for tier in value if isinstance(value, list) else ():
        found = tier if isinstance(tier, dict) else {}
        bounds = found.get("range")
        if isinstance(bounds, list) and len(bounds) == 2 and all(_is_bound(bound) for bound in bounds):
            yield int(bounds[0]), int(bounds[1]), found
        else:
            yield -1, -1, found


def _is_bound(value: object) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS
