"""What a call's outcome becomes on the wire: one usage event per attempt, serialised. Pure.

Protocol Buffers lets a message be written in parts, one after another. What many calls share (who pays, what for,
where it goes) is one part, which is made once and kept; the rest is made per event.
"""

from functools import lru_cache
from typing import Final, NamedTuple

from dataplane.call import Attempt, Outcome
from dataplane.metering.wire import meters_field
from tollway.kernel.usage import SettlementState, event_id_bytes
from tollway.usage.v1.usage_pb2 import UsageEvent

LABEL_BYTES: Final = 256
CRASHED: Final = "gateway_crashed"
_LARGEST_INTEGER: Final = 2**53
_CLIENT_CLOSED_REQUEST: Final = 499
_INTERNAL_ERROR: Final = 500
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_REMEMBERED: Final = 2048


class EventNumber(NamedTuple):
    """What tells one event of all others: the producing process, and its how-many-eth event it is, from 1."""

    boot_id: int
    sequence: int


class Opening(NamedTuple):
    """An attempt that begins. `common` is what its event will hold however it ends, serialised.

    `event` is what stands for it if the gateway dies within it: its input, as estimated and priced then. It has no
    number yet.
    """

    common: bytes
    event: bytes


def opening_of(outcome: Outcome, attempt: Attempt) -> Opening:
    """What `attempt` is opened with."""
    common = _common(outcome, attempt)
    tail = UsageEvent(end_time_us=attempt.start_time_us, status=_INTERNAL_ERROR, error_code=CRASHED)
    return Opening(common, common + _settled(tail, attempt))


def ending_event(
    outcome: Outcome, attempt: Attempt, opening: Opening | None, number: EventNumber, *, is_final: bool, now_us: int
) -> bytes:
    """The event of a settled attempt; `now_us` is Unix microseconds, and ends what has no end.

    Raises ValueError for a start time or a number that no event can have.
    """
    tail = UsageEvent(end_time_us=attempt.end_time_us or now_us, status=attempt.status)
    _number(tail, number, attempt.start_time_us)
    if attempt.first_frame_time_us:
        tail.first_frame_time_us = attempt.first_frame_time_us
    if attempt.response_model:
        tail.response_model = _label(attempt.response_model)
    if attempt.error_code:
        tail.error_code = _label(attempt.error_code)
    if attempt.traceparent:
        tail.traceparent = attempt.traceparent
    if is_final:
        _finish(tail, outcome)
    common = _common(outcome, attempt) if opening is None else opening.common
    return common + _settled(tail, attempt)


def refusal_event(outcome: Outcome, number: EventNumber, now_us: int) -> bytes:
    """The event of attempt 0, of a call that was refused before any attempt. Raises ValueError as `ending_event`."""
    start_time_us = outcome.call.start_time_us
    tail = UsageEvent(start_time_us=start_time_us, end_time_us=now_us)
    tail.state = SettlementState.NOT_BILLED  # type: ignore[assignment]
    _number(tail, number, start_time_us)
    _finish(tail, outcome)
    return _common(outcome, None) + tail.SerializeToString()


def crash_event(opening: bytes, number: EventNumber, *, is_final: bool) -> bytes:
    """The event that Opening.event becomes when nothing more is known of its attempt.

    Raises ValueError as `ending_event`, and DecodeError where `opening` is no event.
    """
    event = UsageEvent.FromString(opening)
    _number(event, number, event.start_time_us)
    event.final = is_final
    return event.SerializeToString()


def _number(event: UsageEvent, number: EventNumber, start_time_us: int) -> None:
    event.boot_id, event.sequence = number
    event.event_id = event_id_bytes(start_time_us // 1000, *number)


def _settled(event: UsageEvent, attempt: Attempt) -> bytes:
    """`event` with what `attempt` used and cost, serialised."""
    event.state = attempt.state  # type: ignore[assignment]
    if attempt.basis is not None:
        event.basis = attempt.basis  # type: ignore[assignment]
    event.cost_nano_usd = _bounded(attempt.cost_nano_usd)
    if attempt.price:
        event.price, event.price_revision = attempt.price, attempt.price_revision
    if attempt.service_tier:
        event.service_tier = _label(attempt.service_tier)
    for charge in attempt.charges:
        event.charges.add(
            bucket_id=charge.bucket_id,
            lease_id=charge.lease_id,
            window_start_ms=charge.window_start_ms,
            amount_nano_usd=_bounded(charge.amount_nano_usd),
        )
    meters = [meters_field(meter, _bounded(quantity)) for meter, quantity in attempt.usage.readings()]
    return event.SerializeToString() + b"".join(meters)


def _common(outcome: Outcome, attempt: Attempt | None) -> bytes:
    """Who pays, for what, and where it goes, serialised; `attempt` is None for a call that goes nowhere."""
    call, key = outcome.call, outcome.principal.key
    who = (key.team, key.name, key.owner)
    what = (call.endpoint.operation, outcome.route, call.model[:LABEL_BYTES], call.stream)
    own = UsageEvent(request_id=call.request_id, call_start_time_us=call.start_time_us)
    if call.client_request_id:
        own.client_request_id = _label(call.client_request_id)
    if call.end_user:
        own.end_user = _label(call.end_user)
    metadata = _metadata(tuple(call.metadata.items())) if call.metadata else b""
    if attempt is None:
        return _shared(who, what, ("", "", "")) + metadata + own.SerializeToString()
    own.attempt, own.start_time_us = attempt.number, attempt.start_time_us
    upstream = attempt.upstream
    where = (upstream.name, upstream.provider, attempt.upstream_model[:LABEL_BYTES])
    return _shared(who, what, where) + metadata + own.SerializeToString()


@lru_cache(_REMEMBERED)
def _shared(who: tuple[str, str, str], what: tuple[str, str, str, bool], where: tuple[str, str, str]) -> bytes:
    event = UsageEvent()
    event.team, event.key, event.user = who
    event.operation, event.route, model, event.stream = what
    event.upstream, event.provider, upstream_model = where
    event.requested_model, event.upstream_model = _label(model), _label(upstream_model)
    return event.SerializeToString()


@lru_cache(_REMEMBERED)
def _metadata(pairs: tuple[tuple[str, str], ...]) -> bytes:
    return UsageEvent(metadata={_label(name): _label(value) for name, value in pairs}).SerializeToString()


def _finish(event: UsageEvent, outcome: Outcome) -> None:
    """The last event of a call carries how it ended for the client."""
    event.final = True
    event.client_gone = outcome.client_gone
    event.status = _CLIENT_CLOSED_REQUEST if outcome.client_gone else outcome.status
    if outcome.error_code and not event.error_code:
        event.error_code = _label(outcome.error_code)


def _label(text: str) -> str:
    """What a client or an upstream said, as a ledger can keep it: at most LABEL_BYTES of UTF-8 without NUL."""
    if len(text) <= LABEL_BYTES and text.isascii() and text.isprintable():
        return text
    encoded = text[:LABEL_BYTES].encode(errors="replace")[:LABEL_BYTES]
    return encoded.decode(errors="ignore").replace("\0", _REPLACEMENT)


def _bounded(number: int) -> int:
    """An upstream may report any integer; one that fits the wire still shows as absurd in the ledger."""
    return number if 0 <= number <= _LARGEST_INTEGER else max(0, min(number, _LARGEST_INTEGER))
