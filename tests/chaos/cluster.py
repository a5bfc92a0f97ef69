"""A whole installation on this machine, two of each service, every one of which can be killed, paused and kept down."""

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from tests.chaos.waiting import CampaignFailed
from tollctl.local.credentials import load_credentials
from tollctl.local.environment import narrow, python_command
from tollctl.local.files import make_private_folder
from tollctl.local.nats import EmbeddedNats
from tollctl.local.plane import Plane, PlaneSpec
from tollctl.local.ports import LOOPBACK, find_free_port
from tollctl.local.postgres import EmbeddedPostgres
from tollctl.local.process import Child, Command
from tollctl.local.service import Service

COPIES = 2
STREAM_MAX_BYTES = 64 << 20
_STOP_STEPS = ((signal.SIGTERM, 60.0),)
_DRAIN_DELAY_S = "1"
_DATABASE_WAIT_S = "30"


class Cluster:
    """Everything below `folder`; services by name, as `dataplane-1`. Nothing starts anything again by itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = make_private_folder(folder)
        self.truth_log = folder / "truth.jsonl"
        self._logs = make_private_folder(folder / "logs")
        self._credentials = load_credentials(folder)
        self._ports: dict[str, int] = {}
        self._starting: dict[str, asyncio.Lock] = {}
        self.postgres = EmbeddedPostgres(folder / "postgres", log=self._logs / "postgres.log")
        self.nats = EmbeddedNats(folder / "nats", log=self._logs / "nats.log")
        self.database_url = self.postgres.settle()
        self.nats_url = self.nats.settle({self.postgres.port})
        self.services: dict[str, Service] = {"postgres": self.postgres, "nats": self.nats}
        self.services["sim"] = self._sim()
        for number in range(1, COPIES + 1):
            self.services[f"controlplane-{number}"] = self._controlplane(number)
        for number in range(1, COPIES + 1):
            self.services[f"consumer-{number}"] = self._consumer(number)
            self.add_dataplane(number)

    @property
    def admin_url(self) -> str:
        return f"http://{LOOPBACK}:{self._port('controlplane-1 admin')}"

    @property
    def admin_token(self) -> str:
        return self._credentials.admin_token

    @property
    def sim_url(self) -> str:
        return f"http://{LOOPBACK}:{self._port('sim')}"

    @property
    def base_urls(self) -> list[str]:
        """Of every data plane that there is, whether it runs or not."""
        return [self._url(name) for name in self.names("dataplane")]

    def names(self, kind: str) -> list[str]:
        """The services of that kind, in order."""
        return [name for name in self.services if name.partition("-")[0] == kind]

    def spool(self, name: str) -> Path:
        """Where that data plane keeps its usage."""
        return self.folder / f"spool-{name}"

    def log_text(self, name: str) -> str:
        return self.services[name].log.read_text(encoding="utf-8", errors="replace")

    async def start(self) -> None:
        """Everything, until it is ready. Raises LocalError; then nothing is left running."""
        try:
            await asyncio.gather(*(self.services[name].bring_up() for name in ("postgres", "nats", "sim")))
            await self._migrate()
            for kind in ("controlplane", "consumer"):
                await asyncio.gather(*(self.services[name].bring_up() for name in self.names(kind)))
        except BaseException:
            await self.stop()
            raise

    async def start_dataplanes(self) -> None:
        """Apart from the rest, for they are ready only once there is a configuration."""
        await asyncio.gather(*(self.services[name].bring_up() for name in self.names("dataplane")))

    async def stop(self) -> None:
        """In good order, the stores last."""
        for name in self.services:
            self.resume(name)
        stores = ("postgres", "nats")
        await asyncio.gather(*(service.stop() for name, service in self.services.items() if name not in stores))
        await asyncio.gather(*(self.services[name].stop() for name in stores))

    async def kill(self, name: str) -> None:
        """SIGKILL, and its end."""
        service = self.services[name]
        if service.pid is not None:
            service.kill()
            await service.wait()

    async def restart(self, name: str) -> None:
        """After its end: again, until it is ready."""
        await self.respawn(name)
        await self.services[name].wait_ready()

    async def respawn(self, name: str) -> None:
        """After its end: again, without waiting for more than its process."""
        async with self._starting.setdefault(name, asyncio.Lock()):
            await self.services[name].spawn()

    def pause(self, name: str) -> None:
        """SIGSTOP it, with the processes that it has started."""
        self._signal(name, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        self._signal(name, signal.SIGCONT)

    def add_dataplane(self, number: int) -> str:
        """One more, with a spool of its own; its name. It is not started."""
        name = f"dataplane-{number}"
        addresses = [f"{LOOPBACK}:{self._port(f'{plane} grpc')}" for plane in self.names("controlplane")]
        settings = {
            "TOLLWAY_LISTEN": self._address(name),
            "TOLLWAY_METRICS_LISTEN": self._address(f"{name} metrics"),
            "TOLLWAY_CONTROLPLANE_ADDRESS": ",".join(addresses),
            "TOLLWAY_PLANE_TOKEN": self._credentials.plane_token,
            "TOLLWAY_NATS_URL": self.nats_url,
            "TOLLWAY_SPOOL_DIR": str(make_private_folder(self.spool(name))),
            "TOLLWAY_NODE": name,
            "TOLLWAY_DRAIN_DELAY_S": _DRAIN_DELAY_S,
        }
        self.services[name] = self._plane(name, ("dataplane.main",), settings, ready=name)
        return name

    def remove_dataplane(self, name: str) -> None:
        """Of one that has ended, with its spool, as the disk of a pod goes with it."""
        del self.services[name]
        self.wipe_spool(name)

    def wipe_spool(self, name: str) -> None:
        shutil.rmtree(self.spool(name))
        make_private_folder(self.spool(name))

    async def replay_ledger(self) -> None:
        """`tollctl ledger replay`, of everything that the tap holds. Raises CampaignFailed when it fails."""
        log = self._logs / "replay.log"
        settings = {
            "TOLLWAY_DATABASE_URL": self.database_url,
            "TOLLWAY_NATS_URL": self.nats_url,
            "TOLLWAY_ADMIN_URL": self.admin_url,
            "TOLLWAY_ADMIN_TOKEN": self.admin_token,
        }
        argv = python_command("tollctl.main", "ledger", "replay", "--since", "1h")
        if await Child(Command(argv, narrow(os.environ, settings), self.folder, log=log)).wait() != 0:
            raise CampaignFailed(f"tollctl ledger replay failed: {log.read_text(encoding='utf-8')}")

    async def read_metrics(self, name: str) -> dict[str, float]:
        """The samples without labels of a service's metrics; {} while it does not answer."""
        try:
            url = f"http://{LOOPBACK}:{self._port(f'{name} metrics')}/metrics"
            timeout = aiohttp.ClientTimeout(total=2)
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
                return _samples(await response.text())
        except (aiohttp.ClientError, TimeoutError):
            return {}

    def memory_kib(self) -> dict[str, int]:
        """Resident memory of each service that runs."""
        return {name: _resident_kib(service.pid) for name, service in self.services.items() if service.pid is not None}

    def _controlplane(self, number: int) -> Plane:
        name = f"controlplane-{number}"
        settings = {
            "TOLLWAY_DATABASE_URL": self.database_url,
            "TOLLWAY_ADMIN_LISTEN": self._address(f"{name} admin"),
            "TOLLWAY_GRPC_LISTEN": self._address(f"{name} grpc"),
            "TOLLWAY_METRICS_LISTEN": self._address(f"{name} metrics"),
            "TOLLWAY_ENCRYPTION_KEY": self._credentials.encryption_key,
            "TOLLWAY_KEY_PEPPER": self._credentials.key_pepper,
            "TOLLWAY_PLANE_TOKEN": self._credentials.plane_token,
            "TOLLWAY_ADMIN_TOKEN": self._credentials.admin_token,
            "TOLLWAY_DRAIN_DELAY_S": "0",
        }
        return self._plane(name, ("controlplane.main",), settings, ready=f"{name} metrics")

    def _consumer(self, number: int) -> Plane:
        name = f"consumer-{number}"
        settings = {
            "TOLLWAY_DATABASE_URL": self.database_url,
            "TOLLWAY_NATS_URL": self.nats_url,
            "TOLLWAY_METRICS_LISTEN": self._address(f"{name} metrics"),
            "TOLLWAY_USAGE_STREAM_MAX_BYTES": str(STREAM_MAX_BYTES),
        }
        return self._plane(name, ("controlplane.consumer_main",), settings, ready=f"{name} metrics")

    def _sim(self) -> Plane:
        module = ("tollctl.sim", "--port", str(self._port("sim")), "--truth-log", str(self.truth_log))
        return self._plane("sim", module, {}, ready="sim", ready_path="/healthz")

    def _plane(
        self,
        name: str,
        module: tuple[str, ...],
        settings: Mapping[str, str],
        *,
        ready: str,
        ready_path: str = "/readyz",
    ) -> Plane:
        ports = tuple(port for key, port in self._ports.items() if key.partition(" ")[0] == name)
        env = narrow(os.environ, settings)
        log = self._logs / f"{name}.log"
        return Plane(PlaneSpec(name, module, env, ports, self._port(ready), ready_path, log, _STOP_STEPS))

    async def _migrate(self) -> None:
        settings = {"TOLLWAY_DATABASE_URL": self.database_url, "TOLLWAY_DATABASE_WAIT_S": _DATABASE_WAIT_S}
        log = self._logs / "migrate.log"
        command = Command(
            python_command("controlplane.migrate_main"), narrow(os.environ, settings), self.folder, log=log
        )
        if await Child(command).wait() != 0:
            raise CampaignFailed(f"the database cannot be prepared: {log.read_text(encoding='utf-8')}")

    def _signal(self, name: str, number: signal.Signals) -> None:
        pid = self.services[name].pid
        if pid is not None:
            for each in (pid, *_children(pid)):
                os.kill(each, number)

    def _port(self, key: str) -> int:
        if key not in self._ports:
            self._ports[key] = find_free_port({*self._ports.values(), self.postgres.port, self.nats.port})
        return self._ports[key]

    def _address(self, key: str) -> str:
        return f"{LOOPBACK}:{self._port(key)}"

    def _url(self, name: str) -> str:
        return f"http://{self._address(name)}"


def _samples(text: str) -> dict[str, float]:
    pairs = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#") and "{" not in line)
    return {name: float(value) for name, value in pairs}


def _children(pid: int) -> list[int]:
    """The processes that it has started and that still run."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    except OSError:
        return []


def _resident_kib(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")), 0)
