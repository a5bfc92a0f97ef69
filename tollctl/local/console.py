"""What `tollctl up` prints: its own lines, and its services' lines behind their names."""

import itertools
import queue
import sys
import threading
from typing import TextIO

_PENDING_MAX = 2_000
_COLORS = ("36", "33", "32", "35", "34", "31")
_NAME_WIDTH = 12


class Console:
    """Prints from a thread of its own, so that nobody who does not read can hold up the stack.

    Services' lines are dropped while more than 2,000 wait; colours only on a terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._colors = itertools.cycle(_COLORS)
        self._color_of: dict[str, str] = {}
        self._pending: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_pending, name="console", daemon=True)
        self._thread.start()

    def say(self, text: str) -> None:
        """A line, or a block of lines that stay together."""
        self._pending.put(f"{text}\n")

    def relay(self, name: str, line: str) -> None:
        """A line that a service wrote."""
        if self._pending.qsize() < _PENDING_MAX:
            self._pending.put(f"{self._paint(name)} {_strip_controls(line)}\n")

    def complain(self, text: str) -> None:
        """What went wrong, on stderr; what was said before comes first."""
        self.close()
        print(f"tollctl up: {text}", file=sys.stderr, flush=True)

    def close(self, timeout_s: float = 2.0) -> None:
        """Print what waits, for at most timeout_s seconds."""
        self._pending.put(None)
        self._thread.join(timeout_s)

    def _paint(self, name: str) -> str:
        label = f"{name:<{_NAME_WIDTH}} |"
        if not self._is_terminal:
            return label
        if name not in self._color_of:
            self._color_of[name] = next(self._colors)
        return f"\x1b[{self._color_of[name]}m{label}\x1b[0m"

    def _write_pending(self) -> None:
        while (text := self._pending.get()) is not None:
            try:
                self._stream.write(text)
                if self._pending.empty():
                    self._stream.flush()
            except (OSError, ValueError):
                return


def _strip_controls(line: str) -> str:
    """A log line cannot steer the terminal."""
    return "".join(character if character.isprintable() or character == "\t" else "?" for character in line)
