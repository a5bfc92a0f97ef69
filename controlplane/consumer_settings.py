"""What a consumer is told by its environment, and the --help text that lists it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controlplane.settings import DATABASE_URL, METRICS_LISTEN
from tollway.settings import (
    LOG_LEVEL,
    OTLP_ENDPOINT,
    OTLP_TRACES_ENDPOINT,
    Address,
    Environment,
    Variable,
    help_text,
    is_tracing,
    log_level,
)

_NATS_SCHEMES = ("nats", "tls")
_MEBIBYTE = 1 << 20
_PEBIBYTE = 1 << 50
_LONGEST_DAYS = 36_500
LEAST_RETENTION_DAYS = 40

NATS_URL = Variable(
    "TOLLWAY_NATS_URL",
    "nats://user:password@host:port,...",
    "where usage events come from; tls:// for TLS",
    required=True,
)
STREAM_MAX_BYTES = Variable(
    "TOLLWAY_USAGE_STREAM_MAX_BYTES",
    "bytes",
    "how much the usage stream holds before data planes keep their events; less where NATS has not the room",
    str(10 << 30),
)
STREAM_REPLICAS = Variable(
    "TOLLWAY_USAGE_STREAM_REPLICAS",
    "servers",
    "how many servers of a NATS cluster keep the usage stream: 1, 3 or 5",
    "1",
)
TAP_DAYS = Variable(
    "TOLLWAY_USAGE_TAP_DAYS",
    "days",
    "how long copies of booked events stay in NATS for `tollctl ledger replay`; 0 keeps none",
    "7",
)
TAP_MAX_BYTES = Variable(
    "TOLLWAY_USAGE_TAP_MAX_BYTES",
    "bytes",
    "how much of these copies NATS holds before the oldest go",
    str(10 << 30),
)
RETENTION_DAYS = Variable(
    "TOLLWAY_LEDGER_RETENTION_DAYS",
    "days",
    "how long entries stay in the ledger's table before their day is detached, 40 or more; 0 keeps all."
    " Sums stay, and so does the detached table until somebody drops it",
    "400",
)

HELP = help_text(
    "tollway-consumer",
    "The consumer of Tollway: books usage events from NATS in the ledger.",
    (
        DATABASE_URL,
        NATS_URL,
        STREAM_MAX_BYTES,
        STREAM_REPLICAS,
        TAP_DAYS,
        TAP_MAX_BYTES,
        RETENTION_DAYS,
        METRICS_LISTEN,
        LOG_LEVEL,
        OTLP_ENDPOINT,
        OTLP_TRACES_ENDPOINT,
    ),
)


@dataclass(frozen=True, slots=True)
class ConsumerSettings:
    """All of a consumer's settings; `database_url` and `nats_urls` hold passwords."""

    database_url: str = field(repr=False)
    nats_urls: tuple[str, ...] = field(repr=False)
    stream_max_bytes: int
    stream_replicas: int
    tap_days: int
    tap_max_bytes: int
    retention_days: int
    metrics_listen: Address
    is_tracing: bool
    log_level: str

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "ConsumerSettings":
        """Raises SettingsError, which names the variable and what to do."""
        environment = Environment(environ)
        return cls(
            database_url=environment.url(DATABASE_URL, ("postgresql", "postgres")),
            nats_urls=_nats_urls(environment),
            stream_max_bytes=environment.integer(STREAM_MAX_BYTES, minimum=64 * _MEBIBYTE, maximum=_PEBIBYTE),
            stream_replicas=environment.integer(STREAM_REPLICAS, minimum=1, maximum=5),
            tap_days=environment.integer(TAP_DAYS, minimum=0, maximum=_LONGEST_DAYS),
            tap_max_bytes=environment.integer(TAP_MAX_BYTES, minimum=64 * _MEBIBYTE, maximum=_PEBIBYTE),
            retention_days=_retention_days(environment),
            metrics_listen=environment.address(METRICS_LISTEN),
            is_tracing=is_tracing(environment),
            log_level=log_level(environment),
        )


def _retention_days(environment: Environment) -> int:
    """0, or more than events may wait in a spool and than the days that get partitions as they come."""
    days = environment.integer(RETENTION_DAYS, minimum=0, maximum=_LONGEST_DAYS)
    if 0 < days < LEAST_RETENTION_DAYS:
        RETENTION_DAYS.fail(f"{days} is less than {LEAST_RETENTION_DAYS}, and not 0, which keeps all")
    return days


def _nats_urls(environment: Environment) -> tuple[str, ...]:
    parts = [part.strip() for part in environment.text(NATS_URL).split(",")]
    return tuple(Environment({NATS_URL.name: part}).url(NATS_URL, _NATS_SCHEMES) for part in parts)
