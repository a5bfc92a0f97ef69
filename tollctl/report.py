"""Usage rows for people."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from tollctl.render import render_table

Row = dict[str, Any]
Cell = Callable[[Row], str]
_TOTAL = "TOTAL"


@dataclass(frozen=True, slots=True)
class TableShape:
    """Which columns a table has, and whose clock its times are of."""

    has_slots: bool = False
    is_wide: bool = False
    zone: tzinfo = UTC


def render_report(rows: Sequence[Row], total: Row, dimensions: Sequence[str], shape: TableShape) -> str:
    """A table in the order of the rows, and a line with the total of all where rows are of groups or slots."""
    lead = (["START"] if shape.has_slots else []) + [dimension.upper() for dimension in dimensions]
    columns = {**_MEASURES, **(_WIDE if shape.is_wide else {})}
    lines = [[*_lead(row, dimensions, shape), *(cell(row) for cell in columns.values())] for row in rows]
    if lead and total:
        lines.append([_TOTAL, *[" "] * (len(lead) - 1), *(cell(total) for cell in columns.values())])
    titles = [*lead, *columns]
    return render_table(titles, lines, frozenset(range(len(lead), len(titles))))


def _lead(row: Row, dimensions: Sequence[str], shape: TableShape) -> list[str]:
    group = row.get("group") or {}
    start = [_moment(str(row.get("start_time") or ""), shape.zone)] if shape.has_slots else []
    return start + [str(group.get(dimension) or "") for dimension in dimensions]


def _moment(text: str, zone: tzinfo) -> str:
    return datetime.fromisoformat(text).astimezone(zone).isoformat(timespec="minutes").replace("+00:00", "Z")


def _count(name: str) -> Cell:
    return lambda row: str(int(row.get(name) or 0))


def _money(name: str) -> Cell:
    return lambda row: str(row.get(name) or "0.00")


def _state(word: str) -> Cell:
    return lambda row: str(int((row.get("states") or {}).get(word) or 0))


def _milliseconds(name: str) -> Cell:
    return lambda row: f"{float(row[name]):.3g}" if row.get(name) and float(row[name]) < 100 else _whole(row.get(name))


def _whole(value: Any) -> str:
    return str(round(float(value))) if value else ""


_MEASURES: dict[str, Cell] = {
    "REQUESTS": _count("requests"),
    "ERRORS": _count("errors"),
    "REFUSED": _count("refused"),
    "INPUT": _count("input_tokens"),
    "CACHED": _count("cache_read_tokens"),
    "OUTPUT": _count("output_tokens"),
    "REASONING": _count("reasoning_tokens"),
    "COST USD": _money("cost_usd"),
}
_WIDE: dict[str, Cell] = {
    "FAILED USD": _money("failed_cost_usd"),
    "ADJUSTED USD": _money("adjustment_usd"),
    "ATTEMPTS": _count("attempts"),
    "BILLABLE": _count("billable_attempts"),
    "ESTIMATED": _state("estimated"),
    "UNPRICED": _state("unpriced"),
    "P50 MS": _milliseconds("duration_p50_ms"),
    "P95 MS": _milliseconds("duration_p95_ms"),
    "TTFT P50": _milliseconds("time_to_first_token_p50_ms"),
    "TTFT P95": _milliseconds("time_to_first_token_p95_ms"),
}
