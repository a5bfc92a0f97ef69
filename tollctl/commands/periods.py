"""`tollctl ledger periods` and `close`: accounting months, in UTC."""

import re
from typing import Annotated, Any

import typer

from tollctl.arguments import OutputOption
from tollctl.columns import Column, bare, text
from tollctl.confirmation import YesOption, confirm
from tollctl.render import Output, render_data, render_table, write_out
from tollctl.session import session_of

_MONTH = re.compile(r"\d{4}-\d{2}")
_MOST_MONTHS = 24
_FIRST_NUMBER = 4
_COLUMNS = (
    Column("MONTH", bare("name")),
    Column("STATE", text("state")),
    Column("CLOSED AT", text("close_time")),
    Column("BY", text("close_principal")),
    Column("ATTEMPTS", text("attempts")),
    Column("COST USD", text("cost_usd")),
    Column("CLOSED USD", text("closed_cost_usd")),
    Column("LATE USD", text("late_cost_usd")),
)

MonthArgument = Annotated[str, typer.Argument(help="A month that is over, e.g. 2026-10.", metavar="MONTH")]


def periods(context: typer.Context, output: OutputOption = Output.TABLE) -> None:
    """List the months with their sums, and which are closed. Late usage was booked after its month was closed."""
    pages = session_of(context).admin().pages("ledgerPeriods", page_size=_MOST_MONTHS)
    found = [month for page in pages for month in page.get("ledger_periods") or ()]
    if output is Output.TABLE:
        _print_months(found)
    else:
        write_out(render_data({"ledger_periods": found}, output))


def close(
    context: typer.Context, month: MonthArgument, yes: YesOption = False, output: OutputOption = Output.TABLE
) -> None:
    """Close a month for good: adjustments of its entries then land in the month they are posted in."""
    if _MONTH.fullmatch(month) is None:
        raise typer.BadParameter(f"{month!r} is no month such as 2026-10", param_hint="MONTH")
    session = session_of(context)
    confirm(session, f"Close {month}? It cannot be opened again.", yes, f"tollctl ledger close {month}")
    closed = session.admin().write(f"ledgerPeriods/{month}:close", {})
    if output is Output.TABLE:
        _print_months([closed])
    else:
        write_out(render_data(closed, output))


def _print_months(months: list[dict[str, Any]]) -> None:
    rows = [[column.cell(month) for column in _COLUMNS] for month in months]
    right = frozenset(range(_FIRST_NUMBER, len(_COLUMNS)))
    write_out(render_table([column.title for column in _COLUMNS], rows, right))
