"""Errors of Google's APIs: what they mean for retries, and the words that they keep."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.dialects.gemini import GeminiDialect
from dataplane.errors import UpstreamError, UpstreamErrorKind

DIALECT = GeminiDialect()
JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=8),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "status", "code", "details", "reason", "retryDelay", "violations"]),
            children,
            max_size=4,
        )
    ),
    max_leaves=10,
)


def parse(status: int, word: str, message: str = "no", *details: Any, **headers: str) -> UpstreamError:
    error = {"code": status, "message": message, "status": word, "details": list(details)}
    return DIALECT.parse_error(status, headers, json.dumps({"error": error}, indent=2).encode())


@pytest.mark.parametrize(
    ("status", "word", "kind"),
    [
        (400, "INVALID_ARGUMENT", UpstreamErrorKind.INVALID),
        (401, "UNAUTHENTICATED", UpstreamErrorKind.AUTH),
        (403, "PERMISSION_DENIED", UpstreamErrorKind.AUTH),
        (404, "NOT_FOUND", UpstreamErrorKind.INVALID),
        (429, "RESOURCE_EXHAUSTED", UpstreamErrorKind.RATE_LIMITED),
        (500, "INTERNAL", UpstreamErrorKind.SERVER),
        (503, "UNAVAILABLE", UpstreamErrorKind.OVERLOADED),
        (504, "DEADLINE_EXCEEDED", UpstreamErrorKind.TIMEOUT),
    ],
)
def test_kinds(status: int, word: str, kind: UpstreamErrorKind) -> None:
    error = parse(status, word, "The provider's words.")
    assert (error.kind, error.status, error.message) == (kind, status, "The provider's words.")


def test_bad_key_is_no_fault_of_the_call() -> None:
    error = parse(400, "INVALID_ARGUMENT", "API key not valid.", {"reason": "API_KEY_INVALID"})
    assert (error.kind, error.status, error.code) == (UpstreamErrorKind.AUTH, 400, "invalid_api_key")


def test_place_that_may_not_be_used() -> None:
    refused = parse(400, "FAILED_PRECONDITION", "User location is not supported for the API use.")
    assert refused.kind is UpstreamErrorKind.AUTH
    assert parse(400, "FAILED_PRECONDITION", "The file is not ready.").kind is UpstreamErrorKind.INVALID


@pytest.mark.parametrize(
    "message",
    [
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "Unable to submit request because the input token count is 9 but model only supports up to 8.",
    ],
)
def test_context_that_is_too_long(message: str) -> None:
    error = parse(400, "INVALID_ARGUMENT", message)
    assert (error.kind, error.code, error.type) == (
        UpstreamErrorKind.INVALID,
        "context_length_exceeded",
        "invalid_request_error",
    )


@pytest.mark.parametrize(
    ("details", "headers", "retry_after_s"),
    [
        ([], {}, None),
        ([], {"retry-after": "7"}, 7.0),
        ([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "48.9s"}], {}, 48.9),
        ([{"retryDelay": {"seconds": 3, "nanos": 1}}], {}, 3.0),
        ([{"retryDelay": "soon"}], {}, None),
        ([{"retryDelay": "1s"}, {"violations": [{"quotaId": "RequestsPerMinutePerProject"}]}], {}, 1.0),
        ([{"retryDelay": "1s"}, {"violations": [{"quotaId": "RequestsPerDayPerProject-FreeTier"}]}], {}, 3600.0),
    ],
)
def test_when_to_try_again(details: list[Any], headers: dict[str, str], retry_after_s: float | None) -> None:
    assert parse(429, "RESOURCE_EXHAUSTED", "no", *details, **headers).retry_after_s == retry_after_s


def test_error_in_a_list() -> None:
    error = DIALECT.parse_error(429, {}, b'[{"error":{"code":429,"message":"slow","status":"RESOURCE_EXHAUSTED"}}]')
    assert (error.kind, error.message, error.code) == (UpstreamErrorKind.RATE_LIMITED, "slow", "RESOURCE_EXHAUSTED")


@pytest.mark.parametrize(("body", "message"), [(b"<html>", "<html>"), (b"", "The upstream answered 502.")])
def test_error_that_is_not_googles(body: bytes, message: str) -> None:
    error = DIALECT.parse_error(502, {}, body)
    assert (error.kind, error.message) == (UpstreamErrorKind.SERVER, message)


@given(st.integers(300, 599), JSON)
def test_any_body_is_an_error_in_words(status: int, payload: Any) -> None:
    for body in (payload, {"error": payload}, [{"error": payload}]):
        error = DIALECT.parse_error(status, {}, json.dumps(body).encode())
        assert error.message
        assert error.status == status
