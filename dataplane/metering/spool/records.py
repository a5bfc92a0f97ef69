"""Records of a spool file: length, CRC-32, kind, payload. Pure.

A file is whole records one after another. What a killed process was writing is a torn record at the end; reading stops
at the first record that is not whole, so that nothing damaged is ever taken for usage.
"""

import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

_HEAD: Final = struct.Struct("<II")
_KIND: Final = struct.Struct("<B")
_MARK: Final = struct.Struct("<Q")
_HEAD_BYTES: Final = _HEAD.size
MAX_PAYLOAD_BYTES: Final = 1 << 20


class RecordKind(IntEnum):
    """What a record says.

    OPEN: an attempt begins, and what it will be if nothing more is heard of it. CLOSE: one has ended. MARK, the first
    of each file: the last sequence number that was given before it, 8 bytes, the least significant first.
    """

    OPEN = 1
    CLOSE = 2
    MARK = 3


_KINDS: Final = {int(kind): kind for kind in RecordKind}
_PREFIXES: Final = {kind: _KIND.pack(kind) for kind in RecordKind}


class Record(NamedTuple):
    """One record; `end` is the offset of the byte after it."""

    kind: RecordKind
    payload: bytes
    end: int


def write_record(kind: RecordKind, payload: bytes) -> bytes:
    """The bytes of one record. Raises ValueError for a payload beyond MAX_PAYLOAD_BYTES."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a record of {len(payload)} bytes is larger than {MAX_PAYLOAD_BYTES}")
    content = _PREFIXES[kind] + payload
    return _HEAD.pack(len(content), zlib.crc32(content)) + content


def write_mark(last_sequence: int) -> bytes:
    """The bytes of a MARK."""
    return write_record(RecordKind.MARK, _MARK.pack(last_sequence))


def marked_sequence(payload: bytes) -> int:
    """The sequence number in a MARK; 0 in one of another size."""
    return int(_MARK.unpack(payload)[0]) if len(payload) == _MARK.size else 0


def read_records(data: bytes) -> Iterator[Record]:
    """The whole records that `data` begins with."""
    offset, size = 0, len(data)
    while size - offset > _HEAD_BYTES:
        length, checksum = _HEAD.unpack_from(data, offset)
        start, end = offset + _HEAD_BYTES, offset + _HEAD_BYTES + length
        if not 1 <= length <= MAX_PAYLOAD_BYTES + 1 or end > size:
            return
        content = data[start:end]
        kind = _KINDS.get(content[0])
        if kind is None or zlib.crc32(content) != checksum:
            return
        yield Record(kind, content[1:], end)
        offset = end
