"""PostgreSQL as a child process: one data directory, one port on 127.0.0.1, one password."""

import asyncio
import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Collection
from pathlib import Path

from tollctl.local.errors import LocalError, ServiceFailed
from tollctl.local.files import make_private_folder, read_or_create_private
from tollctl.local.logs import quote_last_line
from tollctl.local.pgruntime import PostgresRuntime, choose_server_identity, find_nobody, locate_runtime
from tollctl.local.ports import LOOPBACK, claim_port, recall_port
from tollctl.local.process import Child, Command, Identity
from tollctl.local.service import Service

_ROLE = "tollway"
_INITDB_TIMEOUT_S = 120.0
_PREDECESSOR_TIMEOUT_S = 10.0
_POLL_INTERVAL_S = 0.01
_STOP_STEPS = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0))
_HOST_RULES = "host all all 127.0.0.1/32 scram-sha-256\n"
_FSYNC_OFF = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


class EmbeddedPostgres(Service):
    """A PostgreSQL server over the binaries of the `local` extra.

    data_dir: holds the database, the password (0600), the port and, unless `log` says otherwise, the log; state
        survives.
    port: 0 is a free port, the same one at every start while it stays free.
    version: "16" or "18".
    fsync: off only where the data may be lost with the machine, as in tests.
    """

    def __init__(
        self, data_dir: Path, *, port: int = 0, version: str = "18", fsync: bool = True, log: Path | None = None
    ) -> None:
        self._folder = Path(data_dir).absolute()
        super().__init__("postgres", log or self._folder / "postgres.log", _STOP_STEPS)
        self._data = self._folder / "data"
        self._founding_log = self.log.with_name("initdb.log")
        self._port = port
        self._version = version
        self._fsync = fsync
        self._password = ""

    @property
    def port(self) -> int:
        """The TCP port; 0 before the first start where none was given."""
        return self._port

    def url(self, database: str = _ROLE) -> str:
        """A libpq URL with the password in it, for a superuser."""
        return f"postgresql://{_ROLE}:{self._password}@{LOOPBACK}:{self._port}/{database}"

    def settle(self, avoid: Collection[int] = ()) -> str:
        """Fix password and port, none of `avoid`, so that the URL is known before the server runs; return it."""
        make_private_folder(self._folder)
        self._password = self._password or read_or_create_private(self._folder / "password", secrets.token_urlsafe(24))
        self._port = self._port or recall_port(self._folder / "port", avoid)
        return self.url()

    async def start(self) -> str:
        """Start the server, creating the database at first, and return its URL when it answers.

        Raises PortTaken, BinaryMissing, ServiceFailed or LocalError; nothing is left running then.
        """
        await self.bring_up()
        return self.url()

    def abort(self) -> None:
        """Immediate shutdown: the server ends its own processes, and recovers at the next start."""
        if self._child is not None:
            self._child.send(signal.SIGQUIT)

    async def _prepare(self) -> Command:
        self.settle()
        runtime = locate_runtime(self._version, self._folder / "runtime")
        identity = choose_server_identity(self._data)
        if not self._data.exists():
            await self._create_database(runtime, identity)
        self._check_version()
        await self._outlive_predecessor()
        await claim_port(self._port, "PostgreSQL")
        return self._server_command(runtime, identity)

    async def _create_database(self, runtime: PostgresRuntime, identity: Identity | None) -> None:
        """Build the cluster aside and move it into place whole: a crash on the way leaves nothing half made."""
        draft = self._folder / "data.new"
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(mode=0o700)
        try:
            await self._fill(draft, runtime, identity)
            draft.rename(self._data)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    async def _fill(self, draft: Path, runtime: PostgresRuntime, identity: Identity | None) -> None:
        """These two programs refuse a user without a name, the server does not: `nobody` founds, then hands over."""
        founder = None if identity is None else find_nobody()
        _hand_over(draft, founder)
        initdb = [str(runtime.initdb), "-D", _address(draft, founder), "-U", _ROLE, "-A", "reject", "-E", "UTF8"]
        initdb += ["--no-locale", "--no-sync"]
        await self._run_once(
            "initdb", Command(tuple(initdb), _ENVIRONMENT, draft, identity=founder, log=self._founding_log)
        )
        (draft / "pg_hba.conf").write_text(_HOST_RULES, encoding="ascii")
        single = (
            str(runtime.postgres),
            "--single",
            "-D",
            _address(draft, founder),
            "-c",
            "exit_on_error=on",
            "postgres",
        )
        text = f"ALTER ROLE {_ROLE} PASSWORD '{self._password}'\nCREATE DATABASE {_ROLE}\n"
        await self._run_once(
            "postgres --single",
            Command(single, _ENVIRONMENT, draft, identity=founder, log=self._founding_log, text=text),
        )
        _hand_over(draft, identity)
        if self._fsync:
            await asyncio.to_thread(_sync_tree, draft)

    async def _run_once(self, name: str, command: Command) -> None:
        child = Child(command)
        try:
            async with asyncio.timeout(_INITDB_TIMEOUT_S):
                code = await child.wait()
        except BaseException:
            await child.stop()
            raise
        if code != 0:
            raise ServiceFailed(f"{name} failed with exit code {code}: {quote_last_line(self._founding_log)}")

    def _server_command(self, runtime: PostgresRuntime, identity: Identity | None) -> Command:
        settings = [
            f"listen_addresses={LOOPBACK}",
            f"port={self._port}",
            "unix_socket_directories=",
            "max_connections=200",
            "log_timezone=UTC",
            "timezone=UTC",
            *(() if self._fsync else _FSYNC_OFF),
        ]
        options = [part for setting in settings for part in ("-c", setting)]
        argv = (str(runtime.postgres), "-D", _address(self._data, identity), *options)
        return Command(argv, _ENVIRONMENT, self._data, signal.SIGINT, identity, self.log)

    def _check_version(self) -> None:
        found = (self._data / "PG_VERSION").read_text(encoding="ascii").strip()
        if found != self._version:
            raise LocalError(
                f"{self._data} was made by PostgreSQL {found}, this is {self._version}: "
                "dump it with the old version, or choose another data directory"
            )

    async def _outlive_predecessor(self) -> None:
        """Wait for the server of a killed parent to finish; forget a process id that now is something else's."""
        lock = self._data / "postmaster.pid"
        deadline = time.monotonic() + _PREDECESSOR_TIMEOUT_S
        while (pid := _read_pid(lock)) is not None and _is_running(pid):
            if not _serves(pid, self._data):
                lock.unlink(missing_ok=True)
                return
            if time.monotonic() >= deadline:
                raise ServiceFailed(f"PostgreSQL with process id {pid} already serves {self._data}: stop it first")
            await asyncio.sleep(_POLL_INTERVAL_S)

    async def _is_ready(self, pid: int) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


def _address(data: Path, identity: Identity | None) -> str:
    """How the server names its data directory, which is its working directory."""
    return str(data) if identity is None else "/proc/self/cwd"


def _hand_over(folder: Path, identity: Identity | None) -> None:
    if identity is None:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, identity.uid, identity.gid, follow_symlinks=False)


def _sync_tree(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read_pid(lock: Path) -> int | None:
    try:
        return int(lock.read_text(encoding="utf-8").splitlines()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return None


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _serves(pid: int, data: Path) -> bool:
    """Whether process pid is a server on this data directory; where that cannot be seen, PostgreSQL decides itself."""
    if sys.platform != "linux":
        return True
    try:
        return Path(f"/proc/{pid}/cwd").samefile(data)
    except OSError:
        return False
