"""Usage rows for people and for spreadsheets."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from tollctl.render import render_table
from tollway.kernel.money import format_usd, parse_usd

Row = dict[str, Any]
_CSV_MEASURES = (
    "requests",
    "attempts",
    "refused",
    "errors",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)
_MEASURES = {
    "requests": "REQUESTS",
    "errors": "ERRORS",
    "refused": "REFUSED",
    "input_tokens": "INPUT",
    "cache_read_tokens": "CACHED",
    "output_tokens": "OUTPUT",
    "reasoning_tokens": "REASONING",
}
_TOTAL = "TOTAL"


def render_report(rows: Sequence[Row], dimensions: Sequence[str], *, has_slots: bool) -> str:
    """A table, the dearest group first or, with time slots, the oldest slot first, and a line with the sums."""
    ordered = rows if has_slots else sorted(rows, key=_cost_nano_usd, reverse=True)
    lead = (["START"] if has_slots else []) + [dimension.upper() for dimension in dimensions]
    lines = [[*_lead(row, dimensions, has_slots), *_measures(row, _cost_nano_usd(row))] for row in ordered]
    sums = {measure: sum(_count(row, measure) for row in rows) for measure in _MEASURES}
    cost_nano_usd = sum(_cost_nano_usd(row) for row in rows)
    if lead:
        lines.append([_TOTAL, *[" "] * (len(lead) - 1), *_measures(sums, cost_nano_usd)])
    titles = [*lead, *_MEASURES.values(), "COST USD"]
    return render_table(titles, lines, frozenset(range(len(lead), len(titles))))


def render_csv(rows: Sequence[Row], dimensions: Sequence[str], *, has_slots: bool) -> str:
    """A heading and a line per row, in the order of the answer; start_time only with time slots."""
    lead = (["start_time"] if has_slots else []) + list(dimensions)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*lead, *_CSV_MEASURES, "cost_usd"])
    for row in rows:
        counts = [_count(row, measure) for measure in _CSV_MEASURES]
        writer.writerow([*_lead(row, dimensions, has_slots), *counts, row.get("cost_usd") or "0"])
    return text.getvalue()


def _lead(row: Row, dimensions: Sequence[str], has_slots: bool) -> list[str]:
    group = row.get("group") or {}
    return ([str(row.get("start_time") or "")] if has_slots else []) + [str(group.get(d) or "") for d in dimensions]


def _measures(row: Row, cost_nano_usd: int) -> list[str]:
    return [*(str(_count(row, measure)) for measure in _MEASURES), format_usd(cost_nano_usd)]


def _count(row: Row, measure: str) -> int:
    return int(row.get(measure) or 0)


def _cost_nano_usd(row: Row) -> int:
    return parse_usd(str(row.get("cost_usd") or "0"))
