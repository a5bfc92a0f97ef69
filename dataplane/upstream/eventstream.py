"""AWS event streams (application/vnd.amazon.eventstream) from bytes that arrive in any pieces.

A message is two lengths and their CRC-32, headers, a payload and the CRC-32 of all that; numbers are big-endian.
"""

import struct
import zlib
from typing import Final

import orjson

from dataplane.dialects.base import SseEvent
from dataplane.errors import UpstreamError, UpstreamErrorKind

MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
EXCEPTION: Final = "exception:"
"""What the names of events begin with that tell an error."""
_PRELUDE: Final = struct.Struct(">III")
_CRC: Final = struct.Struct(">I")
_LENGTH: Final = struct.Struct(">H")
_FRAMING_BYTES: Final = _PRELUDE.size + _CRC.size
_BYTES_TYPE, _STRING_TYPE = 6, 7
_VALUE_BYTES: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}


class EventStreamDecoder:
    """Bytes to events, named by `:event-type`; exceptions are "exception:" and their `:exception-type`.

    What was decoded before corrupt data is given first: the error comes with the call after that.
    """

    def __init__(self) -> None:
        self._pending = bytearray()
        self._error: UpstreamError | None = None

    def feed(self, data: bytes) -> list[SseEvent]:
        """Events that `data` completes. Raises UpstreamError for corrupt ones, and beyond MAX_MESSAGE_BYTES."""
        if self._error is not None:
            raise self._error
        self._pending += data
        events: list[SseEvent] = []
        start = 0
        try:
            while (end := self._message_end(start)) is not None:
                events.append(_event(bytes(self._pending[start:end])))
                start = end
        except UpstreamError as error:
            self._error = error
            if not events:
                raise
        del self._pending[:start]
        return events

    def finish(self) -> list[SseEvent]:
        """Nothing: the end of the stream completes no event, whether it breaks one off or not.

        Raises UpstreamError for corrupt data before it.
        """
        if self._error is not None:
            raise self._error
        return []

    def _message_end(self, start: int) -> int | None:
        """Where the message at `start` ends; None while bytes of it are missing."""
        have = len(self._pending) - start
        if have < _PRELUDE.size:
            return None
        size, headers_size, crc = _PRELUDE.unpack_from(self._pending, start)
        if zlib.crc32(self._pending[start : start + _PRELUDE.size - _CRC.size]) != crc:
            raise _corrupt("holds an event whose checksum is wrong")
        if size > MAX_MESSAGE_BYTES:
            raise _corrupt("holds an event that is too large")
        if headers_size + _FRAMING_BYTES > size:
            raise _corrupt("holds an event whose lengths are wrong")
        return start + size if have >= size else None


def _event(message: bytes) -> SseEvent:
    """The event of one whole message."""
    (crc,) = _CRC.unpack_from(message, len(message) - _CRC.size)
    if zlib.crc32(message[: -_CRC.size]) != crc:
        raise _corrupt("holds an event whose checksum is wrong")
    _, headers_size, _ = _PRELUDE.unpack_from(message)
    payload_start = _PRELUDE.size + headers_size
    headers = _headers(message[_PRELUDE.size : payload_start])
    payload = message[payload_start : -_CRC.size]
    kind = headers.get(":message-type", "event")
    if kind == "exception":
        return SseEvent(EXCEPTION + headers.get(":exception-type", ""), payload)
    if kind == "error":
        told = headers.get(":error-message", "")
        said = payload if _says_something(payload) else orjson.dumps({"message": told})
        return SseEvent(EXCEPTION + headers.get(":error-code", ""), said)
    return SseEvent(headers.get(":event-type", ""), payload)


def _says_something(payload: bytes) -> bool:
    """Whether an error's payload is text other than JSON, or JSON that holds text."""
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return bool(payload.strip())
    values = value.values() if isinstance(value, dict) else [value]
    return any(isinstance(text, str) and text for text in values)


def _headers(data: bytes) -> dict[str, str]:
    """Those headers whose value is a string; the others are passed over."""
    headers: dict[str, str] = {}
    at = 0
    try:
        while at < len(data):
            name_end = at + 1 + data[at]
            name, kind = data[at + 1 : name_end].decode("utf-8", "replace"), data[name_end]
            at = name_end + 1
            if kind in (_BYTES_TYPE, _STRING_TYPE):
                (size,) = _LENGTH.unpack_from(data, at)
                at += _LENGTH.size
                if kind == _STRING_TYPE:
                    headers[name] = data[at : at + size].decode("utf-8", "replace")
            else:
                size = _VALUE_BYTES[kind]
            at += size
    except (IndexError, KeyError, struct.error) as error:
        raise _corrupt("holds an event whose headers are wrong") from error
    if at != len(data):
        raise _corrupt("holds an event whose headers are wrong")
    return headers


def _corrupt(what: str) -> UpstreamError:
    return UpstreamError(UpstreamErrorKind.PROTOCOL, f"The upstream's stream {what}.")
