"""What a control plane is told by its environment, and the --help text that lists it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tollway.settings import (
    LOG_LEVEL,
    OTLP_ENDPOINT,
    OTLP_TRACES_ENDPOINT,
    Address,
    Environment,
    Secret,
    TlsFiles,
    Variable,
    help_text,
    is_tracing,
    log_level,
)

MINIMUM_KEY_LENGTH = 32
MINIMUM_ADMIN_TOKEN_LENGTH = 20
MINIMUM_PLANE_TOKEN_LENGTH = 16

DATABASE_URL = Variable(
    "TOLLWAY_DATABASE_URL",
    "postgresql://user:password@host:port/database",
    "the database; libpq's parameters such as sslmode may follow",
    required=True,
)
ADMIN_LISTEN = Variable(
    "TOLLWAY_ADMIN_LISTEN", "host:port", "where the admin REST API is; port 0 takes a free one", "127.0.0.1:8081"
)
GRPC_LISTEN = Variable(
    "TOLLWAY_GRPC_LISTEN",
    "host:port",
    "where the admin gRPC API and the config feed are; port 0 takes a free one",
    "127.0.0.1:8082",
)
METRICS_LISTEN = Variable(
    "TOLLWAY_METRICS_LISTEN", "host:port", "where /metrics, /livez and /readyz are, always plain", "0.0.0.0:9090"
)
INSECURE_ADMIN = Variable(
    "TOLLWAY_INSECURE_ADMIN", "0 or 1", "listen in plaintext beyond this machine, where no certificate is set", "0"
)
TLS_CERT = Variable(
    "TOLLWAY_TLS_CERT", "path", "PEM certificate chain of both listeners; read again when the file changes"
)
TLS_KEY = Variable("TOLLWAY_TLS_KEY", "path", "PEM private key of TOLLWAY_TLS_CERT")
TLS_CA = Variable(
    "TOLLWAY_TLS_CA", "path", "PEM certificates that gRPC clients, data planes included, must prove themselves with"
)
ADMIN_TOKEN = Variable(
    "TOLLWAY_ADMIN_TOKEN",
    f"at least {MINIMUM_ADMIN_TOKEN_LENGTH} characters",
    "bootstrap admin token, twa_...; without one every admin call is refused",
)
PLANE_TOKEN = Variable(
    "TOLLWAY_PLANE_TOKEN",
    f"at least {MINIMUM_PLANE_TOKEN_LENGTH} characters",
    "shared secret of the config feed, the same as on the data planes",
    required=True,
)
ENCRYPTION_KEY = Variable(
    "TOLLWAY_ENCRYPTION_KEY",
    f"at least {MINIMUM_KEY_LENGTH} characters",
    "key that encrypts upstream secrets at rest; what it encrypted is lost with it",
    required=True,
)
KEY_PEPPER = Variable(
    "TOLLWAY_KEY_PEPPER",
    f"at least {MINIMUM_KEY_LENGTH} characters",
    "secret under which virtual keys are hashed; with another one every virtual key is unknown",
    required=True,
)
CONFIG_NOTIFY = Variable(
    "TOLLWAY_CONFIG_NOTIFY", "0 or 1", "announce config changes by NOTIFY; without it they are found by polling", "1"
)
DRAIN_DELAY_S = Variable(
    "TOLLWAY_DRAIN_DELAY_S", "s", "after SIGTERM: not ready, and still serving new calls, for as long", "5"
)
DRAIN_TIMEOUT_S = Variable(
    "TOLLWAY_DRAIN_TIMEOUT_S", "s", "after the drain delay: how long running calls may take to end", "15"
)

HELP = help_text(
    "tollway-controlplane",
    "The control plane of Tollway: owns the configuration, serves the admin API and the config feed.",
    (
        DATABASE_URL,
        ENCRYPTION_KEY,
        KEY_PEPPER,
        PLANE_TOKEN,
        ADMIN_TOKEN,
        ADMIN_LISTEN,
        GRPC_LISTEN,
        METRICS_LISTEN,
        INSECURE_ADMIN,
        TLS_CERT,
        TLS_KEY,
        TLS_CA,
        CONFIG_NOTIFY,
        DRAIN_DELAY_S,
        DRAIN_TIMEOUT_S,
        LOG_LEVEL,
        OTLP_ENDPOINT,
        OTLP_TRACES_ENDPOINT,
    ),
)


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """Where the control plane is reached. `tls` None serves plaintext; with a CA, gRPC clients need a certificate."""

    admin: Address
    grpc: Address
    metrics: Address
    tls: TlsFiles | None


@dataclass(frozen=True, slots=True)
class SecretSettings:
    """What must never be shown. `admin_token` None closes the admin API."""

    encryption_key: Secret
    key_pepper: Secret
    plane_token: Secret
    admin_token: Secret | None


@dataclass(frozen=True, slots=True)
class DrainSettings:
    """Seconds from SIGTERM to the end: serving new calls as before, then letting running ones end."""

    delay_s: float
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Settings:
    """All of a control plane's settings; `database_url` holds a password."""

    database_url: str = field(repr=False)
    listen: ListenSettings
    secrets: SecretSettings
    drain: DrainSettings
    is_notifying: bool
    is_tracing: bool
    log_level: str

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises SettingsError, which names the variable and what to do."""
        environment = Environment(environ)
        return cls(
            database_url=environment.url(DATABASE_URL, ("postgresql", "postgres")),
            listen=_listen(environment),
            secrets=_secrets(environment),
            drain=DrainSettings(
                environment.seconds(DRAIN_DELAY_S, minimum=0, maximum=600),
                environment.seconds(DRAIN_TIMEOUT_S, minimum=0, maximum=600),
            ),
            is_notifying=environment.boolean(CONFIG_NOTIFY),
            is_tracing=is_tracing(environment),
            log_level=log_level(environment),
        )


def _listen(environment: Environment) -> ListenSettings:
    tls = environment.optional_tls(TLS_CERT, TLS_KEY, TLS_CA)
    if tls is None and environment.optional_path(TLS_CA) is not None:
        TLS_CERT.fail(f"is required, because {TLS_CA.name} is set; give the path of the PEM certificate chain")
    is_plaintext_allowed = environment.boolean(INSECURE_ADMIN)
    addresses = {variable: environment.address(variable) for variable in (ADMIN_LISTEN, GRPC_LISTEN)}
    for variable, address in addresses.items():
        if tls is None and not address.is_loopback and not is_plaintext_allowed:
            variable.fail(
                f"{address} is beyond this machine and would be served in plaintext; set {TLS_CERT.name} and "
                f"{TLS_KEY.name}, or accept that with {INSECURE_ADMIN.name}=1"
            )
    metrics = environment.address(METRICS_LISTEN)
    return ListenSettings(addresses[ADMIN_LISTEN], addresses[GRPC_LISTEN], metrics, tls)


def _secrets(environment: Environment) -> SecretSettings:
    return SecretSettings(
        encryption_key=environment.secret(ENCRYPTION_KEY, minimum_length=MINIMUM_KEY_LENGTH),
        key_pepper=environment.secret(KEY_PEPPER, minimum_length=MINIMUM_KEY_LENGTH),
        plane_token=environment.secret(PLANE_TOKEN, minimum_length=MINIMUM_PLANE_TOKEN_LENGTH),
        admin_token=environment.optional_secret(ADMIN_TOKEN, minimum_length=MINIMUM_ADMIN_TOKEN_LENGTH),
    )
