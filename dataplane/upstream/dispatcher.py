"""Walks a plan to the first content of an answer: retry and fallback happen here, and end there."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple, Protocol

from dataplane.call import Attempt, Call, Endpoint, Outcome, Plan, UpstreamRequest
from dataplane.credentials.base import redact_sent
from dataplane.dialects.base import Catalog, Dialect, Frame, ProviderSpec
from dataplane.dialects.openai.function_answers import in_functions
from dataplane.dialects.requests import path_of
from dataplane.errors import GatewayError, InvalidRequest, UpstreamError, UpstreamErrorKind
from dataplane.snapshot import Target, Upstream
from dataplane.spans import CallSpan
from dataplane.upstream.answer import FrameStream, UpstreamAnswer
from dataplane.upstream.failures import Failure, backoff_bounds_s, client_error, may_try
from dataplane.upstream.transport import MAX_ERROR_BYTES, MAX_RESULT_BYTES, Transport, UpstreamResponse

_HTTP_OK = 200


class AttemptGate(Protocol):
    """What every attempt passes before it goes out."""

    async def admit(self, target: Target) -> GatewayError | None:
        """Why `target` may not be tried now, or None."""
        ...

    def begin(self, attempt: Attempt) -> None:
        """Writes `attempt` down. Raises GatewayError when that cannot be."""
        ...

    def note_failure(self, attempt: Attempt, frames: list[Frame]) -> None:
        """Takes what an attempt had told before it failed."""
        ...


class Authorizer(Protocol):
    """Who holds credentials that are more than a header."""

    def authorize(self, request: UpstreamRequest, upstream: Upstream, provider: ProviderSpec) -> None:
        """Adds to `request` what makes it welcome, without waiting. Raises UpstreamError when nothing is to be had."""
        ...


class Dispatcher:
    """Sends calls upstream. `uniform(a, b)` draws the jitter of pauses."""

    def __init__(
        self,
        transport: Transport,
        catalog: Catalog,
        credentials: Authorizer,
        uniform: Callable[[float, float], float],
    ) -> None:
        self._transport = transport
        self._catalog = catalog
        self._credentials = credentials
        self._uniform = uniform

    def offers(self, endpoint: Endpoint, plan: Plan) -> bool:
        """Whether any target of `plan` has something that answers `endpoint`."""
        providers = self._catalog.providers
        rows = (providers[t.upstream.provider].at(t.model, t.upstream.options) for t in plan.targets)
        return any(endpoint.name in row.paths for row in rows)

    async def open(self, call: Call, plan: Plan, outcome: Outcome, span: CallSpan, gate: AttemptGate) -> UpstreamAnswer:
        """The answer of the first attempt that gets to content; every attempt is added to `outcome`.

        A target that `gate` does not admit, or that cannot be told the call, is passed over like one that is not
        healthy. Raises GatewayError, as `gate` does, and when the plan is exhausted or a failure allows no further
        attempt.
        """
        tellings = _Tellings(call, self._catalog)
        failures: list[Failure] = []
        refusal: GatewayError | None = None
        deadline_s = call.start_s + plan.deadlines.total_s
        for target in plan.targets:
            if not may_try(target, failures):
                continue
            if failures:
                shortest_s, longest_s = backoff_bounds_s(target, failures)
                if time.monotonic() + shortest_s >= deadline_s:
                    continue
                await asyncio.sleep(self._uniform(shortest_s, longest_s))
            try:
                telling = tellings.tell(target)
            except InvalidRequest as error:
                refusal = refusal or error
                continue
            refused = await gate.admit(target)
            if refused is not None:
                refusal = refusal or refused
                continue
            attempt = Attempt(len(outcome.attempts) + 1, target.upstream, target.model, time.time_ns() // 1000)
            gate.begin(attempt)
            outcome.attempts.append(attempt)
            try:
                return await self._attempt(telling, plan, attempt, span, gate)
            except UpstreamError as error:
                failures.append((target, error))
        raise refusal if refusal is not None and not failures else client_error(call, failures)

    async def _attempt(
        self, telling: "_Telling", plan: Plan, attempt: Attempt, span: CallSpan, gate: AttemptGate
    ) -> UpstreamAnswer:
        """One try, up to its first content. Raises UpstreamError; the attempt then tells how it ended."""
        attempt_span = span.begin_attempt(attempt)
        call, provider, dialect, request = telling
        upstream = attempt.upstream
        response: UpstreamResponse | None = None
        first: list[Frame] = []
        is_good = False
        try:
            if provider.credentials:
                self._credentials.authorize(request, upstream, provider)
            response = await self._transport.send(request, _first_byte_deadline_s(call, plan))
            attempt.status = response.status
            stream = await _read_to_content(call, plan, response, dialect, first)
            attempt.first_frame_time_us = time.time_ns() // 1000
            answer = UpstreamAnswer(attempt, response, first, stream)
            answer.on_close(lambda: attempt_span.end(attempt))
            answer.redact_by(partial(_redact, upstream, request))
            is_good = True
            return answer
        except UpstreamError as error:
            _redact(upstream, request, error)
            _note_failure(attempt, error, request)
            gate.note_failure(attempt, first + _last_word(error))
            raise
        except BaseException:
            # The call was ended, or the gateway erred: the upstream may be at work all the same.
            attempt.may_have_run = request.is_sent
            gate.note_failure(attempt, first)
            raise
        finally:
            if not is_good:
                attempt.end_time_us = time.time_ns() // 1000
                attempt_span.end(attempt)
                if response is not None:
                    response.release()


class _Telling(NamedTuple):
    """A call in the form that a dialect is handed it in, what answers are read by, and what a target is sent."""

    call: Call
    provider: ProviderSpec
    dialect: Dialect
    request: UpstreamRequest


class _Tellings:
    """One call, in its own format and, made once when a target needs it, in the hub's."""

    __slots__ = ("_call", "_catalog", "_in_hub")

    def __init__(self, call: Call, catalog: Catalog) -> None:
        self._call = call
        self._catalog = catalog
        self._in_hub: Call | None = None

    def tell(self, target: Target) -> _Telling:
        """What `target` is told. Raises InvalidRequest for what it cannot be told."""
        catalog = self._catalog
        provider = catalog.providers[target.upstream.provider].at(target.model, target.upstream.options)
        dialect = catalog.dialects[provider.dialect]
        call = self._call if self._call.endpoint.format == provider.dialect else self._hub_call()
        path_of(call, target, provider)
        request = dialect.render_request(call, target, provider)
        return _Telling(call, provider, in_functions(dialect, call, provider), request)

    def _hub_call(self) -> Call:
        if self._in_hub is None:
            spoken = self._catalog.formats.get(self._call.endpoint.format)
            said = self._call if spoken is None else spoken.parse_request(self._call)
            self._in_hub = said if spoken is None else replace(said, forwarded_headers={}, is_translated=True)
        return self._in_hub


def _redact(upstream: Upstream, request: UpstreamRequest, error: UpstreamError) -> None:
    """Takes out of what the upstream said the secret that it has, and what was made of it for this request."""
    error.redact(upstream.secret.reveal())
    redact_sent(error, request)


def _first_byte_deadline_s(call: Call, plan: Plan) -> float:
    return min(call.start_s + plan.deadlines.total_s, time.monotonic() + plan.deadlines.first_byte_s)


async def _read_to_content(
    call: Call, plan: Plan, response: UpstreamResponse, dialect: Dialect, first: list[Frame]
) -> FrameStream | None:
    """Adds to `first` what an upstream whose head was good answers, up to its first content; the rest is the stream's.

    Raises UpstreamError when the answer is an error or broken.
    """
    deadline_s = call.start_s + plan.deadlines.total_s
    if response.status != _HTTP_OK:
        body = await response.read(MAX_ERROR_BYTES, deadline_s)
        raise dialect.parse_error(response.status, response.headers, body)
    if not call.stream:
        body = await response.read(MAX_RESULT_BYTES, deadline_s)
        first.append(dialect.parse_result(call, body, response.headers))
        return None
    parser, parse_whole = dialect.stream_parser(call), partial(dialect.parse_result_chunks, call)
    stream = FrameStream(response, parser, parse_whole, plan.deadlines.idle_s, deadline_s)
    await stream.read_to_content(first)
    return stream


def _last_word(error: UpstreamError) -> list[Frame]:
    """The frame that tells what the answer that `error` ended used; none where it tells nothing of that."""
    if error.usage is None:
        return []
    return [Frame(b"", usage=error.usage, is_content=False, is_usage_only=True, service_tier=error.service_tier)]


def _note_failure(attempt: Attempt, error: UpstreamError, request: UpstreamRequest) -> None:
    """An answer that had not begun badly and was lost, or one that did not come in time, may have been produced."""
    lost = error.kind is UpstreamErrorKind.PROTOCOL and attempt.status in (0, _HTTP_OK)
    late = error.kind is UpstreamErrorKind.TIMEOUT and error.status == 0
    attempt.may_have_run = request.is_sent and (lost or late)
    attempt.status = error.status or attempt.status
    attempt.error_code = error.kind.value
