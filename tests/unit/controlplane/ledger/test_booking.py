"""A refused transaction is split until only what the database refuses is left."""

from collections.abc import Iterable, Sequence

import pytest

from controlplane.errors import Unavailable
from controlplane.ledger.booking import TRANSACTION_ENTRIES, Bookkeeper, read_parcels
from controlplane.ledger.entries import BookedBatch, DeadLetter, Delivery, LedgerEntry
from controlplane.ledger.repository import EntriesRejected
from tests.fakes.usage_events import FakeDataPlane, batch, batches


class FakeRepository:
    """A ledger in memory that refuses the entries with the sequence numbers in `poison`."""

    def __init__(self, poison: Iterable[int] = (), failures: int = 0) -> None:
        self.poison = set(poison)
        self.failures = failures
        self.entries: dict[int, LedgerEntry] = {}
        self.dead_letters: list[DeadLetter] = []
        self.transactions = 0

    async def book(self, entries: Sequence[LedgerEntry], dead_letters: Sequence[DeadLetter]) -> BookedBatch:
        self.transactions += 1
        if self.failures:
            self.failures -= 1
            raise Unavailable("away")
        if any(entry.sequence in self.poison for entry in entries):
            raise EntriesRejected("poison")
        new = [entry for entry in entries if entry.sequence not in self.entries]
        self.entries.update((entry.sequence, entry) for entry in new)
        self.dead_letters += dead_letters
        return BookedBatch(len(new), len(entries) - len(new))


class FakeKeeper:
    async def make_room(self, entries: Iterable[LedgerEntry]) -> None:
        assert all(entry.sequence for entry in entries)


def bookkeeper(repository: FakeRepository) -> Bookkeeper:
    return Bookkeeper(repository, FakeKeeper())  # type: ignore[arg-type]


def deliveries(count: int, size: int) -> list[Delivery]:
    events = FakeDataPlane(boot_id=4).events(count)
    return [Delivery("tollway.usage.v1.a", n, 1, data) for n, data in enumerate(batches(events, size), 1)]


@pytest.mark.parametrize("poison", [[], [1], [17], [40], [3, 4], [1, 20, 40], list(range(1, 41))])
async def test_only_the_poison_becomes_dead_letters(poison: list[int]) -> None:
    repository = FakeRepository(poison)
    [parcels] = read_parcels(deliveries(40, 7))
    booked = await bookkeeper(repository).book(parcels)
    assert sorted(repository.entries) == [n for n in range(1, 41) if n not in poison]
    assert len(repository.dead_letters) == len(poison) == booked.dead_letters
    assert (booked.inserted, booked.duplicates) == (40 - len(poison), 0)
    again = await bookkeeper(repository).book(parcels)
    assert (again.inserted, again.duplicates) == (0, 40 - len(poison))


async def test_one_poisoned_event_costs_few_transactions() -> None:
    repository = FakeRepository([500])
    [parcels] = read_parcels(deliveries(1024, 64))
    await bookkeeper(repository).book(parcels)
    assert repository.transactions < 30


async def test_dead_letters_of_a_message_are_kept_once_when_it_is_split() -> None:
    events = FakeDataPlane(boot_id=4).events(4)
    events[0].team = ""
    repository = FakeRepository([3])
    [parcels] = read_parcels([Delivery("s", 1, 1, batch(events))])
    booked = await bookkeeper(repository).book(parcels)
    assert sorted(letter.event_index for letter in repository.dead_letters) == [0, 2]
    assert (booked.inserted, booked.dead_letters) == (2, 2)


async def test_a_database_that_is_away_is_told() -> None:
    [parcels] = read_parcels(deliveries(2, 2))
    with pytest.raises(Unavailable):
        await bookkeeper(FakeRepository(failures=1)).book(parcels)


def test_groups_are_bounded_and_keep_the_order() -> None:
    messages = deliveries(TRANSACTION_ENTRIES + 500, 200)
    groups = list(read_parcels(messages))
    assert all(sum(len(parcel.entries) for parcel in group) <= TRANSACTION_ENTRIES for group in groups)
    assert [parcel.delivery for group in groups for parcel in group] == messages


def test_a_message_larger_than_a_transaction_is_a_group_of_its_own() -> None:
    groups = list(read_parcels(deliveries(TRANSACTION_ENTRIES * 2, TRANSACTION_ENTRIES * 2)))
    assert [len(group) for group in groups] == [1]
