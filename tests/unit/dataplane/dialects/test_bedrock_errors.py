"""Errors of Bedrock: their class decides, wherever it is told, and else the status."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.dialects.bedrock import BedrockDialect
from dataplane.errors import UpstreamErrorKind

DIALECT = BedrockDialect()
CLASSES = [
    ("ValidationException", 400, UpstreamErrorKind.INVALID),
    ("AccessDeniedException", 403, UpstreamErrorKind.AUTH),
    ("UnrecognizedClientException", 403, UpstreamErrorKind.AUTH),
    ("ExpiredTokenException", 403, UpstreamErrorKind.AUTH),
    ("InvalidSignatureException", 403, UpstreamErrorKind.AUTH),
    ("ExpiredToken", 400, UpstreamErrorKind.AUTH),
    ("ResourceNotFoundException", 404, UpstreamErrorKind.INVALID),
    ("ModelTimeoutException", 408, UpstreamErrorKind.TIMEOUT),
    ("ModelErrorException", 424, UpstreamErrorKind.SERVER),
    ("ThrottlingException", 429, UpstreamErrorKind.RATE_LIMITED),
    ("ThrottlingException", 400, UpstreamErrorKind.RATE_LIMITED),
    ("ModelNotReadyException", 429, UpstreamErrorKind.RATE_LIMITED),
    ("ServiceQuotaExceededException", 400, UpstreamErrorKind.RATE_LIMITED),
    ("InternalServerException", 500, UpstreamErrorKind.SERVER),
    ("ServiceUnavailableException", 503, UpstreamErrorKind.OVERLOADED),
]


@pytest.mark.parametrize(("name", "status", "kind"), CLASSES)
def test_class_of_the_header_or_the_body(name: str, status: int, kind: UpstreamErrorKind) -> None:
    header = {"x-amzn-errortype": f"{name}:http://internal.amazon.com/coral/com.amazon.bedrock/"}
    typed = json.dumps({"__type": f"com.amazon.coral.service#{name}", "Message": "words"}).encode()
    for headers, body in ((header, b'{"message":"words"}'), ({}, typed)):
        error = DIALECT.parse_error(status, headers, body)
        assert (error.kind, error.status, error.message, error.code) == (kind, status, "words", name)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, UpstreamErrorKind.INVALID),
        (403, UpstreamErrorKind.AUTH),
        (404, UpstreamErrorKind.INVALID),
        (408, UpstreamErrorKind.TIMEOUT),
        (424, UpstreamErrorKind.SERVER),
        (429, UpstreamErrorKind.RATE_LIMITED),
        (500, UpstreamErrorKind.SERVER),
        (503, UpstreamErrorKind.OVERLOADED),
    ],
)
def test_status_decides_where_no_class_is_told(status: int, kind: UpstreamErrorKind) -> None:
    error = DIALECT.parse_error(status, {"x-amzn-errortype": "NewException"}, b'{"message":"words"}')
    assert (error.kind, error.code) == (kind, "NewException")
    assert DIALECT.parse_error(status, {}, b"").code is None


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Input is too long for requested model.", "context_length_exceeded"),
        ("400 Bad Request: Too many input tokens. Max input tokens: 8192", "context_length_exceeded"),
        ("Input Tokens Exceeded: Number of input tokens exceeds maximum length.", "context_length_exceeded"),
        ("This model's maximum context length is 8192 tokens.", "context_length_exceeded"),
        ("input length and `max_tokens` exceed context limit: 1 + 2 > 2", "context_length_exceeded"),
        ("The provided model identifier is invalid.", "model_not_found"),
        ("The value at messages.0 is too long", "ValidationException"),
    ],
)
def test_codes_that_openais_clients_know(message: str, code: str) -> None:
    body = json.dumps({"message": message}).encode()
    error = DIALECT.parse_error(400, {"x-amzn-errortype": "ValidationException"}, body)
    assert (error.message, error.code) == (message, code)


def test_words_about_the_context_count_in_refusals_of_the_call_alone() -> None:
    body = json.dumps({"message": "Input is too long for requested model."}).encode()
    error = DIALECT.parse_error(404, {"x-amzn-errortype": "ResourceNotFoundException"}, body)
    assert (error.kind, error.code) == (UpstreamErrorKind.INVALID, "ResourceNotFoundException")


def test_pause_and_request_id_are_read() -> None:
    error = DIALECT.parse_error(429, {"retry-after": "3", "x-amzn-requestid": "abc"}, b"slow down")
    assert (error.retry_after_s, error.detail, error.message) == (3.0, "request abc", "slow down")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda children: (
        st.lists(children, max_size=2)
        | st.dictionaries(st.sampled_from(["message", "Message", "__type", "code"]), children, max_size=3)
    ),
    max_leaves=6,
)


@given(st.integers(300, 599), JSON, st.binary(max_size=20), st.text(max_size=12))
def test_any_body_is_an_error_in_words(status: int, payload: Any, data: bytes, name: str) -> None:
    for body in (json.dumps(payload).encode(), data):
        error = DIALECT.parse_error(status, {"x-amzn-errortype": name}, body)
        assert error.message
        assert error.status == status
