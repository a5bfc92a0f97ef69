"""`tollctl delete`: by name, or what manifests name."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from tollctl.arguments import DryRunOption, TeamOption, told_as_usage
from tollctl.errors import CommandError, Refused
from tollctl.kinds import CONFIG_KINDS, find_kind, name_in_manifest
from tollctl.session import session_of

KindArgument = Annotated[
    str | None, typer.Argument(help=", ".join(kind.spellings[1] for kind in CONFIG_KINDS), metavar="[KIND]")
]
NamesArgument = Annotated[list[str] | None, typer.Argument(help="Names; of keys as TEAM/KEY.", metavar="[NAME]...")]
FilesOption = Annotated[
    list[str] | None, typer.Option("--file", "-f", help="Delete what these manifests name.", metavar="FILE|DIR|-")
]
IgnoreOption = Annotated[bool, typer.Option("--ignore-not-found", help="Deleting what does not exist succeeds.")]


def delete(
    context: typer.Context,
    kind: KindArgument = None,
    names: NamesArgument = None,
    file: FilesOption = None,
    team: TeamOption = None,
    ignore_not_found: IgnoreOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Delete resources; one that others refer to is refused."""
    if file and kind is None:
        targets = _names_in_files(file)
    elif not file and kind is not None and names:
        targets = _names_of(kind, names, team)
    else:
        raise typer.BadParameter("give KIND and NAME, or -f FILE", param_hint="KIND")
    admin = session_of(context).admin()
    refusals = []
    for name in targets:
        try:
            admin.delete(name, {"allow_missing": ignore_not_found or None, "validate_only": dry_run or None})
        except Refused as refused:
            refusals.append(str(refused) if name in str(refused) else f"{name}: {refused}")
        else:
            print(f"{name} deleted{' (dry run)' if dry_run else ''}")
    if refusals:
        raise CommandError("\n".join(refusals))


def _names_of(kind: str, names: Sequence[str], team: str | None) -> list[str]:
    with told_as_usage("KIND"):
        row = find_kind(kind, CONFIG_KINDS)
    with told_as_usage("NAME"):
        return [row.name_of(name, team) for name in names]


def _names_in_files(sources: Sequence[str]) -> list[str]:
    """What refers to others comes before them."""
    from tollctl.manifests import read_documents

    found = []
    for document in read_documents(sources, sys.stdin):
        try:
            kind, name = name_in_manifest(document.content)
        except ValueError as error:
            raise CommandError(f"{document.title}: {error}") from None
        found.append((CONFIG_KINDS.index(kind), name))
    return [name for _, name in sorted(found, key=lambda entry: -entry[0])]
