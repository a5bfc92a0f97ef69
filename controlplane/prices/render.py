"""Rows, rates and differences of price books as admin messages. Pure."""

from collections.abc import Iterable, Iterator

from google.protobuf.timestamp_pb2 import Timestamp

from controlplane.prices.diff import BookDiff, Change
from tollway.admin.v1.price_books_pb2 import BookPrice, BookRate, PriceBookDiffLine, PriceBookDiffSummary
from tollway.config.v1 import resources_pb2 as machine
from tollway.kernel.pricing import Rate
from tollway.kernel.usage import Meter
from tollway.resources.bands import render_band
from tollway.resources.pricing import book_model
from tollway.resources.rates import default_per, price_usd


def render_row(book: str, row: machine.BookPrice) -> BookPrice:
    """`book` is the full name of the row's book."""
    price = row.price
    rendered = BookPrice(
        name=f"{book}/{row.id}",
        provider=price.provider,
        model=book_model(row),
        matches=[render_match(match) for match in price.models],
        rates=[
            _render_rate(Meter(rate.meter), rate.nano_usd_per_million, rate.above_input_tokens, rate.service_tier)
            for rate in price.rates
        ],
        band=render_band(price.band) if price.HasField("band") else None,
    )
    if price.effective_from_ms:
        rendered.effective_from.FromMilliseconds(price.effective_from_ms)
    return rendered


def render_match(match: machine.ModelMatch) -> str:
    """A test of a model in words, e.g. `prefix gpt-4o-`."""
    test = match.WhichOneof("test")
    if test == "all":
        return " and ".join(
            f"({' or '.join(render_match(part) for part in any_of.models)})" for any_of in match.all.alternatives
        )
    return f"{test} {getattr(match, test)}" if test else "unknown"


def render_rates(rates: Iterable[Rate]) -> Iterator[BookRate]:
    """Rates of a compiled price."""
    for rate in rates:
        yield _render_rate(rate.meter, rate.nano_usd_per_million, rate.above_input_tokens, rate.service_tier)


def diff_summary(base: str, diff: BookDiff) -> PriceBookDiffSummary:
    return PriceBookDiffSummary(
        base=base, added=diff.added, removed=diff.removed, changed=diff.changed, unchanged=diff.unchanged
    )


def render_change(change: Change) -> PriceBookDiffLine:
    key = change.key
    word = Meter(key.meter).word
    per = default_per(word)
    line = PriceBookDiffLine(
        provider=key.provider,
        model=key.model,
        band=None if change.band is None else render_band(change.band),
        service_tier=key.service_tier,
        meter=word,
        above_input_tokens=key.above_input_tokens,
        before_usd="" if change.before is None else price_usd(change.before, per),
        after_usd="" if change.after is None else price_usd(change.after, per),
        per=per,
    )
    if key.effective_from_ms:
        since = Timestamp()
        since.FromMilliseconds(key.effective_from_ms)
        line.effective_from.CopyFrom(since)
    return line


def _render_rate(meter: Meter, nano_usd_per_million: int, above_input_tokens: int, service_tier: str) -> BookRate:
    per = default_per(meter.word)
    return BookRate(
        meter=meter.word,
        price_usd=price_usd(nano_usd_per_million, per),
        per=per,
        above_input_tokens=above_input_tokens,
        service_tier=service_tier,
    )
