import asyncio
from pathlib import Path

import pytest

from controlplane.ledger.convert import entry_of
from dataplane.metering.batches import Batch
from dataplane.metering.emitter import CAPACITY_EVENTS, Emitter, OpenAttempts, SpoolBounds
from dataplane.metering.outbox import Outbox, Sending
from dataplane.metering.producer import Producer
from dataplane.metering.spool.journal import Journal
from tests.fakes.outcomes import START_TIME_US, make_attempt, make_call, make_outcome
from tollway.kernel.usage import event_id
from tollway.usage.v1.usage_pb2 import UsageEventBatch

BOOT_ID = 77


class Room:
    """An emitter with its outbox."""

    def __init__(self, folder: Path, capacity_events: int = CAPACITY_EVENTS) -> None:
        opens, self.outbox = OpenAttempts(), Outbox()
        producer = Producer(BOOT_ID, Journal(folder, opens))
        bounds = SpoolBounds(events=capacity_events)
        self.emitter = Emitter(producer, self.outbox, opens, bounds=bounds, clock_us=lambda: START_TIME_US)

    async def next_batch(self) -> Batch:
        [message] = (await self.outbox.take()).messages
        return message

    async def next_sending(self) -> Sending:
        return await self.outbox.take()


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def events_of(batch: Batch) -> UsageEventBatch:
    return UsageEventBatch.FromString(batch.payload)


async def test_events_are_numbered_from_one_and_named_by_start_boot_and_number(room: Room) -> None:
    emitter = room.emitter
    emitter.emit(make_outcome(make_attempt(1), make_attempt(2)))
    emitter.emit(make_outcome())

    batch = await room.next_batch()

    events = events_of(batch).events
    assert [event.sequence for event in events] == [1, 2, 3]
    assert {event.boot_id for event in events} == {BOOT_ID}
    expected = [event_id(event.start_time_us // 1000, BOOT_ID, event.sequence).bytes for event in events]
    assert [event.event_id for event in events] == expected


async def test_an_event_leaves_by_itself_after_a_short_while(room: Room) -> None:
    emitter = room.emitter
    emitter.emit(make_outcome())

    async with asyncio.timeout(5):
        batch = await room.next_batch()

    assert batch.events == 1


async def test_a_full_batch_leaves_at_once(room: Room) -> None:
    emitter = room.emitter
    waiting = asyncio.create_task(room.next_batch())
    await asyncio.sleep(0)
    for _ in range(300):
        emitter.emit(make_outcome())

    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert waiting.done()
    assert emitter.unpublished_events == 300


async def test_events_are_held_until_they_are_settled(room: Room) -> None:
    emitter = room.emitter
    emitter.emit(make_outcome())
    sending = await room.next_sending()
    assert emitter.unpublished_events == 1

    room.outbox.settle(sending)

    assert (emitter.unpublished_events, room.outbox.delivered_events) == (0, 1)


async def test_room_is_kept_for_the_attempts_of_calls_in_flight(tmp_path: Path) -> None:
    emitter = Room(tmp_path, capacity_events=10).emitter

    assert emitter.has_room(in_flight_calls=2)
    assert not emitter.has_room(in_flight_calls=3)
    for _ in range(7):
        emitter.emit(make_outcome())
    assert emitter.has_room(in_flight_calls=0)
    emitter.emit(make_outcome())
    assert not emitter.has_room(in_flight_calls=0)


async def test_a_full_emitter_still_takes_what_was_accepted(tmp_path: Path) -> None:
    emitter = Room(tmp_path, capacity_events=4).emitter
    for _ in range(1_000):
        emitter.emit(make_outcome())

    assert emitter.unpublished_events == 1_000
    assert not emitter.has_room(in_flight_calls=0)


async def test_a_hundred_thousand_events_are_held_beside_two_thousand_running_calls(room: Room) -> None:
    emitter = room.emitter
    for _ in range(1_000):
        emitter.emit(make_outcome(*[make_attempt(n) for n in range(1, 101)]))

    assert emitter.unpublished_events == 100_000
    assert emitter.has_room(in_flight_calls=2_048)


async def test_flush_returns_when_the_last_event_is_settled(room: Room) -> None:
    emitter = room.emitter
    emitter.emit(make_outcome())
    flushing = asyncio.create_task(emitter.flush(timeout_s=5))

    room.outbox.settle(await room.next_sending())

    assert await flushing == 0


async def test_flush_of_nothing_returns_at_once(room: Room) -> None:
    assert await room.emitter.flush(timeout_s=0) == 0


async def test_flush_counts_what_was_not_delivered_in_time(room: Room) -> None:
    emitter = room.emitter
    emitter.emit(make_outcome())
    emitter.emit(make_outcome())

    assert await emitter.flush(timeout_s=0.001) == 2


async def test_what_cannot_be_recorded_fails_no_call_and_leaves_no_gap(room: Room) -> None:
    emitter = room.emitter
    emitter.emit(make_outcome(make_attempt(start_time_us=-1), make_attempt(2)))
    emitter.emit(make_outcome(call=make_call(request_id=5)))
    emitter.emit(make_outcome())

    events = events_of(await room.next_batch()).events

    assert [(event.sequence, event.attempt) for event in events] == [(1, 2), (2, 1)]
    assert emitter.unpublished_events == 2


async def test_an_attempt_whose_end_cannot_be_told_is_recorded_as_it_was_begun(room: Room) -> None:
    outcome = make_outcome()
    begun, outcome.attempts = outcome.attempts[0], []
    room.emitter.begin(outcome, begun)
    outcome.attempts.append(make_attempt(response_model=7))

    room.emitter.emit(outcome)

    [event] = events_of(await room.next_batch()).events
    assert (event.sequence, event.final, event.error_code) == (1, True, "gateway_crashed")
    assert entry_of(event).cost_nano_usd == 123
