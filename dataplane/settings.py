"""What a data plane is told by its environment, and the --help text that lists it."""

import os
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tollway.settings import (
    LOG_LEVEL,
    OTLP_ENDPOINT,
    OTLP_TRACES_ENDPOINT,
    Address,
    Environment,
    Secret,
    SettingsError,
    TlsFiles,
    Variable,
    help_text,
    is_tracing,
    log_level,
)

_MEBIBYTE = 1_048_576
_DAY_S = 86_400
_MINIMUM_TOKEN_LENGTH = 16
_NATS_SCHEMES = ("nats", "tls")

LISTEN = Variable("TOLLWAY_LISTEN", "host:port", "where apps call", "0.0.0.0:8080")
METRICS_LISTEN = Variable(
    "TOLLWAY_METRICS_LISTEN", "host:port", "where /metrics, /livez and /readyz are, always plain", "0.0.0.0:9090"
)
CONTROLPLANE_ADDRESS = Variable(
    "TOLLWAY_CONTROLPLANE_ADDRESS",
    "host:port,...",
    "the gRPC feed of the control plane; several are tried in turn, a DNS name stands for all its addresses. "
    "Required, or TOLLWAY_CONFIG_FILE",
)
CONFIG_FILE = Variable(
    "TOLLWAY_CONFIG_FILE", "path", "a manifest file, or a folder of them, to serve from without a control plane"
)
PLANE_TOKEN = Variable(
    "TOLLWAY_PLANE_TOKEN", "text", "shared secret of the feed, required with TOLLWAY_CONTROLPLANE_ADDRESS"
)
TLS_CERT = Variable("TOLLWAY_TLS_CERT", "path", "PEM client certificate towards the feed")
TLS_KEY = Variable("TOLLWAY_TLS_KEY", "path", "PEM private key of TOLLWAY_TLS_CERT")
TLS_CA = Variable("TOLLWAY_TLS_CA", "path", "PEM certificates that the control plane is checked with")
INSECURE_PLANE = Variable(
    "TOLLWAY_INSECURE_PLANE", "0 or 1", "dial the feed in plaintext beyond this machine, where no TLS file is set", "0"
)
SPOOL_DIR = Variable(
    "TOLLWAY_SPOOL_DIR",
    "path",
    "folder of usage events that are not booked yet; tollway-spool-UID below the system's temporary folder without",
)
SPOOL_MAX_BYTES = Variable(
    "TOLLWAY_SPOOL_MAX_BYTES", "bytes", "how much one process may hold there, 503 beyond", str(256 * _MEBIBYTE)
)
SPOOL_SYNC_MS = Variable(
    "TOLLWAY_SPOOL_SYNC_MS", "ms", "how often the disk is told to keep it; 0 for never, which a crash outlives", "0"
)
NATS_URL = Variable(
    "TOLLWAY_NATS_URL",
    "nats://user:password@host:port,...",
    "where usage events go; tls:// for TLS. Required, but with TOLLWAY_CONFIG_FILE, where they may stay in the spool",
)
API_TLS_CERT = Variable(
    "TOLLWAY_API_TLS_CERT", "path", "PEM certificate chain of the apps' API, which is plain without"
)
API_TLS_KEY = Variable("TOLLWAY_API_TLS_KEY", "path", "PEM private key of TOLLWAY_API_TLS_CERT")
WORKERS = Variable("TOLLWAY_WORKERS", "processes", "data plane processes that share the port", "1")
NODE = Variable("TOLLWAY_NODE", "text", "stable name of this data plane; the machine's host name without")
DRAIN_DELAY_S = Variable(
    "TOLLWAY_DRAIN_DELAY_S", "s", "after SIGTERM: not ready, and still serving new calls, for as long", "5"
)
DRAIN_TIMEOUT_S = Variable(
    "TOLLWAY_DRAIN_TIMEOUT_S", "s", "after the drain delay: how long running calls may take to end", "300"
)
MAX_BODY_BYTES = Variable("TOLLWAY_MAX_BODY_BYTES", "bytes", "largest request body, 413 beyond", str(8 * _MEBIBYTE))
BODY_TIMEOUT_S = Variable("TOLLWAY_BODY_TIMEOUT_S", "s", "how long a request body may take to arrive", "30")
MAX_IN_FLIGHT = Variable("TOLLWAY_MAX_IN_FLIGHT", "calls", "calls at once in one process, 503 beyond", "2048")

HELP = help_text(
    "tollway-dataplane",
    "The data plane of Tollway: serves apps, sends their calls to upstreams, and reports usage.",
    (
        LISTEN,
        METRICS_LISTEN,
        CONTROLPLANE_ADDRESS,
        CONFIG_FILE,
        PLANE_TOKEN,
        TLS_CERT,
        TLS_KEY,
        TLS_CA,
        INSECURE_PLANE,
        NATS_URL,
        SPOOL_DIR,
        SPOOL_MAX_BYTES,
        SPOOL_SYNC_MS,
        API_TLS_CERT,
        API_TLS_KEY,
        WORKERS,
        NODE,
        DRAIN_DELAY_S,
        DRAIN_TIMEOUT_S,
        MAX_BODY_BYTES,
        BODY_TIMEOUT_S,
        MAX_IN_FLIGHT,
        LOG_LEVEL,
        OTLP_ENDPOINT,
        OTLP_TRACES_ENDPOINT,
    ),
)


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """The apps' API. `tls` is None for plain HTTP; bounds are per process."""

    listen: Address
    tls: TlsFiles | None
    max_body_bytes: int
    body_timeout_s: float
    max_in_flight: int


@dataclass(frozen=True, slots=True)
class FeedTls:
    """Files for a TLS connection to the feed: `ca` None trusts the system's, `client` None shows no certificate."""

    ca: Path | None
    client: TlsFiles | None


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """The control plane's config feed. `tls` is None for plaintext."""

    addresses: tuple[Address, ...]
    token: Secret
    tls: FeedTls | None


@dataclass(frozen=True, slots=True)
class FileSettings:
    """Manifests that stand in for the control plane: a file, or a folder of files."""

    path: Path


@dataclass(frozen=True, slots=True)
class UsageSettings:
    """NATS servers, with credentials in their URLs; none keeps usage in the spool.

    `spool_dir` is shared by processes, each of which has a folder of its own in it; `sync_s` 0 leaves it to the disk.
    """

    nats_urls: tuple[str, ...] = field(repr=False)
    spool_dir: Path
    spool_max_bytes: int
    sync_s: float


@dataclass(frozen=True, slots=True)
class DrainSettings:
    """Seconds from SIGTERM to the end: serving new calls as before, then letting running ones end."""

    delay_s: float
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Settings:
    """All of a data plane's settings. `node` names it in the fleet view; with workers, each appends its number."""

    api: ApiSettings
    config: FeedSettings | FileSettings
    usage: UsageSettings
    drain: DrainSettings
    metrics_listen: Address
    workers: int
    node: str
    log_level: str
    is_tracing: bool

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises SettingsError, which names the variable and what to do."""
        environment = Environment(environ)
        return cls(
            api=_api(environment),
            config=_config(environment),
            usage=_usage(environment),
            drain=DrainSettings(
                environment.seconds(DRAIN_DELAY_S, minimum=0, maximum=600),
                environment.seconds(DRAIN_TIMEOUT_S, minimum=0, maximum=_DAY_S),
            ),
            metrics_listen=environment.address(METRICS_LISTEN),
            workers=environment.integer(WORKERS, minimum=1, maximum=256),
            node=environment.optional_text(NODE) or socket.gethostname(),
            log_level=log_level(environment),
            is_tracing=is_tracing(environment),
        )


def _api(environment: Environment) -> ApiSettings:
    return ApiSettings(
        listen=environment.address(LISTEN),
        tls=environment.optional_tls(API_TLS_CERT, API_TLS_KEY),
        max_body_bytes=environment.integer(MAX_BODY_BYTES, minimum=1024, maximum=1024 * _MEBIBYTE),
        body_timeout_s=environment.seconds(BODY_TIMEOUT_S, minimum=0.1, maximum=_DAY_S),
        max_in_flight=environment.integer(MAX_IN_FLIGHT, minimum=1, maximum=10_000),
    )


def _config(environment: Environment) -> FeedSettings | FileSettings:
    addresses = environment.addresses(CONTROLPLANE_ADDRESS)
    path = environment.optional_path(CONFIG_FILE)
    if path is not None:
        if addresses:
            CONFIG_FILE.fail(f"is set beside {CONTROLPLANE_ADDRESS.name}; unset one of them")
        if not path.exists():
            CONFIG_FILE.fail(f"{str(path)!r} does not exist; give the path of a manifest file or of a folder of them")
        return FileSettings(path)
    if not addresses:
        CONTROLPLANE_ADDRESS.fail(f"is required; set it to {CONTROLPLANE_ADDRESS.unit}, or set {CONFIG_FILE.name}")
    token = environment.optional_secret(PLANE_TOKEN, minimum_length=_MINIMUM_TOKEN_LENGTH)
    if token is None:
        PLANE_TOKEN.fail(f"is required, because {CONTROLPLANE_ADDRESS.name} is set; give the control plane's value")
    return FeedSettings(addresses, token, _feed_tls(environment, addresses))


def _feed_tls(environment: Environment, addresses: tuple[Address, ...]) -> FeedTls | None:
    ca, client = environment.optional_file(TLS_CA), environment.optional_tls(TLS_CERT, TLS_KEY)
    is_plaintext_fine = environment.boolean(INSECURE_PLANE)
    if ca is not None or client is not None:
        return FeedTls(ca, client)
    for address in addresses:
        if not (address.is_loopback or is_plaintext_fine):
            CONTROLPLANE_ADDRESS.fail(
                f"{address} is beyond this machine and would be dialled in plaintext; "
                f"set {TLS_CA.name}, or accept that with {INSECURE_PLANE.name}=1"
            )
    return None


def _usage(environment: Environment) -> UsageSettings:
    urls = _nats_urls(environment)
    if not urls and environment.optional_path(CONFIG_FILE) is None:
        NATS_URL.fail("is required, because usage goes to the control plane's ledger by it; set it to nats://HOST:PORT")
    return UsageSettings(
        nats_urls=urls,
        spool_dir=environment.optional_path(SPOOL_DIR) or _default_spool_dir(),
        spool_max_bytes=environment.integer(SPOOL_MAX_BYTES, minimum=16 * _MEBIBYTE, maximum=1 << 40),
        sync_s=environment.integer(SPOOL_SYNC_MS, minimum=0, maximum=60_000) / 1000,
    )


def _default_spool_dir() -> Path:
    """Below the system's temporary folder, apart for each user."""
    return Path(tempfile.gettempdir()) / f"tollway-spool-{os.getuid()}"


def _nats_urls(environment: Environment) -> tuple[str, ...]:
    parts = [part.strip() for part in (environment.optional_text(NATS_URL) or "").split(",")]
    return tuple(Environment({NATS_URL.name: part}).url(NATS_URL, _NATS_SCHEMES) for part in parts if part)


__all__ = ["HELP", "Settings", "SettingsError"]
