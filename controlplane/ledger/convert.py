"""Usage events -> ledger entries. Pure.

What the gateway itself wrote must be right, or the event is refused: its identity, its names, its numbers. What a
client or an upstream said (a model, a label, an error code) never costs an event: it is cut to its bound.
"""

import uuid
from functools import lru_cache

from asyncpg.pgproto.pgproto import UUID

from controlplane.ledger.entries import EntryCharge, LedgerEntry
from tollway.kernel.usage import BOOT_ID_BITS, SEQUENCE_BITS, Meter, SettlementState, event_id_bytes
from tollway.usage.v1.usage_pb2 import UsageEvent

LABEL_BYTES = 256
NAME_BYTES = 192
METADATA_PAIRS = 32
MAX_ATTEMPTS = 1_000
MAX_QUANTITY = 2**53
MAX_COST_NANO_USD = 2**53
MAX_CHARGES = 256
_ID_BYTES = 16
_LAST_WINDOW_MS = 4_102_444_800_000
_FIRST_TIME_US = 1_577_836_800_000_000
_LAST_TIME_US = 4_102_444_800_000_000
_REQUEST_PREFIX = "req_"
_REQUEST_LENGTH = len(_REQUEST_PREFIX) + 32
_TRACEPARENT_LENGTH = 55
_REMEMBERED_NAMES = 8192
_STATES = {int(state): state for state in SettlementState}
_BASES = {int(s): s for s in (SettlementState.REPORTED, SettlementState.ESTIMATED, SettlementState.PARTIAL)}
_STATE_BASES = _BASES | {int(s): SettlementState.REPORTED for s in (SettlementState.UNPRICED, SettlementState.FREE)}
_METERS = {int(meter): meter.word for meter in Meter}


class InvalidEvent(ValueError):
    """An event that can never be booked; the text says why, without anything that a client sent."""


def entry_of(event: UsageEvent) -> LedgerEntry:
    """The ledger entry that `event` becomes. Raises InvalidEvent."""
    attempt, final = event.attempt, event.final
    if not 0 <= attempt <= MAX_ATTEMPTS:
        raise InvalidEvent(f"attempt {attempt} is not within 0 and {MAX_ATTEMPTS}")
    if attempt == 0 and not final:
        raise InvalidEvent("a refused call has one event, which must be final")
    team = _name(event.team, "team", "teams/")
    # By position, for names make it several times slower.
    entry = LedgerEntry(
        _identity(event),
        event.boot_id,
        event.sequence,
        request_uuid(event.request_id),
        _label(event.client_request_id),
        attempt,
        final,
        team,
        _name(event.key, "key", f"{team}/keys/"),
        _label(event.user),
        _label(event.end_user),
        _metadata(event),
        _label(event.operation),
        _optional_name(event.route, "route", "routes/"),
        _label(event.requested_model),
        _optional_name(event.upstream, "upstream", "upstreams/"),
        _label(event.provider),
        _label(event.upstream_model),
        _label(event.response_model),
        event.stream,
        _time(event.start_time_us, "start_time_us"),
        _optional_time(event.first_frame_time_us, "first_frame_time_us"),
        _optional_time(event.end_time_us, "end_time_us"),
        _status(event.status),
        _label(event.error_code),
        event.client_gone,
        _meters(event),
        _state(event),
        _cost(event),
        _label(event.price),
        _price_revision(event.price_revision),
        _traceparent(event.traceparent),
        _label(event.service_tier),
        _basis(event),
        _optional_time(event.call_start_time_us, "call_start_time_us") or event.start_time_us,
    )
    return entry._replace(charges=_charges(event)) if event.charges else entry


def request_uuid(request_id: str) -> uuid.UUID:
    """The UUIDv7 in `req_` and 32 hex digits. Raises InvalidEvent."""
    if len(request_id) != _REQUEST_LENGTH or not request_id.startswith(_REQUEST_PREFIX):
        raise InvalidEvent("request_id is not req_ and 32 hex digits")
    try:
        return _uuid(bytes.fromhex(request_id[len(_REQUEST_PREFIX) :]))
    except ValueError:
        raise InvalidEvent("request_id is not req_ and 32 hex digits") from None


def request_text(identity: uuid.UUID) -> str:
    """The inverse of `request_uuid`."""
    return f"{_REQUEST_PREFIX}{identity.hex}"


def _identity(event: UsageEvent) -> uuid.UUID:
    boot_id, sequence, start_time_us = event.boot_id, event.sequence, event.start_time_us
    if not 0 < boot_id < 1 << BOOT_ID_BITS:
        raise InvalidEvent(f"boot_id is not within 1 and {BOOT_ID_BITS} bits")
    if not 0 < sequence < 1 << SEQUENCE_BITS:
        raise InvalidEvent(f"sequence is not within 1 and {SEQUENCE_BITS} bits")
    expected = event_id_bytes(_time(start_time_us, "start_time_us") // 1000, boot_id, sequence)
    if event.event_id != expected:
        raise InvalidEvent("event_id is not the UUIDv7 of start time, boot id and sequence")
    return _uuid(expected)


def _uuid(identity: bytes) -> uuid.UUID:
    """The driver's own kind, which is made many times faster. Raises ValueError unless there are 16 bytes."""
    made: uuid.UUID = UUID(identity)
    return made


@lru_cache(_REMEMBERED_NAMES)
def _name(text: str, field: str, prefix: str) -> str:
    if not text.startswith(prefix) or len(text) == len(prefix):
        raise InvalidEvent(f"{field} is not a resource name below its parent")
    if len(text) > NAME_BYTES or not text.isascii() or not text.isprintable():
        raise InvalidEvent(f"{field} is longer than {NAME_BYTES} characters or not plain ASCII")
    return text


def _optional_name(text: str, field: str, prefix: str) -> str:
    return _name(text, field, prefix) if text else ""


def _label(text: str) -> str:
    """`text` without NUL, which Postgres does not store, cut to LABEL_BYTES bytes of UTF-8."""
    if "\0" in text:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if text.isascii():
        return text if len(text) <= LABEL_BYTES else text[:LABEL_BYTES]
    return text.encode()[:LABEL_BYTES].decode(errors="ignore")


def _metadata(event: UsageEvent) -> dict[str, str]:
    if not event.metadata:
        return {}
    pairs = sorted(event.metadata.items())[:METADATA_PAIRS]
    return {_label(name): _label(value) for name, value in pairs}


def _time(time_us: int, field: str) -> int:
    if not _FIRST_TIME_US <= time_us < _LAST_TIME_US:
        raise InvalidEvent(f"{field} is not a time between 2020 and 2100 in microseconds")
    return time_us


def _optional_time(time_us: int, field: str) -> int:
    return _time(time_us, field) if time_us else 0


def _status(status: int) -> int:
    if not 0 <= status <= 999:
        raise InvalidEvent(f"status {status} is not an HTTP status")
    return status


def _meters(event: UsageEvent) -> dict[str, int]:
    quantities: dict[int, int] = {}
    for reading in event.meters:
        meter, read = reading.meter, reading.quantity
        quantity = read + quantities.get(meter, 0)
        if meter not in _METERS:
            raise InvalidEvent(f"meter {meter} is not known")
        if not 0 <= read <= quantity <= MAX_QUANTITY:
            raise InvalidEvent(f"quantity {read} of {_METERS[meter]} is not within 0 and {MAX_QUANTITY}")
        if quantity:
            quantities[meter] = quantity
    if len(quantities) < 2:
        return {_METERS[meter]: quantity for meter, quantity in quantities.items()}
    return {_METERS[meter]: quantities[meter] for meter in sorted(quantities)}


def _state(event: UsageEvent) -> SettlementState:
    state = _STATES.get(event.state)
    if state is None:
        raise InvalidEvent(f"state {event.state} is not known")
    return state


def _basis(event: UsageEvent) -> SettlementState | None:
    """As the event says; producers that do not say have it in the state, where a price is known."""
    if not event.basis:
        return _STATE_BASES.get(event.state)
    basis = _BASES.get(event.basis)
    if basis is None:
        raise InvalidEvent(f"basis {event.basis} is not reported, estimated or partial")
    return basis


def _cost(event: UsageEvent) -> int:
    cost_nano_usd = event.cost_nano_usd
    if not 0 <= cost_nano_usd <= MAX_COST_NANO_USD:
        raise InvalidEvent(f"cost_nano_usd {cost_nano_usd} is not within 0 and {MAX_COST_NANO_USD}")
    if cost_nano_usd and event.attempt == 0:
        raise InvalidEvent("a refused call costs nothing, but cost_nano_usd is set")
    return cost_nano_usd


def _charges(event: UsageEvent) -> tuple[EntryCharge, ...]:
    if len(event.charges) > MAX_CHARGES:
        raise InvalidEvent(f"an event charges at most {MAX_CHARGES} leases, this one {len(event.charges)}")
    charged: set[bytes] = set()
    charges = []
    for charge in event.charges:
        if len(charge.bucket_id) != _ID_BYTES or len(charge.lease_id) not in (0, _ID_BYTES):
            raise InvalidEvent(f"a charge's bucket_id and lease_id must have {_ID_BYTES} bytes")
        if not 0 <= charge.amount_nano_usd <= MAX_COST_NANO_USD:
            raise InvalidEvent(f"a charge of {charge.amount_nano_usd} is not within 0 and {MAX_COST_NANO_USD}")
        if not 0 <= charge.window_start_ms < _LAST_WINDOW_MS:
            raise InvalidEvent(f"window_start_ms {charge.window_start_ms} of a charge is no time before 2100")
        lease_id = uuid.UUID(bytes=charge.lease_id) if charge.lease_id else None
        bucket_id, counts = uuid.UUID(bytes=charge.bucket_id), charge.bucket_id not in charged
        charges.append(EntryCharge(bucket_id, lease_id, charge.window_start_ms, charge.amount_nano_usd, counts))
        charged.add(charge.bucket_id)
    return tuple(charges)


def _price_revision(revision: int) -> int:
    if revision < 0:
        raise InvalidEvent(f"price_revision {revision} is negative")
    return revision


def _traceparent(text: str) -> str:
    return text if len(text) == _TRACEPARENT_LENGTH and text.isascii() and text.isprintable() else ""
