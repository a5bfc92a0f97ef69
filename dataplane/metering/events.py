"""What a call's outcome becomes on the wire: one usage event per attempt. Pure."""

from typing import Final

from dataplane.call import Attempt, Call, Outcome
from tollway.kernel.usage import SettlementState, Usage
from tollway.usage.v1.usage_pb2 import MeterReading, UsageEvent

LABEL_BYTES: Final = 256
_LARGEST_INTEGER: Final = 2**53
_CLIENT_CLOSED_REQUEST: Final = 499
_INTERNAL_ERROR: Final = 500
CRASHED: Final = "gateway_crashed"
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


def opening_event(outcome: Outcome, attempt: Attempt) -> UsageEvent:
    """What stands for an attempt if the gateway dies within it: its input, as estimated and priced in `attempt`."""
    event = _call_event(outcome)
    event.attempt = attempt.number
    event.upstream, event.provider = attempt.upstream.name, attempt.upstream.provider
    event.upstream_model = _label(attempt.upstream_model)
    event.start_time_us = event.end_time_us = attempt.start_time_us
    event.status, event.error_code = _INTERNAL_ERROR, CRASHED
    _fill(event, attempt)
    return event


def ending_event(
    outcome: Outcome, attempt: Attempt, opened: UsageEvent | None, *, is_final: bool, now_us: int
) -> UsageEvent:
    """The event of a settled attempt; `opened` is what it was opened with, and is used up.

    It has neither event_id nor boot_id nor sequence yet. `now_us` is Unix microseconds, and ends what has no end.
    """
    event = opening_event(outcome, attempt) if opened is None else opened
    event.route, event.response_model = outcome.route, _label(attempt.response_model)
    event.first_frame_time_us = attempt.first_frame_time_us
    event.end_time_us = attempt.end_time_us or now_us
    event.status, event.error_code = attempt.status, _label(attempt.error_code)
    event.traceparent = attempt.traceparent
    if opened is not None:
        del event.meters[:]
        _fill(event, attempt)
    if is_final:
        _finish(event, outcome)
    return event


def refusal_event(outcome: Outcome, now_us: int) -> UsageEvent:
    """The event of attempt 0, of a call that was refused before any attempt; without identity like the others."""
    event = _call_event(outcome)
    event.start_time_us, event.end_time_us = outcome.call.start_time_us, now_us
    event.state = SettlementState.NOT_BILLED.value  # type: ignore[assignment]
    _finish(event, outcome)
    return event


def _fill(event: UsageEvent, attempt: Attempt) -> None:
    event.meters.extend(_readings(attempt.usage))
    event.state = attempt.state.value  # type: ignore[assignment]
    event.basis = 0 if attempt.basis is None else attempt.basis.value  # type: ignore[assignment]
    event.cost_nano_usd = _bounded(attempt.cost_nano_usd)
    event.price, event.price_revision = attempt.price, attempt.price_revision
    event.service_tier = _label(attempt.service_tier)


def _call_event(outcome: Outcome) -> UsageEvent:
    """What all events of a call share."""
    call, key = outcome.call, outcome.principal.key
    return UsageEvent(
        request_id=call.request_id,
        client_request_id=_label(call.client_request_id),
        team=key.team,
        key=key.name,
        user=key.owner,
        end_user=_label(call.end_user),
        metadata=_metadata(call),
        operation=call.endpoint.operation,
        route=outcome.route,
        requested_model=_label(call.model),
        stream=call.stream,
        call_start_time_us=call.start_time_us,
    )


def _finish(event: UsageEvent, outcome: Outcome) -> None:
    """The last event of a call carries how it ended for the client."""
    event.final = True
    event.client_gone = outcome.client_gone
    event.status = _CLIENT_CLOSED_REQUEST if outcome.client_gone else outcome.status
    if not event.error_code:
        event.error_code = _label(outcome.error_code)


def _metadata(call: Call) -> dict[str, str]:
    return {_label(name): _label(value) for name, value in call.metadata.items()} if call.metadata else {}


def _readings(usage: Usage) -> list[MeterReading]:
    return [MeterReading(meter=m.value, quantity=_bounded(q)) for m, q in usage.readings()]  # type: ignore[arg-type]


def _label(text: str) -> str:
    """What a client or an upstream said, as a ledger can keep it: at most LABEL_BYTES of UTF-8 without NUL."""
    if len(text) <= LABEL_BYTES and text.isascii() and text.isprintable():
        return text
    encoded = text[:LABEL_BYTES].encode(errors="replace")[:LABEL_BYTES]
    return encoded.decode(errors="ignore").replace("\0", _REPLACEMENT)


def _bounded(number: int) -> int:
    """An upstream may report any integer; one that fits the wire still shows as absurd in the ledger."""
    return number if 0 <= number <= _LARGEST_INTEGER else max(0, min(number, _LARGEST_INTEGER))
