"""`tollctl prices rerate`: booked usage priced anew, shown first and posted once it is confirmed."""

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from tollctl.arguments import OutputOption, told_as_usage
from tollctl.confirmation import YesOption, confirm
from tollctl.moments import parse_past, render_moment
from tollctl.render import Output, render_data, write_out
from tollctl.rerating import (
    await_run,
    fetch_differences,
    is_unchanged,
    render_differences,
    render_sums,
    warnings_of,
)
from tollctl.session import Session, session_of

JsonObject = dict[str, Any]

FromOption = Annotated[
    str | None,
    typer.Option("--from", help="Attempts that began from then on: a time, or how long ago.", metavar="WHEN"),
]
ToOption = Annotated[str, typer.Option("--to", help="Until when: a time, or how long ago.", metavar="WHEN")]
FilterOption = Annotated[str | None, typer.Option("--filter", help='E.g. \'team = "growth" AND model = "gpt-4o"\'.')]
BookOption = Annotated[
    str | None, typer.Option("--book", help="The price book; prices of admins win over it.", metavar="BOOK")
]
RunOption = Annotated[
    str | None, typer.Option("--run", help="Go on with a run that was created before.", metavar="RUN")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show the differences and post nothing.")]
UnpricedOption = Annotated[
    bool, typer.Option("--allow-unpriced", help="Take the cost from entries that the book has no price for.")
]


def rerate(
    context: typer.Context,
    from_: FromOption = None,
    to: ToOption = "now",
    filter: FilterOption = None,
    book: BookOption = None,
    run: RunOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    allow_unpriced: UnpricedOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Price booked usage anew: show the difference per team and model, then post it as adjustments.

    The control plane does the work, and goes on with it when you leave: take it up again with --run.
    """
    order = _order(from_, to, filter, book, run)
    session = session_of(context)
    name = _name_of(run) if run else _create(session, order)
    found = await_run(session, name, "previewing")
    if found["state"] == "previewed":
        is_table = output is Output.TABLE
        _show_preview(session, found, output if dry_run or is_table else None)
        if dry_run or is_unchanged(found):
            return _end_unposted(session, found, output, is_shown=dry_run or is_table)
        confirm(session, f"Post {found['preview']['changed_entries']} adjustments to the ledger?", yes, _hint(name))
        session.admin().write(f"{name}:post", {"allow_unpriced": allow_unpriced, "request_id": str(uuid.uuid4())})
    return _show_posted(session, await_run(session, name, "posting"), output)


def _order(from_: str | None, to: str, filter: str | None, book: str | None, run: str | None) -> JsonObject:
    """The new run that the options ask for; {} with `run`, which needs none."""
    if run is not None:
        if from_ is not None or filter is not None or book is not None:
            raise typer.BadParameter("stands alone: the run knows its range, filter and book", param_hint="--run")
        return {}
    if from_ is None or book is None:
        raise typer.BadParameter("is needed", param_hint="--book" if book is None else "--from")
    now = datetime.now(UTC)
    with told_as_usage("--from"):
        start = parse_past(from_, now)
    with told_as_usage("--to"):
        end = parse_past(to, now)
    if start >= end:
        raise typer.BadParameter(f"{from_} is not before {to}", param_hint="--from")
    range_ = {"start_time": render_moment(start), "end_time": render_moment(end)}
    return {**range_, "filter": filter or "", "price_book": book}


def _create(session: Session, order: JsonObject) -> str:
    created = session.admin().write("reratingRuns", order, {"request_id": str(uuid.uuid4())})
    session.tell(f"run {created['name']}")
    return str(created["name"])


def _name_of(run: str) -> str:
    return run if "/" in run else f"reratingRuns/{run}"


def _hint(name: str) -> str:
    return f"tollctl prices rerate --run {name.rpartition('/')[2]}"


def _show_preview(session: Session, run: JsonObject, output: Output | None) -> None:
    """The differences on stdout, unless `output` is None, and what they come to for people."""
    if output is not None:
        _print(run, fetch_differences(session, run), output)
    session.tell(render_sums(run))
    for warning in warnings_of(run):
        session.tell(f"warning: {warning}")


def _show_posted(session: Session, run: JsonObject, output: Output) -> None:
    if output is Output.TABLE:
        print(f"{run['name']} {render_sums(run)}")
    else:
        _print(run, fetch_differences(session, run), output)


def _end_unposted(session: Session, run: JsonObject, output: Output, *, is_shown: bool) -> None:
    if is_unchanged(run):
        session.admin().write(f"{run['name']}:cancel", {})
        session.tell("nothing to post: every entry costs what the price book says")
    else:
        session.tell(f"nothing was posted; post it with {_hint(run['name'])}")
    if not is_shown:
        _print(run, [], output)


def _print(run: JsonObject, differences: list[JsonObject], output: Output) -> None:
    if output is Output.TABLE:
        write_out(render_differences(run, differences))
    else:
        write_out(render_data({"run": run, "differences": differences}, output))
