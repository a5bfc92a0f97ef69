"""Runs and their differences, inside a transaction of the caller's."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, Date, RowMapping, cast, func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.ledger.rerating.differences import DIFFERENCE_SUMS, DifferenceSums
from controlplane.ledger.rerating.runs import ReratingRun, RunState
from controlplane.ledger.rerating.tables import rerating_difference, rerating_run
from controlplane.ledger.tables import ledger_detached_day

_COLUMNS = tuple(field.name for field in fields(ReratingRun))
_ENDED_BY_POSTING = (RunState.POSTING, RunState.POSTED, RunState.FAILED)
RunSums = dict[tuple[uuid.UUID, bool], DifferenceSums]
"""Sums over all teams and models, by run and by whether they are of what has been posted."""


@dataclass(frozen=True, slots=True)
class DetachedDay:
    """A day whose entries are in a table of their own now."""

    day: date
    entries: int
    cost_nano_usd: int
    detach_time: datetime


@dataclass(frozen=True, slots=True)
class Difference:
    team: str
    model: str
    sums: DifferenceSums


class ReratingStore:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find(self, run_id: uuid.UUID, *, lock: bool = False) -> ReratingRun | None:
        """`lock` keeps whoever works on the run out until this transaction ends."""
        query = select(rerating_run).where(rerating_run.c.run_id == run_id)
        row = (await self._connection.execute(query.with_for_update() if lock else query)).mappings().first()
        return None if row is None else to_run(row)

    async def last_id(self) -> uuid.UUID | None:
        """The largest run id."""
        query = select(rerating_run.c.run_id).order_by(rerating_run.c.run_id.desc()).limit(1)
        last: uuid.UUID | None = await self._connection.scalar(query)
        return last

    async def list_before(self, before: uuid.UUID | None, limit: int) -> list[ReratingRun]:
        """The newest first."""
        query = select(rerating_run).order_by(rerating_run.c.run_id.desc()).limit(limit)
        if before is not None:
            query = query.where(rerating_run.c.run_id < before)
        return [to_run(row) for row in (await self._connection.execute(query)).mappings()]

    async def posted_after(self, run_id: uuid.UUID) -> uuid.UUID | None:
        """A later run that has posted or is about to; None when there is none."""
        columns = rerating_run.c
        query = (
            select(columns.run_id)
            .where(columns.run_id > run_id, columns.post_time.is_not(None), columns.state.in_(_ENDED_BY_POSTING))
            .order_by(columns.run_id.desc())
            .limit(1)
        )
        later: uuid.UUID | None = await self._connection.scalar(query)
        return later

    async def posting(self) -> uuid.UUID | None:
        """A run that is being posted; None when there is none."""
        query = select(rerating_run.c.run_id).where(rerating_run.c.state == RunState.POSTING).limit(1)
        found: uuid.UUID | None = await self._connection.scalar(query)
        return found

    async def hidden_by(self, run: ReratingRun) -> date | None:
        """A detached day with adjustments of closed months that may be of the entries of `run`; None when none is."""
        earlier, day, sums = rerating_run.c, ledger_detached_day.c.day, rerating_difference.c
        query = (
            select(day)
            .join_from(ledger_detached_day, rerating_run, cast(func.timezone("UTC", earlier.post_time), Date) == day)
            .join(rerating_difference, (sums.run_id == earlier.run_id) & sums.posted & (sums.closed_entries > 0))
            .where(earlier.start_time < run.end_time, earlier.end_time > run.start_time)
            .limit(1)
        )
        hidden: date | None = await self._connection.scalar(query)
        return hidden

    async def add(self, run: ReratingRun) -> None:
        await self._connection.execute(insert(rerating_run).values(_to_columns(run)))

    async def put(self, run: ReratingRun) -> None:
        """Stores `run`, which is there already."""
        statement = update(rerating_run).where(rerating_run.c.run_id == run.run_id).values(_to_columns(run))
        await self._connection.execute(statement)

    async def sums(self, run_ids: Collection[uuid.UUID]) -> RunSums:
        columns = rerating_difference.c
        sums = [cast(func.sum(columns[name]), BigInteger).label(name) for name in DIFFERENCE_SUMS]
        query = select(columns.run_id, columns.posted, *sums).where(columns.run_id.in_(run_ids))
        rows = await self._connection.execute(query.group_by(columns.run_id, columns.posted))
        return {(row["run_id"], row["posted"]): _to_sums(row) for row in rows.mappings()}

    async def list_differences(
        self, run_id: uuid.UUID, posted: bool, after: tuple[str, str], limit: int
    ) -> list[Difference]:
        """In order of team and model."""
        columns = rerating_difference.c
        key = (columns.team, columns.model)
        query = (
            select(rerating_difference)
            .where(columns.run_id == run_id, columns.posted == posted, tuple_(*key) > tuple_(*after))
            .order_by(*key)
            .limit(limit)
        )
        rows = await self._connection.execute(query)
        return [Difference(row["team"], row["model"], _to_sums(row)) for row in rows.mappings()]

    async def detached_days(self, first: date, last: date) -> Sequence[DetachedDay]:
        """Those from `first` to `last`, both included, in order."""
        columns = ledger_detached_day.c
        chosen = [columns[field.name] for field in fields(DetachedDay)]
        query = select(*chosen).where(columns.day >= first, columns.day <= last).order_by(columns.day)
        rows = await self._connection.execute(query)
        return [
            DetachedDay(row["day"], row["entries"], int(row["cost_nano_usd"]), row["detach_time"])
            for row in rows.mappings()
        ]


def to_run(row: RowMapping) -> ReratingRun:
    """A row of rerating_run as a value."""
    values: dict[str, Any] = {name: row[name] for name in _COLUMNS}
    return ReratingRun(**{**values, "state": RunState(values["state"])})


def _to_columns(run: ReratingRun) -> dict[str, Any]:
    return {**{name: getattr(run, name) for name in _COLUMNS}, "state": int(run.state)}


def _to_sums(row: RowMapping) -> DifferenceSums:
    return DifferenceSums(**{name: row[name] for name in DIFFERENCE_SUMS})
