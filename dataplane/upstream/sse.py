"""Server-sent events from bytes that arrive in any pieces (WHATWG HTML, 9.2.6)."""

from codecs import BOM_UTF8

from dataplane.dialects.base import SseEvent
from dataplane.errors import UpstreamError, UpstreamErrorKind

MAX_EVENT_BYTES = 4 * 1024 * 1024
_BLANK_LINE = b"\n\n"
_EVENT, _DATA, _NEXT_DATA = b"event: ", b"data: ", b"\ndata: "


class SseDecoder:
    """Lines end in LF, CRLF or CR; comments are dropped; an event without data is none."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._is_at_start = True
        self._after_cr = False

    def feed(self, data: bytes) -> list[SseEvent]:
        """Events that `data` completes. Raises UpstreamError when one grows beyond MAX_EVENT_BYTES."""
        if self._after_cr or b"\r" in data:
            data = self._normalise(data)
        if self._pending or self._is_at_start:
            data = self._joined(data)
        *blocks, rest = data.split(_BLANK_LINE)
        if rest:
            self._pending += rest
        if len(data) > MAX_EVENT_BYTES or len(self._pending) > MAX_EVENT_BYTES:
            self._check_sizes(blocks)
        return [event for block in blocks if (event := _parse_block(block)) is not None]

    def finish(self) -> list[SseEvent]:
        """The event that the end of the stream completes, if one was under way."""
        event = _parse_block(bytes(self._pending))
        self._pending.clear()
        return [] if event is None else [event]

    def _joined(self, data: bytes) -> bytes:
        """What was pending, with `data` after it, once that completes an event; b"" until then.

        Only the seam and `data` are searched: an event in many pieces costs no more than one in a few.
        """
        seam = max(0, len(self._pending) - 1)
        self._pending += data
        if self._is_at_start:
            if len(self._pending) < len(BOM_UTF8):
                return b""
            self._is_at_start = False
            if self._pending.startswith(BOM_UTF8):
                del self._pending[: len(BOM_UTF8)]
            seam = 0
        if self._pending.find(_BLANK_LINE, seam) < 0:
            return b""
        joined = bytes(self._pending)
        self._pending.clear()
        return joined

    def _normalise(self, data: bytes) -> bytes:
        """`data` with every line end as LF; a CR at its end is one, and an LF after that belongs to it."""
        if not data:
            return data
        if self._after_cr:
            data = data.removeprefix(b"\n")
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _check_sizes(self, blocks: list[bytes]) -> None:
        if any(len(block) > MAX_EVENT_BYTES for block in (*blocks, self._pending)):
            raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream sent an event that is too large.")


def _parse_block(block: bytes) -> SseEvent | None:
    """The event of the lines between two blank ones; None without a data line. Most have one, or a name before it."""
    if block.startswith(_DATA) and b"\n" not in block:
        return SseEvent("", block[len(_DATA) :])
    if block.startswith(_EVENT) and block.count(b"\n") == 1:
        name, has_data, value = block[len(_EVENT) :].partition(_NEXT_DATA)
        if has_data:
            return SseEvent(name.decode("utf-8", "replace"), value)
    return _parse_lines(block)


def _parse_lines(block: bytes) -> SseEvent | None:
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
