"""Checks, dead letters and replays of the ledger for people."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from tollctl.render import render_table
from tollway.kernel.money import format_usd

Json = dict[str, Any]
_LETTER_TITLES = ("ID", "LAST TIME", "TRIES", "TEAM", "KEY", "REQUEST", "BOOT", "SEQUENCE", "REASON")
_REPLAY_TITLES = ("NAME", "STATE", "SINCE", "UNTIL", "MESSAGES", "LEFT", "BOOKED", "KNOWN", "DEAD", "PROBLEM")
_DRIFT_TITLES = ("SLOT", "SPAN", "KIND", "GROUP", "SUM", "EXPECTED", "FOUND")
_BUDGET_TITLES = ("BUDGET", "OF", "PERIOD", "SUM", "EXPECTED USD", "FOUND USD")
_MOST_SHOWN = 20


def render_letters(letters: Sequence[Json]) -> str:
    """A line per letter."""
    return render_table(_LETTER_TITLES, [_letter_cells(letter) for letter in letters], frozenset({2, 7}))


def render_replays(replays: Sequence[Json]) -> str:
    """A line per replay."""
    rows = [
        [
            str(replay["name"]),
            str(replay.get("state") or ""),
            str(replay.get("since_time") or ""),
            str(replay.get("until_time") or ""),
            *(str(_count(replay, field)) for field in ("messages", "remaining_messages")),
            *(str(_count(replay, field)) for field in ("inserted", "duplicates", "dead_letters")),
            str(replay.get("problem") or ""),
        ]
        for replay in replays
    ]
    return render_table(_REPLAY_TITLES, rows, frozenset(range(4, 9)))


def render_progress(replay: Json) -> str:
    """How far a replay is, in one line."""
    counts = (
        f"{_count(replay, 'messages')} messages read, {_count(replay, 'remaining_messages')} left;"
        f" {_count(replay, 'inserted')} events booked, {_count(replay, 'duplicates')} known,"
        f" {_count(replay, 'dead_letters')} dead letters"
    )
    problem = f" ({replay['problem']})" if replay.get("problem") else ""
    return f"{replay['name']} {replay.get('state')}: {counts}{problem}"


def tap_warning(replay: Json) -> str:
    """What is to be said of a replay whose tap does not reach back as far as was asked; "" for others."""
    begins, since = replay.get("tap_start_time"), replay.get("since_time")
    if not begins or not since or datetime.fromisoformat(begins) <= datetime.fromisoformat(since):
        return ""
    return f"warning: the tap begins at {begins}; what was booked between {since} and then is not in it"


def render_day(report: Json) -> str:
    """What differs on a day."""
    lines = [_drift_cells(drift) for drift in report.get("drifts") or ()]
    day = str(report["name"]).rpartition("/")[2]
    return f"{day}: {_count(report, 'drift_count')} rows of sums differ\n" + render_table(
        _DRIFT_TITLES, lines, frozenset({5, 6})
    )


def render_budgets(report: Json) -> str:
    """What differs of budgets."""
    lines = [_budget_cells(drift) for drift in report.get("drifts") or ()]
    return f"budgets: {_count(report, 'drift_count')} sums differ\n" + render_table(
        _BUDGET_TITLES, lines, frozenset({4, 5})
    )


def _budget_cells(drift: Json) -> list[str]:
    values = ",".join(drift.get("values") or ())
    period, *rest = (str(drift.get(name) or "") for name in ("period_start_time", "sum", "expected_usd", "found_usd"))
    return [str(drift["budget"]), values, period, *rest]


def budgets_line(report: Json) -> str:
    """How many buckets were compared, in one line."""
    line = f"{_count(report, 'buckets')} buckets of budgets: {_count(report, 'drift_count')} sums with drift"
    unverified = _count(report, "unverified")
    return f"{line}; entries of {unverified} are partly gone from the database" if unverified else line


def status_problems(state: Json) -> list[str]:
    """What is wrong with the ledger as a whole, a line each, with what to do."""
    return [*_gap_lines(state.get("gaps") or ()), *_count_lines(state)]


def _gap_lines(gaps: Sequence[Json]) -> Iterator[str]:
    for gap in gaps[:_MOST_SHOWN]:
        numbers = f"{_count(gap, 'first')} to {_count(gap, 'last')}"
        yield f"missing since {gap.get('seen_time')}: events {numbers} of producer {gap['boot_id']}"
    if len(gaps) > _MOST_SHOWN:
        yield f"missing: {len(gaps) - _MOST_SHOWN} more ranges of events"


def _count_lines(state: Json) -> Iterator[str]:
    if letters := _count(state, "dead_letters"):
        yield f"{letters} dead letters: see `tollctl ledger dlq list`"
    if strays := _count(state, "stray_entries") - _count(state, "late_entries"):
        yield f"{strays} entries are in the default partition: calls with a clock far ahead or far behind"


def _letter_cells(letter: Json) -> list[str]:
    return [
        str(letter["name"]).rpartition("/")[2],
        str(letter.get("last_time") or ""),
        str(_count(letter, "deliveries") + _count(letter, "replays")),
        str(letter.get("team") or "").rpartition("/")[2],
        str(letter.get("key") or "").rpartition("/")[2],
        str(letter.get("request_id") or ""),
        str(letter.get("boot_id") or ""),
        str(_count(letter, "sequence") or ""),
        ("set aside: " if letter.get("discard_time") else "") + str(letter.get("reason") or ""),
    ]


def _drift_cells(drift: Json) -> list[str]:
    group = drift.get("group") or {}
    shown = ",".join(f"{name}={value}" for name, value in sorted(group.items()) if value)
    bucket = f" bucket {_count(drift, 'bucket')}" if drift.get("kind") == "latency" else ""
    is_money = str(drift.get("sum")).endswith("_nano_usd")
    amounts = [_count(drift, "expected"), _count(drift, "found")]
    return [
        str(drift.get("slot") or ""),
        str(_count(drift, "span_s")),
        f"{drift.get('kind')}{bucket}",
        shown or str(drift.get("group_id") or ""),
        str(drift.get("sum")).removesuffix("_nano_usd"),
        *(f"{format_usd(amount)} USD" if is_money else str(amount) for amount in amounts),
    ]


def _count(row: Json, field: str) -> int:
    return int(row.get(field) or 0)
