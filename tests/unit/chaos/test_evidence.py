"""Truth logs and the admin API's answers, as evidence."""

import json
from typing import Any

from tests.chaos.evidence import read_provider_calls
from tests.chaos.ledger import entries_from_records, reports_from_rows
from tests.chaos.sums import REPORTED, differences, reports_of
from tollway.kernel.usage import SettlementState

RECORD: dict[str, Any] = {
    "call": "p-1",
    "user": "m-1",
    "request_id": "",
    "model": "echo",
    "stream": False,
    "input_tokens": 2,
    "output_tokens": 0,
    "cost_nano_usd": 2_000,
    "reports_usage": True,
    "status": 200,
    "ending": "running",
}
CALL: dict[str, Any] = {
    "request_id": "req_1",
    "client_request_id": "m-1",
    "team": "teams/a",
    "key": "teams/a/keys/k",
    "user": "teams/a",
    "route": "",
    "model": "sim/echo",
    "status": 200,
    "error_code": "",
    "start_time": "2026-01-02T12:07:00Z",
    "cost_usd": "0.000014",
    "attempts": [
        {
            "attempt": 1,
            "event_id": "e1",
            "provider": "sim",
            "upstream": "upstreams/sim",
            "upstream_model": "echo",
            "status": 200,
            "error_code": "",
            "start_time": "2026-01-02T12:07:00Z",
            "meters": {"input": 2, "output": 3},
            "state": "reported",
            "cost_usd": "0.000014",
        }
    ],
}
ROW: dict[str, Any] = {
    "group": {"team": "a", "model": "sim/echo"},
    "requests": 1,
    "attempts": 1,
    "refused": 0,
    "errors": 0,
    "input_tokens": 2,
    "output_tokens": 3,
    "cache_read_tokens": 0,
    "cache_write_tokens": 0,
    "reasoning_tokens": 0,
    "cost_usd": "0.000014",
    "states": {state.word: int(state is SettlementState.REPORTED) for state in SettlementState},
}


def test_the_last_record_of_a_call_is_its_truth_and_others_calls_and_torn_lines_are_left_out() -> None:
    last = RECORD | {"output_tokens": 3, "cost_nano_usd": 14_000, "ending": "completed"}
    other = RECORD | {"call": "p-2", "user": "n-1"}
    lines = [json.dumps(RECORD), json.dumps(other), json.dumps(last), '{"call": "p-3"']
    [call] = read_provider_calls(lines, "m-")
    assert (call.user, call.output_tokens, call.is_completed, call.is_failed) == ("m-1", 3, True, False)


def test_records_of_the_admin_api_are_lines() -> None:
    [entry] = entries_from_records([CALL])
    assert (entry.call, entry.attempt, entry.final, entry.state) == ("m-1", 1, True, SettlementState.REPORTED)
    assert (entry.tokens, entry.cost_nano_usd, entry.upstream_model) == ((2, 3, 0, 0, 0), 14_000, "echo")
    [refused] = entries_from_records([CALL | {"attempts": [], "cost_usd": "0", "status": 401}])
    assert (refused.attempt, refused.final, refused.state) == (0, True, SettlementState.NOT_BILLED)


def test_reports_of_the_admin_api_equal_those_of_its_lines() -> None:
    expected, got = reports_of(entries_from_records([CALL])), reports_from_rows([ROW])
    assert differences(expected, got, REPORTED) == []
    assert differences(expected, reports_from_rows([ROW | {"cost_usd": "0.000015"}]), REPORTED) != []
