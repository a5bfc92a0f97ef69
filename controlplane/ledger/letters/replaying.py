"""Dead letters, read anew with today's code and booked."""

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from controlplane.ledger.decode import decode, refuse
from controlplane.ledger.entries import WHOLE_MESSAGE, BookedBatch, DeadLetter, Delivery, LedgerEntry
from controlplane.ledger.letters.repository import DeadLetterRepository, StoredLetter
from controlplane.ledger.repository import EntriesRejected, LedgerRepository
from tollway.usage.v1.usage_pb2 import UsageEvent, UsageEventBatch


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one letter; with a `reason` it stays, and nothing of it was booked."""

    inserted: int = 0
    duplicates: int = 0
    new_dead_letters: int = 0
    reason: str = ""


class LetterReplayer:
    """Books what a letter holds and removes the letter, both in one transaction, so that a replay may be repeated."""

    def __init__(self, letters: DeadLetterRepository, ledger: LedgerRepository) -> None:
        self._letters = letters
        self._ledger = ledger

    async def replay(self, stored: StoredLetter) -> Replayed:
        """Raises Unavailable; then the letter is as it was, or booked and gone."""
        delivery = _delivery(stored.letter)
        entries, dead = ([], [stored.letter]) if delivery is None else decode(delivery)
        if delivery is None or (dead and not _is_progress(stored.letter, dead)):
            return await self._keep(stored, dead[0].reason)
        try:
            return _replayed(await self._book(stored, entries, dead), dead)
        except EntriesRejected as error:
            if stored.letter.event_index != WHOLE_MESSAGE:
                return await self._keep(stored, str(error))
        return await self._book_apart(stored, delivery, entries, dead)

    async def _book_apart(
        self, stored: StoredLetter, delivery: Delivery, entries: Sequence[LedgerEntry], dead: Sequence[DeadLetter]
    ) -> Replayed:
        """Each event of a whole message by itself; those that the database refuses become letters."""
        inserted = duplicates = 0
        refused = list(dead)
        for entry in entries:
            try:
                booked = await self._ledger.book([entry], [])
            except EntriesRejected as error:
                refused += refuse(delivery, entry, str(error))
                continue
            inserted, duplicates = inserted + booked.inserted, duplicates + booked.duplicates
        await self._book(stored, [], refused)
        return Replayed(inserted, duplicates, len(refused))

    async def _book(
        self, stored: StoredLetter, entries: Sequence[LedgerEntry], dead: Sequence[DeadLetter]
    ) -> BookedBatch:
        return await self._ledger.book(entries, dead, settled_letters=[stored.letter_id])

    async def _keep(self, stored: StoredLetter, reason: str) -> Replayed:
        await self._letters.note_replay(stored.letter_id, reason)
        return Replayed(reason=reason)


def _is_progress(letter: DeadLetter, dead: Sequence[DeadLetter]) -> bool:
    """Whether a letter of a whole message fell into letters of its events."""
    return letter.event_index == WHOLE_MESSAGE and dead[0].event_index != WHOLE_MESSAGE


def _delivery(letter: DeadLetter) -> Delivery | None:
    """The message that `letter` is of, with no other event in it; None when its event cannot be parsed."""
    data = letter.payload
    if letter.event_index != WHOLE_MESSAGE:
        try:
            data = UsageEventBatch(events=[UsageEvent.FromString(data)]).SerializeToString()
        except DecodeError:
            return None
    return Delivery(letter.subject, letter.stream_sequence, letter.deliveries, data)


def _replayed(booked: BookedBatch, dead: Sequence[DeadLetter]) -> Replayed:
    return Replayed(booked.inserted, booked.duplicates, len(dead))
