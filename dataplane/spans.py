"""What a call tells about itself while it runs; these classes tell nobody, and cost nothing, when nobody listens."""

from dataplane.call import Attempt, Outcome


class AttemptSpan:
    """The span of one attempt. Ended exactly once."""

    __slots__ = ()

    def end(self, attempt: Attempt) -> None:
        """Close the span with what `attempt` has become."""


class CallSpan:
    """The spans around one call: the server's, then the logical operation inside it. Ended exactly once."""

    __slots__ = ()

    def begin_operation(self, operation: str, model: str) -> None:
        """Open the logical span: `operation` as in Endpoint.operation, `model` as the client said it."""

    def begin_attempt(self, attempt: Attempt) -> AttemptSpan:
        """Open the span of `attempt`; sets `attempt.traceparent` when the trace is sampled."""
        return NO_ATTEMPT_SPAN

    def end(self, outcome: Outcome | None, status: int) -> None:
        """Close what is open; `outcome` is None for a call refused before anyone was to pay for it.

        `status` is the HTTP status that the client got, 499 when it left.
        """


NO_ATTEMPT_SPAN = AttemptSpan()
NO_CALL_SPAN = CallSpan()
