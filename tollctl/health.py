"""Whether the parts of a stack answer."""

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tollctl.errors import CommandError
from tollctl.stack import Stack
from tollctl.web import Address, Request, parse_address, send

_TIMEOUT_S = 3.0
_MAX_REASON = 300
_INFO = b"INFO "


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a stack. `address` holds no credential; `reason` says why it is not ready."""

    name: str
    address: str
    is_ready: bool
    reason: str
    pid: int | None


def check_parts(stack: Stack, ca_file: Path | None = None) -> list[Part]:
    """Every part of a local stack, asked now."""
    consumer = stack.metrics_urls.get("consumer", "")
    checks = [
        ("dataplane", stack.openai_base_url, probe_url(stack.openai_base_url, "/readyz", ca_file)),
        ("controlplane", stack.admin_url, probe_url(stack.admin_url, "/readyz", ca_file)),
        ("consumer", consumer, probe_url(consumer, "/readyz")),
        ("postgres", hide_credentials(stack.database_url), probe_port(stack.database_url, 5432)),
        ("nats", hide_credentials(stack.nats_url), probe_jetstream(stack.nats_url)),
    ]
    if stack.sim_url:
        checks.append(("sim", stack.sim_url, probe_url(stack.sim_url, "/healthz")))
    return [Part(name, address, not reason, reason, stack.pids.get(name)) for name, address, reason in checks]


def probe_url(url: str, path: str, ca_file: Path | None = None) -> str:
    """Why `path` on the server of `url` does not answer 200; "" when it does."""
    if not url:
        return "its address is not known"
    try:
        parsed = parse_address(url, "stack.json")
        server = Address(parsed.scheme, parsed.host, parsed.port, "")
        with send(server, Request("GET", path, {"user-agent": "tollctl"}, timeout_s=_TIMEOUT_S), ca_file) as answer:
            if answer.status == 200:
                return ""
            return _first_line(answer.read()) or f"HTTP status {answer.status}"
    except CommandError as error:
        return str(error)


def probe_port(url: str, default_port: int) -> str:
    """Why nothing accepts connections at a URL's host and port; "" when something does."""
    host, port = _host_and_port(url, default_port)
    try:
        with socket.create_connection((host, port), _TIMEOUT_S):
            return ""
    except OSError as error:
        return f"{host}:{port} is unreachable: {error.strerror or error}"


def probe_jetstream(url: str) -> str:
    """Why the NATS server at url has no JetStream to offer; "" when it has. Only its greeting is read."""
    host, port = _host_and_port(url, 4222)
    try:
        with socket.create_connection((host, port), _TIMEOUT_S) as connection:
            connection.settimeout(_TIMEOUT_S)
            with connection.makefile("rb") as file:
                line = file.readline(65_536)
    except OSError as error:
        return f"{host}:{port} is unreachable: {error.strerror or error}"
    try:
        greeting = json.loads(line.removeprefix(_INFO)) if line.startswith(_INFO) else None
    except ValueError:
        greeting = None
    if not isinstance(greeting, dict):
        return f"{host}:{port} is not a NATS server"
    return "" if greeting.get("jetstream") else f"the NATS server at {host}:{port} runs without JetStream"


def is_running(pid: int | None) -> bool:
    """Whether a process with this id exists."""
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def hide_credentials(url: str) -> str:
    """The URL without user, password and query."""
    parts = urlsplit(url.split(",")[0])
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.scheme else ""


def _host_and_port(url: str, default_port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(url.split(",")[0])
        return parts.hostname or "127.0.0.1", parts.port or default_port
    except ValueError:
        return "127.0.0.1", default_port


def _first_line(content: bytes) -> str:
    lines = content.decode("utf-8", "replace").strip().splitlines()
    return lines[0][:_MAX_REASON] if lines else ""
