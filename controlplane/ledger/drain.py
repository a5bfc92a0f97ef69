"""Since when the usage stream holds nothing older: what left it before is booked, or lost. Pure."""

from dataclasses import dataclass
from datetime import datetime

from nats.js.api import StreamInfo


@dataclass(frozen=True, slots=True)
class _Look:
    """The stream's incarnation and its last sequence number, as they were at or after `time`."""

    time: datetime
    created: str
    last_sequence: int


class StreamDrain:
    """Looks at the stream again and again.

    Everything that was accepted before one look has left the stream once a later look finds it empty, beginning beyond
    what was last then, or made anew.
    """

    def __init__(self) -> None:
        self._earlier: _Look | None = None

    def look(self, info: StreamInfo, time: datetime) -> datetime | None:
        """The time before which everything accepted has left the stream, when this look shows one.

        `time` was read before `info` was asked for.
        """
        state = info.state
        now = _Look(time, str(info.created), state.last_seq)
        if state.messages == 0:
            self._earlier = None
            return time
        earlier = self._earlier
        if earlier is None:
            self._earlier = now
            return None
        if now.created == earlier.created and state.first_seq <= earlier.last_sequence:
            return None
        self._earlier = now
        return earlier.time
