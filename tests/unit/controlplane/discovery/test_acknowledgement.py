"""What data planes are told of their usage, against a model of a stream and a ledger that lose things."""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from controlplane.discovery.acknowledgement import Ranges, UsageWatch
from tollway.config.v1.discovery_pb2 import LedgerAck, ProducerPosition, UsagePosition

BOOT_ID = 7
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Look:
    """One reading of the ledger."""

    now: datetime
    drained_through: datetime | None
    booked: dict[int, Ranges]


@dataclass(slots=True)
class Site:
    """One control plane's view of one producer, whose clock a test moves."""

    watch: UsageWatch = field(default_factory=UsageWatch)
    second: int = 0

    def tell(self, first: int, last: int, published: int | None = None) -> None:
        through = last if published is None else published
        position = ProducerPosition(
            boot_id=BOOT_ID, first_sequence=first, last_sequence=last, published_through=through
        )
        self.watch.tell(UsagePosition(producers=[position]))

    def look(self, *booked: tuple[int, int], drained_s: int | None = None) -> LedgerAck | None:
        """The acknowledgement that a look a second later makes; `drained_s` is the stream's mark."""
        self.second += 1
        drained = None if drained_s is None else START + timedelta(seconds=drained_s)
        self.watch.judge(
            Look(START + timedelta(seconds=self.second), drained, {BOOT_ID: booked} if booked else {}),
            self.watch.waiting(),
        )
        return next(iter(self.watch.take_acks()), None)


def missing(ack: LedgerAck | None) -> list[tuple[int, int]]:
    return [] if ack is None else [(r.first, r.last) for r in ack.missing]


def test_only_what_is_booked_without_a_hole_is_acknowledged() -> None:
    site = Site()
    site.tell(1, 10)
    ack = site.look((1, 4), (6, 10))
    assert ack is not None
    assert (ack.booked_through, missing(ack)) == (4, [])
    assert site.look((1, 4), (6, 10)) is None, "nothing new is not told"


def test_a_hole_is_missing_only_when_the_stream_has_drained_since_it_was_accepted() -> None:
    site = Site()
    site.tell(1, 10)
    site.look((1, 4))
    assert missing(site.look((1, 4), drained_s=1)) == [], "the mark is as old as the acceptance"
    assert missing(site.look((1, 4), (7, 8), drained_s=2)) == [(5, 6), (9, 10)]


def test_what_the_stream_had_not_accepted_at_the_first_look_is_not_missing() -> None:
    site = Site()
    site.tell(1, 10, published=5)
    site.look((1, 3))
    site.tell(1, 10)
    assert missing(site.look((1, 3), drained_s=5)) == [(4, 5)]


def test_what_is_on_its_way_again_is_not_asked_for() -> None:
    site = Site()
    site.tell(1, 10)
    site.look((1, 3))
    site.tell(1, 10, published=3)
    assert missing(site.look((1, 3), drained_s=9)) == []


@pytest.mark.parametrize("first", [6, 500])
def test_a_database_that_was_put_back_does_not_keep_a_data_plane_from_forgetting(first: int) -> None:
    site = Site()
    site.tell(first, first + 9)
    ack = site.look((1, 2), (first, first + 4))
    assert ack is not None
    assert ack.booked_through == first + 4
    ack = site.look((1, 2), (first, first + 9), drained_s=60)
    assert ack is not None
    assert (ack.booked_through, missing(ack)) == (first + 9, []), "what it keeps no more is not asked for"


def test_a_data_plane_of_an_earlier_release_keeps_everything_from_one() -> None:
    site = Site()
    site.watch.tell(UsagePosition(producers=[ProducerPosition(boot_id=BOOT_ID, last_sequence=5, published_through=5)]))
    ack = site.look((1, 5))
    assert ack is not None
    assert ack.booked_through == 5


@pytest.mark.parametrize("seed", range(30))
def test_nothing_is_forgotten_before_it_is_booked_and_everything_is_in_the_end(seed: int) -> None:
    """Messages are accepted, lost and booked in any order, looks come in between."""
    chance, site = random.Random(seed), Site()
    stream: dict[int, int] = {}
    booked: set[int] = set()
    kept, given, drained_s = 1, 0, None
    for _ in range(400):
        if given < 60 and chance.random() < 0.4:
            given += 1
            stream[given] = site.second
        if stream and chance.random() < 0.3:
            number = chance.choice(list(stream))
            del stream[number]
            if chance.random() < 0.7:
                booked.add(number)
        if chance.random() < 0.3:
            drained_s = min(stream.values(), default=site.second)
        site.tell(kept, given)
        ack = site.look(*_ranges(booked), drained_s=drained_s)
        for first, last in missing(ack):
            assert not booked & set(range(first, last + 1))
            for number in range(max(first, kept), last + 1):
                assert number not in stream, "what is still in the stream was called lost"
                stream[number] = site.second
        if ack is not None:
            assert set(range(kept, ack.booked_through + 1)) <= booked
            kept = max(kept, ack.booked_through + 1)
    assert booked >= set(range(1, kept))
    assert kept > 40


def _ranges(numbers: set[int]) -> list[tuple[int, int]]:
    starts = sorted(n for n in numbers if n - 1 not in numbers)
    ends = sorted(n for n in numbers if n + 1 not in numbers)
    return list(zip(starts, ends, strict=True))


def finish(site: Site, last: int) -> None:
    position = ProducerPosition(boot_id=BOOT_ID, last_sequence=last, published_through=last, final=True)
    site.watch.tell(UsagePosition(producers=[position]))


def test_a_final_producer_is_finished_when_all_of_it_is_booked() -> None:
    site = Site()
    finish(site, 5)
    site.look((1, 4))
    assert site.watch.finished() == set()
    site.look((1, 5))
    assert site.watch.finished() == {BOOT_ID}
    site.watch.confirm({BOOT_ID, 8})
    [ack] = site.watch.take_acks()
    assert (ack.booked_through, ack.complete) == (5, True)
    assert (site.watch.finished(), site.watch.waiting()) == (set(), {})


def test_a_final_producer_that_never_wrote_is_finished_at_once() -> None:
    site = Site()
    finish(site, 0)
    assert site.watch.waiting() == {BOOT_ID: 0}
    site.look()
    assert site.watch.finished() == {BOOT_ID}


def test_a_producer_that_lives_is_never_finished() -> None:
    site = Site()
    site.tell(1, 5)
    site.look((1, 5))
    assert site.watch.finished() == set()
