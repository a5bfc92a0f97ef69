"""The straight line that every call takes, stream or not, chat or not.

authenticate and ingress come before it; then route -> admit -> upstream -> translate back -> meter -> settle and emit.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from aiohttp import web

from dataplane.call import COUNT_TOKENS, Attempt, Call, Outcome, Principal
from dataplane.dialects.base import Frame
from dataplane.errors import ClientGone, GatewayError, UpstreamError
from dataplane.ingress.presence import ClientPresence
from dataplane.ingress.writers import ResponseWriter
from dataplane.limits.admission import Admits
from dataplane.limits.ticket import NO_TICKET, Ticket
from dataplane.metering.estimate import counted
from dataplane.metering.meter import Meter, estimate_bound, estimate_input, settle_failed
from dataplane.routing.planner import plan
from dataplane.snapshot import Target
from dataplane.spans import CallSpan
from dataplane.telemetry import Telemetry
from dataplane.upstream.answer import UpstreamAnswer
from dataplane.upstream.dispatcher import Dispatcher
from dataplane.upstream.failures import broken_off

logger = logging.getLogger(__name__)

_HTTP_OK = 200


class UsageSink(Protocol):
    """Where calls are written down: each attempt before it goes out, and how it ended."""

    def begin(self, outcome: Outcome, attempt: Attempt) -> None:
        """Takes the ends of the attempts before, too. Raises Overloaded when it cannot be written down."""
        ...

    def emit(self, outcome: Outcome) -> None: ...

    def has_room(self, in_flight_calls: int) -> bool:
        """Whether what one more call may owe the ledger can be held beside what `in_flight_calls` may owe."""
        ...


@dataclass(frozen=True, slots=True)
class Exchange:
    """The HTTP side of one call: who asked, and how the answer goes out."""

    request: web.BaseRequest
    writer: ResponseWriter
    span: CallSpan


class Pipeline:
    """Runs calls. `random()` draws from [0, 1) for weighted choices."""

    def __init__(
        self,
        admission: Admits,
        dispatcher: Dispatcher,
        presence: ClientPresence,
        sink: UsageSink,
        telemetry: Telemetry,
        random: Callable[[], float],
    ) -> None:
        self._admission = admission
        self._dispatcher = dispatcher
        self._presence = presence
        self._sink = sink
        self._telemetry = telemetry
        self._random = random

    async def run(self, call: Call, principal: Principal, exchange: Exchange) -> None:
        """Serves `call` into `exchange.writer`; it is settled and emitted once, before the client has it all."""
        outcome = Outcome(call, principal, status=GatewayError.status, error_code=GatewayError.code)
        work = Work(outcome, Meter())
        failure: GatewayError | None = None
        try:
            await self._serve(call, exchange, work)
            outcome.status, outcome.error_code = _HTTP_OK, ""
        except GatewayError as error:
            failure = error
            outcome.status, outcome.error_code = error.http_status, error.error_code
            outcome.client_gone = isinstance(error, ClientGone)
        except Exception:
            logger.exception("call failed request_id=%s", call.request_id)
            failure = GatewayError(f"The gateway failed to serve this call. Quote {call.request_id} to its operators.")
        finally:
            self._settle(work, exchange.span)
        await self._end(exchange, outcome, failure)

    async def _end(self, exchange: Exchange, outcome: Outcome, failure: GatewayError | None) -> None:
        """Sends the rest of the answer, or what went wrong, to the last byte, while there is someone to read it.

        Raises GatewayError only where nothing was sent: what follows an answer would be taken for the next one.
        """
        writer = exchange.writer
        try:
            with self._presence.watch(exchange.request, writer, outcome):
                if failure is None:
                    await writer.finish(outcome)
                else:
                    await writer.fail(failure, outcome)
        except ClientGone:
            return
        except Exception as error:
            if writer.response is None:
                raise
            if not isinstance(error, GatewayError):
                logger.exception("answer cut off request_id=%s", outcome.call.request_id)
            if exchange.request.transport is not None:
                exchange.request.transport.abort()

    async def _serve(self, call: Call, exchange: Exchange, work: "Work") -> None:
        """From the route to the last frame. Raises GatewayError, ClientGone among them."""
        outcome = work.outcome
        way = plan(call, outcome.principal, self._random)
        outcome.route = way.route
        if call.endpoint.operation == COUNT_TOKENS and not self._dispatcher.offers(call.endpoint, way):
            outcome.is_local = True
            exchange.writer.write([counted(call)], call)
            return
        with self._presence.watch(exchange.request, exchange.writer, outcome):
            ticket = work.ticket = await self._admission.admit(outcome, way)
            if ticket.output_limit is not None:
                call = replace(call, output_limit=ticket.output_limit)
            sent_s = time.monotonic()
            try:
                answer = await self._dispatcher.open(call, way, outcome, exchange.span, AttemptGate(work, self._sink))
            finally:
                outcome.upstream_wait_s = time.monotonic() - sent_s
            await _relay(answer, exchange.writer, outcome, work.meter)

    def _settle(self, work: "Work", span: CallSpan) -> None:
        outcome = work.outcome
        work.end_attempts()
        work.ticket.end()
        if not outcome.is_local:
            self._sink.emit(outcome)
        duration_s = time.monotonic() - outcome.call.start_s
        overhead_s = max(0.0, duration_s - outcome.call.body_wait_s - outcome.upstream_wait_s)
        self._telemetry.record(outcome, overhead_s, duration_s)
        span.end(outcome, outcome.status)


@dataclass(slots=True)
class Work:
    """A call on its way: what is known of it so far, and what it has reserved."""

    outcome: Outcome
    meter: Meter
    ticket: Ticket = NO_TICKET

    def end_attempts(self) -> None:
        """Settles what has ended, with what it took from whom."""
        for attempt in self.outcome.attempts:
            if not attempt.is_settled:
                settle_failed(self.outcome.call, attempt)
            self.ticket.end_attempt(attempt)


class AttemptGate:
    """What every attempt passes before it goes out: the rules about it, then the spool."""

    __slots__ = ("_sink", "_work")

    def __init__(self, work: Work, sink: UsageSink) -> None:
        self._work = work
        self._sink = sink

    async def admit(self, target: Target) -> GatewayError | None:
        """Why `target` may not be tried now, or None. The attempts before must have ended."""
        self._work.end_attempts()
        return await self._work.ticket.admit_attempt(target)

    def begin(self, attempt: Attempt) -> None:
        """Writes down that `attempt` is about to go out, at no less than it may cost. Raises Overloaded."""
        outcome, bound = self._work.outcome, self._work.ticket.begin_attempt(attempt)
        if bound is None:
            estimate_input(outcome.call, attempt)
        else:
            estimate_bound(outcome.call, attempt, bound)
        self._sink.begin(outcome, attempt)
        attempt.is_settled = False

    def note_failure(self, attempt: Attempt, frames: list[Frame]) -> None:
        """Takes what `attempt`, which failed, had told before."""
        if frames:
            meter = Meter()
            meter.observe(frames)
            meter.note_failure(attempt)


async def _relay(answer: UpstreamAnswer, writer: ResponseWriter, outcome: Outcome, meter: Meter) -> None:
    """Frames from `answer` through the meter to the client; however it ends, the attempt is settled."""
    attempt = answer.attempt

    def pass_on(frames: list[Frame]) -> bool:
        meter.observe(frames)
        return writer.write(frames, outcome.call)

    try:
        while await answer.flow(pass_on):
            await writer.catch_up(outcome)
        meter.complete()
    except UpstreamError as error:
        attempt.error_code = error.kind.value
        raise broken_off(outcome.call, error) from error
    except BaseException:
        # The client is gone, or the call was cut: what the upstream has told by now was used all the same.
        if answer.take_arrived(meter.observe):
            meter.complete()
        raise
    finally:
        attempt.end_time_us = time.time_ns() // 1000
        meter.settle(outcome.call, attempt)
        answer.close()
