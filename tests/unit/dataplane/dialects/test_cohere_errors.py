"""Cohere's errors: what they mean for retries, and the provider's own words."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.dialects.cohere import CohereDialect
from dataplane.errors import UpstreamError, UpstreamErrorKind

DIALECT = CohereDialect()
KIND = UpstreamErrorKind


def parse(status: int, message: str, error_type: str | None = None, **headers: str) -> UpstreamError:
    body = {"id": "x", "message": message} | ({"error_type": error_type} if error_type else {})
    return DIALECT.parse_error(status, headers, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("status", "message", "error_type", "kind", "code"),
    [
        (400, "invalid request: message must not be empty", None, KIND.INVALID, None),
        (400, "too many tokens: size limit exceeded", "TOO_MANY_TOKENS", KIND.INVALID, "context_length_exceeded"),
        (400, "too many tokens: total number of tokens is", None, KIND.INVALID, "context_length_exceeded"),
        (400, "prompt is too long", "INVALID", KIND.INVALID, "context_length_exceeded"),
        (400, "too many tokens: max tokens must be less than 4096", None, KIND.INVALID, None),
        (422, "prompt is too long", "INVALID", KIND.INVALID, "context_length_exceeded"),
        (400, "prompt is too long", "INVALID_TOOL_GENERATION", KIND.INVALID, "invalid_tool_generation"),
        (400, "bad tools", "INVALID_TOOL_GENERATION", KIND.INVALID, "invalid_tool_generation"),
        (401, "invalid api token", None, KIND.AUTH, None),
        (402, "please add a payment method", None, KIND.AUTH, None),
        (404, "model 'x' not found", None, KIND.INVALID, "model_not_found"),
        (422, "unprocessable", None, KIND.INVALID, None),
        (429, "You are past the per minute request limit", None, KIND.RATE_LIMITED, None),
        (429, "You are using a Trial key, which is limited to 40 API calls / minute.", None, KIND.RATE_LIMITED, None),
        (429, "You are using a Trial key, which is limited to 1000 API calls / month.", None, KIND.AUTH, None),
        (498, "invalid token", None, KIND.AUTH, None),
        (499, "request is cancelled", None, KIND.SERVER, None),
        (500, "internal server error", None, KIND.SERVER, None),
        (503, "no capacity", None, KIND.OVERLOADED, None),
        (504, "timed out", None, KIND.TIMEOUT, None),
    ],
)
def test_meaning_of_statuses_and_words(
    status: int, message: str, error_type: str | None, kind: UpstreamErrorKind, code: str | None
) -> None:
    error = parse(status, message, error_type)
    assert (error.kind, error.status, error.code, error.message) == (kind, status, code, message)


def test_pause_that_is_asked_for_survives() -> None:
    assert parse(429, "slow down", **{"retry-after": "7"}).retry_after_s == 7.0
    assert parse(429, "slow down").retry_after_s is None


@given(st.integers(300, 599), st.binary(max_size=40) | st.dictionaries(st.text(max_size=9), st.integers()).map(repr))
def test_any_body_is_an_error_in_words(status: int, body: Any) -> None:
    error = DIALECT.parse_error(status, {}, body if isinstance(body, bytes) else body.encode())
    assert error.message
    assert error.status == status
