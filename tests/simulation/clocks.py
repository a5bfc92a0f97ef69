"""Clocks of one machine: a monotonic one that drifts, and a wall clock that somebody sets."""

from tests.simulation.timeline import Timeline

_MILLION = 1_000_000


class Clocks:
    """`drift_ppm` is how much faster than true time the machine's clocks run."""

    def __init__(self, timeline: Timeline, origin_ms: int, drift_ppm: int = 0) -> None:
        self._timeline = timeline
        self._origin_us = origin_ms * 1_000
        self._drift_ppm = drift_ppm
        self._jumped_us = 0

    def monotonic_us(self) -> int:
        true_us = self._timeline.now_us
        return true_us + true_us * self._drift_ppm // _MILLION

    def wall_us(self) -> int:
        return self._origin_us + self.monotonic_us() + self._jumped_us

    def jump(self, by_us: int) -> None:
        """Sets the wall clock; the monotonic one knows nothing of it."""
        self._jumped_us += by_us
