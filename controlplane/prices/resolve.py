"""Which price holds for a model at a moment, and why not another one. Pure."""

from collections.abc import Iterator

from controlplane.prices.activation import from_ms
from controlplane.prices.render import render_rates
from tollway.admin.v1.price_books_pb2 import PassedOverPrice, ResolvedPrice
from tollway.kernel.price_index import PriceBook, PriceIndex
from tollway.kernel.pricing import Price
from tollway.resources.rates import discount_percent


def resolve_price(index: PriceIndex, provider: str, model: str, time_ms: int) -> ResolvedPrice:
    """What a call of `model` at `provider` that begins at `time_ms` is priced by."""
    matching = index.matching(provider, model)
    price = index.find(provider, model, time_ms)
    book = index.book_at(time_ms)
    rows = () if book is None else matching.rows[list(index.books).index(book)]
    row = next((row for row in rows if row.holds(time_ms)), None)
    own = next((found for found in matching.prices if found.holds(time_ms)), None)
    resolved = ResolvedPrice(provider=provider, reason=_reason(price, own, row, book))
    resolved.passed_over.extend(_passed_over(matching.prices, own, time_ms, "another Price comes before it"))
    others = "an earlier row of the book matches" if own is None or not own.rates else f"{own.name} comes before books"
    resolved.passed_over.extend(_passed_over(rows, None if own is not None and own.rates else row, time_ms, others))
    if price is None:
        return resolved
    resolved.price, resolved.price_revision = price.name, price.revision
    resolved.rates.extend(render_rates(price.rates))
    resolved.discount_percent = discount_percent(price.discount_ppm)
    if row is not None and (own is None or not own.rates):
        resolved.book_price = row.name
    return resolved


def _reason(price: Price | None, own: Price | None, row: Price | None, book: PriceBook | None) -> str:
    if own is not None and own.rates:
        return f"{own.name} is a Price, which comes before every book"
    in_force = "no price book is in force then" if book is None else f"{book.name} is in force then"
    if price is None and own is not None:
        return f"{own.name} is a discount alone, {in_force}, and there is nothing to take it off; calls are unpriced"
    if price is None:
        return f"{in_force}, no Price matches, and calls are unpriced: add a Price"
    assert row is not None
    found = f"{in_force}, and its row {row.name} is the first that matches"
    return found if own is None else f"{own.name} is a discount on the book; {found}"


def _passed_over(prices: tuple[Price, ...], chosen: Price | None, time_ms: int, why: str) -> Iterator[PassedOverPrice]:
    for price in prices:
        if price is chosen:
            continue
        reason = why
        if price.effective_from_ms > time_ms:
            reason = f"holds from {from_ms(price.effective_from_ms).isoformat()} on"
        elif not price.holds(time_ms):
            reason = "holds at other times of the day"
        elif chosen is not None and price.band == chosen.band and price.models == chosen.models:
            reason = f"held until {from_ms(chosen.effective_from_ms).isoformat()}"
        yield PassedOverPrice(price=price.name, reason=reason)
