"""Server-sent events from bytes that arrive in any pieces (WHATWG HTML, 9.2.6)."""

from collections.abc import Iterator

from dataplane.dialects.base import SseEvent
from dataplane.errors import UpstreamError, UpstreamErrorKind

MAX_EVENT_BYTES = 4 * 1024 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class SseDecoder:
    """Lines end in LF, CRLF or CR; comments are dropped; an event without data is none."""

    def __init__(self) -> None:
        self._buffer = b""
        self._at_start = True
        self._after_cr = False

    def feed(self, data: bytes) -> list[SseEvent]:
        """Events that `data` completes. Raises UpstreamError when one grows beyond MAX_EVENT_BYTES."""
        self._buffer += self._normalise(data)
        if self._at_start and len(self._buffer) >= len(_BYTE_ORDER_MARK):
            self._at_start = False
            self._buffer = self._buffer.removeprefix(_BYTE_ORDER_MARK)
        *blocks, self._buffer = self._buffer.split(b"\n\n")
        self._check_size(self._buffer)
        return list(self._events(blocks))

    def finish(self) -> list[SseEvent]:
        """The event that the end of the stream completes, if one was under way."""
        rest, self._buffer = self._buffer, b""
        return list(self._events([rest]))

    def _normalise(self, data: bytes) -> bytes:
        """`data` with every line end as LF; a CR at its end is one, and an LF after that belongs to it."""
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if b"\r" not in data:
            return data
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _events(self, blocks: list[bytes]) -> Iterator[SseEvent]:
        for block in blocks:
            if block.startswith(b"data: ") and b"\n" not in block:
                yield SseEvent("", block[6:])
            elif (event := _parse_block(block)) is not None:
                yield event

    def _check_size(self, pending: bytes) -> None:
        if len(pending) > MAX_EVENT_BYTES:
            raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream sent an event that is too large.")


def _parse_block(block: bytes) -> SseEvent | None:
    """The event of the lines between two blank ones; None without a data line."""
    name = ""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return SseEvent(name, b"\n".join(data)) if data else None
