"""Price books through the admin methods, on a real database: from an import to the feed."""

import asyncio
import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from google.protobuf.empty_pb2 import Empty
from google.protobuf.timestamp_pb2 import Timestamp

from controlplane.db.schema import upgrade_schema
from controlplane.errors import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from controlplane.migrations import migrations_folder
from controlplane.prices.book import ensure_price_book, retire_books
from controlplane.prices.catalog import load_index
from tests.integration.controlplane.admin import Admin, open_admin
from tests.integration.controlplane.feed import serve_feed, subscribed
from tests.integration.few_prices import BOOK, build_book
from tollway.admin.v1 import price_books_pb2 as pb
from tollway.admin.v1.audit_pb2 import ListAuditEventsRequest, ListAuditEventsResponse
from tollway.admin.v1.prices_pb2 import CreatePriceRequest, Price, PriceBand, Rate
from tollway.kernel.price_index import PriceIndex
from tollway.kernel.pricing import Price as CompiledPrice
from tollway.kernel.usage import Usage
from tollway.resources.book import build_price_book

LITELLM = Path("tests/golden/prices/litellm.json").read_bytes()
LATER = datetime(2100, 1, 1, tzinfo=UTC)


@pytest_asyncio.fixture
async def config_url(priced_url: str) -> str:
    return priced_url


async def import_litellm(admin: Admin, content: bytes = LITELLM, book_id: str = "") -> pb.ImportPriceBookResponse:
    request = pb.ImportPriceBookRequest(litellm_json=content, price_book_id=book_id)
    return await admin.call("PriceBookService/ImportPriceBook", request, pb.ImportPriceBookResponse)


async def activate(admin: Admin, name: str, moment: datetime | None = None, **fields: object) -> pb.PriceBook:
    request = pb.ActivatePriceBookRequest(name=name, **fields)  # type: ignore[arg-type]
    if moment is not None:
        request.effective_from.FromDatetime(moment)
    return await admin.call("PriceBookService/ActivatePriceBook", request, pb.PriceBook)


async def get(admin: Admin, name: str) -> pb.PriceBook:
    return await admin.call("PriceBookService/GetPriceBook", pb.GetPriceBookRequest(name=name), pb.PriceBook)


async def books(admin: Admin) -> dict[str, pb.PriceBook]:
    request = pb.ListPriceBooksRequest(page_size=1)
    found: dict[str, pb.PriceBook] = {}
    while True:
        page = await admin.call("PriceBookService/ListPriceBooks", request, pb.ListPriceBooksResponse)
        found |= {book.name: book for book in page.price_books}
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return found


async def delete(admin: Admin, name: str) -> None:
    await admin.call("PriceBookService/DeletePriceBook", pb.DeletePriceBookRequest(name=name), Empty)


async def audited(admin: Admin, resource: str) -> list[str]:
    request = ListAuditEventsRequest(filter=f'resource = "{resource}"')
    page = await admin.call("AuditService/ListAuditEvents", request, ListAuditEventsResponse)
    return [event.method.rpartition("/")[2] for event in page.audit_events]


async def test_a_fresh_installation_has_the_built_in_book_in_force(migrated_url: str) -> None:
    async with open_admin(migrated_url) as admin:
        await admin.rooms.prepare()
        await check_built_in(admin)


async def check_built_in(admin: Admin) -> None:
    (book,) = (await books(admin)).values()
    assert book.name == build_price_book().name
    assert book.source.startswith("genai-prices ")
    assert (book.state, book.distributed) == (pb.PRICE_BOOK_STATE_ACTIVE, True)
    assert book.price_count > book.model_count > 50
    assert not book.activations[0].HasField("effective_from")
    assert not await ensure_price_book(admin.rooms.config)
    index = await load_index_now(admin)
    found = found_in(index, "gpt-4o", 1)
    assert found.name == f"{book.name}/openai/gpt-4o"


async def load_index_now(admin: Admin, book: str | None = None) -> PriceIndex:
    async with admin.rooms.config.read() as view:
        return await load_index(view, book)


def found_in(index: PriceIndex, model: str, time_ms: int) -> CompiledPrice:
    price = index.find("openai", model, time_ms)
    assert price is not None
    return price


async def test_an_import_changes_nothing_until_it_is_activated(admin: Admin) -> None:
    answer = await import_litellm(admin, gzip.compress(LITELLM))
    book = answer.price_book
    assert answer.created
    assert book.name.startswith("priceBooks/litellm-")
    assert (book.state, book.distributed) == (pb.PRICE_BOOK_STATE_IMPORTED, False)
    assert answer.diff.removed > 100
    assert answer.diff.changed > 0
    left_out = {name for omission in book.omissions for name in omission.subjects}
    assert {"hd/1024-x-1024/dall-e-3", "gpt-image-1"} <= left_out
    assert book.omission_count == sum(len(omission.subjects) for omission in book.omissions)
    again = await import_litellm(admin)
    assert (again.created, again.price_book.name) == (False, book.name)
    index = await load_index_now(admin)
    assert "litellm" not in found_in(index, "gpt-4o", 10**13).name
    assert not (await books(admin))[book.name].omissions
    assert (await get(admin, book.name.partition("/")[2])).omissions
    assert await audited(admin, book.name) == ["ImportPriceBook"]


async def test_data_planes_get_a_book_when_it_is_activated_and_lose_it_when_its_time_is_over(admin: Admin) -> None:
    built_in = BOOK
    imported = (await import_litellm(admin)).price_book.name
    async with serve_feed(admin.rooms) as address, subscribed(address) as plane:
        assert built_in in plane.resources
        assert imported not in plane.resources
        moment = datetime.now(UTC)
        active = await activate(admin, imported)
        assert active.state == pb.PRICE_BOOK_STATE_ACTIVE
        assert abs(active.activations[0].effective_from.ToDatetime(UTC) - moment) < timedelta(minutes=1)
        assert active.activations[0].principal == "tester"
        await plane.wait_for(lambda p: imported in p.resources)
        form = plane.resources[imported].price_book
        assert list(form.effective_from_ms) == [active.activations[0].effective_from.ToMilliseconds()]
        assert any(row.id == "openai/gpt-4o" for row in form.prices)
        assert built_in in plane.resources, "calls that began before are still priced by it"
        assert (await get(admin, built_in)).state == pb.PRICE_BOOK_STATE_SUPERSEDED
        assert await retire_books(admin.rooms.config) == []
        in_two_days = datetime.now(UTC) + timedelta(days=2)
        admin.rooms.config.now = lambda: in_two_days
        assert await retire_books(admin.rooms.config) == [built_in]
        assert await retire_books(admin.rooms.config) == []
        await plane.wait_for(lambda p: built_in not in p.resources)
    assert not (await get(admin, built_in)).distributed
    index = await load_index_now(admin)
    assert found_in(index, "gpt-4o", 1).name == f"{built_in}/openai/gpt-4o", "history keeps its prices"


async def test_a_book_that_was_superseded_can_be_put_in_force_again(admin: Admin) -> None:
    built_in = BOOK
    imported = (await import_litellm(admin)).price_book.name
    await activate(admin, imported)
    again = await activate(admin, built_in)
    assert (again.state, len(again.activations)) == (pb.PRICE_BOOK_STATE_ACTIVE, 2)
    unchanged = await activate(admin, built_in)
    assert unchanged == again, "what is in force is not activated twice"
    starts = [found.effective_from.ToMilliseconds() for found in again.activations]
    index = await load_index_now(admin)
    names = [found_in(index, "gpt-4o", time_ms).name for time_ms in (1, starts[1] - 1, starts[1])]
    assert names[0] == f"{built_in}/openai/gpt-4o"
    assert names[1] == f"{imported}/openai/gpt-4o"
    assert names[2].startswith(built_in)
    assert await audited(admin, built_in) == ["ActivatePriceBook", "prices.ensure_price_book"]


async def test_a_scheduled_activation_can_be_moved_taken_back_and_not_be_set_in_the_past(admin: Admin) -> None:
    imported = (await import_litellm(admin)).price_book.name
    past = datetime.now(UTC) - timedelta(minutes=2)
    with pytest.raises(InvalidArgument, match=r"effective_from.*past.*re-rate"):
        await activate(admin, imported, past)
    scheduled = await activate(admin, imported, LATER)
    assert (scheduled.state, scheduled.distributed) == (pb.PRICE_BOOK_STATE_SCHEDULED, True)
    with pytest.raises(InvalidArgument, match="takes effect at that moment already"):
        await activate(admin, BOOK, LATER)
    with pytest.raises(FailedPrecondition, match="withdraw it first"):
        await delete(admin, imported)
    request = pb.WithdrawPriceBookRequest(name=imported, etag="stale")
    with pytest.raises(Aborted):
        await admin.call("PriceBookService/WithdrawPriceBook", request, pb.PriceBook)
    request.etag = scheduled.etag
    back = await admin.call("PriceBookService/WithdrawPriceBook", request, pb.PriceBook)
    assert (back.state, back.distributed, list(back.activations)) == (pb.PRICE_BOOK_STATE_IMPORTED, False, [])
    with pytest.raises(FailedPrecondition, match="activate another book"):
        await admin.call("PriceBookService/WithdrawPriceBook", pb.WithdrawPriceBookRequest(name=imported), pb.PriceBook)
    await delete(admin, imported)
    with pytest.raises(NotFound):
        await get(admin, imported)
    assert (await import_litellm(admin)).created


async def test_what_was_in_force_stays_and_its_prices_never_change(admin: Admin, config_url: str) -> None:
    built_in = BOOK
    with pytest.raises(FailedPrecondition, match="was in force"):
        await delete(admin, built_in)
    await activate(admin, (await import_litellm(admin)).price_book.name)
    with pytest.raises(FailedPrecondition, match="was in force"):
        await delete(admin, built_in)
    connection = await asyncpg.connect(config_url)
    with pytest.raises(asyncpg.PostgresError, match="never change"):
        await connection.execute("UPDATE price_book_row SET content = '{}' WHERE position = 1")
    await connection.close()


async def test_prices_and_differences_come_in_pages(admin: Admin) -> None:
    built_in = BOOK
    imported = (await import_litellm(admin)).price_book.name
    request = pb.ListBookPricesRequest(parent=imported, page_size=4)
    names: list[str] = []
    while True:
        page = await admin.call("PriceBookService/ListBookPrices", request, pb.ListBookPricesResponse)
        assert len(page.prices) <= 4
        names += [price.name for price in page.prices]
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    assert len(names) == len(set(names)) == (await get(admin, imported)).price_count
    filtered = pb.ListBookPricesRequest(parent=imported, filter='provider = "openai" AND model = "gpt-4o"')
    (price,) = (await admin.call("PriceBookService/ListBookPrices", filtered, pb.ListBookPricesResponse)).prices
    assert (price.name, list(price.matches)) == (f"{imported}/openai/gpt-4o", ["exact gpt-4o"])
    shown = {(rate.meter, rate.service_tier): (rate.price_usd, rate.per) for rate in price.rates}
    assert shown["input", ""] == ("2.50", 1_000_000)
    assert shown["output", "batch"] == ("5.00", 1_000_000)
    lines: list[pb.PriceBookDiffLine] = []
    diff = pb.DiffPriceBookRequest(name=imported, page_size=1_000)
    while True:
        answer = await admin.call("PriceBookService/DiffPriceBook", diff, pb.DiffPriceBookResponse)
        lines += answer.lines
        diff.page_token = answer.next_page_token
        if not diff.page_token:
            break
    summary = answer.summary
    assert summary.base == built_in
    assert len(lines) == summary.added + summary.removed + summary.changed
    changed = {(line.model, line.meter, line.service_tier): line for line in lines}
    line = changed["gpt-3.5-turbo-instruct", "input", ""]
    assert (line.before_usd, line.after_usd, line.per) == ("1.50", "1.60", 1_000_000)
    same = pb.DiffPriceBookRequest(name=built_in, base=built_in.partition("/")[2])
    nothing = await admin.call("PriceBookService/DiffPriceBook", same, pb.DiffPriceBookResponse)
    assert (list(nothing.lines), nothing.summary.changed) == ([], 0)
    with pytest.raises(NotFound):
        await admin.call(
            "PriceBookService/DiffPriceBook", pb.DiffPriceBookRequest(name="nowhere"), pb.DiffPriceBookResponse
        )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b'{"a": NaN}', "is no price"),
        (b"[" * 100_000, "nested too deep"),
        (b"\x1f\x8bnonsense", "damaged"),
        (b"{}", "no price that this release can use"),
        (b'{"x": {"litellm_provider": "replicate", "input_cost_per_token": 1}}', '"replicate"'),
    ],
)
async def test_a_file_that_cannot_be_used_is_refused(admin: Admin, content: bytes, says: str) -> None:
    with pytest.raises(InvalidArgument, match="litellm_json") as caught:
        await import_litellm(admin, content)
    assert says in caught.value.message
    assert len(await books(admin)) == 1


async def test_an_import_needs_a_source_and_a_free_name(admin: Admin) -> None:
    with pytest.raises(InvalidArgument, match="installed_catalog"):
        request = pb.ImportPriceBookRequest()
        await admin.call("PriceBookService/ImportPriceBook", request, pb.ImportPriceBookResponse)
    with pytest.raises(InvalidArgument, match="price_book_id"):
        await import_litellm(admin, book_id="Not an id")
    assert (await import_litellm(admin, book_id="mine")).price_book.name == "priceBooks/mine"
    with pytest.raises(AlreadyExists, match="other prices"):
        await import_litellm(admin, LITELLM.replace(b"1e-05", b"2e-05"), book_id="mine")
    checked = pb.ImportPriceBookRequest(litellm_json=LITELLM.replace(b"1e-05", b"3e-05"), validate_only=True)
    answer = await admin.call("PriceBookService/ImportPriceBook", checked, pb.ImportPriceBookResponse)
    assert answer.created
    assert len(await books(admin)) == 2, "validate_only stores nothing"


async def test_two_control_planes_at_once_make_one_book_and_one_activation_order(migrated_url: str) -> None:
    async with open_admin(migrated_url) as one, open_admin(migrated_url) as other:
        await asyncio.gather(*(ensure_price_book(each.rooms.config, build_book) for each in (one, other)))
        assert len(await books(one)) == 1
        answers = await asyncio.gather(*(import_litellm(each) for each in (one, other, one, other)))
        assert sum(answer.created for answer in answers) == 1
        imported, built_in = answers[0].price_book.name, BOOK
        behind = datetime.now(UTC) - timedelta(seconds=30)
        await activate(one, imported)
        other.rooms.config.now = lambda: behind
        back = await activate(other, built_in)
        first = (await get(one, imported)).activations[0].effective_from
        assert back.activations[-1].effective_from.ToNanoseconds() > first.ToNanoseconds()
        await asyncio.gather(*(activate(each, name) for each, name in ((one, imported), (other, built_in)) * 3))
        starts = [
            found.effective_from.ToMilliseconds() for book in (await books(one)).values() for found in book.activations
        ]
        assert len(starts) == len(set(starts)), "no two books take effect at the same moment"


async def test_a_price_of_an_admin_wins_and_a_discount_takes_off_the_book(admin: Admin) -> None:
    imported = (await import_litellm(admin)).price_book.name
    await activate(admin, imported)
    discount = Price(provider="openai", model="gpt-4o*", discount_percent="12.5")
    await admin.call("PriceService/CreatePrice", CreatePriceRequest(price_id="deal", price=discount), Price)
    night = PriceBand(start_time="22:00", end_time="06:00", weekdays=["mon"])
    own = Price(
        model="gpt-4o", rates=[Rate(meter="input", price_usd="1"), Rate(meter="output", price_usd="2")], band=night
    )
    own.provider = "openai"
    await admin.call("PriceService/CreatePrice", CreatePriceRequest(price_id="night", price=own), Price)
    usage = Usage(input=1_000_000, output=1_000_000)
    index = await load_index_now(admin)
    # Monday 23:00, Tuesday 05:59 and 06:00, all long after the activation.
    for moment, name, cost in (
        (datetime(2100, 1, 4, 23, tzinfo=UTC), "prices/night", 3_000_000_000),
        (datetime(2100, 1, 5, 5, 59, tzinfo=UTC), "prices/night", 3_000_000_000),
        (datetime(2100, 1, 5, 6, tzinfo=UTC), "prices/deal", 10_937_500_000),
    ):
        found = found_in(index, "gpt-4o", int(moment.timestamp() * 1000))
        assert (found.name, found.cost_nano_usd(usage)) == (name, cost)
    request = pb.ResolvePriceRequest(
        model="gpt-4o", time=Timestamp(seconds=int(datetime(2100, 1, 5, 6, tzinfo=UTC).timestamp()))
    )
    answer = await admin.call("PriceBookService/ResolvePrice", request, pb.ResolvePriceResponse)
    resolved, simulated = answer.resolved_prices
    assert simulated.book_price == f"{imported}/sim/*"
    assert (resolved.provider, resolved.price, resolved.discount_percent) == ("openai", "prices/deal", "12.5")
    assert resolved.book_price == f"{imported}/openai/gpt-4o"
    assert "prices/deal is a discount on the book" in resolved.reason
    assert ("prices/night", "holds at other times of the day") in [(p.price, p.reason) for p in resolved.passed_over]
    unknown = pb.ResolvePriceRequest(model="nobody-knows", provider="openai")
    (nothing,) = (await admin.call("PriceBookService/ResolvePrice", unknown, pb.ResolvePriceResponse)).resolved_prices
    assert (nothing.price, "unpriced" in nothing.reason) == ("", True)
    every_time = await load_index_now(admin, imported.partition("/")[2])
    assert found_in(every_time, "gpt-5.4", 1).name == f"{imported}/openai/gpt-5.4"
    with pytest.raises(NotFound):
        await load_index_now(admin, "nowhere")


async def test_a_release_that_makes_the_same_book_only_notes_that(admin: Admin, config_url: str) -> None:
    connection = await asyncpg.connect(config_url)
    await connection.execute("UPDATE resource SET labels = '{}' WHERE kind = 'PriceBook'")
    before = await books(admin)
    assert not await ensure_price_book(admin.rooms.config, build_book)
    noted = await connection.fetchval("SELECT labels FROM resource WHERE kind = 'PriceBook' AND current")
    assert "catalog_fingerprint" in noted
    after = await books(admin)
    assert after.keys() == before.keys()
    assert {book.state for book in after.values()} == {pb.PRICE_BOOK_STATE_ACTIVE}
    revisions = await connection.fetchval("SELECT revision FROM config_head")
    assert not await ensure_price_book(admin.rooms.config)
    assert await connection.fetchval("SELECT revision FROM config_head") == revisions
    await connection.close()


async def test_an_installation_that_had_one_book_keeps_it_in_force(database_url: str) -> None:
    """What 0003 left: the book as one resource, with its prices in it."""
    await upgrade_to(database_url, "0003")
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        """
        INSERT INTO resource (name, revision, kind, uid, etag, spec, labels, refs, create_time, update_time, deleted,
            current) VALUES ('priceBooks/default', 1, 'PriceBook', gen_random_uuid(), 'e', $1, '{}', '{}', now(), now(),
            false, true)
        """,
        """{"source": "genai-prices 0.2.3 (1)", "prices": [
            {"id": "openai/gpt-4o", "price": {"provider": "openai", "models": [{"exact": "gpt-4o"}],
             "rates": [{"meter": "METER_INPUT", "nano_usd_per_million": "2500000000"}]}},
            {"id": "openai/gpt-5@2026-01-01", "price": {"provider": "openai", "models": [{"prefix": "gpt-5"}],
             "effective_from_ms": "1767225600000",
             "rates": [{"meter": "METER_INPUT", "nano_usd_per_million": "1250000000"}]}}]}""",
    )
    await connection.execute("UPDATE config_head SET revision = 1")
    await upgrade_to(database_url, "head")
    await connection.close()
    async with open_admin(database_url) as admin:
        await admin.rooms.prepare()
        found = await books(admin)
        old = found.pop("priceBooks/default")
        assert (old.state, old.price_count, old.model_count) == (pb.PRICE_BOOK_STATE_ACTIVE, 2, 2)
        (new,) = found.values()
        assert new.state == pb.PRICE_BOOK_STATE_IMPORTED, "a newer catalog waits for an admin"
        async with serve_feed(admin.rooms) as address, subscribed(address) as plane:
            assert [row.id for row in plane.resources["priceBooks/default"].price_book.prices] == [
                "openai/gpt-4o",
                "openai/gpt-5@2026-01-01",
            ]
        request = pb.ListBookPricesRequest(parent="default", filter="model = gpt-5")
        (price,) = (await admin.call("PriceBookService/ListBookPrices", request, pb.ListBookPricesResponse)).prices
        assert price.name == "priceBooks/default/openai/gpt-5@2026-01-01"


async def upgrade_to(url: str, revision: str) -> None:
    await upgrade_schema(url, migrations_folder(), revision)
