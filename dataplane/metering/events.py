"""What a call's outcome becomes on the wire: one usage event per attempt, serialised. Pure.

Protocol Buffers lets a message be written in parts, one after another. What many calls share (who pays, what for,
where it goes, how it ended) is made once and kept; the rest is made per event.
"""

from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from dataplane.call import Attempt, Outcome
from dataplane.metering.wire import charges_fields, cost_field, meters_fields
from tollway.kernel.usage import SettlementState, event_id_bytes
from tollway.usage.v1.usage_pb2 import UsageEvent

LABEL_BYTES: Final = 256
CRASHED: Final = "gateway_crashed"
_CLIENT_CLOSED_REQUEST: Final = 499
_INTERNAL_ERROR: Final = 500
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_REMEMBERED: Final = 2048


_Ending: TypeAlias = tuple[int, str, bool, bool]
"""Status, error code, whether the event is its call's last, and whether the client was gone."""
_Rating: TypeAlias = tuple[int, int, str, int, str]
"""Settlement state, basis or 0, price, its revision, and service tier."""
_CRASHED: Final[_Ending] = (_INTERNAL_ERROR, CRASHED, False, False)
_NOT_BILLED: Final[_Rating] = (SettlementState.NOT_BILLED, 0, "", 0, "")


class EventNumber(NamedTuple):
    """What tells one event of all others: the producing process, and its how-many-eth event it is, from 1."""

    boot_id: int
    sequence: int


class Opening(NamedTuple):
    """An attempt that begins. `common` is what its event will hold however it ends, serialised.

    `event` is what `crash_event` makes one of if the gateway dies within it: its input, as estimated and priced then.
    """

    common: bytes
    event: bytes


def opening_of(outcome: Outcome, attempt: Attempt) -> Opening:
    """What `attempt` is opened with."""
    common = _common(outcome, attempt)
    return Opening(common, common + _settled(attempt, _CRASHED, ""))


def ending_event(
    outcome: Outcome, attempt: Attempt, opening: Opening | None, number: EventNumber, *, is_final: bool, now_us: int
) -> bytes:
    """The event of a settled attempt; `now_us` is Unix microseconds, and ends what has no end.

    Raises ValueError for a start time or a number that no event can have.
    """
    own = UsageEvent(end_time_us=attempt.end_time_us or now_us)
    _number(own, number, attempt.start_time_us)
    if attempt.first_frame_time_us:
        own.first_frame_time_us = attempt.first_frame_time_us
    if attempt.traceparent:
        own.traceparent = attempt.traceparent
    error_code = attempt.error_code[:LABEL_BYTES]
    ending = _final_ending(outcome, error_code) if is_final else (attempt.status, error_code, False, False)
    common = _common(outcome, attempt) if opening is None else opening.common
    settled = _settled(attempt, ending, attempt.response_model[:LABEL_BYTES])
    return common + own.SerializeToString() + settled


def refusal_event(outcome: Outcome, number: EventNumber, now_us: int) -> bytes:
    """The event of attempt 0, of a call that was refused before any attempt. Raises ValueError as `ending_event`."""
    start_time_us = outcome.call.start_time_us
    own = UsageEvent(start_time_us=start_time_us, end_time_us=now_us)
    _number(own, number, start_time_us)
    ending = _ended(_final_ending(outcome, ""), "", _NOT_BILLED)
    return _common(outcome, None) + own.SerializeToString() + ending


def crash_event(opening: bytes, number: EventNumber, *, is_final: bool) -> bytes:
    """The event that Opening.event becomes when nothing more is known of its attempt.

    Raises ValueError as `ending_event`, and DecodeError where `opening` is no event.
    """
    event = UsageEvent.FromString(opening)
    _number(event, number, event.start_time_us)
    event.end_time_us, event.final = event.start_time_us, is_final
    return event.SerializeToString()


def _number(event: UsageEvent, number: EventNumber, start_time_us: int) -> None:
    event.boot_id, event.sequence = number
    event.event_id = event_id_bytes(start_time_us // 1000, *number)


def _settled(attempt: Attempt, ending: _Ending, response_model: str) -> bytes:
    """What `attempt` used and cost, and how it ended, serialised."""
    tier = attempt.service_tier[:LABEL_BYTES]
    rating = (int(attempt.state), int(attempt.basis or 0), attempt.price, attempt.price_revision, tier)
    used = meters_fields(attempt.usage.readings())
    if attempt.charges:
        used += charges_fields(attempt.charges)
    return _ended(ending, response_model, rating) + cost_field(attempt.cost_nano_usd) + used


def _final_ending(outcome: Outcome, error_code: str) -> _Ending:
    """The last event of a call carries how it ended for the client, and the attempt's own reason where it has one."""
    status = _CLIENT_CLOSED_REQUEST if outcome.client_gone else outcome.status
    return status, error_code or outcome.error_code[:LABEL_BYTES], True, outcome.client_gone


@lru_cache(_REMEMBERED)
def _ended(ending: _Ending, response_model: str, rating: _Rating) -> bytes:
    event = UsageEvent(response_model=_label(response_model))
    event.status, error_code, event.final, event.client_gone = ending
    event.error_code = _label(error_code)
    state, basis, event.price, event.price_revision, service_tier = rating
    event.state, event.basis = state, basis  # type: ignore[assignment]
    event.service_tier = _label(service_tier)
    return event.SerializeToString()


def _common(outcome: Outcome, attempt: Attempt | None) -> bytes:
    """Who pays, for what, and where it goes, serialised; `attempt` is None for a call that goes nowhere."""
    call, key = outcome.call, outcome.principal.key
    who = (key.team, key.name, key.owner)
    what = (call.endpoint.operation, outcome.route, call.model[:LABEL_BYTES], call.stream)
    own = UsageEvent()
    own.request_id, own.call_start_time_us = call.request_id, call.start_time_us
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


def _label(text: str) -> str:
    """What a client or an upstream said, as a ledger can keep it: at most LABEL_BYTES of UTF-8 without NUL."""
    if len(text) <= LABEL_BYTES and text.isascii() and text.isprintable():
        return text
    encoded = text[:LABEL_BYTES].encode(errors="replace")[:LABEL_BYTES]
    return encoded.decode(errors="ignore").replace("\0", _REPLACEMENT)
