"""Records of a spool file: length, CRC-32, kind, payload. Pure.

A file is whole records one after another. What a killed process was writing is a torn record at the end. Where
something else cannot be read, it is told as damage, and reading goes on with the next whole record.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

_HEAD: Final = struct.Struct("<IIB")
_LENGTHS: Final = struct.Struct("<II")
_MARK: Final = struct.Struct("<Q")
MAX_PAYLOAD_BYTES: Final = 1 << 20
_WHOLE_HEAD: Final = re.compile(rb"(?=..[\x00-\x10]\x00.{4}[\x01-\x03])", re.DOTALL)
"""Where a record may begin: a length of at most MAX_PAYLOAD_BYTES and one, a checksum, a kind."""


class RecordKind(IntEnum):
    """What a record says.

    OPEN: an attempt begins, and what it will be if nothing more is heard of it. CLOSE: one has ended. MARK, the first
    of each file: the last sequence number that was given before it, 8 bytes, the least significant first. DAMAGE is
    never written: it stands for bytes that are no record.
    """

    DAMAGE = 0
    OPEN = 1
    CLOSE = 2
    MARK = 3


_KINDS: Final = {int(kind): kind for kind in RecordKind if kind}
_KIND_CHECKSUMS: Final = tuple(zlib.crc32(bytes((kind,))) for kind in RecordKind)


class Record(NamedTuple):
    """One record, from offset `start` to before `end`."""

    kind: RecordKind
    payload: bytes
    start: int
    end: int


def write_record(kind: RecordKind, payload: bytes) -> bytes:
    """The bytes of one record. Raises ValueError for a payload beyond MAX_PAYLOAD_BYTES."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a record of {len(payload)} bytes is larger than {MAX_PAYLOAD_BYTES}")
    return _HEAD.pack(len(payload) + 1, zlib.crc32(payload, _KIND_CHECKSUMS[kind]), kind) + payload


def write_mark(last_sequence: int) -> bytes:
    """The bytes of a MARK."""
    return write_record(RecordKind.MARK, _MARK.pack(last_sequence))


def marked_sequence(payload: bytes) -> int:
    """The sequence number in a MARK; 0 in one of another size."""
    return int(_MARK.unpack(payload)[0]) if len(payload) == _MARK.size else 0


def read_records(data: bytes) -> Iterator[Record]:
    """The records of `data`, damage among them; a torn record at the end is left out."""
    offset, size = 0, len(data)
    while offset < size:
        record = _record_at(data, offset)
        if record is None:
            start, record = offset, _next_record(data, offset + 1)
            if record is None and _is_torn(data, start):
                return
            end = size if record is None else record.start
            yield Record(RecordKind.DAMAGE, b"", start, end)
            if record is None:
                return
        yield record
        offset = record.end


def _record_at(data: bytes, offset: int) -> Record | None:
    """The whole record that begins there."""
    if len(data) - offset < _HEAD.size:
        return None
    length, checksum, kind = _HEAD.unpack_from(data, offset)
    start, end = offset + _LENGTHS.size, offset + _LENGTHS.size + length
    if kind not in _KINDS or not 1 <= length <= MAX_PAYLOAD_BYTES + 1 or end > len(data):
        return None
    if zlib.crc32(memoryview(data)[start:end]) != checksum:
        return None
    return Record(_KINDS[kind], data[start + 1 : end], offset, end)


def _next_record(data: bytes, offset: int) -> Record | None:
    """The first whole record that begins at `offset` or later."""
    for place in _WHOLE_HEAD.finditer(data, offset):
        record = _record_at(data, place.start())
        if record is not None:
            return record
    return None


def _is_torn(data: bytes, offset: int) -> bool:
    """Whether `data` ends within what may be a record that begins there."""
    if len(data) - offset < _HEAD.size:
        return True
    length, _, kind = _HEAD.unpack_from(data, offset)
    return kind in _KINDS and 1 <= length <= MAX_PAYLOAD_BYTES + 1 and offset + _LENGTHS.size + length > len(data)
