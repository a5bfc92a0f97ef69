"""`tollctl export`: what is there, as manifests that apply unchanged."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tollctl.arguments import told_as_usage
from tollctl.errors import CommandError
from tollctl.kinds import CONFIG_KINDS, Kind, find_kind, team_of_key
from tollctl.render import render_yaml, write_out
from tollctl.session import Session, session_of

if TYPE_CHECKING:
    from tollctl.client import AdminClient

KindArgument = Annotated[str | None, typer.Argument(help="Only this kind; every kind unless given.", metavar="[KIND]")]
NameArgument = Annotated[str | None, typer.Argument(help="Only this one; a key as TEAM/KEY.", metavar="[NAME]")]


def export(context: typer.Context, kind: KindArgument = None, name: NameArgument = None) -> None:
    """Print resources as manifests, without secrets."""
    session = session_of(context)
    with told_as_usage("KIND"):
        kinds = CONFIG_KINDS if kind is None else (find_kind(kind, CONFIG_KINDS),)
    manifests = list(_export(session, kinds, name))
    if manifests:
        write_out(render_yaml(*manifests))
    else:
        session.tell("nothing to export")


def _export(session: Session, kinds: tuple[Kind, ...], name: str | None) -> Iterator[dict[str, Any]]:
    admin = session.admin()
    for kind in kinds:
        for resource in _resources(admin, kind, name):
            if resource.get("state") == "revoked":
                session.tell(f"{resource['name']} is left out: it is revoked, and applied elsewhere it would be valid")
            else:
                yield write_manifest(kind, resource)


def _resources(admin: "AdminClient", kind: Kind, name: str | None) -> list[dict[str, Any]]:
    if name is not None:
        with told_as_usage("NAME"):
            return [admin.read(kind.name_of(name))]
    if kind.is_in_team:
        from tollctl.commands.get import list_keys

        return list(list_keys(admin, None)["keys"])
    return list(admin.collect(kind.collection, kind.field)[kind.field])


def write_manifest(kind: Kind, resource: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a resource as the API shows it. Raises CommandError for fields unknown to this release."""
    from tollway.kernel.names import bare_id
    from tollway.resources.kinds import KINDS
    from tollway.resources.reading import read_message
    from tollway.resources.writing import write_spec

    message = KINDS[kind.manifest].message()
    violations = read_message(resource, message, accepts=lambda field: True)
    if violations:
        raise CommandError(f"{resource.get('name')} cannot be exported by this release: {violations[0]}")
    spec = write_spec(message)
    if not spec.get("secret"):
        spec.pop("secret", None)
    labels = spec.pop("labels", None)
    metadata: dict[str, Any] = {"name": bare_id(message.name)}
    if kind.is_in_team:
        metadata["team"] = team_of_key(message.name)
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": "tollway/v1", "kind": kind.manifest, "metadata": metadata, "spec": spec}
