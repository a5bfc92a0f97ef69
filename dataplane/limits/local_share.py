"""A rate limit's share of one data plane, while no lease is to be had: GCRA (ITU-T I.371) in integer microseconds.

A request for n units conforms when max(TAT, now) + n x T - now is at most burst x T; the TAT then moves on by n x T. T
is the time that one unit takes at the share of the rate, which is one of `parts`. Pure.
"""

from dataclasses import dataclass

from dataplane.limits.buckets import Bucket

_US_PER_MS = 1000


@dataclass(slots=True)
class LocalShare:
    """`tat_us` is the theoretical arrival time, on the clock that callers read."""

    tat_us: int = 0

    def begin(self, bucket: Bucket, remaining: int, seen_ms: int) -> None:
        """Goes on from what was left of the whole rate at `seen_ms`: a share of it is as empty."""
        missing = bucket.burst - min(bucket.burst, max(0, remaining))
        self.tat_us = max(self.tat_us, seen_ms * _US_PER_MS + _duration_us(bucket, 1, missing))

    def missing_ms(self, bucket: Bucket, parts: int, amount: int, now_ms: int) -> int:
        """Milliseconds until `amount` units fit, 0 when they do now; the burst is never below one request."""
        now_us = now_ms * _US_PER_MS
        took_us = _duration_us(bucket, parts, amount)
        burst_us = max(took_us, _duration_us(bucket, 1, bucket.burst))
        late_us = max(self.tat_us, now_us) + took_us - now_us - burst_us
        return max(0, -(-late_us // _US_PER_MS))

    def take(self, bucket: Bucket, parts: int, amount: int, now_ms: int) -> None:
        """Books `amount` units."""
        self.tat_us = max(self.tat_us, now_ms * _US_PER_MS) + _duration_us(bucket, parts, amount)


def _duration_us(bucket: Bucket, parts: int, amount: int) -> int:
    """How long `amount` units take at one of `parts` of the rate.

    The burst of a share takes as long as that of the whole: both are the share of their rate.
    """
    return -(-amount * bucket.window_ms * _US_PER_MS * parts // max(1, bucket.amount))
