"""The x-ratelimit-* headers: the tightest limit on requests and the tightest on tokens. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from dataplane.limits.buckets import Kind
from dataplane.limits.holding import Holding

_REQUESTS = "requests"
_TOKENS = "tokens"


@dataclass(frozen=True, slots=True)
class RateState:
    """A limit, what is left of what it gives at once, and the milliseconds until all of that is there."""

    limit: int
    burst: int
    remaining: int
    reset_ms: int

    def is_tighter_than(self, other: "RateState") -> bool:
        return self.remaining * other.burst < other.remaining * self.burst


def rate_headers(holdings: Iterable[Holding], now_ms: int) -> dict[str, str]:
    """Of what a call fell under, in the form that OpenAI's have; nothing where no rate that is known applied."""
    tightest: dict[str, RateState] = {}
    for holding in holdings:
        bucket = holding.bucket
        if bucket.kind is Kind.RATE and bucket.is_enforced and holding.standing.seen_ms:
            word = _REQUESTS if bucket.unit == _REQUESTS else _TOKENS
            state = rate_state(holding, now_ms)
            if word not in tightest or state.is_tighter_than(tightest[word]):
                tightest[word] = state
    headers = {}
    for word, state in tightest.items():
        headers[f"x-ratelimit-limit-{word}"] = str(state.limit)
        headers[f"x-ratelimit-remaining-{word}"] = str(state.remaining)
        headers[f"x-ratelimit-reset-{word}"] = format_reset(state.reset_ms)
    return headers


def rate_state(holding: Holding, now_ms: int) -> RateState:
    """What the control plane said last, what is held here, and what has come back since then."""
    bucket, standing = holding.bucket, holding.standing
    left = max(0, holding.balance(now_ms)) + standing.remaining
    left += bucket.amount * (now_ms - standing.seen_ms) // bucket.window_ms
    remaining = max(0, min(bucket.burst, left))
    reset_ms = -(-(bucket.burst - remaining) * bucket.window_ms // bucket.amount)
    return RateState(bucket.amount, bucket.burst, remaining, reset_ms)


def format_reset(reset_ms: int) -> str:
    """As OpenAI and Go write a duration: "12ms", "1s", "6m0s", "1h0m0s"."""
    if reset_ms < 1000:
        return f"{reset_ms}ms"
    seconds = -(-reset_ms // 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
