"""The configuration in force: one attribute that calls read once."""

import gc
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dataplane.config.state import CompiledState, Cursor
from dataplane.snapshot import Snapshot


class SnapshotHolder:
    """Holds what was compiled last. `current` is None until something was, and is swapped by one assignment.

    `clock` gives monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._confirmed_s = -math.inf
        self.state = CompiledState()
        self.current: Snapshot | None = None

    def replace(self, state: CompiledState) -> None:
        """Puts `state` in force for every call that begins from here on; running calls keep what they pinned."""
        self.state = state
        self.current = state.snapshot
        self.confirm()

    def confirm(self) -> None:
        """Notes that the source stands by what is in force."""
        self._confirmed_s = self._clock()

    @property
    def age_s(self) -> float:
        """Seconds since the source last stood by what is in force; infinite before the first configuration."""
        return self._clock() - self._confirmed_s if self.current is not None else math.inf

    @property
    def applied_cursor(self) -> Cursor | None:
        return self.state.cursor if self.current is not None else None


@contextmanager
def frozen_heap() -> Iterator[None]:
    """Keeps what is made inside out of every later garbage collection, and collects nothing meanwhile.

    For the compiling and swapping of a whole configuration: scanning a hundred thousand keys stalls all calls for
    tens of milliseconds. Whatever else is alive at the end is exempt too, so small changes must do without.
    """
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()
