"""Virtual time: one queue of what happens when, and steps that wait in it. Equal runs happen in equal order."""

import heapq
import itertools
from collections.abc import Callable, Generator

MILLISECOND_US = 1_000
SECOND_US = 1_000_000

Action = Callable[[], None]
# What a step waits for: it is called with how to go on, once, with the error that the wait ended in if any.
Resume = Callable[[Exception | None], None]
Wait = Callable[[Resume], None]
Steps = Generator[Wait, None, None]


class Timeline:
    """Actions in order of their time, microseconds from 0; those of one time in the order that they were planned in."""

    def __init__(self) -> None:
        self.now_us = 0
        self.handled = 0
        self._queue: list[tuple[int, int, Action]] = []
        self._numbers = itertools.count()

    def after(self, delay_us: int, action: Action) -> None:
        heapq.heappush(self._queue, (self.now_us + max(0, delay_us), next(self._numbers), action))

    def at(self, time_us: int, action: Action) -> None:
        self.after(time_us - self.now_us, action)

    def run(self, until_us: int) -> None:
        """Everything that is planned up to `until_us`, that which is planned meanwhile included."""
        while self._queue and self._queue[0][0] <= until_us:
            self.now_us, _, action = heapq.heappop(self._queue)
            self.handled += 1
            action()
        self.now_us = until_us
