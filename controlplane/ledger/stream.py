"""The usage stream and the ledger's durable consumer in JetStream: who owns their settings."""

import logging
from dataclasses import dataclass

from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError, NotFoundError

from tollway.kernel.subjects import USAGE_CONSUMER, USAGE_STREAM, USAGE_SUBJECTS

ACK_WAIT_S = 5.0
MAX_ACK_PENDING = 256
DUPLICATE_WINDOW_S = 120.0
MAX_MESSAGE_BYTES = 1 << 20
LEAST_MAX_BYTES = 64 << 20
_UNLIMITED = -1
_NAME_IN_USE = 10058
_INSUFFICIENT_STORAGE = frozenset({10002, 10023, 10028, 10047})

_OWNED_SETTINGS = (
    "subjects",
    "retention",
    "discard",
    "storage",
    "max_msg_size",
    "num_replicas",
    "duplicate_window",
    "deny_delete",
    "deny_purge",
    "max_age",
)
_LESS_ROOM = (
    "NATS has less room than asked for, a stream gets what there is stream=%s asked_bytes=%d max_bytes=%d setting=%s"
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """`max_bytes` is what the stream may hold before it refuses more; `replicas` 1, or 3 in a NATS cluster."""

    max_bytes: int
    replicas: int


async def ensure_stream(jetstream: JetStreamContext, settings: StreamSettings) -> None:
    """Create or update the stream and the consumer. Raises nats.errors.Error."""
    await ensure_sized(jetstream, _stream_config(settings), "TOLLWAY_USAGE_STREAM_MAX_BYTES")
    await jetstream.add_consumer(USAGE_STREAM, _consumer_config())


async def ensure_sized(jetstream: JetStreamContext, wanted: StreamConfig, setting: str) -> None:
    """Create or update the stream of `wanted`, whose `max_bytes` is what `setting` says. Raises nats.errors.Error.

    Where the server has not the room for that, a stream keeps its size, and a new one gets what there is.
    """
    present = await _present(jetstream, wanted)
    try:
        await _add_or_update(jetstream, wanted)
        return
    except APIError as error:
        # The server counts all of an existing stream's new size against its free room, the old one included.
        is_good_enough = present is None or _is_as_wanted(present, wanted)
        if error.err_code not in _INSUFFICIENT_STORAGE or not is_good_enough:
            raise
    max_bytes = await _add_what_fits(jetstream, wanted) if present is None else present.max_bytes
    _log.warning(_LESS_ROOM, wanted.name, wanted.max_bytes, max_bytes, setting)


async def _add_what_fits(jetstream: JetStreamContext, wanted: StreamConfig) -> int:
    """Add the stream with half the size asked for, or half of that, and so on down to LEAST_MAX_BYTES; its size."""
    max_bytes = int(wanted.max_bytes or 0)
    while True:
        max_bytes = max(LEAST_MAX_BYTES, max_bytes // 2)
        try:
            await jetstream.add_stream(wanted.evolve(max_bytes=max_bytes))
        except APIError as error:
            if error.err_code not in _INSUFFICIENT_STORAGE or max_bytes == LEAST_MAX_BYTES:
                raise
        else:
            return max_bytes


async def _present(jetstream: JetStreamContext, wanted: StreamConfig) -> StreamConfig | None:
    try:
        return (await jetstream.stream_info(str(wanted.name))).config
    except NotFoundError:
        return None


def _is_as_wanted(present: StreamConfig, wanted: StreamConfig) -> bool:
    """Whether `present` differs from `wanted` in nothing but its size."""
    return all(getattr(present, name) == getattr(wanted, name) for name in _OWNED_SETTINGS)


async def _add_or_update(jetstream: JetStreamContext, config: StreamConfig) -> None:
    try:
        await jetstream.add_stream(config)
    except APIError as error:
        if error.err_code != _NAME_IN_USE:
            raise
        await jetstream.update_stream(config)


def _stream_config(settings: StreamSettings) -> StreamConfig:
    """Work queue that refuses when full: a data plane keeps what is refused, and nothing unread is ever dropped.

    Nobody can purge it either: whoever must empty it deletes it, and the consumer makes it anew.
    """
    return StreamConfig(
        name=USAGE_STREAM,
        description="usage events on their way to the ledger",
        subjects=[USAGE_SUBJECTS],
        retention=RetentionPolicy.WORK_QUEUE,
        discard=DiscardPolicy.NEW,
        storage=StorageType.FILE,
        max_age=0,
        max_bytes=settings.max_bytes,
        max_msg_size=MAX_MESSAGE_BYTES,
        num_replicas=settings.replicas,
        duplicate_window=DUPLICATE_WINDOW_S,
        deny_delete=True,
        deny_purge=True,
    )


def _consumer_config() -> ConsumerConfig:
    return ConsumerConfig(
        name=USAGE_CONSUMER,
        durable_name=USAGE_CONSUMER,
        description="books usage events",
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT_S,
        max_ack_pending=MAX_ACK_PENDING,
        max_deliver=_UNLIMITED,
    )
