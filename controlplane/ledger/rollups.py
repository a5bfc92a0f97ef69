"""What entries add up to: the one definition of groups, sums and latencies, in SQL.

Bookings take it of what they have inserted, a rebuild of what is there, and an audit compares the two. A source is any
table with the columns of ledger_entry.

A call is counted by its final entry: as refused when it was refused before any attempt, else as a request, and as an
error when the client got a status of 400 or more. Tokens, cost and states are those of every attempt. The cost of an
attempt that was not the last of its call, or whose call ended in an error, is failed cost too. An adjustment moves
cost, and the states when it changes one.

Labels are the values of declared metadata keys. At most MAX_VALUES values of a key have sums of their own on a UTC day,
those that are in ledger_metadata_value; all others share OTHER_VALUE. A value is admitted before the first entry with
it is summed, and never afterwards, so that a rebuild finds the same groups: whoever adds entries to sums runs
`fresh_values` and `admit_values` first, under a lock that keeps out others who admit.
"""

from datetime import timedelta
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Date,
    FromClause,
    Integer,
    Interval,
    Select,
    SmallInteger,
    Text,
    Uuid,
    and_,
    case,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB, Insert, distinct_on, insert

from controlplane.ledger.entries import GROUP_DIMENSIONS, LATENCY_COUNTS, ROLLUP_SUMS, TOKEN_SUMS
from controlplane.ledger.tables import (
    ledger_metadata_key,
    ledger_metadata_value,
    quarter_latency,
    quarter_rollup,
    usage_group,
)
from controlplane.ledger.times import EPOCH
from tollway.kernel.periods import DAY_MS, HOUR_S, QUARTER_HOUR_S
from tollway.kernel.usage import SettlementState

DAY_S = DAY_MS // 1000
SPANS_S = (QUARTER_HOUR_S, HOUR_S, DAY_S)
MAX_VALUES = 1_000
OTHER_VALUE = "(other)"
_FIRST_ERROR_STATUS = 400
_ID_BYTES = 16
_NO_LABELS = literal_column("'{}'::jsonb", JSONB)


def keyed(source: FromClause) -> Select[Any]:
    """The rows of `source` with the slot of their quarter hour, their group's id and labels, and what they add."""
    return _with_ids(_with_labels(source), source)


def fresh_values(source: FromClause) -> Select[Any]:
    """Rows of ledger_metadata_value that `source` needs and that there is room for; none when all are there."""
    wanted = _wanted_values(source)
    kept = ledger_metadata_value.c
    day_key = (wanted.c.day == kept.day, wanted.c.key == kept.key)
    is_kept = select(literal(1)).where(*day_key, wanted.c.value == kept.value).exists()
    place = func.row_number().over(partition_by=(wanted.c.day, wanted.c.key), order_by=wanted.c.value)
    fresh = select(wanted, place.label("place")).where(~is_kept).subquery("fresh")
    counts = select(kept.day, kept.key, func.count().label("number")).where(kept.day.in_(select(wanted.c.day)))
    taken = counts.group_by(kept.day, kept.key).subquery("taken")
    joined = fresh.outerjoin(taken, and_(fresh.c.day == taken.c.day, fresh.c.key == taken.c.key))
    is_room = fresh.c.place + func.coalesce(taken.c.number, 0) <= MAX_VALUES
    return select(fresh.c.day, fresh.c.key, fresh.c.value).select_from(joined).where(is_room)


def admit_values(source: FromClause) -> Insert:
    return insert(ledger_metadata_value).from_select(["day", "key", "value"], fresh_values(source))


def sums_of(rows: FromClause) -> Select[Any]:
    """Rows of usage_rollup of span QUARTER_HOUR_S, from those of `keyed`, in the order of their key."""
    sums = [cast(func.sum(rows.c[name]), BigInteger).label(name) for name in ROLLUP_SUMS]
    key = (rows.c.slot, rows.c.group_id)
    return select(literal(QUARTER_HOUR_S, Integer).label("span_s"), *key, *sums).group_by(*key).order_by(*key)


def latencies_of(rows: FromClause) -> Select[Any]:
    """Rows of usage_latency of span QUARTER_HOUR_S, from those of `keyed`, in the order of their key."""
    one, none = literal(1, BigInteger), literal(0, BigInteger)
    durations = select(rows.c.slot, rows.c.group_id, rows.c.duration_bucket.label("bucket"), one, none)
    frames = select(rows.c.slot, rows.c.group_id, rows.c.first_frame_bucket.label("bucket"), none, one)
    both = union_all(
        durations.where(rows.c.duration_bucket.is_not(None)), frames.where(rows.c.first_frame_bucket.is_not(None))
    ).subquery()
    slot, group_id, bucket, duration, frame = both.c
    key = (slot.label("slot"), group_id.label("group_id"), cast(bucket, SmallInteger).label("bucket"))
    counts = [
        cast(func.sum(n), BigInteger).label(name) for n, name in zip((duration, frame), LATENCY_COUNTS, strict=True)
    ]
    statement = select(literal(QUARTER_HOUR_S, Integer).label("span_s"), *key, *counts)
    return statement.group_by(slot, group_id, bucket).order_by(slot, group_id, bucket)


def groups_of(rows: FromClause) -> Select[Any]:
    """Rows of usage_group, from those of `keyed`, each once and in the order of their key."""
    columns = [rows.c[column.name] for column in usage_group.columns]
    return select(*columns).ext(distinct_on(rows.c.group_id)).order_by(rows.c.group_id)


def add_groups(rows: FromClause) -> Insert:
    names = [column.name for column in usage_group.columns]
    return insert(usage_group).from_select(names, groups_of(rows)).on_conflict_do_nothing()


def add_sums(rows: FromClause) -> Insert:
    return _adding(insert(quarter_rollup), sums_of(rows), ROLLUP_SUMS)


def add_latencies(rows: FromClause) -> Insert:
    return _adding(insert(quarter_latency), latencies_of(rows), LATENCY_COUNTS)


def folded(sums: FromClause, span_s: int, names: tuple[str, ...], *key: str) -> Select[Any]:
    """Rows of `span_s` from rows of quarter hours; `key` names the key's columns beyond span and slot."""
    slot = func.date_bin(literal(timedelta(seconds=span_s), Interval), sums.c.slot, literal(EPOCH)).label("slot")
    keys = [sums.c[name] for name in key]
    totals = [cast(func.sum(sums.c[name]), BigInteger).label(name) for name in names]
    statement = select(literal(span_s, Integer).label("span_s"), slot, *keys, *totals)
    return statement.group_by(slot, *keys).order_by(slot, *keys)


def _adding(statement: Insert, rows: Select[Any], names: tuple[str, ...]) -> Insert:
    table = statement.table
    keys = [column.name for column in table.primary_key]
    taken = statement.from_select([*keys, *names], rows)
    return taken.on_conflict_do_update(
        index_elements=keys, set_={name: table.c[name] + taken.excluded[name] for name in names}
    )


def _with_labels(source: FromClause) -> FromClause:
    columns = source.c
    quarter = literal(timedelta(seconds=QUARTER_HOUR_S), Interval)
    slot = func.date_bin(quarter, columns.start_time, literal(EPOCH)).label("slot")
    dimensions = [columns[name] for name in GROUP_DIMENSIONS]
    latencies = [columns.duration_bucket, columns.first_frame_bucket]
    labels = _labels(source, slot).label("labels")
    # The offset keeps the planner from finding labels anew wherever they are used.
    rows = select(slot, *dimensions, labels, *latencies, *additions(source)).offset(literal_column("0"))
    return rows.subquery("labelled")


def _labels(source: FromClause, slot: ColumnElement[Any]) -> ColumnElement[Any]:
    """The entry's values of the metadata keys that were declared at its slot."""
    keys, kept, metadata = ledger_metadata_key.c, ledger_metadata_value.c, source.c.metadata
    value = metadata[keys.key].astext
    is_kept = (
        select(literal(1))
        .where(kept.day == _utc_day(slot), kept.key == keys.key, kept.value == value)
        .correlate(source, ledger_metadata_key)
        .exists()
    )
    shown = case((is_kept, value), else_=OTHER_VALUE)
    found = (
        select(func.coalesce(func.jsonb_object_agg(keys.key, shown), _NO_LABELS))
        .where(metadata.has_key(keys.key), _is_declared(slot))
        .correlate(source)
        .scalar_subquery()
    )
    return case((metadata == _NO_LABELS, _NO_LABELS), else_=found)


def _wanted_values(source: FromClause) -> CTE:
    """Each day, declared key and value that there is in `source`, once."""
    keys, columns = ledger_metadata_key.c, source.c
    has_key = and_(columns.metadata.has_key(keys.key), _is_declared(columns.start_time))
    day = _utc_day(columns.start_time).label("day")
    value = columns.metadata[keys.key].astext.label("value")
    joined = source.join(ledger_metadata_key, has_key)
    return select(day, keys.key, value).select_from(joined).distinct().cte("wanted")


def _is_declared(time: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether the key is declared at `time`; both ends of its period are whole quarter hours."""
    keys = ledger_metadata_key.c
    return and_(keys.since <= time, or_(keys.until.is_(None), keys.until > time))


def _utc_day(time: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(func.timezone("UTC", time), Date)


def _with_ids(rows: FromClause, source: FromClause) -> Select[Any]:
    text = cast(func.jsonb_build_array(*(rows.c[name] for name in GROUP_DIMENSIONS), rows.c.labels), Text)
    digest = func.substring(func.sha256(func.convert_to(text, "UTF8")), 1, _ID_BYTES)
    return select(rows, cast(func.encode(digest, "hex"), Uuid).label("group_id"))


def additions(source: FromClause) -> list[ColumnElement[Any]]:
    """What one entry adds to each of ROLLUP_SUMS."""
    c = source.c
    is_usage = c.adjusts.is_(None)
    is_attempt = and_(is_usage, c.attempt > 0)
    is_request = and_(is_attempt, c.final)
    is_error = c.status >= _FIRST_ERROR_STATUS
    one = {
        "requests": _one_if(is_request),
        "attempts": _one_if(is_attempt),
        "refused": _one_if(and_(is_usage, c.attempt == 0)),
        "errors": _one_if(and_(is_request, is_error)),
        "cost_nano_usd": c.cost_nano_usd,
        "failed_cost_nano_usd": case((and_(c.final, ~is_error), 0), else_=c.cost_nano_usd),
        "adjustment_nano_usd": case((is_usage, 0), else_=c.cost_nano_usd),
    }
    tokens = {name: c[name] for name in TOKEN_SUMS}
    states = {f"state_{state.word}": _state_change(source, state, is_attempt) for state in SettlementState}
    added = one | tokens | states
    return [cast(added[name], BigInteger).label(name) for name in ROLLUP_SUMS]


def _state_change(source: FromClause, state: SettlementState, is_attempt: ColumnElement[bool]) -> ColumnElement[Any]:
    c = source.c
    is_moved = c.adjusts.is_not(None)
    return (
        _one_if(and_(is_attempt, c.state == int(state)))
        + _one_if(and_(is_moved, c.state == int(state)))
        - _one_if(and_(is_moved, c.prior_state == int(state)))
    )


def _one_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)
