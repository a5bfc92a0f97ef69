import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.ledger.convert import entry_of
from dataplane.call import Charge, Outcome
from dataplane.metering.events import LABEL_BYTES, EventNumber, crash_event, ending_event, opening_of, refusal_event
from tests.fakes.outcomes import KEY, REQUEST_ID, START_TIME_US, make_attempt, make_call, make_outcome
from tollway.kernel.usage import Meter, SettlementState, Usage, event_id
from tollway.usage.v1.usage_pb2 import UsageEvent

NOW_US = START_TIME_US + 900_000


BOOT_ID = 9


def usage_events(outcome: Outcome, now_us: int, *, are_opened: bool = True) -> list[UsageEvent]:
    """All events of a call, numbered from one."""
    if not outcome.attempts:
        return [UsageEvent.FromString(refusal_event(outcome, EventNumber(BOOT_ID, 1), now_us))]
    last = outcome.attempts[-1]
    events = []
    for sequence, attempt in enumerate(outcome.attempts, start=1):
        opening = opening_of(outcome, attempt) if are_opened else None
        number = EventNumber(BOOT_ID, sequence)
        event = ending_event(outcome, attempt, opening, number, is_final=attempt is last, now_us=now_us)
        events.append(UsageEvent.FromString(event))
    return events


def test_an_answered_call_is_one_final_event_with_everything_on_it() -> None:
    call = make_call(client_request_id="mine", end_user="u-1", metadata={"app": "web"}, stream=True)
    attempt = make_attempt(traceparent="00-1-2-01")

    (event,) = usage_events(make_outcome(attempt, call=call), NOW_US)

    assert (event.request_id, event.client_request_id) == (REQUEST_ID, "mine")
    assert (event.attempt, event.final, event.stream) == (1, True, True)
    assert (event.team, event.key, event.user) == (KEY.team, KEY.name, KEY.owner)
    assert (event.end_user, dict(event.metadata)) == ("u-1", {"app": "web"})
    assert (event.operation, event.route, event.requested_model) == ("chat", "routes/smart", "smart")
    assert (event.upstream, event.provider) == ("upstreams/openai", "openai")
    assert (event.upstream_model, event.response_model) == ("gpt-x", "gpt-x-2026")
    assert event.start_time_us == START_TIME_US + 1_000
    assert event.first_frame_time_us == START_TIME_US + 250_000
    assert event.end_time_us == START_TIME_US + 400_000
    assert (event.status, event.error_code, event.client_gone) == (200, "", False)
    assert [(int(r.meter), r.quantity) for r in event.meters] == [(Meter.INPUT, 3), (Meter.OUTPUT, 5)]
    assert int(event.state) == SettlementState.REPORTED
    assert (event.cost_nano_usd, event.price, event.price_revision) == (123, "prices/x", 4)
    assert event.traceparent == "00-1-2-01"
    assert (event.boot_id, event.sequence) == (BOOT_ID, 1)
    assert event.event_id == event_id(event.start_time_us // 1000, BOOT_ID, 1).bytes
    assert usage_events(make_outcome(attempt, call=call), NOW_US, are_opened=False) == [event]


def test_what_an_attempt_is_opened_with_is_its_event_when_nothing_more_is_known() -> None:
    outcome = make_outcome(make_attempt(2, usage=Usage(input=3), state=SettlementState.ESTIMATED))
    opening = opening_of(outcome, outcome.attempts[0])

    event = UsageEvent.FromString(crash_event(opening.event, EventNumber(BOOT_ID, 4), is_final=True))

    assert (event.boot_id, event.sequence, event.attempt, event.final) == (BOOT_ID, 4, 2, True)
    assert (event.status, event.error_code, event.response_model) == (500, "gateway_crashed", "")
    assert event.end_time_us == event.start_time_us == START_TIME_US + 1_000
    assert (int(event.state), [r.quantity for r in event.meters]) == (SettlementState.ESTIMATED, [3])
    assert entry_of(event).cost_nano_usd == 123


def test_a_refused_call_is_one_final_event_of_attempt_zero_that_is_not_billed() -> None:
    outcome = make_outcome(status=404, error_code="model_not_found")
    outcome.attempts.clear()

    (event,) = usage_events(outcome, NOW_US)

    assert (event.attempt, event.final) == (0, True)
    assert (event.status, event.error_code) == (404, "model_not_found")
    assert (int(event.state), event.cost_nano_usd, len(event.meters)) == (SettlementState.NOT_BILLED, 0, 0)
    assert (event.start_time_us, event.end_time_us) == (START_TIME_US, NOW_US)
    assert (event.upstream, event.provider, event.upstream_model) == ("", "", "")


def test_only_the_last_attempt_is_final_and_carries_the_clients_status() -> None:
    failed = make_attempt(1, status=429, error_code="rate_limited", state=SettlementState.NOT_BILLED, usage=Usage())
    good = make_attempt(2)

    first, last = usage_events(make_outcome(failed, good), NOW_US)

    assert (first.attempt, first.final, first.status, first.error_code) == (1, False, 429, "rate_limited")
    assert (last.attempt, last.final, last.status, last.error_code) == (2, True, 200, "")


def test_an_exhausted_call_keeps_the_attempts_own_reason() -> None:
    failed = make_attempt(1, status=500, error_code="server")

    (event,) = usage_events(make_outcome(failed, status=502, error_code="upstream_error"), NOW_US)

    assert (event.status, event.error_code) == (502, "server")


def test_a_client_that_left_shows_as_499_on_the_final_event_only() -> None:
    outcome = make_outcome(make_attempt(1, status=503), make_attempt(2), client_gone=True, status=200)
    outcome.error_code = "client_closed_request"

    first, last = usage_events(outcome, NOW_US)

    assert (first.client_gone, first.status) == (False, 503)
    assert (last.client_gone, last.status, last.error_code) == (True, 499, "client_closed_request")


def test_an_attempt_without_an_end_ends_now() -> None:
    (event,) = usage_events(make_outcome(make_attempt(end_time_us=0)), NOW_US)

    assert event.end_time_us == NOW_US


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("plain", "plain"),
        ("x" * 5_000_000, "x" * LABEL_BYTES),
        ("é" * 400, "é" * (LABEL_BYTES // 2)),
        ("nul\0", "nul\N{REPLACEMENT CHARACTER}"),
        ("surrogate\udcff", "surrogate?"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_what_clients_say_is_kept_within_its_bound(said: str, kept: str) -> None:
    call = make_call(model=said, client_request_id=said, end_user=said, metadata={said: said})

    (event,) = usage_events(make_outcome(call=call), NOW_US)

    assert event.requested_model == event.client_request_id == event.end_user == kept
    assert dict(event.metadata) == {kept: kept}


def test_the_class_of_service_is_on_the_line() -> None:
    (event,) = usage_events(make_outcome(make_attempt(service_tier="flex")), NOW_US)

    assert event.service_tier == "flex"


def test_absurd_quantities_do_not_break_the_event() -> None:
    (event,) = usage_events(make_outcome(make_attempt(usage=Usage(input=10**40), cost_nano_usd=10**50)), NOW_US)

    assert event.meters[0].quantity == event.cost_nano_usd == 2**53


@given(said=st.text(max_size=400), status=st.integers(100, 599), tokens=st.integers(0, 10**6), gone=st.booleans())
def test_every_event_can_be_booked(said: str, status: int, tokens: int, gone: bool) -> None:
    call = make_call(model=said, client_request_id=said, end_user=said, metadata={"k": said})
    attempts = [make_attempt(1, status=status, error_code=said), make_attempt(2, usage=Usage(input=tokens))]
    outcome = make_outcome(*attempts, call=call, status=status, error_code=said, client_gone=gone)

    for sequence, event in enumerate(usage_events(outcome, NOW_US), start=1):
        assert entry_of(event).attempt == sequence


def test_charges_are_in_what_an_attempt_is_opened_with_and_in_its_end() -> None:
    charge = Charge(b"b" * 16, b"l" * 16, 1_790_000_000_000, 77)
    attempt = make_attempt(charges=(charge,))
    outcome = make_outcome(attempt)
    opening = opening_of(outcome, attempt)
    ending = ending_event(outcome, attempt, opening, EventNumber(1, 1), is_final=True, now_us=START_TIME_US)
    for event in (UsageEvent.FromString(opening.event), UsageEvent.FromString(ending)):
        [told] = event.charges
        assert (told.bucket_id, told.lease_id, told.window_start_ms, told.amount_nano_usd) == charge
