"""One call in full: what it was, each attempt, and what was posted to it later."""

from typing import Any

from tollctl.render import render_table
from tollway.kernel.names import bare_id

_TITLES = ("ATTEMPT", "UPSTREAM", "MODEL", "STATUS", "STATE", "BILLABLE", "INPUT", "OUTPUT", "PRICE", "COST USD")
_RIGHT = frozenset({6, 7, 9})


def render_attempts(record: dict[str, Any]) -> str:
    """A table with a line per attempt and per adjustment below it; "" for a call that had none."""
    lines = [line for attempt in record.get("attempts") or () for line in _lines(attempt)]
    return render_table(_TITLES, lines, _RIGHT) if lines else ""


def _lines(attempt: dict[str, Any]) -> list[list[str]]:
    meters = attempt.get("meters") or {}
    first = [
        str(attempt.get("attempt") or ""),
        bare_id(str(attempt.get("upstream") or "")),
        str(attempt.get("upstream_model") or ""),
        str(attempt.get("status") or ""),
        str(attempt.get("state") or ""),
        "yes" if attempt.get("billable") else "no",
        str(meters.get("input") or 0),
        str(meters.get("output") or 0),
        _price(attempt),
        str(attempt.get("cost_usd") or "0.00"),
    ]
    return [first, *(_adjusted(adjustment) for adjustment in attempt.get("adjustments") or ())]


def _adjusted(adjustment: dict[str, Any]) -> list[str]:
    change = f"{adjustment.get('prior_state')} -> {adjustment.get('state')}"
    run = f"run {adjustment.get('run_id')}"
    return ["+", run, " ", " ", change, " ", " ", " ", _price(adjustment), str(adjustment.get("difference_usd") or "")]


def _price(line: dict[str, Any]) -> str:
    return f"{line['price']} at {line.get('price_revision') or 0}" if line.get("price") else ""
