"""What data planes are told of the ledger, look by look."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from controlplane.discovery.acknowledgement import Ranges, UsageWatch
from tollway.config.v1.discovery_pb2 import LedgerAck, ProducerPosition, UsagePosition

BOOT_ID = 7
NOW = datetime(2026, 11, 28, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Look:
    booked: dict[int, Ranges]
    now: datetime = NOW
    drained_through: datetime | None = None


def told(last: int, published: int, booked: int = 0) -> UsagePosition:
    position = ProducerPosition(boot_id=BOOT_ID, last_sequence=last, published_through=published, booked_through=booked)
    return UsagePosition(producers=[position])


def look(watch: UsageWatch, *ranges: tuple[int, int], drained_s: int | None = None, at_s: int = 0) -> list[LedgerAck]:
    drained = None if drained_s is None else NOW + timedelta(seconds=drained_s)
    watch.judge(Look({BOOT_ID: ranges}, NOW + timedelta(seconds=at_s), drained), watch.waiting())
    return list(watch.take_acks())


def test_what_is_booked_from_the_first_on_is_acknowledged_once() -> None:
    watch = UsageWatch()
    watch.tell(told(10, 10))
    [ack] = look(watch, (1, 4), (6, 9))
    assert (ack.boot_id, ack.booked_through, list(ack.missing)) == (BOOT_ID, 4, [])
    assert look(watch, (1, 4), (6, 9)) == []


def test_what_the_stream_has_lost_is_asked_for_again() -> None:
    watch = UsageWatch()
    watch.tell(told(10, 10))
    look(watch, (1, 4), (6, 9))
    [ack] = look(watch, (1, 4), (6, 9), drained_s=5, at_s=6)
    assert [(missing.first, missing.last) for missing in ack.missing] == [(5, 5), (10, 10)]


def test_a_ledger_restored_to_an_older_state_holds_back_nothing_that_was_acknowledged() -> None:
    watch = UsageWatch()
    watch.tell(told(120, 120, booked=100))
    [ack] = look(watch, (1, 80), (101, 110))
    assert ack.booked_through == 110
    [ack] = look(watch, (1, 80), (101, 110), drained_s=5, at_s=6)
    assert [(missing.first, missing.last) for missing in ack.missing] == [(111, 120)]


def test_a_ledger_that_falls_back_on_a_running_stream_takes_nothing_back() -> None:
    watch = UsageWatch()
    watch.tell(told(100, 100))
    [ack] = look(watch, (1, 90))
    assert ack.booked_through == 90
    assert look(watch, (1, 50)) == []
    [ack] = look(watch, (1, 50), (91, 100))
    assert ack.booked_through == 100


def test_a_producer_whose_early_numbers_are_forgotten_is_acknowledged_from_where_it_is() -> None:
    watch = UsageWatch()
    watch.tell(told(8, 8, booked=5))
    [ack] = look(watch, (6, 8))
    assert ack.booked_through == 8
    assert watch.waiting() == {}
