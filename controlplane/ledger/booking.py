"""From messages to the ledger: one transaction for many, and smaller ones to find what cannot be booked."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from controlplane.ledger.decode import decode, refuse
from controlplane.ledger.entries import BookedBatch, DeadLetter, Delivery, LedgerEntry
from controlplane.ledger.keeper import PartitionKeeper
from controlplane.ledger.repository import EntriesRejected, LedgerRepository

TRANSACTION_ENTRIES = 6400


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message, read: every event of it is an entry or a dead letter."""

    delivery: Delivery
    entries: Sequence[LedgerEntry]
    dead_letters: Sequence[DeadLetter]


@dataclass(slots=True)
class Booked:
    """What became of some parcels: new entries, entries that were there before, dead letters."""

    inserted: int = 0
    duplicates: int = 0
    dead_letters: int = 0

    def add(self, other: "Booked") -> None:
        self.inserted += other.inserted
        self.duplicates += other.duplicates
        self.dead_letters += other.dead_letters


def read_parcels(deliveries: Iterable[Delivery]) -> Iterator[list[Parcel]]:
    """Parcels in the order given, in groups of about TRANSACTION_ENTRIES entries, each read when asked for."""
    group: list[Parcel] = []
    size = 0
    for delivery in deliveries:
        entries, dead_letters = decode(delivery)
        if group and size + len(entries) > TRANSACTION_ENTRIES:
            yield group
            group, size = [], 0
        group.append(Parcel(delivery, entries, dead_letters))
        size += len(entries)
    if group:
        yield group


class Bookkeeper:
    """Books parcels; what the database refuses becomes a dead letter, and the rest is booked."""

    def __init__(self, repository: LedgerRepository, keeper: PartitionKeeper) -> None:
        self._repository = repository
        self._keeper = keeper

    async def book(self, parcels: Sequence[Parcel]) -> Booked:
        """After it returns, every event of `parcels` is in the ledger or a dead letter. May be repeated.

        Raises Unavailable.
        """
        entries = [entry for parcel in parcels for entry in parcel.entries]
        dead_letters = [letter for parcel in parcels for letter in parcel.dead_letters]
        await self._keeper.make_room(entries)
        try:
            return _counted(await self._repository.book(entries, dead_letters), len(dead_letters))
        except EntriesRejected as error:
            return await self._book_parts(parcels, str(error))

    async def _book_parts(self, parcels: Sequence[Parcel], reason: str) -> Booked:
        booked = Booked()
        for part in _parts(parcels, reason):
            booked.add(await self.book(part))
        return booked


def _parts(parcels: Sequence[Parcel], reason: str) -> list[list[Parcel]]:
    """Halves of `parcels`, of the entries of the only one, or the only entry turned into dead letters."""
    if len(parcels) > 1:
        middle = len(parcels) // 2
        return [list(parcels[:middle]), list(parcels[middle:])]
    [parcel] = parcels
    if len(parcel.entries) > 1:
        middle = len(parcel.entries) // 2
        first = Parcel(parcel.delivery, parcel.entries[:middle], parcel.dead_letters)
        return [[first], [Parcel(parcel.delivery, parcel.entries[middle:], ())]]
    refused = [letter for entry in parcel.entries for letter in refuse(parcel.delivery, entry, reason)]
    return [[Parcel(parcel.delivery, (), refused)], [Parcel(parcel.delivery, (), parcel.dead_letters)]]


def _counted(batch: BookedBatch, dead_letters: int) -> Booked:
    return Booked(inserted=batch.inserted, duplicates=batch.duplicates, dead_letters=dead_letters)
