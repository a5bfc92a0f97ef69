"""Sums as CSV (RFC 4180): CRLF line ends, quotes doubled, no cell that a spreadsheet would run as a formula. Pure."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, tzinfo

from google.protobuf.timestamp_pb2 import Timestamp

from controlplane.ledger.entries import TOKEN_SUMS
from controlplane.ledger.reading.queries import PERCENTILES
from tollway.admin.v1.usage_pb2 import UsageRow
from tollway.kernel.usage import SettlementState

CONTENT_TYPE = "text/csv; charset=utf-8; header=present"
_MEASURES = (
    "requests",
    "attempts",
    "billable_attempts",
    "refused",
    "errors",
    *TOKEN_SUMS,
    "cost_usd",
    "failed_cost_usd",
    "adjustment_usd",
)
_STATES = tuple(state.word for state in SettlementState)
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_header(group_by: Sequence[str], *, latencies: bool) -> bytes:
    """Times, groups, measures, attempts by settlement state, percentiles where asked for."""
    states = [f"{word}_attempts" for word in _STATES]
    return _lines([["start_time", "end_time", *group_by, *_MEASURES, *states, *(PERCENTILES if latencies else ())]])


def csv_lines(rows: Iterable[UsageRow], group_by: Sequence[str], zone: tzinfo, *, latencies: bool) -> bytes:
    """A line per row; times are of `zone`, and what is not known is empty."""
    return _lines(_cells(row, group_by, zone, latencies) for row in rows)


def _cells(row: UsageRow, group_by: Sequence[str], zone: tzinfo, latencies: bool) -> list[str]:
    times = [_local(row.start_time, zone), _local(row.end_time, zone)]
    groups = [_inert(row.group[name]) for name in group_by]
    measures = [str(getattr(row, name)) for name in _MEASURES]
    states = [str(row.states[word]) for word in _STATES]
    return [*times, *groups, *measures, *states, *(_percentiles(row) if latencies else ())]


def _percentiles(row: UsageRow) -> list[str]:
    return [str(getattr(row, name)) if row.HasField(name) else "" for name in PERCENTILES]  # type: ignore[arg-type]


def _local(time: Timestamp, zone: tzinfo) -> str:
    return time.ToDatetime(UTC).astimezone(zone).isoformat().replace("+00:00", "Z")


def _inert(text: str) -> str:
    """Text of clients; an apostrophe before it makes a spreadsheet take it as text."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _lines(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
