"""Dead letters over the admin methods and a real database."""

import hashlib
from typing import Any

import pytest
from google.protobuf.message import Message

from controlplane.authz import AdminPrincipal
from controlplane.db.engine import Database
from controlplane.errors import InvalidArgument, NotFound
from controlplane.ledger.booking import read_parcels
from controlplane.ledger.decode import dead_letter
from controlplane.ledger.entries import WHOLE_MESSAGE, Delivery
from controlplane.ledger.letters.api import dead_letter_handlers
from controlplane.ledger.repository import LedgerRepository
from tests.fakes.usage_events import FakeDataPlane, Truth, batch
from tests.integration.ledger.reading import count_drift, fetch_value, ledger_truth
from tollway.admin.v1.ledger_pb2 import (
    DiscardDeadLettersRequest,
    GetDeadLetterRequest,
    ListDeadLettersRequest,
    ReplayDeadLettersRequest,
)
from tollway.usage.v1.usage_pb2 import UsageEvent

SECRET = "sk-canary-0123456789"
_BOOKED = "SELECT booked::text FROM ledger_producer WHERE boot_id = $1"


class Admin:
    """Calls the handlers as the transport does."""

    def __init__(self, database: Database) -> None:
        self._handlers = dead_letter_handlers(database)

    async def call(self, method: str, request: Message) -> Any:
        handler = self._handlers[f"tollway.admin.v1.DeadLetterService/{method}"]
        return await handler(AdminPrincipal("admins/test"), request)

    async def list(self, **fields: Any) -> Any:
        return await self.call("ListDeadLetters", ListDeadLettersRequest(**fields))

    async def replay(self, *names: str) -> Any:
        return (await self.call("ReplayDeadLetters", ReplayDeadLettersRequest(names=names))).results


async def keep(database: Database, data: bytes, number: int = 1) -> None:
    """What the consumer does with a message that holds no event that can be booked."""
    [[parcel]] = read_parcels([Delivery("tollway.usage.v1.dp", number, 3, data)])
    await LedgerRepository(database).book(parcel.entries, parcel.dead_letters)


async def keep_good_event(database: Database, event: UsageEvent, reason: str = "an older release refused it") -> None:
    """A letter that today's code can book."""
    delivery = Delivery("tollway.usage.v1.dp", event.sequence, 1, b"")
    await LedgerRepository(database).book([], [dead_letter(delivery, 0, event.SerializeToString(), reason)])


async def test_a_letter_shows_what_can_be_read_and_nothing_else(database: Database, ledger_url: str) -> None:
    plane = FakeDataPlane(boot_id=11)
    bad = plane.event(state=0, end_user=SECRET, metadata={"a": SECRET}, cost_nano_usd=1_500_000_000)
    hostile = plane.event(state=0, team=SECRET, key=SECRET, upstream=f"upstreams/{SECRET}\n", request_id=SECRET)
    await keep(database, batch([bad, hostile]))
    await keep(database, SECRET.encode(), 2)
    admin = Admin(database)
    first, second, whole = (await admin.list()).dead_letters
    assert (first.boot_id, first.sequence, first.team, first.key) == ("11", 1, bad.team, bad.key)
    assert (first.request_id, first.cost_usd, first.deliveries) == (bad.request_id, "1.50", 3)
    assert (first.subject, first.stream_sequence, first.event_index) == ("tollway.usage.v1.dp", 1, 0)
    assert "state 0" in first.reason
    assert (second.team, second.key, second.upstream, second.request_id) == ("", "", "", "")
    assert (whole.event_index, whole.payload_sha256) == (WHOLE_MESSAGE, hashlib.sha256(SECRET.encode()).hexdigest())
    assert SECRET not in str([first, second, whole])
    assert await admin.call("GetDeadLetter", GetDeadLetterRequest(name=whole.name)) == whole


async def test_a_replay_books_what_todays_code_can_and_removes_the_letter(database: Database, ledger_url: str) -> None:
    plane = FakeDataPlane(boot_id=11)
    events, admin = plane.events(3), Admin(database)
    for event in events:
        await keep_good_event(database, event)
    names = [letter.name for letter in (await admin.list()).dead_letters]
    assert [result.inserted for result in await admin.replay(*names[:2], names[0])] == [1, 1]
    assert await ledger_truth(ledger_url) == Truth.of(events[:2])
    assert [letter.name for letter in (await admin.list()).dead_letters] == names[2:]
    await LedgerRepository(database).book([parcel_entry(events[2])], [])
    [result] = await admin.replay(names[2])
    assert (result.inserted, result.duplicates, result.reason) == (0, 1, "")
    assert (await admin.list()).dead_letters == []
    assert await ledger_truth(ledger_url) == Truth.of(events)
    assert await count_drift(ledger_url) == 0
    assert await fetch_value(ledger_url, _BOOKED, 11) == "{[1,4)}"


def parcel_entry(event: UsageEvent) -> Any:
    [[parcel]] = read_parcels([Delivery("s", 9, 1, batch([event]))])
    return parcel.entries[0]


async def test_what_still_cannot_be_booked_stays_with_its_new_reason(database: Database, ledger_url: str) -> None:
    event = FakeDataPlane(boot_id=11).event(state=0)
    await keep_good_event(database, event, "an older reason")
    await keep(database, b"\xff\xff no batch", 7)
    admin = Admin(database)
    event_letter, whole = (await admin.list()).dead_letters
    results = await admin.replay(event_letter.name, whole.name)
    assert "state 0" in results[0].reason
    assert "UsageEventBatch" in results[1].reason
    again, whole_again = (await admin.list()).dead_letters
    assert (again.name, again.replays, again.first_time) == (event_letter.name, 1, event_letter.first_time)
    assert "state 0" in again.reason
    assert whole_again.replays == 1
    assert (await ledger_truth(ledger_url)).events == 0


async def test_a_whole_message_that_can_be_read_now_falls_into_its_events(database: Database, ledger_url: str) -> None:
    plane = FakeDataPlane(boot_id=11)
    good, bad = plane.events(4), plane.event(state=0)
    delivery = Delivery("tollway.usage.v1.dp", 5, 1, b"")
    letter = dead_letter(delivery, WHOLE_MESSAGE, batch([*good, bad]), "an older release could not read it")
    await LedgerRepository(database).book([], [letter])
    admin = Admin(database)
    [whole] = (await admin.list()).dead_letters
    [result] = await admin.replay(whole.name)
    assert (result.inserted, result.new_dead_letters, result.reason) == (4, 1, "")
    [rest] = (await admin.list()).dead_letters
    assert (rest.event_index, rest.sequence) == (4, 5)
    assert await ledger_truth(ledger_url) == Truth.of(good)
    assert await fetch_value(ledger_url, _BOOKED, 11) == "{[1,6)}"


async def test_a_discarded_letter_is_set_aside_and_kept(database: Database, ledger_url: str) -> None:
    event = FakeDataPlane(boot_id=11).event()
    await keep_good_event(database, event)
    admin = Admin(database)
    [letter] = (await admin.list()).dead_letters
    with pytest.raises(InvalidArgument, match="reason"):
        await admin.call("DiscardDeadLetters", DiscardDeadLettersRequest(names=[letter.name]))
    await admin.call("DiscardDeadLetters", DiscardDeadLettersRequest(names=[letter.name], reason="a test's event"))
    assert (await admin.list()).dead_letters == []
    [shown] = (await admin.list(show_discarded=True)).dead_letters
    assert (shown.discard_reason, shown.discard_principal) == ("a test's event", "admins/test")
    assert shown.HasField("discard_time")
    await admin.replay(letter.name)
    assert await ledger_truth(ledger_url) == Truth.of([event])
    deeds = "SELECT string_agg(principal || ' ' || resource || ' ' || after::text, '; ' ORDER BY id) FROM audit_event"
    told = await fetch_value(ledger_url, deeds)
    assert told == (
        f"""admins/test {letter.name} {{"reason": "a test's event", "discarded": true}}; """
        f"""admins/test {letter.name} {{"replayed": true}}"""
    )


async def test_pages_go_by_number(database: Database, ledger_url: str) -> None:
    plane, admin = FakeDataPlane(boot_id=11), Admin(database)
    for event in plane.events(5):
        await keep_good_event(database, event)
    names: list[str] = []
    token, pages = "", 0
    while pages == 0 or token:
        page = await admin.list(page_size=2, page_token=token)
        names += [letter.name for letter in page.dead_letters]
        token, pages = page.next_page_token, pages + 1
    assert (pages, len(set(names))) == (3, 5)
    with pytest.raises(InvalidArgument, match="page_token"):
        await admin.list(page_token=(await admin.list(page_size=2)).next_page_token, show_discarded=True)


@pytest.mark.parametrize(
    "name", ["deadLetters/", "deadLetters/x", "letters/1", "deadLetters/-1", "deadLetters/" + "9" * 30]
)
async def test_names_that_are_none(database: Database, name: str) -> None:
    with pytest.raises(InvalidArgument, match="deadLetters/"):
        await Admin(database).call("GetDeadLetter", GetDeadLetterRequest(name=name))


async def test_a_letter_that_is_gone_is_not_found_and_nothing_is_tried(database: Database, ledger_url: str) -> None:
    await keep_good_event(database, FakeDataPlane(boot_id=11).event())
    admin = Admin(database)
    [letter] = (await admin.list()).dead_letters
    with pytest.raises(NotFound, match="deadLetters/999"):
        await admin.replay(letter.name, "deadLetters/999")
    assert (await ledger_truth(ledger_url)).events == 0
    with pytest.raises(InvalidArgument, match="names"):
        await admin.replay()
