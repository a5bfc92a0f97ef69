"""What happened last, kept short: a violation is told with it."""

from collections import deque

from tests.simulation.timeline import Timeline

_KEPT = 400


class Violation(Exception):
    """An invariant does not hold."""

    def __init__(self, invariant: str, text: str) -> None:
        super().__init__(f"{invariant}: {text}")
        self.invariant = invariant
        self.text = text


class Trace:
    """The last happenings: time in microseconds, who, what, about what."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._lines: deque[tuple[int, str, str, tuple[object, ...]]] = deque(maxlen=_KEPT)

    def note(self, who: str, what: str, *about: object) -> None:
        self._lines.append((self._timeline.now_us, who, what, about))

    def render(self, count: int) -> list[str]:
        lines = list(self._lines)[-count:]
        return [
            f"{time_us / 1e6:12.6f}  {who:10} {what} " + " ".join(map(str, about))
            for time_us, who, what, about in lines
        ]
