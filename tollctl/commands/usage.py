"""`tollctl usage`: tokens and cost from the ledger."""

import re
import sys
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tollctl.arguments import told_as_usage
from tollctl.moments import parse_duration, parse_past, render_duration, render_moment
from tollctl.session import Session, session_of

if TYPE_CHECKING:
    from tollctl.report import TableShape

_MAX_PAGE_SIZE = 10_000
_CALENDAR_INTERVAL = re.compile(r"\d{1,9}(d|w|mo)")
_DEAREST_FIRST = "cost_usd desc"
_DEFAULT_SINCE = "24h"
Query = dict[str, str | int | bool | None]


class UsageOutput(StrEnum):
    """How usage is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class Period(StrEnum):
    """Ranges on the calendar of the time zone."""

    TODAY = "today"
    YESTERDAY = "yesterday"
    WEEK_TO_DATE = "week_to_date"
    LAST_WEEK = "last_week"
    MONTH_TO_DATE = "month_to_date"
    LAST_MONTH = "last_month"
    QUARTER_TO_DATE = "quarter_to_date"
    YEAR_TO_DATE = "year_to_date"


ByOption = Annotated[
    list[str],
    typer.Option(
        help="Sum by team, user, key, model, route, provider, upstream, upstream_model, end_user, metadata.NAME; "
        "several with commas."
    ),
]
SinceOption = Annotated[
    str | None, typer.Option(help=f"From when: 24h, 30d, or a time; {_DEFAULT_SINCE} unless given.", metavar="WHEN")
]
UntilOption = Annotated[str | None, typer.Option(help="Until when: a time, or how long ago.", metavar="WHEN")]
PeriodOption = Annotated[Period | None, typer.Option(help="Instead of --since and --until.")]
ZoneOption = Annotated[str, typer.Option("--time-zone", help="Whose days and months: Europe/Berlin.", metavar="NAME")]
IntervalOption = Annotated[
    str | None, typer.Option(help="A row per time slot: 15m, 1h, 1d, 1w, 1mo, ...", metavar="TIME")
]
FilterOption = Annotated[
    str | None, typer.Option("--filter", help='E.g. \'team = "growth" AND model IN ("a", "b") AND user != "x"\'.')
]
TopOption = Annotated[int | None, typer.Option(min=1, max=_MAX_PAGE_SIZE, help="The first so many rows only.")]
OrderOption = Annotated[
    str | None,
    typer.Option(
        "--order-by",
        help="The measure whose greatest come first, e.g. requests, errors, duration_p95_ms; with ' asc' the least. "
        "Cost unless given; with --interval rows come by time.",
        metavar="MEASURE",
    ),
]
WideOption = Annotated[bool, typer.Option("--wide", "-w", help="Percentiles, failed cost, states and more too.")]
OutputOption = Annotated[UsageOutput, typer.Option("--output", "-o", help="How to print.")]


def usage(
    context: typer.Context,
    by: ByOption = ["team"],  # noqa: B006
    since: SinceOption = None,
    until: UntilOption = None,
    period: PeriodOption = None,
    time_zone: ZoneOption = "UTC",
    interval: IntervalOption = None,
    filter: FilterOption = None,
    top: TopOption = None,
    order_by: OrderOption = None,
    wide: WideOption = False,
    output: OutputOption = UsageOutput.TABLE,
) -> None:
    """Show what was used and what it cost. Ranges are widened to quarter hours."""
    dimensions = [part.strip() for given in by for part in given.split(",") if part.strip()]
    query: Query = {
        **_parse_range(since, until, period),
        "group_by": ",".join(dimensions),
        "filter": filter,
        "interval": _parse_interval(interval),
        "time_zone": time_zone,
        "order_by": _order(order_by, has_slots=interval is not None, is_cut=top is not None),
        "latencies": wide or None,
    }
    session = session_of(context)
    if output is UsageOutput.CSV:
        _export(session, {**query, "max_rows": top})
        return
    from tollctl.report import TableShape

    answer = _fetch(session, query, top)
    _print(session, answer, dimensions, TableShape(interval is not None, wide, _zone(time_zone)), output)


def _parse_range(since: str | None, until: str | None, period: Period | None) -> Query:
    if period is not None:
        if since or until:
            raise typer.BadParameter("stands instead of --since and --until", param_hint="--period")
        return {"period": period.value}
    now = datetime.now(UTC)
    with told_as_usage("--since"):
        start = parse_past(since or _DEFAULT_SINCE, now)
    with told_as_usage("--until"):
        end = parse_past(until or "now", now)
    if start >= end:
        raise typer.BadParameter(f"{since or _DEFAULT_SINCE} is not before {until or 'now'}", param_hint="--since")
    return {"start_time": render_moment(start), "end_time": render_moment(end)}


def _parse_interval(interval: str | None) -> str | None:
    """Days, weeks and months are the server's to count; anything else is a number of seconds."""
    if interval is None or _CALENDAR_INTERVAL.fullmatch(interval):
        return interval
    with told_as_usage("--interval"):
        return render_duration(parse_duration(interval))


def _order(given: str | None, *, has_slots: bool, is_cut: bool) -> str | None:
    if given is None:
        return None if has_slots and not is_cut else _DEAREST_FIRST
    return given if " " in given.strip() else f"{given} desc"


def _fetch(session: Session, query: Query, top: int | None) -> dict[str, Any]:
    """All rows, or the first so many, and the total of all."""
    rows: list[dict[str, Any]] = []
    total: dict[str, Any] = {}
    for page in session.admin().pages("usage", query, top or _MAX_PAGE_SIZE):
        total = page.get("total") or total
        rows += page.get("rows") or ()
        if top is not None:
            if page.get("next_page_token"):
                session.tell(f"the first {top} rows; the total is of all")
            break
    return {"rows": rows, "total": total}


def _export(session: Session, query: Query) -> None:
    for part in session.admin().download("usage:export", query):
        sys.stdout.buffer.write(part)
    sys.stdout.flush()


def _zone(name: str) -> tzinfo:
    """Where this machine does not know a zone, times are shown in UTC."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def _print(
    session: Session, answer: dict[str, Any], dimensions: list[str], shape: "TableShape", output: UsageOutput
) -> None:
    from tollctl.render import Output, render_data, write_out
    from tollctl.report import render_report

    rows, total = answer["rows"], answer["total"]
    if not rows:
        session.tell("no usage in this range; a call shows up seconds after it ends")
    if output is UsageOutput.JSON:
        write_out(render_data(answer, Output.JSON))
    elif rows:
        write_out(render_report(rows, total, dimensions, shape))
    unpriced = int((total.get("states") or {}).get("unpriced") or 0)
    if unpriced:
        session.tell(f"warning: {unpriced} attempts are unpriced and not in the cost: add a Price for their models")
