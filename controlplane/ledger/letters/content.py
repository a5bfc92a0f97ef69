"""What may be shown of a dead letter: what is written as the gateway writes it, and nothing else. Pure."""

import hashlib

from google.protobuf.message import DecodeError

from controlplane.ledger.convert import MAX_COST_NANO_USD, InvalidEvent, request_uuid
from controlplane.ledger.entries import WHOLE_MESSAGE
from controlplane.ledger.letters.repository import StoredLetter
from controlplane.ledger.times import timestamp
from tollway.admin.v1.ledger_pb2 import DeadLetter
from tollway.kernel.money import format_usd
from tollway.kernel.names import is_resource_id
from tollway.usage.v1.usage_pb2 import UsageEvent

COLLECTION = "deadLetters"
_FIRST_TIME_US = 1_577_836_800_000_000
_LAST_TIME_US = 4_102_444_800_000_000


def letter_message(stored: StoredLetter) -> DeadLetter:
    """The admin message of `stored`."""
    letter = stored.letter
    message = DeadLetter(
        name=f"{COLLECTION}/{stored.letter_id}",
        reason=letter.reason,
        deliveries=letter.deliveries,
        replays=stored.replays,
        first_time=timestamp(stored.first_time),
        last_time=timestamp(stored.last_time),
        subject=letter.subject,
        stream_sequence=letter.stream_sequence,
        event_index=letter.event_index,
        payload_bytes=len(letter.payload),
        payload_sha256=hashlib.sha256(letter.payload).hexdigest(),
        boot_id=str(letter.boot_id) if letter.boot_id else "",
        sequence=letter.sequence,
        discard_principal=stored.discard_principal,
        discard_reason=stored.discard_reason,
    )
    if stored.discard_time is not None:
        message.discard_time.CopyFrom(timestamp(stored.discard_time))
    if letter.event_index != WHOLE_MESSAGE:
        _add_readable(message, letter.payload)
    return message


def _add_readable(message: DeadLetter, payload: bytes) -> None:
    try:
        event = UsageEvent.FromString(payload)
    except DecodeError:
        return
    message.team = _resource_name(event.team, "teams")
    message.key = _resource_name(event.key, "teams", "keys")
    message.upstream = _resource_name(event.upstream, "upstreams")
    message.request_id = _request_id(event.request_id)
    if _FIRST_TIME_US <= event.start_time_us < _LAST_TIME_US:
        message.start_time.FromMicroseconds(event.start_time_us)
    if 0 <= event.cost_nano_usd <= MAX_COST_NANO_USD:
        message.cost_usd = format_usd(event.cost_nano_usd)


def _resource_name(text: str, *collections: str) -> str:
    """`text` when it is a name of ids below `collections`; else ""."""
    parts = text.split("/")
    is_name = parts[::2] == list(collections) and all(map(is_resource_id, parts[1::2]))
    return text if is_name and len(parts) == 2 * len(collections) else ""


def _request_id(text: str) -> str:
    try:
        request_uuid(text)
    except InvalidEvent:
        return ""
    return text
