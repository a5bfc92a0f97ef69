"""What failed attempts mean for the next one and for the client."""

import pytest

from dataplane.errors import GatewayError, UpstreamError, UpstreamErrorKind
from dataplane.snapshot import Target
from dataplane.upstream.failures import Failure, client_error, may_try
from tests.fakes.gateway import upstream
from tests.fakes.outcomes import make_call

A = Target(upstream("a", "https://a.example.com"), "m")
A_OTHER = Target(A.upstream, "n")
B = Target(upstream("b", "https://b.example.com"), "m")


def failure(target: Target, kind: UpstreamErrorKind, status: int = 0, retry_after_s: float | None = None) -> Failure:
    return target, UpstreamError(kind, "words", status=status, retry_after_s=retry_after_s)


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
    refused = UpstreamError(UpstreamErrorKind.AUTH, said, status=401)
    assert told((A, refused)).message.endswith("The provider said: Incorrect API key provided: ***. You are ***.")
    limited = UpstreamError(UpstreamErrorKind.RATE_LIMITED, "gpt-4o-mini-2024-07-18 in org-abc123", status=429)
    assert told((A, limited)).message.endswith("The provider said: gpt-4o-mini-2024-07-18 in ***")
    silent = UpstreamError(UpstreamErrorKind.SERVER, "The upstream answered 500.", status=500)
    assert "provider said" not in told((A, silent)).message


def test_soonest_of_the_rate_limits_is_told() -> None:
    error = told(
        failure(A, UpstreamErrorKind.RATE_LIMITED, 429, 9.0), failure(B, UpstreamErrorKind.RATE_LIMITED, 429, 2.5)
    )
    assert (error.headers["retry-after"], error.headers["retry-after-ms"]) == ("3", "2500")
