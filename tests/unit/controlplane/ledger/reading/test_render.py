"""Rows become messages with bare ids, decimal money and all states."""

from datetime import UTC, datetime, timedelta
from typing import Any

from controlplane.ledger.convert import request_text, request_uuid
from controlplane.ledger.entries import ROLLUP_SUMS
from controlplane.ledger.reading.render import usage_record, usage_row
from tollway.kernel.usage import SettlementState, event_id

START = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
REQUEST = request_uuid("req_0190163d8694739bab4c9f1ef1c2d3e4")


def entry(**fields: Any) -> dict[str, Any]:
    return {
        "event_id": event_id(1, 2, 3),
        "request_id": REQUEST,
        "client_request_id": "mine",
        "attempt": 1,
        "final": True,
        "team": "teams/growth",
        "key": "teams/growth/keys/ci",
        "key_owner": "users/ada",
        "end_user": "u",
        "metadata": {"a": "1"},
        "operation": "chat",
        "route": "routes/r",
        "requested_model": "m",
        "upstream": "upstreams/x",
        "provider": "sim",
        "upstream_model": "um",
        "response_model": "rm",
        "stream": True,
        "start_time": START,
        "first_frame_time": None,
        "end_time": START + timedelta(seconds=1),
        "status": 200,
        "error_code": "",
        "client_gone": False,
        "meters": {"input": 3, "output": 4, "reasoning": 1},
        "state": int(SettlementState.REPORTED),
        "cost_nano_usd": 1_500_000_000,
        "price": "prices/p",
        "price_revision": 7,
        "traceparent": "",
        **fields,
    }


def test_a_row_of_sums() -> None:
    sums = dict.fromkeys(ROLLUP_SUMS, 0) | {"requests": 2, "attempts": 3, "cost_nano_usd": 1, "state_partial": 3}
    names = {"team": "teams/growth", "key": "teams/growth/keys/ci", "upstream": "", "model": "sim/echo"}
    row = usage_row(sums | names, ("team", "key", "upstream", "model"), START)
    assert dict(row.group) == {"team": "growth", "key": "teams/growth/keys/ci", "upstream": "", "model": "sim/echo"}
    assert (row.requests, row.attempts, row.cost_usd) == (2, 3, "0.000000001")
    assert dict(row.states) == {state.word: 3 * (state is SettlementState.PARTIAL) for state in SettlementState}
    assert row.start_time.ToDatetime(UTC) == START


def test_a_call_of_two_attempts() -> None:
    failed = entry(
        final=False, status=500, error_code="upstream_error", meters={}, state=7, cost_nano_usd=0, end_time=None
    )
    answered = entry(attempt=2, start_time=START + timedelta(milliseconds=5), first_frame_time=START)
    record = usage_record([failed, answered])
    assert record.name == f"usageRecords/{request_text(REQUEST)}"
    assert (record.team, record.user, record.model, record.cost_usd) == ("teams/growth", "users/ada", "m", "1.50")
    assert (record.status, record.error_code, record.refused) == (200, "", False)
    assert (record.input_tokens, record.output_tokens, record.reasoning_tokens) == (3, 4, 1)
    assert record.start_time.ToDatetime(UTC) == START
    first, second = record.attempts
    assert (first.status, first.state, first.HasField("end_time"), dict(first.meters)) == (500, "not_billed", False, {})
    assert (second.attempt, second.state, dict(second.meters)["output"], second.price_revision) == (2, "reported", 4, 7)


def test_a_refused_call_has_no_attempts() -> None:
    record = usage_record([entry(attempt=0, status=429, error_code="rate_limit_exceeded", meters={}, state=7)])
    assert record.refused
    assert list(record.attempts) == []
    assert record.status == 429
