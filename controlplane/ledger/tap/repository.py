"""Replays as they are asked for, and how far consumers are with them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, func, insert, select, text, update

from controlplane.db.engine import Database
from controlplane.ledger.booking import Booked
from controlplane.ledger.tables import ledger_replay

LEASE_S = 30


class ReplayState(StrEnum):
    """PENDING and RUNNING ones are worked on, the others have ended."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Replay:
    """One replay. `next_sequence` is the tap's next message of it, 0 before its range is known, and `last_sequence` the
    last one; `stream_created` tells the tap from one that was made anew.
    """

    replay_id: int
    since_time: datetime
    until_time: datetime
    principal: str
    request_time: datetime
    state: ReplayState
    stream_created: str
    next_sequence: int
    last_sequence: int
    tap_start_time: datetime | None
    messages: int
    inserted: int
    duplicates: int
    dead_letters: int
    end_time: datetime | None
    problem: str


@dataclass(frozen=True, slots=True)
class ReplayStart:
    """Where a replay begins in the tap."""

    stream_created: str
    first_sequence: int
    last_sequence: int
    tap_start_time: datetime | None


class ReplayRepository:
    """Raises Unavailable while the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, since: datetime, until: datetime | None, principal: str) -> Replay:
        """`until` None is now."""
        values = {
            "since_time": since,
            "until_time": func.now() if until is None else until,
            "principal": principal,
            "state": ReplayState.PENDING.value,
        }
        async with self._database.transaction() as connection:
            made = await connection.execute(insert(ledger_replay).values(values).returning(ledger_replay))
            return _replay(made.mappings().one())

    async def read(self, replay_id: int) -> Replay | None:
        async with self._database.transaction() as connection:
            found = await connection.execute(select(ledger_replay).where(_C.replay_id == replay_id))
            row = found.mappings().one_or_none()
        return None if row is None else _replay(row)

    async def list_before(self, replay_id: int, limit: int) -> list[Replay]:
        """The newest first, from the one before `replay_id`; 0 is from the newest one on."""
        statement = select(ledger_replay).order_by(_C.replay_id.desc()).limit(limit)
        if replay_id:
            statement = statement.where(_C.replay_id < replay_id)
        async with self._database.transaction() as connection:
            return [_replay(row) for row in (await connection.execute(statement)).mappings()]

    async def claim(self, worker: UUID) -> Replay | None:
        """The oldest replay that nobody works on, for LEASE_S seconds the worker's; None when there is none."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_CLAIM, {"worker": worker, "lease": LEASE_S})).mappings().one_or_none()
        return None if row is None else _replay(row)

    async def begin(self, replay_id: int, worker: UUID, start: ReplayStart) -> bool:
        """Note where it begins; False when it is not the worker's any more."""
        values = {
            "stream_created": start.stream_created,
            "next_sequence": start.first_sequence,
            "last_sequence": start.last_sequence,
            "tap_start_time": start.tap_start_time,
        }
        return await self._change(replay_id, worker, values)

    async def note(self, replay_id: int, worker: UUID, next_sequence: int, messages: int, booked: Booked) -> bool:
        """Note that everything before `next_sequence` is booked; False when it is not the worker's any more."""
        values = {
            "next_sequence": next_sequence,
            "messages": _C.messages + messages,
            "inserted": _C.inserted + booked.inserted,
            "duplicates": _C.duplicates + booked.duplicates,
            "dead_letters": _C.dead_letters + booked.dead_letters,
            "problem": "",
        }
        return await self._change(replay_id, worker, values)

    async def tell(self, replay_id: int, worker: UUID, problem: str) -> bool:
        """Why it does not go on at the moment."""
        return await self._change(replay_id, worker, {"problem": problem})

    async def end(self, replay_id: int, worker: UUID, problem: str = "") -> bool:
        """It is done, or with a `problem` has failed."""
        state = ReplayState.FAILED if problem else ReplayState.SUCCEEDED
        return await self._change(replay_id, worker, {"state": state.value, "problem": problem, "end_time": func.now()})

    async def cancel(self, replay_id: int) -> None:
        """End it, unless it has ended."""
        values = {"state": ReplayState.CANCELLED.value, "end_time": func.now()}
        open_states = (ReplayState.PENDING.value, ReplayState.RUNNING.value)
        statement = update(ledger_replay).where(_C.replay_id == replay_id, _C.state.in_(open_states))
        async with self._database.transaction() as connection:
            await connection.execute(statement.values(values))

    async def _change(self, replay_id: int, worker: UUID, values: dict[str, Any]) -> bool:
        is_own = (_C.replay_id == replay_id, _C.worker == worker, _C.state == ReplayState.RUNNING.value)
        lease_end = func.now() + text(f"interval '{LEASE_S} seconds'")
        statement = update(ledger_replay).where(*is_own).values({**values, "lease_end": lease_end})
        async with self._database.transaction() as connection:
            return (await connection.execute(statement)).rowcount > 0


def _replay(row: RowMapping) -> Replay:
    fields = {name: row[name] for name in Replay.__slots__}
    return Replay(**{**fields, "state": ReplayState(row["state"])})


_C = ledger_replay.c
_CLAIM = text(
    "UPDATE ledger_replay SET state = 'running', worker = :worker, lease_end = now() + make_interval(secs => :lease)"
    " WHERE replay_id = (SELECT replay_id FROM ledger_replay WHERE state IN ('pending', 'running')"
    " AND (lease_end IS NULL OR lease_end < now() OR worker = :worker)"
    " ORDER BY replay_id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING *"
)
