"""One stack as it is to run: where everything listens, and the services in the order in which they stop."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tollctl.local.credentials import Credentials, load_credentials
from tollctl.local.demo import DEMO_KEY_VARIABLE, TRUTH_LOG_VARIABLE
from tollctl.local.environment import narrow, python_command, widen
from tollctl.local.files import make_private_folder
from tollctl.local.nats import EmbeddedNats
from tollctl.local.options import UpOptions
from tollctl.local.plane import Plane, PlaneSpec
from tollctl.local.portplan import Ports, choose_ports
from tollctl.local.ports import LOOPBACK
from tollctl.local.postgres import EmbeddedPostgres
from tollctl.local.process import Command
from tollctl.local.service import Service, StopSteps

DATAPLANE, CONSUMER, CONTROLPLANE, SIM, NATS, POSTGRES = (
    *("dataplane", "consumer", "controlplane", "sim", "nats", "postgres"),
)
SERVICE_NAMES = (DATAPLANE, CONTROLPLANE, CONSUMER, SIM, POSTGRES, NATS)
_PROVIDER_KEYS = frozenset({"OPENAI_API_KEY", "ANTHROPIC_API_KEY"})
_DRAIN_TIMEOUT = "TOLLWAY_DRAIN_TIMEOUT_S"
_DRAIN_TIMEOUT_DEFAULT_S = 300.0
_STOP_STEPS: StopSteps = ((signal.SIGTERM, 15.0),)
_EXTERNAL_WAIT_S = 3
_EMBEDDED_WAIT_S = 120


@dataclass(frozen=True, slots=True)
class Blueprint:
    """database_url and nats_url hold passwords and stay out of repr, as the credentials do."""

    data_dir: Path
    ports: Ports
    credentials: Credentials
    database_url: str = field(repr=False)
    nats_url: str = field(repr=False)
    services: tuple[Service, ...]
    migration: Command

    @property
    def sim_url(self) -> str:
        """The simulated provider's base URL; "" where there is none."""
        return f"http://{LOOPBACK}:{self.ports.sim}" if self.ports.sim else ""

    def service(self, name: str) -> Service | None:
        return next((service for service in self.services if service.name == name), None)


async def draw_blueprint(options: UpOptions, data_dir: Path, environ: Mapping[str, str]) -> Blueprint:
    """Choose ports, make or read the credentials, and build all services. Raises PortTaken, which names the flag."""
    ports = await choose_ports(options, data_dir)
    credentials = load_credentials(data_dir)
    logs = make_private_folder(data_dir / "logs")
    postgres = None if options.database_url else EmbeddedPostgres(data_dir / POSTGRES, log=logs / "postgres.log")
    nats = None if options.nats_url else EmbeddedNats(data_dir / NATS, log=logs / "nats.log")
    database_url = options.database_url or (postgres.settle(ports.all) if postgres else "")
    avoid = {*ports.all, postgres.port if postgres else 0}
    nats_url = options.nats_url or (nats.settle(avoid) if nats else "")
    builder = _Builder(data_dir, ports, credentials, database_url, nats_url, environ)
    planes = [builder.dataplane(), builder.consumer(), builder.controlplane()]
    if options.demo:
        planes.append(builder.sim())
    stores = [store for store in (nats, postgres) if store is not None]
    wait_s = _EXTERNAL_WAIT_S if options.database_url else _EMBEDDED_WAIT_S
    return Blueprint(
        data_dir, ports, credentials, database_url, nats_url, (*planes, *stores), builder.migration(wait_s)
    )


@dataclass(frozen=True, slots=True)
class _Builder:
    data_dir: Path
    ports: Ports
    credentials: Credentials
    database_url: str = field(repr=False)
    nats_url: str = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)

    def dataplane(self) -> Plane:
        settings = {
            "TOLLWAY_LISTEN": _address(self.ports.api),
            "TOLLWAY_METRICS_LISTEN": _address(self.ports.metrics),
            "TOLLWAY_CONTROLPLANE_ADDRESS": _address(self.ports.grpc),
            "TOLLWAY_PLANE_TOKEN": self.credentials.plane_token,
            "TOLLWAY_NATS_URL": self.nats_url,
            "TOLLWAY_SPOOL_DIR": str(make_private_folder(self.data_dir / "spool")),
            "TOLLWAY_DRAIN_DELAY_S": "0",
        }
        drain_s = _read_seconds(self.environ.get(_DRAIN_TIMEOUT, ""), _DRAIN_TIMEOUT_DEFAULT_S)
        return self._build(
            DATAPLANE,
            ("dataplane.main",),
            widen(self.environ, settings),
            (self.ports.api, self.ports.metrics),
            self.ports.api,
            stop_steps=((signal.SIGTERM, drain_s + 30.0),),
        )

    def controlplane(self) -> Plane:
        settings = {
            "TOLLWAY_DATABASE_URL": self.database_url,
            "TOLLWAY_ADMIN_LISTEN": _address(self.ports.admin),
            "TOLLWAY_GRPC_LISTEN": _address(self.ports.grpc),
            "TOLLWAY_METRICS_LISTEN": _address(self.ports.controlplane_metrics),
            "TOLLWAY_ENCRYPTION_KEY": self.credentials.encryption_key,
            "TOLLWAY_KEY_PEPPER": self.credentials.key_pepper,
            "TOLLWAY_PLANE_TOKEN": self.credentials.plane_token,
            "TOLLWAY_ADMIN_TOKEN": self.credentials.admin_token,
            "TOLLWAY_DRAIN_DELAY_S": "0",
            DEMO_KEY_VARIABLE: self.credentials.demo_key,
        }
        ports = (self.ports.admin, self.ports.grpc, self.ports.controlplane_metrics)
        env = widen(self.environ, settings, _PROVIDER_KEYS | {_DRAIN_TIMEOUT})
        return self._build(CONTROLPLANE, ("controlplane.main",), env, ports, self.ports.controlplane_metrics)

    def consumer(self) -> Plane:
        settings = {
            "TOLLWAY_DATABASE_URL": self.database_url,
            "TOLLWAY_NATS_URL": self.nats_url,
            "TOLLWAY_METRICS_LISTEN": _address(self.ports.consumer_metrics),
        }
        env, port = narrow(self.environ, settings), self.ports.consumer_metrics
        return self._build(CONSUMER, ("controlplane.consumer_main",), env, (port,), port)

    def sim(self) -> Plane:
        port = self.ports.sim
        truth_log = self.environ.get(TRUTH_LOG_VARIABLE, "")
        log_option = ("--truth-log", str(Path(truth_log).absolute())) if truth_log else ()
        module = ("tollctl.sim", "--host", LOOPBACK, "--port", str(port), *log_option)
        return self._build(SIM, module, narrow(self.environ, {}), (port,), port, ready_path="/healthz")

    def migration(self, wait_s: int) -> Command:
        settings = {"TOLLWAY_DATABASE_URL": self.database_url, "TOLLWAY_DATABASE_WAIT_S": str(wait_s)}
        return Command(
            python_command("controlplane.migrate_main"),
            narrow(self.environ, settings),
            Path.cwd(),
            log=self.data_dir / "logs" / "migrate.log",
        )

    def _build(
        self,
        name: str,
        module: tuple[str, ...],
        env: Mapping[str, str],
        ports: tuple[int, ...],
        ready_port: int,
        *,
        ready_path: str = "/readyz",
        stop_steps: StopSteps = _STOP_STEPS,
    ) -> Plane:
        log = self.data_dir / "logs" / f"{name}.log"
        return Plane(PlaneSpec(name, module, env, ports, ready_port, ready_path, log, stop_steps))


def _address(port: int) -> str:
    return f"{LOOPBACK}:{port}"


def _read_seconds(text: str, default: float) -> float:
    try:
        return float(text)
    except ValueError:
        return default


def describe_store(url: str, is_embedded: bool) -> str:
    """Where a store is, without its password."""
    place = url.partition("://")[2].partition("?")[0].rpartition("@")[2]
    return f"{place} (embedded)" if is_embedded else place
