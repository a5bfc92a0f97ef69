"""`tollctl status`: what runs, and which configuration it serves."""

from typing import TYPE_CHECKING, Any

import typer

from tollctl.arguments import OutputOption
from tollctl.errors import CommandError
from tollctl.kinds import DATA_PLANE
from tollctl.render import Output, render_data, render_table, write_out
from tollctl.session import Session, session_of

if TYPE_CHECKING:
    from tollctl.health import Part


def status(context: typer.Context, output: OutputOption = Output.TABLE) -> None:
    """Show the parts of the stack; exit code 1 if one is not ready."""
    session = session_of(context)
    parts = _check_parts(session)
    try:
        fleet, trouble = session.admin().collect(DATA_PLANE.collection, DATA_PLANE.field), None
    except CommandError as error:
        fleet, trouble = {}, error
    if output is Output.TABLE:
        write_out(_render_parts(parts))
        _print_fleet(session, fleet)
    else:
        write_out(render_data(_describe(parts, fleet), output))
    if trouble is not None:
        raise trouble
    if not all(part.is_ready for part in parts):
        raise typer.Exit(1)


def _check_parts(session: Session) -> "list[Part]":
    """All parts of the local stack; only the control plane where another one is named."""
    from tollctl.health import Part, check_parts, probe_url

    url, _ = session.admin_url()
    stack = session.stack()
    if stack is not None and stack.admin_url.rstrip("/") == url.rstrip("/"):
        return check_parts(stack, session.trusted_ca())
    reason = probe_url(url, "/readyz", session.trusted_ca())
    return [Part("controlplane", url, not reason, reason, None)]


def _render_parts(parts: "list[Part]") -> str:
    rows = [
        [part.name, "ready" if part.is_ready else "not ready", part.address, str(part.pid or ""), part.reason]
        for part in parts
    ]
    return render_table(["PART", "STATE", "ADDRESS", "PID", "REASON"], rows)


def _print_fleet(session: Session, fleet: dict[str, Any]) -> None:
    planes = fleet.get(DATA_PLANE.field) or []
    if not planes:
        session.tell("no data plane is connected")
        return
    rows = [[column.cell(plane) for column in DATA_PLANE.columns] for plane in planes]
    print(f"\nhead revision {fleet.get('head_revision')}")
    write_out(render_table([column.title for column in DATA_PLANE.columns], rows))


def _describe(parts: "list[Part]", fleet: dict[str, Any]) -> dict[str, Any]:
    return {
        "parts": [
            {"name": p.name, "address": p.address, "ready": p.is_ready, "reason": p.reason, "pid": p.pid} for p in parts
        ],
        "head_revision": fleet.get("head_revision"),
        "data_planes": fleet.get(DATA_PLANE.field) or [],
    }
