"""What failed attempts mean for the next one and for the client."""

import time
import timeit

import pytest

from dataplane.errors import GatewayError, UpstreamError, UpstreamErrorKind
from dataplane.snapshot import Target
from dataplane.upstream.failures import Failure, broken_off, client_error, may_try
from tests.fakes.gateway import upstream
from tests.fakes.outcomes import make_call

A = Target(upstream("a", "https://a.example.com"), "m")
A_OTHER = Target(A.upstream, "n")
B = Target(upstream("b", "https://b.example.com"), "m")


def failure(target: Target, kind: UpstreamErrorKind, status: int = 0, retry_after_s: float | None = None) -> Failure:
    return target, UpstreamError(kind, "words", status=status, retry_after_s=retry_after_s, is_quote=bool(status))


OUT_OF_CREDIT = failure(A, UpstreamErrorKind.AUTH, 429)


def test_upstream_that_is_out_of_credit_is_left_alone_and_others_are_tried() -> None:
    assert not may_try(A, [OUT_OF_CREDIT])
    assert not may_try(A_OTHER, [OUT_OF_CREDIT])
    assert may_try(B, [OUT_OF_CREDIT])


def test_long_pause_leaves_the_target_alone() -> None:
    limited = failure(A, UpstreamErrorKind.RATE_LIMITED, 429, 30.0)
    assert not may_try(A, [limited])
    assert may_try(A_OTHER, [limited])


def told(*failures: Failure) -> GatewayError:
    return client_error(make_call(), failures)


@pytest.mark.parametrize(
    ("failures", "status"),
    [
        ([OUT_OF_CREDIT], 502),
        ([failure(B, UpstreamErrorKind.RATE_LIMITED, 429), OUT_OF_CREDIT], 502),
        ([failure(A, UpstreamErrorKind.RATE_LIMITED, 429), failure(B, UpstreamErrorKind.RATE_LIMITED, 429)], 429),
        ([failure(A, UpstreamErrorKind.INVALID, 422)], 422),
        ([failure(A, UpstreamErrorKind.TIMEOUT)], 504),
        ([], 503),
    ],
)
def test_what_the_client_is_told(failures: list[Failure], status: int) -> None:
    error = told(*failures)
    assert error.http_status == status
    assert ("retry-after" in error.headers) == (status == 429)
    assert ("words" in error.message) == bool(failures and failures[-1][1].status)


def test_the_provider_is_quoted_and_what_looks_like_a_key_is_masked() -> None:
    said = "Incorrect API key provided: sk-proj-ab12****wxyz. You are org-abc123."
    refused = UpstreamError(UpstreamErrorKind.AUTH, said, status=401, is_quote=True)
    assert told((A, refused)).message.endswith("The provider said: Incorrect API key provided: ***. You are ***.")
    assert broken_off(make_call(), refused).message.endswith("key provided: ***. You are ***.")
    for name in ("org-abc123", "org_01abc"):
        said = f"gpt-4o-mini-2024-07-18 in {name}"
        limited = UpstreamError(UpstreamErrorKind.RATE_LIMITED, said, status=429, is_quote=True)
        for message in (told((A, limited)).message, broken_off(make_call(), limited).message):
            assert message.endswith("The provider said: gpt-4o-mini-2024-07-18 in ***")
    silent = UpstreamError(UpstreamErrorKind.SERVER, "The upstream answered 500.", status=500)
    assert "provider said" not in told((A, silent)).message
    assert "provider said" not in broken_off(make_call(), silent).message


@pytest.mark.parametrize("kind", [kind for kind in UpstreamErrorKind if kind is not UpstreamErrorKind.CONNECT])
def test_credential_is_masked_whatever_kind_of_failure_speaks_of_it(kind: UpstreamErrorKind) -> None:
    said = UpstreamError(kind, "Incorrect API key provided: sk-proj-AbCd1234efGH5678.", status=599, is_quote=True)
    for error in (told((A, said)), broken_off(make_call(), said)):
        assert error.message.endswith("The provider said: Incorrect API key provided: ***.")


@pytest.mark.parametrize("kind", [UpstreamErrorKind.SERVER, UpstreamErrorKind.OVERLOADED, UpstreamErrorKind.PROTOCOL])
@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("engine died in /usr/lib/python3.11/vllm/engine.py:31", "engine died in ***"),
        ("no file /models/llama.gguf, C:\\app\\main.cs", "no file ***, ***"),
        ("refused by 10.0.3.7:29500, then tcp:192.168.1.2", "refused by ***, then tcp:***"),
        ("http://127.0.0.1:8000/v1, http://localhost:8000/v1 and [::1]:80", "http://***/v1, http://***/v1 and ***"),
        ("8.8.8.8 and 172.32.0.1 at https://a.example/docs/errors.html", None),
        ("POST /v1/chat/completions of gpt-4.1 /v1/models/gpt-4.1", None),
        ("org-abc1 is busy", "*** is busy"),
    ],
)
def test_source_paths_and_private_addresses_are_masked_in_failures(
    kind: UpstreamErrorKind, words: str, shown: str | None
) -> None:
    failed = UpstreamError(kind, words, status=500, is_quote=True)
    for error in (told((A, failed)), broken_off(make_call(), failed)):
        assert error.message.endswith(f"The provider said: {shown or words}")


@pytest.mark.parametrize(
    "trace",
    [
        'Traceback (most recent call last):\n  File "/app/x.py", line 3\nValueError: a',
        'boom File "x.py", line 3, in run',
        "boom\n    at Object.<anonymous> (/app/x.js:1:2)",
        "boom\n\tat com.example.Main.run(Main.java:12)",
        "goroutine 1 [running]:\nmain.main()",
    ],
)
def test_trace_is_not_told(trace: str) -> None:
    failed = UpstreamError(UpstreamErrorKind.SERVER, trace, status=500, is_quote=True)
    for error in (told((A, failed)), broken_off(make_call(), failed)):
        assert error.message.endswith("Try again.")


def test_words_of_a_refused_call_keep_the_paths_that_they_name() -> None:
    refused = UpstreamError(UpstreamErrorKind.INVALID, "no file /data/in/a.txt at 10.0.0.1", status=400, is_quote=True)
    for error in (told((A, refused)), broken_off(make_call(), refused)):
        assert error.message.endswith("no file /data/in/a.txt at 10.0.0.1")


@pytest.mark.parametrize(
    "piece", ["a", "-", "1", "/", "/a", "/a.b", "C:\\a", "10.", "fe80:a", "at ", "at a(", 'File "', "\n", "sk-", "org-"]
)
def test_long_words_of_a_failure_are_told_in_no_time(piece: str) -> None:
    failed = UpstreamError(UpstreamErrorKind.AUTH, (piece * 2000)[:2000], status=401, is_quote=True)
    took_s = min(timeit.repeat(lambda: told((A, failed)), timer=time.process_time, number=1, repeat=5))
    assert took_s < 0.005


def test_words_that_begin_like_the_gateways_or_came_without_a_status_are_quoted() -> None:
    said = UpstreamError(UpstreamErrorKind.SERVER, "The upstream provider is on fire.", is_quote=True)
    assert told((A, said)).message.endswith("Try again. The provider said: The upstream provider is on fire.")


def test_soonest_of_the_rate_limits_is_told() -> None:
    error = told(
        failure(A, UpstreamErrorKind.RATE_LIMITED, 429, 9.0), failure(B, UpstreamErrorKind.RATE_LIMITED, 429, 2.5)
    )
    assert (error.headers["retry-after"], error.headers["retry-after-ms"]) == ("3", "2500")


@pytest.mark.parametrize(
    ("failures", "status", "pause"),
    [
        ([failure(A, UpstreamErrorKind.OVERLOADED, 503, 86400.0)], 502, "86400"),
        ([failure(A, UpstreamErrorKind.SERVER, 500), failure(A, UpstreamErrorKind.OVERLOADED, 503, 20.0)], 502, "20"),
        ([failure(A, UpstreamErrorKind.OVERLOADED, 529, 7.0), failure(B, UpstreamErrorKind.SERVER, 500)], 502, None),
        (
            [failure(A, UpstreamErrorKind.RATE_LIMITED, 429, 9.0), failure(B, UpstreamErrorKind.OVERLOADED, 503, 7.0)],
            502,
            "7",
        ),
        (
            [failure(A, UpstreamErrorKind.OVERLOADED, 503, 20.0), failure(B, UpstreamErrorKind.RATE_LIMITED, 429)],
            502,
            "1",
        ),
        ([failure(A, UpstreamErrorKind.TIMEOUT, 504, 3.0)], 504, "3"),
        (
            [failure(A, UpstreamErrorKind.RATE_LIMITED, 429, 86400.0), failure(B, UpstreamErrorKind.RATE_LIMITED, 429)],
            429,
            "1",
        ),
        ([failure(A, UpstreamErrorKind.RATE_LIMITED, 429, 0.0)], 429, "1"),
        ([failure(A, UpstreamErrorKind.SERVER, 500, 0.0)], 502, None),
        ([failure(A, UpstreamErrorKind.INVALID, 400, 7.0)], 400, None),
    ],
)
def test_pause_of_the_target_that_may_be_asked_again_soonest_is_told(
    failures: list[Failure], status: int, pause: str | None
) -> None:
    error = told(*failures)
    assert (error.http_status, error.headers.get("retry-after")) == (status, pause)
    assert error.headers.get("retry-after-ms") == (pause and f"{pause}000")


@pytest.mark.parametrize(
    ("kind", "status", "logged", "said", "type_", "code"),
    [
        (UpstreamErrorKind.RATE_LIMITED, 429, 502, 429, "rate_limit_error", "rate_limit_exceeded"),
        (UpstreamErrorKind.OVERLOADED, 529, 502, 503, "server_error", "overloaded_error"),
        (UpstreamErrorKind.INVALID, 422, 502, 422, "invalid_request_error", "invalid_request"),
        (UpstreamErrorKind.SERVER, 424, 502, 502, "server_error", "upstream_error"),
        (UpstreamErrorKind.AUTH, 401, 502, 502, "server_error", "upstream_error"),
        (UpstreamErrorKind.TIMEOUT, 504, 504, 504, "server_error", "upstream_timeout"),
        (UpstreamErrorKind.PROTOCOL, 0, 502, 502, "server_error", "upstream_error"),
    ],
)
def test_error_within_an_answer_is_logged_as_a_failure_and_told_as_what_it_is(
    kind: UpstreamErrorKind, status: int, logged: int, said: int, type_: str, code: str
) -> None:
    error = broken_off(make_call(), failure(A, kind, status)[1])
    assert (error.http_status, error.error_code) == (logged, "upstream_timeout" if logged == 504 else "upstream_error")
    told_error = error.in_stream()
    assert told_error.http_status == said
    assert told_error.body()["error"] == {"message": error.message, "type": type_, "param": None, "code": code}
    assert error.message.endswith("The provider said: words") == bool(status)


@pytest.mark.parametrize(
    ("kind", "is_told"),
    [(UpstreamErrorKind.SERVER, True), (UpstreamErrorKind.INVALID, True), (UpstreamErrorKind.AUTH, False)],
)
def test_own_type_param_and_code_are_told_within_an_answer_but_of_a_refused_credential(
    kind: UpstreamErrorKind, is_told: bool
) -> None:
    failed = failure(A, kind, 400)[1]
    failed.type, failed.param, failed.code = "t", "p", "c"
    body = broken_off(make_call(), failed).in_stream().body()["error"]
    assert (body["type"], body["param"], body["code"]) == (
        ("t", "p", "c") if is_told else ("server_error", None, "upstream_error")
    )
