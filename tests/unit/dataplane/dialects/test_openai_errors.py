"""Refusals and failures of providers: what they mean for retries, and when to come back."""

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.dialects.openai.errors import MAX_RETRY_AFTER_S, parse_error, parse_error_object, parse_retry_after_s
from dataplane.errors import UpstreamErrorKind

SENT = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "7", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "86400", "retry-after-ms": "86400000"}, 86400.0),
        ({"retry-after": "2678400"}, 2678400.0),
        ({"retry-after-ms": "1e300"}, MAX_RETRY_AFTER_S),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": SENT}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:30 GMT", "date": SENT}, 0.0),
        ({"retry-after": "Thu, 22 Oct 2026 07:28:00 GMT", "date": SENT}, 86400.0),
        ({"retry-after": "Fri, 22 Oct 2066 07:28:00 GMT", "date": SENT}, MAX_RETRY_AFTER_S),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 -0000", "date": SENT}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 99999999999999999999 07:28:30 GMT", "date": SENT}, None),
        ({"retry-after": "soon", "date": SENT}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert parse_retry_after_s(headers) == seconds


@given(st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date"]), st.text() | st.just(SENT)))
def test_retry_after_is_bounded_whatever_is_sent(headers: dict[str, str]) -> None:
    seconds = parse_retry_after_s(headers)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER_S


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (429, {"code": "insufficient_quota"}, UpstreamErrorKind.AUTH),
        (429, {"type": "insufficient_quota", "code": None}, UpstreamErrorKind.AUTH),
        (400, {"code": "billing_hard_limit_reached"}, UpstreamErrorKind.AUTH),
        (429, {"code": "rate_limit_exceeded"}, UpstreamErrorKind.RATE_LIMITED),
        (503, {"code": "insufficient_quota"}, UpstreamErrorKind.OVERLOADED),
        (404, {}, UpstreamErrorKind.INVALID),
        (302, {}, UpstreamErrorKind.PROTOCOL),
    ],
)
def test_kind_of_an_answer(status: int, error: dict[str, Any], kind: UpstreamErrorKind) -> None:
    parsed = parse_error(status, {}, json.dumps({"error": error}).encode())
    assert (parsed.kind, parsed.status) == (kind, status)


@pytest.mark.parametrize(
    ("payload", "kind", "status"),
    [
        ({"code": "insufficient_quota", "message": "pay"}, UpstreamErrorKind.AUTH, 429),
        ({"code": 529}, UpstreamErrorKind.OVERLOADED, 529),
        ({"code": "9" * 5000}, UpstreamErrorKind.SERVER, 0),
        ({"type": "invalid_request_error"}, UpstreamErrorKind.INVALID, 400),
        ("the request exceeds the available context size", UpstreamErrorKind.INVALID, 400),
        ({"type": "overloaded_error"}, UpstreamErrorKind.OVERLOADED, 529),
        ({"code": "invalid_api_key"}, UpstreamErrorKind.AUTH, 401),
        ({"message": "Incorrect API key provided: ab***yz.", "code": 400}, UpstreamErrorKind.AUTH, 400),
        ({"message": "Incorrect API key provided: ab***yz.", "code": 502}, UpstreamErrorKind.SERVER, 502),
        ({"type": "authentication_error", "code": "invalid_request_error"}, UpstreamErrorKind.AUTH, 401),
        ({"type": "billing_error", "code": None}, UpstreamErrorKind.AUTH, 402),
        ({"type": "permission_error"}, UpstreamErrorKind.AUTH, 403),
        ({"code": "permission_error"}, UpstreamErrorKind.AUTH, 403),
        ({"type": "permission_error", "code": 429}, UpstreamErrorKind.RATE_LIMITED, 429),
        (
            {"type": "rate_limit_error", "message": "the prompt exceeds the context size"},
            UpstreamErrorKind.RATE_LIMITED,
            429,
        ),
        (["odd"], UpstreamErrorKind.SERVER, 0),
        ("text", UpstreamErrorKind.SERVER, 0),
    ],
)
def test_kind_of_an_error_inside_an_answer(payload: Any, kind: UpstreamErrorKind, status: int) -> None:
    error = parse_error_object(payload)
    assert (error.kind, error.status) == (kind, status)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (gzip.compress(b'{"error":{"message":"too long"}}', mtime=0), "too long"),
        (gzip.compress(b"plain", mtime=0), "plain"),
        (b"\x1f\x8b\x08broken", "The upstream answered 400."),
        (b"\x00\x01\x02", "The upstream answered 400."),
        (b"\xff\xfe\xfd", "The upstream answered 400."),
        (b"", "The upstream answered 400."),
        (b"two\nlines", "two\nlines"),
        (("x" * 1999 + "\u20ac").encode(), "x" * 1999),
        (b'{"error":{"message":"half \\ud83d"}}', "half \ufffd"),
        (b'{"detail":' + b"[" * 500 + b"]" * 500 + b"}", "The upstream answered 400."),
    ],
)
def test_message_is_readable_text(body: bytes, message: str) -> None:
    error = parse_error(400, {}, body)
    assert (error.message, error.is_quote) == (message, message != "The upstream answered 400.")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("m is rate-limited upstream", "Provider returned error: m is rate-limited upstream"),
        ('{"error":{"message":"boom"},"id":1}', "Provider returned error: boom"),
        ('[{"error":{"message":"boom"}}]', "Provider returned error: boom"),
        ({"detail": "boom"}, "Provider returned error: boom"),
        ('{"odd":1}', 'Provider returned error: {"odd":1}'),
        ("[" * 2000, "Provider returned error: " + "[" * 1975),
        ("x" * 100_000, "Provider returned error: " + "x" * 1975),
        ("returned error", "Provider returned error"),
        ("", "Provider returned error"),
        (7, "Provider returned error"),
        (None, "Provider returned error"),
    ],
)
@pytest.mark.parametrize("status", [400, 429, 200])
def test_words_of_the_provider_behind_a_router_are_told(status: int, raw: Any, message: str) -> None:
    shape = {"code": status, "message": "Provider returned error", "metadata": {"provider_name": "X", "raw": raw}}
    error = (
        parse_error_object(shape) if status == 200 else parse_error(status, {}, json.dumps({"error": shape}).encode())
    )
    assert (error.message, error.is_quote) == (message, True)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("No access for API key sk-proj-AbCd1234efGH5678", "No access for API key ***"),
        (
            {"error": {"message": "org-abc1 may not use gpt-4o-mini-2024-07-18"}},
            "*** may not use gpt-4o-mini-2024-07-18",
        ),
    ],
)
def test_credentials_and_organisations_of_a_router_are_masked_in_refusals(raw: Any, shown: str) -> None:
    shape = {"message": "Provider returned error", "metadata": {"raw": raw}}
    error = parse_error(400, {}, json.dumps({"error": shape}).encode())
    assert (error.kind, error.message) == (UpstreamErrorKind.INVALID, f"Provider returned error: {shown}")


def test_words_of_a_plain_refusal_stay() -> None:
    words = "org-abc1: no function for API key abcdef123456"
    assert parse_error(400, {}, json.dumps({"error": {"message": words}}).encode()).message == words


@pytest.mark.parametrize(
    "said", ["Provider returned error: Incorrect API key provided: a.", "AuthenticationError - Invalid API key"]
)
def test_refused_key_is_known_wherever_the_words_speak_of_it(said: str) -> None:
    body = json.dumps({"error": {"message": said, "code": 400}}).encode()
    assert parse_error(400, {}, body).kind is UpstreamErrorKind.AUTH
    assert parse_error(500, {}, body).kind is UpstreamErrorKind.SERVER


def test_deployment_that_does_not_exist_is_a_model_that_does_not() -> None:
    said = b'{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}'
    error = parse_error(404, {}, said)
    assert (error.kind, error.code) == (UpstreamErrorKind.INVALID, "model_not_found")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(424, UpstreamErrorKind.SERVER), (498, UpstreamErrorKind.OVERLOADED), (422, UpstreamErrorKind.INVALID)],
)
def test_statuses_that_compatible_providers_have_of_their_own(status: int, kind: UpstreamErrorKind) -> None:
    assert parse_error(status, {}, b'{"detail":"x"}').kind is kind


def test_key_that_is_refused_as_a_bad_request_is_a_refused_key() -> None:
    said = b'{"code":"invalid-argument","error":"Incorrect API key provided: ab***yz."}'
    error = parse_error(400, {}, said)
    assert (error.kind, error.code, error.message) == (
        UpstreamErrorKind.AUTH,
        "invalid-argument",
        "Incorrect API key provided: ab***yz.",
    )


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ([{"error": {"code": 400, "message": "no such model"}}], "no such model"),
        ({"detail": [{"loc": ["body", "messages", 0], "msg": 'not "x"', "type": "t"}]}, 'body.messages.0: not "x"'),
        ({"message": {"detail": [{"msg": "a"}, {"msg": "b"}]}}, '{"detail":[{"msg":"a"},{"msg":"b"}]}'),
        ({"errors": [{"code": 7009, "message": "no account"}], "success": False}, "no account"),
        ({"error": {"message": ["one", {"message": "two"}]}}, "one; two"),
        ({"detail": [1, {"msg": "a"}]}, '[1,{"msg":"a"}]'),
    ],
)
def test_complaints_are_told_in_words(payload: Any, message: str) -> None:
    assert parse_error(400, {}, json.dumps(payload).encode()).message == message


def test_key_that_google_refuses_is_a_refused_key() -> None:
    said = [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}]
    assert parse_error(400, {}, json.dumps(said).encode()).kind is UpstreamErrorKind.AUTH
