"""`tollctl usage`: tokens and cost from the ledger."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from tollctl.arguments import told_as_usage
from tollctl.moments import parse_duration, parse_past, render_duration, render_moment
from tollctl.session import Session, session_of

_MAX_PAGE_SIZE = 10_000


class UsageOutput(StrEnum):
    """How usage is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


ByOption = Annotated[
    list[str],
    typer.Option(help="Sum by team, key, model, upstream, upstream_model, provider; several with commas."),
]
SinceOption = Annotated[str, typer.Option(help="From when: 24h, 30d, or a time.", metavar="WHEN")]
UntilOption = Annotated[str, typer.Option(help="Until when: a time, or how long ago.", metavar="WHEN")]
IntervalOption = Annotated[str | None, typer.Option(help="A row per time slot, e.g. 1h or 1d.", metavar="TIME")]
FilterOption = Annotated[str | None, typer.Option("--filter", help='E.g. \'team = "growth" AND model = "gpt-4o"\'.')]
OutputOption = Annotated[UsageOutput, typer.Option("--output", "-o", help="How to print.")]


def usage(
    context: typer.Context,
    by: ByOption = ["team"],  # noqa: B006
    since: SinceOption = "24h",
    until: UntilOption = "now",
    interval: IntervalOption = None,
    filter: FilterOption = None,
    output: OutputOption = UsageOutput.TABLE,
) -> None:
    """Show what was used and what it cost. Ranges are widened to quarter hours."""
    dimensions = [part.strip() for given in by for part in given.split(",") if part.strip()]
    query = {**_parse_range(since, until, interval), "group_by": ",".join(dimensions), "filter": filter}
    session = session_of(context)
    rows = _fetch_rows(session, query)
    if not rows:
        session.tell("no usage in this range; a call shows up seconds after it ends")
    _print_rows(rows, dimensions, has_slots=interval is not None, output=output)
    unpriced = sum(int((row.get("states") or {}).get("unpriced") or 0) for row in rows)
    if unpriced:
        session.tell(f"warning: {unpriced} attempts are unpriced and not in the cost: add a Price for their models")


def _parse_range(since: str, until: str, interval: str | None) -> dict[str, str | None]:
    now = datetime.now(UTC)
    with told_as_usage("--since"):
        start = parse_past(since, now)
    with told_as_usage("--until"):
        end = parse_past(until, now)
    if start >= end:
        raise typer.BadParameter(f"{since} is not before {until}", param_hint="--since")
    with told_as_usage("--interval"):
        length = None if interval is None else render_duration(parse_duration(interval))
    return {"start_time": render_moment(start), "end_time": render_moment(end), "interval": length}


def _fetch_rows(session: Session, query: dict[str, str | None]) -> list[dict[str, Any]]:
    return [row for page in session.admin().pages("usage", query, _MAX_PAGE_SIZE) for row in page.get("rows") or ()]


def _print_rows(rows: list[dict[str, Any]], dimensions: list[str], *, has_slots: bool, output: UsageOutput) -> None:
    from tollctl.render import Output, render_data, write_out
    from tollctl.report import render_csv, render_report

    match output:
        case UsageOutput.JSON:
            write_out(render_data({"rows": rows}, Output.JSON))
        case UsageOutput.CSV:
            write_out(render_csv(rows, dimensions, has_slots=has_slots))
        case UsageOutput.TABLE if rows:
            write_out(render_report(rows, dimensions, has_slots=has_slots))
