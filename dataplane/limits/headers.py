"""The x-ratelimit-* headers: the tightest limit on requests and the tightest on tokens. Pure."""

from collections.abc import Iterable
from typing import Final

from dataplane.limits.buckets import Bucket, Kind
from dataplane.limits.holding import Holding

_REQUESTS: Final = "requests"
_TOKENS: Final = "tokens"
_NAMES: Final = {
    word: (f"x-ratelimit-limit-{word}", f"x-ratelimit-remaining-{word}", f"x-ratelimit-reset-{word}")
    for word in (_REQUESTS, _TOKENS)
}


def rate_headers(holdings: Iterable[Holding], now_ms: int) -> dict[str, str]:
    """Of what a call fell under, in the form that OpenAI's have; nothing where no rate that is known applied."""
    tightest: dict[str, tuple[int, Bucket]] = {}
    for holding in holdings:
        bucket = holding.bucket
        if bucket.kind is Kind.RATE and bucket.is_enforced and holding.standing.seen_ms:
            word = _REQUESTS if bucket.unit == _REQUESTS else _TOKENS
            remaining, known = _remaining(holding, now_ms), tightest.get(word)
            if known is None or remaining * known[1].burst < known[0] * bucket.burst:
                tightest[word] = remaining, bucket
    headers = {}
    for word, (remaining, bucket) in tightest.items():
        limit_name, remaining_name, reset_name = _NAMES[word]
        headers[limit_name] = str(bucket.amount)
        headers[remaining_name] = str(remaining)
        headers[reset_name] = format_reset(-(-(bucket.burst - remaining) * bucket.window_ms // bucket.amount))
    return headers


def _remaining(holding: Holding, now_ms: int) -> int:
    """Of what a rate gives at once: what the control plane said last, what is held here, and what has come back."""
    bucket, standing = holding.bucket, holding.standing
    left = max(0, holding.balance(now_ms)) + standing.remaining
    left += bucket.amount * (now_ms - standing.seen_ms) // bucket.window_ms
    return max(0, min(bucket.burst, left))


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
