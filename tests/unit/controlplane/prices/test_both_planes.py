"""What a data plane makes of the feed and the control plane of its rows price alike, to the nano-USD."""

import asyncio
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.db.unit_of_work import ReadView
from controlplane.discovery.projection import is_distributed_book, project_row
from controlplane.prices.activation import from_ms
from controlplane.prices.catalog import load_index
from controlplane.prices.headers import PRICE_BOOK_KIND, with_header
from controlplane.resources.convert import message_to_spec
from controlplane.resources.rows import StoredResource
from dataplane.config.compile import apply
from dataplane.config.state import CompiledState, ConfigDelta, Cursor
from tollway.admin.v1.price_books_pb2 import PriceBook, PriceBookActivation
from tollway.admin.v1.prices_pb2 import Price, PriceBand, Rate
from tollway.config.v1 import resources_pb2 as machine
from tollway.kernel.price_index import PriceIndex
from tollway.kernel.usage import Meter, Usage
from tollway.resources.kinds import PRICE

NOW = datetime(2026, 11, 28, tzinfo=UTC)
MODELS = ("gpt-a", "gpt-b", "other")
TIERS = ("", "flex", "batch")
DAY_MS = 86_400_000


@dataclass
class Rows:
    """The two stores that loading reads, over what a database would hold."""

    resources: Sequence[StoredResource]
    books: dict[str, list[machine.BookPrice]]

    async def list_page(self, kind: str, prefix: str, after: str, limit: int) -> list[StoredResource]:
        return sorted((r for r in self.resources if r.kind == kind and r.name > after), key=lambda r: r.name)[:limit]

    async def rows_of(self, books: Collection[str]) -> dict[str, list[machine.BookPrice]]:
        return {name: self.books[name] for name in books}


def stored(kind: str, name: str) -> StoredResource:
    return StoredResource(name, 1, kind, uuid.UUID(int=1), "e", {}, {}, (), None, NOW, NOW)


RATES = st.lists(
    st.builds(
        Rate,
        meter=st.sampled_from(["input", "output", "cache_read", "request", "output_image"]),
        price_usd=st.sampled_from(["0", "0.000000001", "1.25", "2.5"]),
        service_tier=st.sampled_from(TIERS),
        above_input_tokens=st.sampled_from([0, 100]),
    ),
    max_size=5,
    unique_by=lambda rate: (rate.meter, rate.service_tier, rate.above_input_tokens),
)


@st.composite
def admin_prices(draw: st.DrawFn) -> StoredResource:
    price = Price(
        name=f"prices/{draw(st.sampled_from('abcd'))}",
        provider=draw(st.sampled_from(["", "openai"])),
        model=draw(st.sampled_from(["*", "gpt-*", *MODELS])),
        rates=draw(RATES),
        discount_percent=draw(st.sampled_from(["", "0.0001", "12.5", "100"])),
    )
    if draw(st.booleans()):
        price.effective_from.FromMilliseconds(draw(st.integers(0, 2 * DAY_MS)))
    if draw(st.booleans()):
        weekdays = draw(st.sampled_from([[], ["thu"]]))
        price.band.CopyFrom(PriceBand(start_time="22:00", end_time="06:00", weekdays=weekdays))
    PRICE.normalize(price)
    return replace(stored(PRICE.name, price.name), spec=message_to_spec(price))


@st.composite
def book_rows(draw: st.DrawFn) -> machine.BookPrice:
    model = draw(st.sampled_from(MODELS))
    price = machine.Price(
        provider="openai",
        models=[draw(st.sampled_from([machine.ModelMatch(exact=model), machine.ModelMatch(prefix=model[:4])]))],
        effective_from_ms=draw(st.sampled_from([0, DAY_MS])),
        band=draw(st.sampled_from([None, machine.Band(start_minute=60, end_minute=600, weekdays=[4])])),
    )
    for meter in draw(st.lists(st.sampled_from([Meter.INPUT, Meter.OUTPUT]), min_size=1, unique=True)):
        price.rates.add(
            meter=int(meter),
            nano_usd_per_million=draw(st.integers(0, 10**10)),
            service_tier=draw(st.sampled_from(TIERS)),
        )
    return machine.BookPrice(id=f"openai/{model}@{draw(st.integers(0, 9))}", model=model, price=price)


@st.composite
def installations(draw: st.DrawFn) -> Rows:
    prices = draw(st.lists(admin_prices(), max_size=4, unique_by=lambda row: row.name))
    starts = draw(st.lists(st.integers(0, 2 * DAY_MS), min_size=1, max_size=4, unique=True))
    rows, books = list(prices), {}
    for number, own in enumerate((starts[::2], starts[1::2])):
        header = PriceBook(distributed=bool(own))
        for start in sorted(own):
            activation = PriceBookActivation()
            activation.effective_from.FromDatetime(from_ms(start))
            header.activations.append(activation)
        name = f"priceBooks/{number}"
        rows.append(with_header(stored(PRICE_BOOK_KIND, name), header))
        books[name] = draw(st.lists(book_rows(), min_size=1, max_size=4))
    return Rows(rows, books)


def feed_index(rows: Rows) -> PriceIndex:
    """What a data plane makes of the feed."""
    resources = [
        resource
        for row in rows.resources
        for resource in project_row(
            row, (), None, rows.books.get(row.name, ()) if is_distributed_book(row) else ()
        ).upserts
    ]
    delta = ConfigDelta(Cursor("e", 1), {resource.name: resource for resource in resources}, reset=True)
    return apply(CompiledState(), delta).snapshot.prices


def loaded_index(rows: Rows, book: str | None = None) -> PriceIndex:
    view = cast(ReadView, SimpleNamespace(resources=rows, books=rows))
    return asyncio.run(load_index(view, book))


USAGES = st.builds(
    Usage,
    input=st.sampled_from([0, 1, 99, 10**6]),
    cache_read=st.sampled_from([0, 7, 200]),
    output=st.integers(0, 999),
    output_image=st.sampled_from([0, 3]),
)


CALLS = st.lists(
    st.tuples(st.sampled_from(MODELS), USAGES, st.sampled_from(TIERS), st.integers(0, 3 * DAY_MS)),
    min_size=1,
    max_size=8,
)


def priced(index: PriceIndex, model: str, usage: Usage, tier: str, time_ms: int) -> tuple[str, int | None] | None:
    price = index.find("openai", model, time_ms)
    return None if price is None else (price.name, price.cost_nano_usd(usage, tier))


@settings(max_examples=80, deadline=None)
@given(installations(), CALLS)
def test_both_planes_price_every_call_alike(rows: Rows, calls: list[tuple[str, Usage, str, int]]) -> None:
    ours, theirs = loaded_index(rows), feed_index(rows)
    for model, usage, tier, time_ms in calls:
        assert priced(ours, model, usage, tier, time_ms) == priced(theirs, model, usage, tier, time_ms)


@settings(max_examples=50, deadline=None)
@given(installations(), st.sampled_from(MODELS), USAGES, st.integers(0, 3 * DAY_MS))
def test_one_book_at_all_times_prices_as_it_does_in_its_own_time(
    rows: Rows, model: str, usage: Usage, time_ms: int
) -> None:
    in_force = feed_index(rows).book_at(time_ms)
    if in_force is not None:
        alone = loaded_index(rows, in_force.name.partition("/")[2])
        assert priced(alone, model, usage, "", time_ms) == priced(feed_index(rows), model, usage, "", time_ms)
