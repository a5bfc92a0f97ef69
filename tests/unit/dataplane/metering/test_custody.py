"""Producers whose events a process keeps: what it sends again, what it forgets, what it takes over."""

import asyncio
from pathlib import Path

import pytest

from dataplane.metering.custody import RESEND_INTERVAL_S, Custody
from dataplane.metering.emitter import Emitter, OpenAttempts, SpoolBounds
from dataplane.metering.outbox import READ_RETRY_S, Outbox
from dataplane.metering.producer import PLACED_EVENTS, Producer
from dataplane.metering.room import UsageRoom
from dataplane.metering.spool.folders import make_folder, make_root
from dataplane.metering.spool.journal import Journal
from tests.fakes.outcomes import make_attempt, make_call, make_outcome
from tollway.usage.v1.usage_pb2 import UsageEventBatch

BOOT_ID = 77
GONE = 78
SEGMENT_BYTES = 4000


class Clock:
    """Seconds that only a test moves."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Room:
    """A process's custody, with small segments, whose outbox a test empties as NATS would."""

    def __init__(self, root: Path, *, has_ledger: bool = True) -> None:
        self.root, self.clock, self.outbox, opens = root, Clock(), Outbox(), OpenAttempts()
        make_root(root)
        self.folder = make_folder(root, BOOT_ID)
        self.journal = Journal(self.folder.path, opens, SEGMENT_BYTES)
        self.producer = Producer(BOOT_ID, self.journal)
        self.emitter = Emitter(self.producer, self.outbox, opens)
        self.custody = Custody(self.producer, self.outbox, root, has_ledger=has_ledger, clock_s=self.clock)

    async def deliver(self) -> list[int]:
        """Numbers of what NATS gets of everything that waits, in order."""
        sequences: list[int] = []
        while not await self.outbox.wait_empty(0):
            sending = await self.outbox.take()
            for message in sending.messages:
                sequences += [event.sequence for event in UsageEventBatch.FromString(message.payload).events]
            self.outbox.settle(sending)
        return sequences

    async def serve(self, calls: int) -> None:
        for number in range(calls):
            self.emitter.emit(make_outcome(call=make_call(request_id=f"req_{number:032x}")))
        await self.emitter.flush(0)
        await self.deliver()


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path / "spool")


def leave_behind(root: Path, calls: int, *, open_calls: int = 0) -> Path:
    """The spool of a process that is gone."""
    folder, opens = make_folder(root, GONE), OpenAttempts()
    emitter = Emitter(Producer(GONE, Journal(folder.path, opens, SEGMENT_BYTES)), Outbox(), opens)
    for number in range(calls + open_calls):
        outcome = make_outcome(call=make_call(request_id=f"req_{number:032x}"))
        attempts, outcome.attempts = outcome.attempts, []
        emitter.begin(outcome, attempts[0])
        outcome.attempts = attempts
        if number < calls:
            emitter.emit(outcome)
    emitter.producer.journal.close()
    folder.release()
    return folder.path


async def adopt(room: Room) -> None:
    task = asyncio.create_task(room.custody.run())
    async with asyncio.timeout(10):
        while not (room.custody.adopted or room.custody._refused):
            await asyncio.sleep(0.01)
    task.cancel()


async def test_nothing_is_forgotten_because_nats_has_it(room: Room) -> None:
    await room.serve(200)
    files = len(room.journal.paths())
    assert files > 5
    room.custody.acknowledge(BOOT_ID, 150, ())
    assert 1 < len(room.journal.paths()) < files
    assert len(room.journal.read(151, 200)) == 50
    room.custody.acknowledge(BOOT_ID, 10**9, ())
    assert room.producer.is_booked
    assert room.producer.booked_through == 200, "a number that was not given yet is never acknowledged"


async def test_what_nats_lost_is_sent_again_under_new_message_ids_and_not_in_a_storm(room: Room) -> None:
    await room.serve(300)
    room.custody.acknowledge(BOOT_ID, 20, ((31, 40), (290, 5_000)))
    sending = await room.outbox.take()
    assert [message.message_id for message in sending.messages] == [f"{BOOT_ID}:31-40:again-1"]
    room.outbox.settle(sending)
    assert await room.deliver() == list(range(290, 301))
    for _ in range(50):
        room.custody.acknowledge(BOOT_ID, 20, ((31, 40),))
    assert await room.deliver() == []
    room.clock.now_s += RESEND_INTERVAL_S
    room.custody.acknowledge(BOOT_ID, 20, ((31, 40),))
    assert await room.deliver() == list(range(31, 41))
    assert room.custody.resent_events == 31


async def test_what_is_to_be_sent_again_and_is_nowhere_keeps_nobody_waiting(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    await room.serve(200)
    room.custody.acknowledge(BOOT_ID, 2, ())
    lost = room.journal.paths()[0]
    lost.unlink()
    rest = len(room.journal.read(1, 200))

    room.custody.acknowledge(BOOT_ID, 2, ((3, 200),))

    assert await room.deliver() == list(range(201 - rest, 201))
    assert room.outbox.unreadable_events == 198 - rest
    assert "usage events are not in the spool" in caplog.text
    assert room.custody.progress()[0].first_sequence == 201 - rest
    room.custody.acknowledge(BOOT_ID, 200, ())
    assert room.producer.is_booked


async def test_a_disk_that_cannot_be_read_stops_no_process(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    await room.serve(10)
    tries: list[int] = []

    def read(first: int, last: int) -> list[bytes]:
        tries.append(first)
        if len(tries) == 1:
            raise OSError(5, "Input/output error")
        return Journal.read(room.journal, first, last)

    monkeypatch.setattr(room.journal, "read", read)
    monkeypatch.setattr("dataplane.metering.outbox.READ_RETRY_S", READ_RETRY_S / 100)
    room.custody.acknowledge(BOOT_ID, 0, ((1, 10),))
    assert await room.deliver() == list(range(1, 11))
    assert room.outbox.unreadable_events == 0


async def test_large_events_that_wait_in_the_spool_travel_in_messages_that_nats_takes(room: Room) -> None:
    metadata = {f"{'k' * 120}{n}": "v" * 250 for n in range(60)}
    for number in range(PLACED_EVENTS):
        call = make_call(request_id=f"req_{number:032x}", metadata=metadata)
        room.emitter.emit(make_outcome(call=call))
    await room.emitter.flush(0)
    await room.deliver()
    room.custody.acknowledge(BOOT_ID, 0, ((1, PLACED_EVENTS),))
    sending = await room.outbox.take()
    assert sum(message.events for message in sending.messages) == PLACED_EVENTS
    assert max(len(message.payload) for message in sending.messages) <= 64_000


async def test_a_spool_is_taken_over_ended_and_deleted_once_it_is_booked(room: Room) -> None:
    path = leave_behind(room.root, 100, open_calls=3)
    await adopt(room)
    assert (room.custody.adopted, room.custody.crash_estimates) == (1, 3)
    assert await room.deliver() == list(range(1, 104))
    keeping = asyncio.create_task(room.custody.keep_up())
    room.custody.acknowledge(GONE, 102, ())
    await asyncio.sleep(0)
    assert path.exists()
    room.custody.acknowledge(GONE, 103, ())
    assert [p.is_final for p in room.custody.progress()] == [False, True]
    room.custody.complete(GONE)
    async with asyncio.timeout(10):
        while path.exists():
            await asyncio.sleep(0.01)
    keeping.cancel()
    assert room.custody.adopted == 0


async def test_a_spool_that_nobody_can_read_is_told_once_and_left_alone(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    path = leave_behind(room.root, 3)
    copy = path.rename(path.with_name("4f"))
    for _ in range(2):
        await adopt(room)
    assert caplog.text.count("cannot be taken over") == 1
    assert copy.exists()
    room.folder.path.joinpath("x").touch()
    room.custody.close()


async def test_a_root_that_is_gone_stops_no_process(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    room.root.rename(room.root.with_name("moved"))
    await room.custody._adopt_all()
    assert "cannot be read" in caplog.text


async def test_a_process_ends_well_though_its_spool_cannot_be_deleted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    room = UsageRoom.build(tmp_path, BOOT_ID, has_ledger=True, bounds=SpoolBounds())
    (room.folder.path / "strange").touch()
    assert room.close() == 0
    assert "cannot be deleted" in caplog.text


@pytest.mark.parametrize("attempts", [1, 3])
async def test_without_room_what_nats_has_is_given_up_first(tmp_path: Path, attempts: int) -> None:
    room = Room(tmp_path / "spool")
    emitter = Emitter(
        room.producer, room.outbox, OpenAttempts(), bounds=SpoolBounds(events=300, size_bytes=10 * SEGMENT_BYTES)
    )
    for number in range(200):
        made = [make_attempt(n) for n in range(1, attempts + 1)]
        emitter.emit(make_outcome(*made, call=make_call(request_id=f"req_{number:032x}")))
    await emitter.flush(0)
    assert not emitter.has_room(0)
    assert emitter.fill_ratio > 1
    await room.deliver()
    assert emitter.has_room(0)
    assert room.journal.size_bytes == sum(path.stat().st_size for path in room.journal.paths())
