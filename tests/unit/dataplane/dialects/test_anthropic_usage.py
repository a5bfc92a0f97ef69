"""Anthropic's usage, and its errors, as the gateway has them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.dialects.anthropic.errors import parse_error
from dataplane.dialects.anthropic.usage import (
    answer_usage,
    begun_usage,
    merged_usage,
    parse_service_tier,
    parse_usage,
)
from dataplane.dialects.hub import usage_object
from tollway.kernel.usage import Usage

COUNTS = st.integers(0, 10**6)


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        ({"input_tokens": 3, "output_tokens": 2}, Usage(input=3, output=2)),
        ({"input_tokens": 3.0, "output_tokens": 2, "cache_read_input_tokens": None}, Usage(input=3, output=2)),
        (
            {"output_tokens": 2, "cache_creation_input_tokens": 7, "cache_read_input_tokens": 5},
            Usage(cache_read=5, cache_write_5m=7, output=2),
        ),
        (
            {
                "output_tokens": 2,
                "cache_creation_input_tokens": 7,
                "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
            },
            Usage(cache_write_5m=3, cache_write_1h=4, output=2),
        ),
        (
            {
                "output_tokens": 2,
                "cache_creation_input_tokens": 9,
                "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 4},
            },
            Usage(cache_write_1h=9, output=2),
        ),
        (
            {
                "output_tokens": 2,
                "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
            },
            Usage(cache_write_5m=3, cache_write_1h=4, output=2),
        ),
        (
            {"output_tokens": 2, "output_tokens_details": {"thinking_tokens": 5}},
            Usage(output=2, reasoning=2),
        ),
        (
            {"output_tokens": 2, "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 1}},
            Usage(output=2, search=3),
        ),
        ({"input_tokens": 3}, None),
        ({"input_tokens": 3, "output_tokens": -1}, None),
        ({"input_tokens": True, "output_tokens": 10**12}, None),
        (None, None),
        ([], None),
    ],
)
def test_usage(reported: Any, usage: Usage | None) -> None:
    assert parse_usage(reported) == answer_usage(reported) == usage


def iteration(kind: str, fresh: int, out: int, model: str | None = None, **fields: Any) -> dict[str, Any]:
    named = {} if model is None else {"model": model}
    return {"type": kind, "input_tokens": fresh, "output_tokens": out, **named, **fields}


CACHING: dict[str, Any] = {
    "cache_read_input_tokens": 50,
    "cache_creation_input_tokens": 7,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 7},
}


@pytest.mark.parametrize(
    ("iterations", "beside"),
    [
        pytest.param([iteration("message", 10, 2)], Usage(), id="alone"),
        pytest.param([iteration("message", 6, 1), iteration("message", 4, 1)], Usage(), id="server tools"),
        pytest.param(
            [iteration("compaction", 100, 20, **CACHING), iteration("message", 10, 2)],
            Usage(input=100, cache_read=50, cache_write_1h=7, output=20),
            id="compaction",
        ),
        pytest.param(
            [iteration("message", 6, 1), iteration("advisor_message", 30, 9, "b"), iteration("message", 4, 1)],
            Usage(input=30, output=9),
            id="advisor",
        ),
        pytest.param(
            [iteration("message", 8, 0, "a"), iteration("fallback_message", 10, 2, "b")],
            Usage(),
            id="declined before it said anything",
        ),
        pytest.param(
            [
                iteration("message", 8, 5, "a"),
                iteration("message", 9, 0, "a"),
                iteration("fallback_message", 10, 2, "b"),
            ],
            Usage(input=17, output=5),
            id="declined half way",
        ),
        pytest.param(
            [
                iteration("message", 8, 5, "a"),
                iteration("message", 8, 0, "b"),
                iteration("message", 6, 1, "c"),
                iteration("fallback_message", 4, 1, "c"),
            ],
            Usage(input=8, output=5),
            id="the second fallback used tools",
        ),
        pytest.param([iteration("fallback_message", 10, 2, "b")], Usage(), id="kept to the fallback"),
        pytest.param(
            [iteration("message", 4, 1, "a"), iteration("fallback_message", 6, 1, "b")], Usage(), id="added up already"
        ),
        pytest.param(
            ["x", iteration("from_the_future", 9, 9), {"type": [], "model": {}}, {"type": "compaction"}],
            Usage(),
            id="anything",
        ),
        pytest.param({"type": "compaction"}, Usage(), id="no list"),
    ],
)
def test_iterations_that_the_totals_leave_out_are_billed_and_not_told(iterations: Any, beside: Usage) -> None:
    reported = {"input_tokens": 10, "output_tokens": 2, "iterations": iterations}
    assert answer_usage(reported) == Usage(input=10, output=2)
    assert parse_usage(reported) == beside._replace(input=10 + beside.input, output=2 + beside.output)


@given(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
def test_meters_add_up_to_what_was_reported(
    fresh: int, read: int, five: int, hour: int, out: int, thought: int
) -> None:
    usage = parse_usage(
        {
            "input_tokens": fresh,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": five + hour,
            "cache_creation": {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour},
            "output_tokens": out,
            "output_tokens_details": {"thinking_tokens": thought},
        }
    )
    assert usage is not None
    assert (usage.cache_write_5m, usage.cache_write_1h) == (five, hour)
    told = usage_object(usage)
    assert told["prompt_tokens"] == usage.input_tokens == fresh + read + five + hour
    assert told["completion_tokens"] == usage.output_tokens == out
    assert told["completion_tokens_details"]["reasoning_tokens"] == min(out, thought)


def test_later_usage_overrules_what_it_says() -> None:
    first = {"input_tokens": 3, "output_tokens": 1, "service_tier": "standard"}
    assert merged_usage(first, {"input_tokens": 9, "output_tokens": 4, "service_tier": None}) == {
        "input_tokens": 9,
        "output_tokens": 4,
        "service_tier": "standard",
    }
    assert merged_usage(first, None) == first


@pytest.mark.parametrize(
    ("later", "input_tokens", "read"),
    [
        ({"output_tokens": 4}, 100, 55_096),
        ({"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 4}, 100, 55_096),
        ({"input_tokens": None, "output_tokens": 4}, 100, 55_096),
        ({"input_tokens": 181, "cache_read_input_tokens": 0, "output_tokens": 4}, 181, 0),
        ({"input_tokens": 0, "cache_read_input_tokens": 7, "output_tokens": 4}, 0, 7),
    ],
)
def test_later_input_overrules_as_one_unless_it_counts_nothing(
    later: dict[str, Any], input_tokens: int, read: int
) -> None:
    merged = merged_usage({"input_tokens": 100, "cache_read_input_tokens": 55_096, "output_tokens": 0}, later)
    assert (merged["input_tokens"], merged["cache_read_input_tokens"], merged["output_tokens"]) == (
        input_tokens,
        read,
        4,
    )


@pytest.mark.parametrize(
    ("message", "usage"),
    [
        ({"usage": {"input_tokens": 3, "output_tokens": 8}}, {"input_tokens": 3, "output_tokens": 0}),
        (
            {"usage": {"input_tokens": 3, "output_tokens": 8}, "stop_reason": "tool_use"},
            {"input_tokens": 3, "output_tokens": 8},
        ),
        ({"usage": {"input_tokens": 3}}, {}),
        ({"usage": []}, {}),
        ({}, {}),
    ],
)
def test_output_is_unknown_at_first_unless_the_message_has_ended(message: Any, usage: Any) -> None:
    assert begun_usage(message) == usage


@pytest.mark.parametrize(
    ("reported", "tier"),
    [
        ({"service_tier": "standard"}, ""),
        ({"service_tier": "priority"}, "priority"),
        ({"service_tier": "batch", "speed": "standard"}, "batch"),
        ({"service_tier": "standard", "speed": "fast"}, "fast"),
        ({"service_tier": "standard", "inference_geo": "us"}, "us"),
        ({"service_tier": "standard", "inference_geo": "global"}, ""),
        ({"service_tier": "priority", "inference_geo": "us"}, "priority-us"),
        ({"speed": "fast", "inference_geo": "us"}, "fast-us"),
        ({"inference_geo": ["us"]}, None),
        ({"service_tier": None}, None),
        (None, None),
    ],
)
def test_class_of_service(reported: Any, tier: str | None) -> None:
    assert parse_service_tier(reported) == tier


def envelope(type_: str, message: str) -> bytes:
    return f'{{"type":"error","error":{{"type":"{type_}","message":"{message}"}},"request_id":"req_1"}}'.encode()


@pytest.mark.parametrize(
    ("status", "type_", "message", "kind", "code"),
    [
        (400, "invalid_request_error", "max_tokens: Field required", "invalid", None),
        (
            400,
            "invalid_request_error",
            "prompt is too long: 214315 tokens > 200000 maximum",
            "invalid",
            "context_length_exceeded",
        ),
        (
            400,
            "invalid_request_error",
            "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000",
            "invalid",
            "context_length_exceeded",
        ),
        (400, "invalid_request_error", "Your credit balance is too low to access the API.", "auth", None),
        (400, "invalid_request_error", "You have reached your specified API usage limits.", "auth", None),
        (401, "authentication_error", "invalid x-api-key", "auth", None),
        (402, "billing_error", "pay", "auth", None),
        (403, "permission_error", "no", "auth", None),
        (404, "not_found_error", "model: claude-none", "invalid", "model_not_found"),
        (404, "not_found_error", "Not Found", "invalid", None),
        (413, "request_too_large", "Request exceeds the maximum size", "invalid", "request_too_large"),
        (422, "invalid_request_error", "no", "invalid", None),
        (429, "rate_limit_error", "slow down", "rate_limited", None),
        (500, "api_error", "Internal server error", "server", None),
        (503, "api_error", "busy", "overloaded", None),
        (504, "timeout_error", "late", "timeout", None),
        (529, "overloaded_error", "Overloaded", "overloaded", "overloaded_error"),
    ],
)
def test_errors(status: int, type_: str, message: str, kind: str, code: str | None) -> None:
    error = parse_error(status, {"retry-after": "7"}, envelope(type_, message))
    assert (error.kind.value, error.status, error.message, error.type) == (kind, status, message, type_)
    assert (error.code, error.detail, error.retry_after_s) == (code, "request req_1", 7.0)


@pytest.mark.parametrize(
    ("body", "message", "type_"),
    [
        (b'{"error":{"code":403,"message":"denied","status":"PERMISSION_DENIED"}}', "denied", "PERMISSION_DENIED"),
        (b'[{"error":{"code":403,"message":"denied","status":"PERMISSION_DENIED"}}]', "denied", "PERMISSION_DENIED"),
        (b'{"error":"denied"}', "denied", None),
        (b'{"message":"denied"}', "denied", None),
        (b"denied", "denied", None),
        (b"\x00\xff", "The upstream answered 403.", None),
        (b"[]", "The upstream answered 403.", None),
        (b"", "The upstream answered 403.", None),
        (b'{"error":{"message":5,"type":[]}}', "The upstream answered 403.", None),
    ],
)
def test_errors_of_other_shapes(body: bytes, message: str, type_: str | None) -> None:
    error = parse_error(403, {}, body)
    assert (error.message, error.type, error.kind.value) == (message, type_, "auth")


@given(st.integers(300, 599), st.binary(max_size=40))
def test_any_body_is_an_error_in_words(status: int, body: bytes) -> None:
    error = parse_error(status, {}, body)
    assert error.message
    assert error.status == status
