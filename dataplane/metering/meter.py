"""Reads frames as they pass, and settles each attempt once: usage, state, price and cost."""

from collections.abc import Iterable

from dataplane.call import COUNT_TOKENS, Attempt, Call
from dataplane.dialects.base import Frame
from dataplane.metering.estimate import has_output, input_tokens, usage_estimate
from tollway.kernel.usage import NO_USAGE, SettlementState, Usage


class Meter:
    """What the frames of one answer said; it never fails a call.

    `_is_complete` says that nothing is missing from `usage`, `_is_outdated` that text came after it was told, and
    `_is_estimate` that it was worked out.
    """

    __slots__ = (
        "_is_complete",
        "_is_estimate",
        "_is_outdated",
        "deltas",
        "model",
        "service_tier",
        "text_bytes",
        "usage",
    )

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.service_tier = ""
        self.text_bytes = 0
        self.deltas = 0
        self._is_complete = False
        self._is_estimate = False
        self._is_outdated = False

    def observe(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            if frame.usage is not None:
                self.usage = frame.usage
                self._is_complete, self._is_estimate = frame.is_usage_only, frame.is_estimate
                self._is_outdated = False
            elif frame.deltas:
                self._is_complete, self._is_outdated = False, True
            if frame.model:
                self.model = frame.model
            if frame.service_tier is not None:
                self.service_tier = frame.service_tier
            self.text_bytes += frame.text_bytes
            self.deltas += frame.deltas

    def complete(self) -> None:
        """Notes that the answer came to its good end: what it reported last is then all there is."""
        self._is_complete = not self._is_outdated

    def note_failure(self, attempt: Attempt) -> None:
        """Fills `attempt`, which failed before its answer proper began, with what it was told all the same.

        What was told as the last word on it counts whatever happened; what was told at the beginning, in case that it
        was run.
        """
        attempt.response_model, attempt.service_tier = self.model, self.service_tier
        if self.usage is not None and (self._is_complete or attempt.may_have_run):
            attempt.reported = self.usage

    def settle(self, call: Call, attempt: Attempt) -> None:
        """Fills `attempt`, whose answer was seen: with the reported usage, with an estimate of what passed, or both.

        Output is still to be reported when an answer breaks off, and where zero is reported though text came. Nothing
        at all is believed only of an answer that has nothing in it.
        """
        attempt.response_model, attempt.service_tier = self.model, self.service_tier
        has_text = self.text_bytes > 0 or self.deltas > 0
        reported = self.usage
        if reported is None or not (reported.readings() or self._may_be_free(call)):
            _settle(call, attempt, usage_estimate(call, self.text_bytes, self.deltas), SettlementState.ESTIMATED)
        elif self._is_complete and (reported.output_tokens or not has_text):
            state = SettlementState.ESTIMATED if self._is_estimate else SettlementState.REPORTED
            _settle(call, attempt, reported, state)
        else:
            estimate = usage_estimate(call, self.text_bytes, self.deltas)
            _settle(call, attempt, _larger(reported, estimate), SettlementState.PARTIAL)

    def _may_be_free(self, call: Call) -> bool:
        """Whether an answer may have used nothing: no text came, and text is what it would have been."""
        return has_output(call) and not (self.text_bytes or self.deltas)


def _larger(reported: Usage, estimate: Usage) -> Usage:
    """`reported`, with what `estimate` has beyond it; what went in is known where any of it was reported."""
    more_input = 0 if reported.input_tokens else estimate.input
    more_output = max(0, estimate.output - reported.output_tokens)
    return reported._replace(input=reported.input + more_input, output=reported.output + more_output)


def settle_failed(call: Call, attempt: Attempt) -> None:
    """Fills `attempt`, whose answer did not begin: with what was reported, with its input if it may have been run."""
    if attempt.reported is not None and attempt.reported.readings():
        _settle(call, attempt, attempt.reported, SettlementState.PARTIAL)
        return
    if attempt.may_have_run:
        estimate_input(call, attempt)
        return
    _forget(attempt)


def estimate_input(call: Call, attempt: Attempt) -> None:
    """Fills `attempt` with its input alone: what it costs at least if nothing more is ever heard of it.

    To be told how large a call would be costs nothing.
    """
    if call.endpoint.operation == COUNT_TOKENS:
        _forget(attempt)
        return
    _settle(call, attempt, Usage(input=input_tokens(call.body)), SettlementState.ESTIMATED)


def estimate_bound(call: Call, attempt: Attempt, bound: Usage) -> None:
    """Fills `attempt` with the most that it can use: what holds where it must not cost more than is known."""
    if call.endpoint.operation == COUNT_TOKENS:
        _forget(attempt)
        return
    _settle(call, attempt, bound, SettlementState.ESTIMATED)


def _forget(attempt: Attempt) -> None:
    """Takes back an estimate: nothing was used."""
    attempt.usage, attempt.basis, attempt.state = NO_USAGE, None, SettlementState.NOT_BILLED
    attempt.cost_nano_usd, attempt.price, attempt.price_revision = 0, "", 0
    attempt.is_settled = True


def _settle(call: Call, attempt: Attempt, usage: Usage, state: SettlementState) -> None:
    attempt.usage, attempt.basis, attempt.is_settled = usage, state, True
    price = call.snapshot.prices.find(attempt.upstream.provider, attempt.upstream_model, attempt.start_time_us // 1000)
    cost_nano_usd = None if price is None else price.cost_nano_usd(usage, attempt.service_tier)
    if price is None or cost_nano_usd is None:
        attempt.state = SettlementState.UNPRICED
        attempt.cost_nano_usd, attempt.price, attempt.price_revision = 0, "", 0
        return
    attempt.state = SettlementState.FREE if price.is_free else state
    attempt.cost_nano_usd = cost_nano_usd
    attempt.price, attempt.price_revision = price.name, price.revision
