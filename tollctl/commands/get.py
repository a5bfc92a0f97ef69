"""`tollctl get`: what is there."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tollctl.arguments import OutputOption, TeamOption, told_as_usage
from tollctl.errors import CommandError
from tollctl.kinds import KINDS, USAGE_RECORD, VIRTUAL_KEY, Kind, find_kind
from tollctl.records import render_attempts
from tollctl.render import Output, render_data, render_table, write_out
from tollctl.session import Session, session_of

if TYPE_CHECKING:
    from tollctl.client import AdminClient

_NEWEST = 50


def complete_kind(incomplete: str) -> list[str]:
    """Kinds that begin as typed, for the shell."""
    return [kind.spellings[1] for kind in KINDS if kind.spellings[1].startswith(incomplete.lower())]


KindArgument = Annotated[
    str,
    typer.Argument(
        help="What to show: " + ", ".join(kind.spellings[1] for kind in KINDS) + ".",
        metavar="KIND",
        autocompletion=complete_kind,
    ),
]
NameArgument = Annotated[str | None, typer.Argument(help="One of them; a key as TEAM/KEY.", metavar="NAME")]
FilterOption = Annotated[
    str | None,
    typer.Option("--filter", help="For audit events, usage records and budget alerts, e.g. 'team = \"growth\"'."),
]
LimitOption = Annotated[
    int | None, typer.Option(min=1, help=f"How many at most; of lists that never end {_NEWEST} unless given.")
]


def get(
    context: typer.Context,
    kind: KindArgument,
    name: NameArgument = None,
    output: OutputOption = Output.TABLE,
    team: TeamOption = None,
    filter: FilterOption = None,
    limit: LimitOption = None,
) -> None:
    """Show resources, data planes, changes or single calls."""
    with told_as_usage("KIND"):
        row = find_kind(kind)
    if filter and not row.is_endless:
        raise typer.BadParameter(f"{row.spellings[1]} cannot be filtered", param_hint="--filter")
    session = session_of(context)
    if name is None:
        print_list(session, row, output, _list(session, row, team, filter, limit))
        return
    with told_as_usage("NAME"):
        full_name = row.name_of(name, team)
    found = session.admin().read(full_name) if row.has_item else _find_in_list(session.admin(), row, full_name)
    write_out(_render_item(row, found) if output is Output.TABLE else render_data(found, output))


def print_list(session: Session, kind: Kind, output: Output, page: dict[str, Any]) -> None:
    """Print a page with all items of a list, and a note where there are none or more."""
    items = page.get(kind.field) or []
    has_more = bool(page.pop("next_page_token", ""))
    if output is not Output.TABLE:
        write_out(render_data(page, output))
    elif items:
        write_out(_render_rows(kind, items))
    else:
        session.tell(f"no {kind.spellings[1]}")
    if has_more:
        session.tell(f"there are more than these {len(items)}: use --limit")


def list_keys(admin: "AdminClient", team: str | None, limit: int | None = None) -> dict[str, Any]:
    """A page with all keys of a team, or of every team. Raises ValueError where team is no name."""
    if team is not None:
        owner = find_kind("team").name_of(team)
        return admin.collect(f"{owner}/keys", VIRTUAL_KEY.field, limit=limit)
    teams = admin.collect("teams", "teams")["teams"]
    keys = [key for found in teams for key in admin.collect(f"{found['name']}/keys", VIRTUAL_KEY.field)["keys"]]
    return {"keys": keys[:limit], "next_page_token": "more" if limit is not None and len(keys) > limit else ""}


def _list(session: Session, kind: Kind, team: str | None, filter: str | None, limit: int | None) -> dict[str, Any]:
    admin = session.admin()
    if kind.is_in_team:
        with told_as_usage("--team"):
            return list_keys(admin, team, limit)
    if team is not None:
        raise typer.BadParameter(f"--team is for keys, not for {kind.spellings[1]}", param_hint="--team")
    return admin.collect(
        kind.collection, kind.field, {"filter": filter}, limit or (_NEWEST if kind.is_endless else None)
    )


def _find_in_list(admin: "AdminClient", kind: Kind, name: str) -> dict[str, Any]:
    for page in admin.pages(kind.collection):
        for item in page.get(kind.field) or ():
            if item.get("name") == name:
                return dict(item)
    raise CommandError(f"{name} does not exist: see `tollctl get {kind.spellings[1]}`")


def _render_item(kind: Kind, item: dict[str, Any]) -> str:
    return _render_rows(kind, [item]) + (render_attempts(item) if kind is USAGE_RECORD else "")


def _render_rows(kind: Kind, items: list[dict[str, Any]]) -> str:
    rows = [[column.cell(item) for column in kind.columns] for item in items]
    return render_table([column.title for column in kind.columns], rows)
