"""`tollctl key`: the credentials that apps present.

The secret of a new key goes to stdout alone, so that it can be taken up by a script; what is said about it to stderr.
"""

import secrets
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from tollctl.arguments import GLOBAL_OPTIONS, OutputOption, TeamOption, told_as_usage
from tollctl.commands.get import list_keys, print_list
from tollctl.kinds import VIRTUAL_KEY
from tollctl.moments import parse_duration, parse_future, render_duration, render_moment
from tollctl.render import Output
from tollctl.session import Session, session_of

app = typer.Typer(help="Create, rotate, revoke and list virtual keys.", no_args_is_help=True, rich_markup_mode=None)

NameArgument = Annotated[
    list[str] | None, typer.Argument(help="TEAM KEY, TEAM/KEY, or KEY with --team.", metavar="[TEAM] KEY")
]
ModelsOption = Annotated[
    list[str] | None,
    typer.Option("--allowed-model", help="A model or glob that it may use; every model unless given.", metavar="GLOB"),
]
ExpiresOption = Annotated[str | None, typer.Option(help="When it ends: 30d, or a time.", metavar="WHEN")]
MetadataOption = Annotated[
    list[str] | None, typer.Option(help="Joined with the metadata of each call.", metavar="NAME=VALUE")
]
OverlapOption = Annotated[
    str | None, typer.Option(help="How long the old secret stays valid: 24h unless given, 0s for none.", metavar="TIME")
]


@app.command(epilog=GLOBAL_OPTIONS)
def create(
    context: typer.Context,
    key: NameArgument = None,
    team: TeamOption = None,
    allowed_model: ModelsOption = None,
    expires: ExpiresOption = None,
    metadata: MetadataOption = None,
) -> None:
    """Create a key and print its secret, which is shown this once. Without KEY, a name is made up."""
    name = _key_name(key or ([f"key-{secrets.token_hex(4)}"] if team else []), team)
    fields: dict[str, Any] = {"allowed_models": allowed_model or [], "metadata": _parse_metadata(metadata or [])}
    if expires is not None:
        with told_as_usage("--expires"):
            fields["expire_time"] = render_moment(parse_future(expires, datetime.now(UTC)))
    owner, _, key_id = name.rpartition("/keys/")
    session = session_of(context)
    issued = session.admin().write(f"{owner}/keys", fields, {"key_id": key_id})
    _print_secret(session, issued, "created")


@app.command(epilog=GLOBAL_OPTIONS)
def rotate(
    context: typer.Context, key: NameArgument = None, team: TeamOption = None, overlap: OverlapOption = None
) -> None:
    """Make a new secret for a key and print it; the old one stays valid for a while."""
    name = _key_name(key or [], team)
    body = {}
    if overlap is not None:
        with told_as_usage("--overlap"):
            body["overlap"] = render_duration(parse_duration(overlap))
    session = session_of(context)
    issued = session.admin().write(f"{name}:rotate", body)
    _print_secret(session, issued, f"rotated; the old secret stays valid for {overlap or '24h'}")


@app.command(epilog=GLOBAL_OPTIONS)
def revoke(context: typer.Context, key: NameArgument = None, team: TeamOption = None) -> None:
    """Refuse a key from now on. It cannot be undone."""
    name = _key_name(key or [], team)
    session_of(context).admin().write(f"{name}:revoke", {})
    print(f"{name} revoked")


@app.command("list", epilog=GLOBAL_OPTIONS)
def list_(
    context: typer.Context,
    owner: Annotated[str | None, typer.Argument(help="Only keys of this team.", metavar="[TEAM]")] = None,
    team: TeamOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List keys, without secrets."""
    session = session_of(context)
    with told_as_usage("TEAM"):
        print_list(session, VIRTUAL_KEY, output, list_keys(session.admin(), owner or team))


def _key_name(parts: list[str], team: str | None) -> str:
    with told_as_usage("KEY"):
        if len(parts) == 2 and team is None:
            return VIRTUAL_KEY.name_of(parts[1], parts[0])
        if len(parts) != 1:
            raise ValueError("name one key: TEAM KEY, TEAM/KEY, or KEY with --team")
        return VIRTUAL_KEY.name_of(parts[0], team)


def _parse_metadata(pairs: list[str]) -> dict[str, str]:
    parsed: dict[str, str] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name or name in parsed:
            raise typer.BadParameter(f"{pair!r}: write NAME=VALUE, each name once", param_hint="--metadata")
        parsed[name] = value
    return parsed


def _print_secret(session: Session, issued: dict[str, Any], what: str) -> None:
    if secret := issued.get("secret"):
        session.tell(f"{issued['name']} {what}; the secret is shown this once:")
        print(secret)
    else:
        session.tell(f"{issued['name']} {what}; its secret is what its reference holds")
