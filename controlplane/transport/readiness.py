"""Whether a process can do its work, and why not."""

from collections.abc import Callable


class Readiness:
    """Not ready, for `reason`, until `set_ready`; each change is told to the listeners."""

    def __init__(self, reason: str = "starting") -> None:
        self.reason = reason
        self._was_ready = not reason
        self._listeners: list[Callable[[], None]] = []

    @property
    def is_ready(self) -> bool:
        return not self.reason

    @property
    def obstacle(self) -> str:
        """Why calls cannot be served; "" once the process has been ready, for then it serves until it ends."""
        return "" if self._was_ready else self.reason

    def listen(self, listener: Callable[[], None]) -> None:
        """Calls `listener` after every change."""
        self._listeners.append(listener)

    def set_ready(self) -> None:
        self.set_reason("")

    def set_reason(self, reason: str) -> None:
        """Not ready, and why, in one line; "" means ready."""
        self._was_ready = self._was_ready or not reason
        if reason != self.reason:
            self.reason = reason
            for listener in self._listeners:
                listener()
