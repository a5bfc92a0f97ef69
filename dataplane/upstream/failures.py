"""What failed attempts mean: for the next one, and for the client when there is none."""

import math
from collections.abc import Sequence

from dataplane.call import Call
from dataplane.errors import (
    GatewayError,
    NoTargetAvailable,
    UpstreamBrokeOff,
    UpstreamError,
    UpstreamErrorKind,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimeout,
)
from dataplane.masking import mask_credentials, mask_internals
from dataplane.snapshot import Target

BACKOFF_BASE_S = 0.1
BACKOFF_CAP_S = 2.0
_DEFAULT_RETRY_AFTER_S = 1.0
_PASSED_STATUS = frozenset((400, 404, 409, 413, 422))
_PAUSABLE = frozenset((429, 502, 503, 504))

Failure = tuple[Target, UpstreamError]


def may_try(target: Target, failures: Sequence[Failure]) -> bool:
    """Whether `target` may be tried after `failures`.

    A refusal of the call itself ends everything; a refused or unpaid credential ends the upstream; a target that asks
    for a longer pause than the longest backoff is left alone.
    """
    for failed, error in failures:
        if error.kind is UpstreamErrorKind.INVALID:
            return False
        if error.kind is UpstreamErrorKind.AUTH and failed.upstream is target.upstream:
            return False
        if failed is target and (error.retry_after_s or 0) > BACKOFF_CAP_S:
            return False
    return True


def backoff_bounds_s(target: Target, failures: Sequence[Failure]) -> tuple[float, float]:
    """Shortest and longest pause in seconds before `target`: none before its first try, then doubling."""
    earlier = [error for failed, error in failures if failed is target]
    if not earlier:
        return 0.0, 0.0
    floor_s = earlier[-1].retry_after_s or 0.0
    return floor_s, max(floor_s, min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2 ** len(earlier)))


def client_error(call: Call, failures: Sequence[Failure]) -> GatewayError:
    """What the client is told when no attempt got to content."""
    if not failures:
        return NoTargetAvailable(f'No target of "{call.model}" could be tried before the call\'s time was over.')
    target, last = failures[-1]
    error = _client_error(call, target, last, failures)
    pause_s = _soonest_s(failures)
    if pause_s and error.http_status in _PAUSABLE:
        error.headers["retry-after"] = str(math.ceil(pause_s))
        error.headers["retry-after-ms"] = str(math.ceil(pause_s * 1000))
    if len(failures) > 1:
        error.headers["x-should-retry"] = "false"
    return error


def broken_off(call: Call, error: UpstreamError) -> GatewayError:
    """What the client of a stream is told when the upstream fails after the first content."""
    upstream, words = f'The upstream of model "{call.model}"', _provider_words(error)
    match error.kind:
        case UpstreamErrorKind.TIMEOUT:
            return UpstreamTimeout(f"{upstream} stopped answering. Try again.{words}")
        case UpstreamErrorKind.PROTOCOL:
            return UpstreamFailed(f"{upstream} broke off its answer. Try again.{words}")
        case UpstreamErrorKind.AUTH:
            return UpstreamFailed(f"{upstream} refused the gateway's own credential within its answer.{words}")
        case UpstreamErrorKind.INVALID:
            return UpstreamBrokeOff(error, f"{upstream} refused the call within its answer.{words}")
    return UpstreamBrokeOff(error, f"{upstream} failed within its answer. Try again.{words}")


def _client_error(call: Call, target: Target, last: UpstreamError, failures: Sequence[Failure]) -> GatewayError:
    where = f'upstream "{target.upstream.id}" for model "{call.model}"'
    tries = f"after {len(failures)} attempt{'s' if len(failures) > 1 else ''}"
    if last.kind is UpstreamErrorKind.INVALID and last.status in _PASSED_STATUS:
        return UpstreamRefused(last)
    if all(error.kind is UpstreamErrorKind.RATE_LIMITED for _, error in failures):
        pause = f"{math.ceil(_soonest_s(failures))} s"
        return UpstreamRateLimited(
            f'Every upstream of model "{call.model}" is rate limited. Try again in {pause}.{_provider_words(last)}'
        )
    if last.kind is UpstreamErrorKind.TIMEOUT:
        return UpstreamTimeout(
            f"No answer in time from {where}, {tries}. Try again, or allow more time.{_provider_words(last)}"
        )
    if last.kind is UpstreamErrorKind.AUTH and not last.status:
        return UpstreamFailed(last.message)
    if last.kind is UpstreamErrorKind.AUTH:
        return UpstreamFailed(
            f"The {where} refused the gateway's own credential ({last.status}). "
            f"An operator must mend its secret, or what it may spend.{_provider_words(last)}"
        )
    if last.kind is UpstreamErrorKind.CONNECT:
        return UpstreamFailed(f"No connection to {where}, {tries}. Try again; an operator can check its base_url.")
    status = f" (status {last.status})" if last.status else ""
    return UpstreamFailed(f"No good answer from {where}{status}, {tries}. Try again.{_provider_words(last)}")


def _soonest_s(failures: Sequence[Failure]) -> float:
    """Seconds until one of the targets may be asked again, by what each said last; 0 where one may be at once.

    One that limits the rate and names no pause has a short one.
    """
    last = {id(target): error for target, error in failures}
    return min(map(_pause_s, last.values()), default=0.0)


def _pause_s(error: UpstreamError) -> float:
    is_limited = error.kind is UpstreamErrorKind.RATE_LIMITED
    return error.retry_after_s or (_DEFAULT_RETRY_AFTER_S if is_limited else 0.0)


def _provider_words(error: UpstreamError) -> str:
    """What the provider said of it, as a sentence more; "" where it said nothing that is for clients.

    Credentials and ids of organisations are masked, and so are source paths and private addresses in what is no
    refusal of the call; a trace is not told at all.
    """
    words = mask_credentials(error.message, is_refused=error.kind is UpstreamErrorKind.AUTH)
    if error.kind is not UpstreamErrorKind.INVALID:
        words = mask_internals(words)
    return f" The provider said: {words}" if words and error.is_quote else ""
