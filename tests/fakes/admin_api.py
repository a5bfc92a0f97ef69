"""An HTTP server that answers what it was told to and remembers what it was asked, and tollctl run against it."""

import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

ADMIN_TOKEN = "twa_scripted-token-0123456789"
_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that arrived; `query` holds the last value of each parameter."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer: an object as JSON, or bytes as they are, and whether to break off before the body's end."""

    content: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    is_cut: bool = False


@dataclass(slots=True)
class ScriptedApi:
    """Replies by "METHOD /path"; a list is used up in turn, its last one again and again."""

    url: str
    replies: dict[str, Reply | list[Reply]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def choose(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        found = self.replies.get(f"{asked.method} {asked.path}")
        if found is None:
            return Reply(error_body(404, "NOT_FOUND", f"{asked.path} does not exist"), 404)
        if isinstance(found, Reply):
            return found
        return found.pop(0) if len(found) > 1 else found[0]


def error_body(code: int, status: str, message: str, violations: tuple[tuple[str, str], ...] = ()) -> dict[str, Any]:
    """An error as the admin API writes it."""
    details: list[dict[str, Any]] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "domain": "tollway"}]
    if violations:
        listed = [{"field": where, "description": text} for where, text in violations]
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "field_violations": listed})
    return {"error": {"code": code, "status": status, "message": message, "details": details}}


@contextmanager
def scripted_api(tls: ssl.SSLContext | None = None) -> Iterator[ScriptedApi]:
    """A server on a free port of 127.0.0.1, with TLS where a context is given."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            parts = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            content = self.rfile.read(length)
            asked = Asked(
                self.command,
                parts.path,
                query,
                {name.lower(): value for name, value in self.headers.items()},
                json.loads(content) if content else None,
            )
            self.send(api.choose(asked))

        def send(self, reply: Reply) -> None:
            body = reply.content if isinstance(reply.content, bytes) else json.dumps(reply.content).encode()
            self.send_response(reply.status)
            for name, value in {"content-type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body) + reply.is_cut))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = do_PATCH = answer  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    api = ScriptedApi(f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run_tollctl(
    *arguments: str, folder: Path, environ: Mapping[str, str] | None = None, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the command line in `folder` with no TOLLWAY_* setting but those in `environ`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOLLWAY_")}
    return subprocess.run(
        [sys.executable, "-m", "tollctl.main", *arguments],
        cwd=folder,
        env={**inherited, **(environ or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
