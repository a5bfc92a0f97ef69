"""Entries by the million, made in the database, day by day, through the same sums as bookings.

Each key belongs to one team, uses a few of the models, the first ones most, and carries one or two values of the
metadata key "project"; calls spread over the hours as people work.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import MetaData, literal, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from controlplane.db.engine import Database
from controlplane.ledger.partitions import partition_of
from controlplane.ledger.repository import PartitionRepository
from controlplane.ledger.rollups import add_groups, add_latencies, add_sums, admit_values, keyed
from controlplane.ledger.tables import ledger_entry
from tollway.kernel.usage import BOOT_ID_BITS, SEQUENCE_BITS

METADATA_KEY = "project"
_STAGING = ledger_entry.to_metadata(MetaData(), name="scale_entry")
_DECLARE = text("INSERT INTO ledger_metadata_key (key, since) VALUES (:key, :since) ON CONFLICT DO NOTHING")
_MAKE_STAGING = text("CREATE TEMPORARY TABLE scale_entry (LIKE ledger_entry INCLUDING DEFAULTS) ON COMMIT DROP")


@dataclass(frozen=True, slots=True)
class Shape:
    """How many entries there are, over how many days from `first` on, and of what."""

    entries: int
    first: date
    days: int = 30
    teams: int = 50
    keys: int = 2_000
    models: int = 40
    projects: int = 200

    def end(self) -> date:
        return self.first + timedelta(days=self.days)


async def make_entries(database: Database, shape: Shape) -> AsyncIterator[int]:
    """Tells after each day how many entries there are; the database must let statements take minutes."""
    days = [shape.first + timedelta(days=number) for number in range(shape.days)]
    await PartitionRepository(database).ensure(partition_of(day) for day in days)
    async with database.transaction() as connection:
        await connection.execute(_DECLARE, {"key": METADATA_KEY, "since": _midnight(shape.first)})
    made = 0
    for number, day in enumerate(days):
        count = shape.entries * (number + 1) // shape.days - made
        async with database.transaction() as connection:
            await _make_day(connection, shape, day, made, count)
        made += count
        yield made


async def _make_day(connection: AsyncConnection, shape: Shape, day: date, before: int, count: int) -> None:
    await connection.execute(_MAKE_STAGING)
    parameters = {
        "first": before,
        "count": count,
        "midnight": _midnight(day),
        "teams": shape.teams,
        "keys": shape.keys,
        "models": shape.models,
        "projects": shape.projects,
        "sequence_bits": SEQUENCE_BITS,
        "boot_bits": BOOT_ID_BITS,
    }
    await connection.execute(text(f"SELECT setseed({(day.toordinal() % 1000) / 1000})"))
    await connection.execute(_FILL_STAGING, parameters)
    columns = [column.name for column in _STAGING.columns]
    await connection.execute(ledger_entry.insert().from_select(columns, select(_STAGING)))
    await connection.execute(admit_values(_STAGING))
    rows = keyed(_STAGING).cte("keyed").prefix_with("MATERIALIZED")
    changes = [add_groups(rows), add_sums(rows), add_latencies(rows)]
    await connection.execute(select(literal(1)).add_cte(*(c.cte(f"change_{n}") for n, c in enumerate(changes))))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


# An id is a UUIDv7 of start time, boot id and sequence, as tollway.kernel.usage.event_id has it; the boot id here is 1.
_FILL_STAGING = text(
    """
INSERT INTO scale_entry
WITH chosen AS (
    SELECT n AS sequence, floor(:keys * random() ^ 2)::int AS key_number, floor(4 * random() ^ 2)::int AS model_place,
        (random() < 0.2)::int AS project_place, random() AS outcome, random() AS size,
        CAST(:midnight AS timestamptz)
            + interval '1 second' * (86399 * (random() + random() + random()) / 3) AS start_time,
        exp(6.5 + 1.1 * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())) AS duration_ms
    FROM generate_series(CAST(:first AS bigint) + 1, CAST(:first AS bigint) + :count) AS n
), named AS (
    SELECT *, 'teams/t' || key_number % :teams AS team,
        'teams/t' || key_number % :teams || '/keys/k' || key_number AS key,
        'm' || (key_number * 7 + model_place * 11) % :models AS model,
        'p' || (key_number % :teams + :teams * ((key_number / :teams + project_place) % (:projects / :teams)))
            AS project,
        (1 + size * 2000)::bigint AS input_tokens, (1 + size * size * 1500)::bigint AS output_tokens,
        floor(extract(epoch FROM start_time) * 1000)::bigint AS start_ms,
        CASE WHEN outcome < 0.02 THEN 500 WHEN outcome < 0.03 THEN 429 ELSE 200 END AS status
    FROM chosen
), identified AS (
    SELECT *, encode(substring(int8send(start_ms) FROM 3), 'hex') AS time_hex,
        lpad(to_hex(sequence), 16, '0') AS sequence_hex
    FROM named
)
SELECT
    (time_hex || '7000' || '8' || substring(sequence_hex FROM 2))::uuid, 1, sequence,
    (time_hex || '7001' || '8' || substring(sequence_hex FROM 2))::uuid, '', 1, true,
    team, key, team, 'u' || sequence % 5000, jsonb_build_object('project', project, 'run', sequence % 977), 'chat',
    'routes/r' || key_number % 20, model, 'upstreams/u' || key_number % 8, 'p' || key_number % 4, model, model, true,
    start_time, start_time + interval '1 millisecond' * duration_ms * 0.2,
    start_time + interval '1 millisecond' * duration_ms, status, '', false,
    jsonb_build_object('input', input_tokens, 'output', output_tokens),
    CASE WHEN status <> 200 THEN 7 WHEN outcome > 0.97 THEN 2 ELSE 1 END,
    CASE WHEN status <> 200 THEN 0 ELSE input_tokens * 1000 + output_tokens * 4000 END, 'prices/p', 1, '', now(), '',
    CASE WHEN status <> 200 THEN 0 WHEN outcome > 0.97 THEN 2 ELSE 1 END, start_time,
    input_tokens, output_tokens, 0, 0, 0,
    greatest(0, least(200, floor(ln(greatest(1, duration_ms * 10)) / ln(1.1))))::smallint,
    greatest(0, least(200, floor(ln(greatest(1, duration_ms * 2)) / ln(1.1))))::smallint,
    NULL, NULL, NULL
FROM identified
"""
)
