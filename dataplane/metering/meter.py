"""Reads frames as they pass, and settles each attempt once: usage, state, price and cost."""

from collections.abc import Iterable

from dataplane.call import Attempt, Call
from dataplane.dialects.base import Frame
from dataplane.metering.estimate import input_tokens, output_tokens
from tollway.kernel.usage import SettlementState, Usage


class Meter:
    """What the frames of one answer said; it never fails a call."""

    __slots__ = ("deltas", "model", "text_bytes", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.text_bytes = 0
        self.deltas = 0

    def observe(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            if frame.usage is not None:
                self.usage = frame.usage
            if frame.model:
                self.model = frame.model
            self.text_bytes += frame.text_bytes
            self.deltas += frame.deltas

    def settle(self, call: Call, attempt: Attempt) -> None:
        """Fills `attempt`, whose answer was seen: with the reported usage, or with an estimate of what passed."""
        attempt.response_model = self.model
        if self.usage is not None:
            _settle(call, attempt, self.usage, SettlementState.REPORTED)
        else:
            estimate = Usage(input=input_tokens(call.body), output=output_tokens(self.text_bytes, self.deltas))
            _settle(call, attempt, estimate, SettlementState.ESTIMATED)


def settle_failed(call: Call, attempt: Attempt) -> None:
    """Fills `attempt`, of whose answer nothing was seen: its input may have been processed, or it cost nothing."""
    if attempt.may_have_run:
        _settle(call, attempt, Usage(input=input_tokens(call.body)), SettlementState.ESTIMATED)


def _settle(call: Call, attempt: Attempt, usage: Usage, state: SettlementState) -> None:
    attempt.usage = usage
    price = call.snapshot.prices.find(attempt.upstream.provider, attempt.upstream_model, attempt.start_time_us // 1000)
    cost_nano_usd = None if price is None else price.cost_nano_usd(usage)
    if price is None or cost_nano_usd is None:
        attempt.state = SettlementState.UNPRICED
        return
    attempt.state = SettlementState.FREE if price.is_free else state
    attempt.cost_nano_usd = cost_nano_usd
    attempt.price, attempt.price_revision = price.name, price.revision
