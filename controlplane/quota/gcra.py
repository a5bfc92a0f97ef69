"""The generic cell rate algorithm (ITU-T I.371, virtual scheduling), in integer microseconds. Pure.

A bucket is one number, the theoretical arrival time (TAT) of the next unit: `units` cost `units * window / amount`
of time, and are admitted while the TAT is no more than `burst` units ahead of now. What is taken is rounded up and
what is given back down, so that rounding never admits more than the limit.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """`amount` units per `window_us` microseconds, of which `burst` may come at once; all positive."""

    amount: int
    window_us: int
    burst: int

    def cost_us(self, units: int) -> int:
        """The time that `units` take to come back."""
        return -(-units * self.window_us // self.amount)

    def tolerance_us(self) -> int:
        """How far the TAT may be ahead.

        The slack, less than one unit, lets a burst be taken unit by unit although each is rounded up.
        """
        unit_us = self.window_us // self.amount
        return self.cost_us(self.burst) + max(0, min(self.burst, unit_us - 1))


def take(rate: Rate, tat_us: int, now_us: int, units: int) -> int | None:
    """The TAT after `units` were taken; None when they are not there."""
    after_us = max(tat_us, now_us) + rate.cost_us(units)
    return after_us if after_us - now_us <= rate.tolerance_us() else None


def give(rate: Rate, tat_us: int, now_us: int, units: int) -> int:
    """The TAT after `units` came back unused; a bucket is never more than full."""
    return max(now_us, tat_us - units * rate.window_us // rate.amount) if tat_us > now_us else tat_us


def available(rate: Rate, tat_us: int, now_us: int) -> int:
    """The most units that `take` would give now."""
    room_us = rate.tolerance_us() - max(0, tat_us - now_us)
    return min(rate.burst, room_us * rate.amount // rate.window_us) if room_us > 0 else 0


def wait_us(rate: Rate, tat_us: int, now_us: int, units: int) -> int:
    """How long until `units`, at most the burst, can be taken if nobody else takes any."""
    return max(0, max(tat_us, now_us) + rate.cost_us(units) - rate.tolerance_us() - now_us)


def emptied_at(rate: Rate, time_us: int) -> int:
    """The TAT of a bucket that was empty at `time_us`."""
    return time_us + rate.tolerance_us()
