"""Sums in SQL: what each source gives per time slot and group, and pages of it.

A source gives rows with `number`, the values of the dimensions as d0, d1, ... and sums or latencies; it need not have
added up all of them.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    FromClause,
    Integer,
    Label,
    Select,
    and_,
    cast,
    column,
    func,
    literal,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY

from controlplane.ledger.entries import LATENCY_COUNTS, ROLLUP_SUMS
from controlplane.ledger.reading.conditions.repository import all_hold, dimension_column, holds
from controlplane.ledger.reading.cover import LATENCY_SPANS_S, SUM_SPANS_S, Piece, cover
from controlplane.ledger.reading.queries import CLOCK_SLACK_MS, NO_BUCKET, PERCENTILES, SumsQuery
from controlplane.ledger.reading.sources import Source, Standing
from controlplane.ledger.rollups import additions
from controlplane.ledger.tables import (
    ledger_entry,
    usage_group,
    usage_latency,
    usage_latency_marginal,
    usage_marginal,
    usage_rollup,
)
from tollway.kernel.periods import QUARTER_HOUR_S
from tollway.kernel.usage import first_event_id

_METADATA, _LABELS = "metadata", "labels"
_FRACTIONS = (("durations", 50), ("durations", 95), ("first_frames", 50), ("first_frames", 95))
"""What each of PERCENTILES counts, and its rank in hundredths."""

Rows = Select[Any]


def sums_statement(query: SumsQuery, source: Source, standing: Standing) -> Rows:
    """Rows of a page: `number` of the slot, d0, d1, ..., ROLLUP_SUMS and, where the order is by one of PERCENTILES, the
    bucket of each of them, -1 without calls."""
    found = _added(_sums_of(query, source, standing), len(query.group_by)).subquery("sums")
    values = [found.c.number, *(found.c[name] for name in _value_names(query))]
    columns: list[ColumnElement[Any]] = [*values, *(found.c[name] for name in ROLLUP_SUMS)]
    joined: FromClause = found
    if query.order is not None and query.order.measure in PERCENTILES:
        ranked = percentiles_statement(query, source, standing).subquery("percentiles")
        joined = found.outerjoin(ranked, and_(*(value == ranked.c[value.key] for value in values)))
        columns += [func.coalesce(ranked.c[name], NO_BUCKET).label(name) for name in PERCENTILES]
    return _paged(select(*columns).select_from(joined).subquery("page"), query)


def _paged(rows: FromClause, query: SumsQuery) -> Rows:
    keys: list[ColumnElement[Any]] = [rows.c.number, *(rows.c[name] for name in _value_names(query))]
    statement = select(rows).limit(query.limit)
    if query.order is None:
        return _after(statement, keys, query.after).order_by(*keys)
    measure = rows.c[query.order.measure]
    is_descending = query.order.is_descending
    if query.after:
        last = literal(query.after[0], BigInteger)
        beyond = measure < last if is_descending else measure > last
        statement = statement.where(or_(beyond, and_(measure == last, _is_after(keys, query.after[1:]))))
    return statement.order_by(measure.desc() if is_descending else measure, *keys)


def _after(statement: Rows, keys: Sequence[ColumnElement[Any]], last: Sequence[Any]) -> Rows:
    return statement.where(_is_after(keys, last)) if last else statement


def _is_after(keys: Sequence[ColumnElement[Any]], last: Sequence[Any]) -> ColumnElement[bool]:
    values = [literal(value, key.type) for value, key in zip(last, keys, strict=True)]
    return tuple_(*keys) > tuple_(*values)


def _sums_of(query: SumsQuery, source: Source, standing: Standing) -> list[Rows]:
    if source is Source.ENTRIES:
        pieces = cover(query.boundaries, (), (QUARTER_HOUR_S,))
        return [_entry_sums(query, pieces, is_adjustment) for is_adjustment in (False, True)]
    pieces = cover(query.boundaries, standing.folded, SUM_SPANS_S)
    return [
        _marginal_rows(query, usage_marginal, ROLLUP_SUMS, part)
        if source is Source.MARGINALS and span_s != QUARTER_HOUR_S
        else _group_rows(query, usage_rollup, ROLLUP_SUMS, part)
        for span_s, part in _by_span(pieces)
    ]


def _latencies_of(query: SumsQuery, source: Source, standing: Standing) -> list[Rows]:
    """With `bucket`, and LATENCY_COUNTS as sums."""
    if source is Source.ENTRIES:
        pieces = cover(query.boundaries, (), (QUARTER_HOUR_S,))
        return [_entry_latencies(query, pieces, name) for name in LATENCY_COUNTS]
    pieces = cover(query.boundaries, standing.folded, LATENCY_SPANS_S)
    return [
        _marginal_rows(query, usage_latency_marginal, LATENCY_COUNTS, part)
        if source is Source.MARGINALS and span_s != QUARTER_HOUR_S
        else _group_rows(query, usage_latency, LATENCY_COUNTS, part)
        for span_s, part in _by_span(pieces)
    ]


def _by_span(pieces: Sequence[Piece]) -> list[tuple[int, list[Piece]]]:
    spans = sorted({piece.span_s for piece in pieces})
    return [(span_s, [piece for piece in pieces if piece.span_s == span_s]) for span_s in spans]


def _added(parts: Sequence[Rows], dimensions: int) -> Rows:
    return _summed(_united(parts), ["number", *_names(dimensions)], ROLLUP_SUMS)


def _united(parts: Sequence[Rows]) -> FromClause:
    return (union_all(*parts) if len(parts) > 1 else parts[0]).subquery("parts")


def _summed(rows: FromClause, keys: Sequence[str], measures: Sequence[str]) -> Rows:
    by = [rows.c[name] for name in keys]
    sums = [cast(func.sum(rows.c[name]), BigInteger).label(name) for name in measures]
    return select(*by, *sums).group_by(*by)


def _group_rows(query: SumsQuery, table: FromClause, measures: Sequence[str], pieces: Sequence[Piece]) -> Rows:
    """From sums per group: added up per group first, because there are far fewer groups than sums."""
    number, joined = _joined(table, pieces)
    extra = [table.c.bucket] if "bucket" in table.c else []
    by: list[ColumnElement[Any]] = [number, table.c.group_id, *extra]
    sums = [cast(func.sum(table.c[name]), BigInteger).label(name) for name in measures]
    statement = select(*by, *sums).select_from(joined)
    statement = statement.where(table.c.span_s == literal(pieces[0].span_s, Integer, literal_execute=True))
    if query.conditions:
        wanted = select(usage_group.c.group_id).where(*all_hold(usage_group, query.conditions, _LABELS))
        statement = statement.where(table.c.group_id.in_(wanted))
    per_group = statement.group_by(*by).subquery("per_group")
    values = _values(query, lambda name: dimension_column(usage_group, name, _LABELS))
    shown = [per_group.c.number, *values, *(per_group.c[c.name] for c in extra), *(per_group.c[n] for n in measures)]
    return select(*shown).select_from(per_group.join(usage_group, per_group.c.group_id == usage_group.c.group_id))


def _marginal_rows(query: SumsQuery, table: FromClause, measures: Sequence[str], pieces: Sequence[Piece]) -> Rows:
    """From sums of the only dimension that the query has, or of "", which is all."""
    number, joined = _joined(table, pieces)
    dimension = next(iter(query.dimensions), "")
    extra = [table.c.bucket] if "bucket" in table.c else []
    values = _values(query, lambda _: table.c.value)
    shown = [number, *values, *extra, *(table.c[name] for name in measures)]
    return (
        select(*shown)
        .select_from(joined)
        .where(
            table.c.dimension == dimension,
            table.c.span_s == pieces[0].span_s,
            *(holds(table.c.value, condition) for condition in query.conditions),
        )
    )


def _joined(table: FromClause, pieces: Sequence[Piece]) -> tuple[ColumnElement[int], FromClause]:
    """Sums of `table` that are within `pieces`, and the number of the piece that each is in.

    Several pieces are joined slot by slot: the planner knows how few sums have one of some slots, but takes any two
    bounds for a ninth of all, and would compare every sum with every piece.
    """
    if len(pieces) == 1:
        piece = _pieces(pieces)
        return piece.c.number, table.join(piece, _is_within(table.c.slot, piece))
    slots = _slots(pieces)
    return slots.c.number, table.join(slots, table.c.slot == slots.c.slot)


def _entry_sums(query: SumsQuery, pieces: Sequence[Piece], is_adjustment: bool) -> Rows:
    piece = _pieces(pieces)
    statement = select(piece.c.number, *_entry_values(query), *additions(ledger_entry))
    statement = statement.select_from(ledger_entry.join(piece, _is_within(ledger_entry.c.start_time, piece)))
    adjusts = ledger_entry.c.adjusts
    if is_adjustment:
        # Their ids do not tell when they count.
        return statement.where(adjusts.is_not(None), *_entry_bounds(query))
    return statement.where(adjusts.is_(None), *_entry_bounds(query), *_id_bounds(query))


def _entry_latencies(query: SumsQuery, pieces: Sequence[Piece], counted: str) -> Rows:
    piece, entry = _pieces(pieces), ledger_entry.c
    bucket = {"durations": entry.duration_bucket, "first_frames": entry.first_frame_bucket}[counted]
    counts = [literal(int(name == counted), BigInteger).label(name) for name in LATENCY_COUNTS]
    statement = select(piece.c.number, *_entry_values(query), bucket.label("bucket"), *counts)
    statement = statement.select_from(ledger_entry.join(piece, _is_within(entry.start_time, piece)))
    return statement.where(bucket.is_not(None), *_entry_bounds(query), *_id_bounds(query))


def _entry_values(query: SumsQuery) -> list[Label[Any]]:
    return _values(query, lambda name: dimension_column(ledger_entry, name, _METADATA))


def _entry_bounds(query: SumsQuery) -> list[ColumnElement[bool]]:
    time = ledger_entry.c.start_time
    return [time >= query.start, time < query.end, *all_hold(ledger_entry, query.conditions, _METADATA)]


def _id_bounds(query: SumsQuery) -> list[ColumnElement[bool]]:
    """Ids begin with the start time in milliseconds: partitions are pruned by them."""
    event_id = ledger_entry.c.event_id
    start_ms, end_ms = (int(time.timestamp()) * 1000 for time in (query.start, query.end))
    return [event_id >= first_event_id(max(0, start_ms - CLOCK_SLACK_MS)), event_id < first_event_id(end_ms)]


def percentiles_statement(query: SumsQuery, source: Source, standing: Standing) -> Rows:
    """`number`, d0, d1, ... and the bucket of each of PERCENTILES, NO_BUCKET where only calls without that time are
    counted, of all rows whatever the page."""
    keys = ["number", *_value_names(query)]
    parts = _united(_latencies_of(query, source, standing))
    counts = _summed(parts, [*keys, "bucket"], LATENCY_COUNTS).subquery("counts")
    by, bucket = [counts.c[name] for name in keys], counts.c.bucket
    sums = [(name, func.sum(counts.c[name])) for name in LATENCY_COUNTS]
    up_to = [total.over(partition_by=by, order_by=bucket).label(f"{name}_up_to") for name, total in sums]
    in_all = [total.over(partition_by=by).label(f"{name}_in_all") for name, total in sums]
    ranked = select(*by, bucket, *up_to, *in_all).subquery("ranked")
    buckets = [
        func.coalesce(
            func.min(ranked.c.bucket).filter(
                ranked.c[f"{counted}_in_all"] > 0,
                ranked.c[f"{counted}_up_to"] * 100 >= ranked.c[f"{counted}_in_all"] * hundredths,
            ),
            NO_BUCKET,
        ).label(name)
        for name, (counted, hundredths) in zip(PERCENTILES, _FRACTIONS, strict=True)
    ]
    grouped = [ranked.c[name] for name in keys]
    return select(*grouped, *buckets).group_by(*grouped)


def _values(query: SumsQuery, column_for: Any) -> list[Label[Any]]:
    return [column_for(name).label(label) for name, label in zip(query.group_by, _value_names(query), strict=True)]


def _value_names(query: SumsQuery) -> list[str]:
    return _names(len(query.group_by))


def _names(dimensions: int) -> list[str]:
    return [f"d{number}" for number in range(dimensions)]


def _pieces(pieces: Sequence[Piece]) -> FromClause:
    """`pieces` as a table: number, first, after."""
    return _piece_table(
        [piece.number for piece in pieces],
        first=[piece.start for piece in pieces],
        after=[piece.end for piece in pieces],
    )


def _slots(pieces: Sequence[Piece]) -> FromClause:
    """The slots of `pieces` as a table: number, slot."""
    numbers: list[int] = []
    slots: list[datetime] = []
    for piece in pieces:
        span = timedelta(seconds=piece.span_s)
        count = (piece.end - piece.start) // span
        numbers += [piece.number] * count
        slots += [piece.start + span * place for place in range(count)]
    return _piece_table(numbers, slot=slots)


def _piece_table(numbers: Sequence[int], **times: Sequence[datetime]) -> FromClause:
    """A row per number, with a column of that name for each of `times`."""
    time = DateTime(timezone=True)
    columns: list[ColumnElement[Any]] = [column("number", Integer), *(column(name, time) for name in times)]
    arrays = [literal(numbers, ARRAY(Integer)), *(literal(values, ARRAY(time)) for values in times.values())]
    return func.unnest(*arrays).table_valued(*columns, name="piece").render_derived(name="piece")


def _is_within(time: ColumnElement[Any], piece: FromClause) -> ColumnElement[bool]:
    return and_(time >= piece.c.first, time < piece.c.after)
