"""Work on runs, a batch of entries in each transaction: what it posts, what it sums, and how far it has come."""

import uuid
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    DateTime,
    Select,
    SmallInteger,
    Text,
    Uuid,
    cast,
    column,
    func,
    literal,
    literal_column,
    null,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, Insert, insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from controlplane.db.engine import Database
from controlplane.ledger.entries import TOKEN_SUMS
from controlplane.ledger.periods.months import Calendar
from controlplane.ledger.periods.store import PeriodStore
from controlplane.ledger.reading.conditions.repository import all_hold
from controlplane.ledger.reading.dimensions import RECORD_DIMENSIONS
from controlplane.ledger.reading.filters import parse_filter
from controlplane.ledger.repository import (
    DAY_US,
    ENTRY_COLUMNS,
    STAGING,
    PartitionAppeared,
    book_staged,
    booking_transaction,
    make_staging,
    open_days,
    settle_staged,
)
from controlplane.ledger.rerating.adjustments import Adjustment, RatedUsage, Standing
from controlplane.ledger.rerating.differences import DIFFERENCE_SUMS, Differences
from controlplane.ledger.rerating.runs import ReratingRun, RunState
from controlplane.ledger.rerating.store import ReratingStore, to_run
from controlplane.ledger.rerating.tables import rerating_difference, rerating_run
from controlplane.ledger.tables import ledger_entry
from controlplane.ledger.times import from_unix_us, unix_us
from tollway.kernel.usage import SettlementState

BATCH_ENTRIES = 5_000
WORK_LOCK = 0x72657261746500
_UNRATED_STATES = (SettlementState.CACHED, SettlementState.NOT_BILLED)
# The difference, to each bucket that the entry charged: what is no first charge to its bucket has a fifth element. What
# had no price, state 4, was charged at a budget's ceiling, which its cost now takes the place of.
_MOVED_CHARGES = literal_column(
    "(SELECT jsonb_agg(jsonb_build_array(c->0, NULL, c->2, adjustment.difference_nano_usd"
    " - CASE WHEN adjustment.prior_state = 4 THEN (c->>3)::bigint ELSE 0 END))"
    " FROM jsonb_array_elements(ledger_entry.charges) AS c WHERE jsonb_array_length(c) = 4)",
    JSONB,
)
_IS_MINE = text("SELECT pg_try_advisory_xact_lock(:lock)")
# Bounds of ids decide which partitions are read, and a plan that does not know them reads them all.
_PLAN_EACH = text("SET LOCAL plan_cache_mode = force_custom_plan")
# The statistics do not know what a run has just posted, and each entry would be compared with all its adjustments.
_HASH_JOINS = text("SET LOCAL enable_nestloop = off")
_ANY_JOINS = text("SET LOCAL enable_nestloop = on")


class ReratingRepository:
    """Whoever works holds a lock of the database for one batch: batches of all replicas come one after the other."""

    def __init__(self, database: Database, *, batch_entries: int = BATCH_ENTRIES) -> None:
        self._database = database
        self._batch_entries = batch_entries

    @asynccontextmanager
    async def next_batch(self) -> AsyncIterator["Batch | None"]:
        """The next batch of the run whose turn it is; None when there is nothing to do, or another replica does it.

        Runs that post come before previews, older ones first. What the batch keeps is committed at the end. Raises as
        `booking_transaction` does.
        """
        async with booking_transaction(self._database) as connection:
            run = await _take_run(connection)
            yield None if run is None else await self._open_batch(connection, run)

    async def fail(self, run_id: uuid.UUID, failure: str, now: datetime) -> None:
        """Ends a run that cannot go on. Raises Unavailable."""
        async with self._database.transaction() as connection:
            store = ReratingStore(connection)
            run = await store.find(run_id, lock=True)
            if run is not None and run.state in (RunState.PREVIEWING, RunState.POSTING):
                await store.put(replace(run, state=RunState.FAILED, failure=failure, finish_time=now))

    async def _open_batch(self, connection: AsyncConnection, run: ReratingRun) -> "Batch":
        await connection.execute(_PLAN_EACH)
        columns = ledger_entry.c
        query = (
            select(columns.event_id)
            .where(columns.event_id >= run.position, columns.event_id < run.end_id)
            .order_by(columns.event_id)
            .offset(self._batch_entries)
            .limit(1)
        )
        end: uuid.UUID | None = await connection.scalar(query)
        return Batch(connection, run, end)


class Batch:
    """The entries of `run` from its position to `end`, exclusive; to the end of its range where `end` is None."""

    def __init__(self, connection: AsyncConnection, run: ReratingRun, end: uuid.UUID | None) -> None:
        self.run = run
        self._connection = connection
        self._end = end
        self._examined = 0

    async def read_calendar(self) -> Calendar:
        return Calendar(await PeriodStore(self._connection).closed())

    async def read_standings(self) -> list[Standing]:
        """The attempts of the batch that a price has a say in."""
        statement = _standings_statement(self.run, self.run.position, self._end or self.run.end_id)
        await self._connection.execute(_HASH_JOINS)
        rows = (await self._connection.execute(statement)).all()
        await self._connection.execute(_ANY_JOINS)
        self._examined = len(rows)
        return [_to_standing(row) for row in rows]

    async def keep(self, adjustments: Sequence[Adjustment], differences: Differences, now: datetime) -> None:
        """Posts `adjustments` where the run posts, adds `differences`, and moves the run on."""
        if self.run.is_posting and adjustments:
            await _post(self._connection, self.run.run_id, adjustments)
        if differences:
            await self._connection.execute(_ADD_DIFFERENCES, _difference_rows(self.run, differences))
        await ReratingStore(self._connection).put(self._advanced(now))
        if self.run.is_posting and adjustments:
            await settle_staged(self._connection, makes_buckets=False)

    def _advanced(self, now: datetime) -> ReratingRun:
        run = replace(self.run, examined_entries=self.run.examined_entries + self._examined)
        if self._end is not None:
            return replace(run, position=self._end)
        state = RunState.POSTED if run.is_posting else RunState.PREVIEWED
        return replace(run, position=run.end_id, state=state, finish_time=now)


async def _take_run(connection: AsyncConnection) -> ReratingRun | None:
    if not await connection.scalar(_IS_MINE, {"lock": WORK_LOCK}):
        return None
    columns = rerating_run.c
    for state in (RunState.POSTING, RunState.PREVIEWING):
        query = select(rerating_run).where(columns.state == state).order_by(columns.run_id).limit(1).with_for_update()
        row = (await connection.execute(query)).mappings().first()
        if row is not None:
            return to_run(row)
    return None


async def _post(connection: AsyncConnection, run_id: uuid.UUID, adjustments: Sequence[Adjustment]) -> None:
    if await open_days(connection, (adjustment.start_time_us // DAY_US for adjustment in adjustments)):
        # What was read of a day that left the ledger since is read again, and is out of reach then.
        raise PartitionAppeared
    await make_staging(connection)
    await connection.execute(_staging_statement(run_id, adjustments))
    await book_staged(connection, len(adjustments))


def _standings_statement(run: ReratingRun, first: uuid.UUID, end: uuid.UUID) -> Select[Any]:
    c = ledger_entry.c
    adjustment = ledger_entry.alias("adjustment").c
    # Moves from state to state add up to the way from the first to the last, in whatever order they are read.
    adjusted = (
        select(
            adjustment.adjusts,
            cast(func.sum(adjustment.cost_nano_usd), BigInteger).label("cost_nano_usd"),
            func.sum(adjustment.state - adjustment.prior_state).label("state_move"),
        )
        .where(adjustment.adjusts >= first, adjustment.adjusts < end)
        .group_by(adjustment.adjusts)
        .cte("adjusted")
    )
    return (
        select(
            c.event_id, c.team, c.requested_model, c.provider, c.upstream_model, c.service_tier, c.start_time,
            cast(c.meters, Text).label("meters"), c.basis,
            (c.state + func.coalesce(adjusted.c.state_move, 0)).label("state"),
            (c.cost_nano_usd + func.coalesce(adjusted.c.cost_nano_usd, 0)).label("cost_nano_usd"),
        )
        .outerjoin_from(ledger_entry, adjusted, adjusted.c.adjusts == c.event_id)
        .where(c.event_id >= first, c.event_id < end, *_is_ratable())
        .where(*all_hold(ledger_entry, parse_filter(run.filter, RECORD_DIMENSIONS), "metadata"))
    )  # fmt: skip


def _is_ratable() -> list[ColumnElement[bool]]:
    c = ledger_entry.c
    return [c.adjusts.is_(None), c.attempt > 0, c.basis > 0, c.state.not_in([int(s) for s in _UNRATED_STATES])]


def _to_standing(row: Any) -> Standing:
    event_id, team, model, provider, upstream_model, service_tier, start_time, meters, basis, state, cost = row
    start_time_us = unix_us(start_time)
    usage = RatedUsage(provider, upstream_model, service_tier, start_time_us, orjson.loads(meters))
    return Standing(event_id, team, model, usage, SettlementState(basis), SettlementState(state), cost)


def _staging_statement(run_id: uuid.UUID, adjustments: Sequence[Adjustment]) -> Insert:
    """Adjustments are their entries but for what they change and what was used, which counts once."""
    rows = _adjustment_rows(adjustments)
    c = rows.c
    entry = ledger_entry.c
    changed: dict[str, ColumnElement[Any]] = {
        "event_id": c.event_id,
        "boot_id": literal(0, BigInteger),
        "sequence": literal(0, BigInteger),
        "start_time": c.start_time,
        "first_frame_time": null(),
        "end_time": null(),
        "meters": literal({}, entry.meters.type),
        "state": c.state,
        "cost_nano_usd": c.difference_nano_usd,
        "price": c.price,
        "price_revision": c.price_revision,
        "traceparent": literal("", Text),
        **{name: literal(0, BigInteger) for name in TOKEN_SUMS},
        "duration_bucket": null(),
        "first_frame_bucket": null(),
        "adjusts": entry.event_id,
        "run_id": literal(run_id, Uuid),
        "prior_state": c.prior_state,
        "charges": _MOVED_CHARGES,
    }
    source = select(*(changed.get(name, entry[name]).label(name) for name in ENTRY_COLUMNS)).join_from(
        rows, ledger_entry, entry.event_id == c.adjusts
    )
    bounds = _bounds(adjustment.adjusts for adjustment in adjustments)
    source = source.where(entry.event_id >= bounds[0], entry.event_id <= bounds[1])
    return insert(STAGING).from_select(ENTRY_COLUMNS, source, include_defaults=False)


def _bounds(identities: Iterable[uuid.UUID]) -> tuple[uuid.UUID, uuid.UUID]:
    found: Collection[uuid.UUID] = list(identities)
    return min(found), max(found)


def _adjustment_rows(adjustments: Sequence[Adjustment]) -> Any:
    """`adjustments` as rows, in as many parameters as they have columns."""
    columns: dict[str, tuple[TypeEngine[Any], list[Any]]] = {
        "event_id": (Uuid(), [a.event_id for a in adjustments]),
        "adjusts": (Uuid(), [a.adjusts for a in adjustments]),
        "start_time": (DateTime(timezone=True), [from_unix_us(a.start_time_us) for a in adjustments]),
        "difference_nano_usd": (BigInteger(), [a.difference_nano_usd for a in adjustments]),
        "prior_state": (SmallInteger(), [int(a.prior_state) for a in adjustments]),
        "state": (SmallInteger(), [int(a.state) for a in adjustments]),
        "price": (Text(), [a.price for a in adjustments]),
        "price_revision": (BigInteger(), [a.price_revision for a in adjustments]),
    }
    arrays = [cast(literal(values, ARRAY(kind)), ARRAY(kind)) for kind, values in columns.values()]
    names = [column(name, kind) for name, (kind, _) in columns.items()]
    return func.unnest(*arrays).table_valued(*names).render_derived(name="adjustment")


def _difference_rows(run: ReratingRun, differences: Differences) -> list[dict[str, Any]]:
    return [
        {"run_id": run.run_id, "posted": run.is_posting, "team": team, "model": model}
        | {name: getattr(sums, name) for name in DIFFERENCE_SUMS}
        for (team, model), sums in differences.items()
    ]


def _difference_upsert() -> Insert:
    statement = insert(rerating_difference)
    return statement.on_conflict_do_update(
        index_elements=[c.name for c in rerating_difference.primary_key],
        set_={name: rerating_difference.c[name] + statement.excluded[name] for name in DIFFERENCE_SUMS},
    )


_ADD_DIFFERENCES = _difference_upsert()
