import asyncio

from dataplane.metering.batches import Batch
from dataplane.metering.emitter import CAPACITY_EVENTS, Emitter
from tests.fakes.outcomes import START_TIME_US, make_attempt, make_call, make_outcome
from tollway.kernel.usage import event_id
from tollway.usage.v1.usage_pb2 import UsageEventBatch

BOOT_ID = 77


def make_emitter(capacity_events: int = CAPACITY_EVENTS) -> Emitter:
    return Emitter(BOOT_ID, capacity_events=capacity_events, clock_us=lambda: START_TIME_US)


def events_of(batch: Batch) -> UsageEventBatch:
    return UsageEventBatch.FromString(batch.payload)


async def test_events_are_numbered_from_one_and_named_by_start_boot_and_number() -> None:
    emitter = make_emitter()
    emitter.emit(make_outcome(make_attempt(1), make_attempt(2)))
    emitter.emit(make_outcome())

    batch = await emitter.next_batch()

    events = events_of(batch).events
    assert [event.sequence for event in events] == [1, 2, 3]
    assert {event.boot_id for event in events} == {BOOT_ID}
    expected = [event_id(event.start_time_us // 1000, BOOT_ID, event.sequence).bytes for event in events]
    assert [event.event_id for event in events] == expected


async def test_an_event_leaves_by_itself_after_a_short_while() -> None:
    emitter = make_emitter()
    emitter.emit(make_outcome())

    async with asyncio.timeout(5):
        batch = await emitter.next_batch()

    assert batch.events == 1


async def test_a_full_batch_leaves_at_once() -> None:
    emitter = make_emitter()
    waiting = asyncio.create_task(emitter.next_batch())
    await asyncio.sleep(0)
    for _ in range(300):
        emitter.emit(make_outcome())

    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert waiting.done()
    assert emitter.held_events == 300


async def test_events_are_held_until_they_are_settled() -> None:
    emitter = make_emitter()
    emitter.emit(make_outcome())
    batch = await emitter.next_batch()
    assert emitter.held_events == 1

    emitter.settle(batch)

    assert (emitter.held_events, emitter.delivered_events) == (0, 1)


async def test_room_is_kept_for_the_attempts_of_calls_in_flight() -> None:
    emitter = make_emitter(capacity_events=10)

    assert emitter.has_room(in_flight_calls=2)
    assert not emitter.has_room(in_flight_calls=3)
    for _ in range(7):
        emitter.emit(make_outcome())
    assert emitter.has_room(in_flight_calls=0)
    emitter.emit(make_outcome())
    assert not emitter.has_room(in_flight_calls=0)


async def test_a_full_emitter_still_takes_what_was_accepted() -> None:
    emitter = make_emitter(capacity_events=4)
    for _ in range(1_000):
        emitter.emit(make_outcome())

    assert emitter.held_events == 1_000
    assert not emitter.has_room(in_flight_calls=0)


async def test_a_hundred_thousand_events_are_held_beside_two_thousand_running_calls() -> None:
    emitter = make_emitter()
    outcome = make_outcome(*[make_attempt(n) for n in range(1, 101)])
    for _ in range(1_000):
        emitter.emit(outcome)

    assert emitter.held_events == 100_000
    assert emitter.has_room(in_flight_calls=2_048)


async def test_flush_returns_when_the_last_event_is_settled() -> None:
    emitter = make_emitter()
    emitter.emit(make_outcome())
    flushing = asyncio.create_task(emitter.flush(timeout_s=5))

    emitter.settle(await emitter.next_batch())

    assert await flushing == 0


async def test_flush_of_nothing_returns_at_once() -> None:
    assert await make_emitter().flush(timeout_s=0) == 0


async def test_flush_counts_what_was_not_delivered_in_time() -> None:
    emitter = make_emitter()
    emitter.emit(make_outcome())
    emitter.emit(make_outcome())

    assert await emitter.flush(timeout_s=0.001) == 2


async def test_what_cannot_be_recorded_fails_no_call_and_leaves_no_gap() -> None:
    emitter = make_emitter()
    emitter.emit(make_outcome(make_attempt(start_time_us=-1)))
    emitter.emit(make_outcome(call=make_call(request_id=5)))
    emitter.emit(make_outcome())

    events = events_of(await emitter.next_batch()).events

    assert [event.sequence for event in events] == [1]
    assert emitter.held_events == 1
