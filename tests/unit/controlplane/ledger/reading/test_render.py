"""Rows become messages with bare ids, decimal money and all states."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane.ledger.convert import request_text, request_uuid
from controlplane.ledger.entries import ROLLUP_SUMS
from controlplane.ledger.latency import bucket_ms
from controlplane.ledger.reading.queries import PERCENTILES
from controlplane.ledger.reading.render import usage_record, usage_row
from controlplane.ledger.reading.requests import sums_page
from tollway.admin.v1.usage_pb2 import QueryUsageRequest
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
        "service_tier": "flex",
        "basis": 1,
        "adjusts": None,
        "run_id": None,
        "prior_state": None,
        "booked_time": START,
        **fields,
    }


def test_a_row_of_sums() -> None:
    sums = dict.fromkeys(ROLLUP_SUMS, 0) | {"requests": 2, "attempts": 3, "cost_nano_usd": 1, "state_partial": 3}
    asked = QueryUsageRequest(group_by=["team", "key", "upstream", "model"], latencies=True)
    page = sums_page(asked, lambda: START)
    names = {"number": 0, "d0": "teams/growth", "d1": "teams/growth/keys/ci", "d2": "", "d3": "sim/echo"}
    buckets = dict.fromkeys(PERCENTILES, -1) | {"duration_p50_ms": 80}
    row = usage_row(sums | names | buckets, page)
    assert dict(row.group) == {"team": "growth", "key": "teams/growth/keys/ci", "upstream": "", "model": "sim/echo"}
    assert (row.requests, row.attempts, row.cost_usd) == (2, 3, "0.000000001")
    assert dict(row.states) == {state.word: 3 * (state is SettlementState.PARTIAL) for state in SettlementState}
    assert (row.billable_attempts, row.failed_cost_usd, row.adjustment_usd) == (3, "0.00", "0.00")
    assert (row.start_time.ToDatetime(UTC), row.end_time.ToDatetime(UTC)) == (START - timedelta(days=1), START)
    assert row.duration_p50_ms == pytest.approx(bucket_ms(80), rel=0.001)
    assert not row.HasField("duration_p95_ms")


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


def test_adjustments_stand_under_their_attempt_and_count_in_the_call() -> None:
    attempt = entry()
    later = {"meters": {}, "adjusts": attempt["event_id"], "run_id": uuid.UUID(int=9), "prior_state": 1}
    down = entry(event_id=event_id(9, 2, 4), cost_nano_usd=-500_000_000, state=5, price="prices/q", **later)
    record = usage_record([attempt, down])
    assert (record.cost_usd, record.adjustment_usd, record.input_tokens) == ("1.00", "-0.50", 3)
    [only] = record.attempts
    assert (only.cost_usd, only.state, only.billable, only.service_tier, only.basis) == (
        "1.50", "reported", True, "flex", "reported",
    )  # fmt: skip
    [posted] = only.adjustments
    assert (posted.run_id, posted.difference_usd, posted.prior_state, posted.state, posted.price) == (
        str(uuid.UUID(int=9)), "-0.50", "reported", "free", "prices/q",
    )  # fmt: skip


def test_a_refused_call_has_no_attempts() -> None:
    record = usage_record([entry(attempt=0, status=429, error_code="rate_limit_exceeded", meters={}, state=7)])
    assert record.refused
    assert list(record.attempts) == []
    assert record.status == 429
