"""The tap in JetStream: a second stream that holds copies of what the ledger has booked, and forgets old ones."""

from dataclasses import dataclass

from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from controlplane.ledger.stream import ensure_sized
from tollway.kernel.subjects import TAP_STREAM, TAP_SUBJECTS

DUPLICATE_WINDOW_S = 120.0
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class TapSettings:
    """How many days and bytes the tap keeps, the oldest going first; no days, no tap."""

    days: int
    max_bytes: int
    replicas: int


async def ensure_tap(jetstream: JetStreamContext, settings: TapSettings) -> None:
    """Create or update the tap. Raises nats.errors.Error."""
    await ensure_sized(jetstream, _config(settings), "TOLLWAY_USAGE_TAP_MAX_BYTES")


def _config(settings: TapSettings) -> StreamConfig:
    return StreamConfig(
        name=TAP_STREAM,
        description="copies of booked usage events, for ledger replay and for readers of their own",
        subjects=[TAP_SUBJECTS],
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        storage=StorageType.FILE,
        max_age=settings.days * _DAY_S,
        max_bytes=settings.max_bytes,
        max_msg_size=-1,
        num_replicas=settings.replicas,
        duplicate_window=DUPLICATE_WINDOW_S,
        deny_delete=True,
        deny_purge=True,
    )
