"""Dead letters as they are kept."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Update, func, select, update

from controlplane.db.engine import Database
from controlplane.ledger.entries import DeadLetter
from controlplane.ledger.tables import ledger_dead_letter

MOST_REASON_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """A dead letter and what has become of it since; the discard's fields are empty while it is not set aside."""

    letter_id: int
    letter: DeadLetter
    replays: int
    first_time: datetime
    last_time: datetime
    discard_time: datetime | None
    discard_principal: str
    discard_reason: str


class DeadLetterRepository:
    """Reads letters and notes what became of them; raises Unavailable while the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_after(self, letter_id: int, limit: int, *, with_discarded: bool) -> list[StoredLetter]:
        """In order of their numbers, from the one after `letter_id`."""
        statement = select(ledger_dead_letter).where(_LETTERS.letter_id > letter_id)
        if not with_discarded:
            statement = statement.where(_LETTERS.discard_time.is_(None))
        async with self._database.transaction() as connection:
            rows = await connection.execute(statement.order_by(_LETTERS.letter_id).limit(limit))
            return [_stored(row) for row in rows.mappings()]

    async def read(self, letter_ids: Collection[int]) -> dict[int, StoredLetter]:
        """Those of `letter_ids` that are there, by number."""
        statement = select(ledger_dead_letter).where(_LETTERS.letter_id.in_(letter_ids))
        async with self._database.transaction() as connection:
            rows = await connection.execute(statement)
            return {row["letter_id"]: _stored(row) for row in rows.mappings()}

    async def note_replay(self, letter_id: int, reason: str) -> None:
        """It was tried again and stays, for `reason`."""
        values = {"reason": reason, "replays": _LETTERS.replays + 1, "last_time": func.now()}
        async with self._database.transaction() as connection:
            await connection.execute(_update(letter_id, values))

    async def discard(self, letter_ids: Sequence[int], principal: str, reason: str) -> None:
        """Set aside those of `letter_ids` that are not so already; all in one transaction."""
        values = {"discard_time": func.now(), "discard_principal": principal, "discard_reason": reason}
        statement = update(ledger_dead_letter).values(values)
        async with self._database.transaction() as connection:
            await connection.execute(
                statement.where(_LETTERS.letter_id.in_(letter_ids), _LETTERS.discard_time.is_(None))
            )

    async def count_open(self) -> int:
        """Letters that are not set aside."""
        statement = select(func.count()).select_from(ledger_dead_letter).where(_LETTERS.discard_time.is_(None))
        async with self._database.transaction() as connection:
            return int((await connection.execute(statement)).scalar_one())


_LETTERS = ledger_dead_letter.c


def _update(letter_id: int, values: Mapping[str, Any]) -> Update:
    return update(ledger_dead_letter).where(_LETTERS.letter_id == letter_id).values(values)


def _stored(row: RowMapping) -> StoredLetter:
    letter = DeadLetter(
        subject=row["subject"],
        stream_sequence=row["stream_sequence"],
        deliveries=row["deliveries"],
        event_index=row["event_index"],
        payload=row["payload"],
        reason=row["reason"],
        boot_id=row["boot_id"],
        sequence=row["sequence"],
    )
    discarded = (row["discard_time"], row["discard_principal"], row["discard_reason"])
    return StoredLetter(row["letter_id"], letter, row["replays"], row["first_time"], row["last_time"], *discarded)
