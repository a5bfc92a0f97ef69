"""What a call used: meters, settlement states and the identity of usage events."""

import struct
import uuid
from enum import IntEnum
from typing import NamedTuple

BOOT_ID_BITS = 34
SEQUENCE_BITS = 40
_LOW_BOOT_ID_BITS = 62 - SEQUENCE_BITS
_LOW_BOOT_ID = (1 << _LOW_BOOT_ID_BITS) - 1
_UUID_HALVES = struct.Struct(">QQ")


class Meter(IntEnum):
    """What is counted; values are those of tollway.usage.v1.Meter."""

    INPUT = 1
    CACHE_READ = 2
    CACHE_WRITE_5M = 3
    CACHE_WRITE_1H = 4
    OUTPUT = 5
    REASONING = 6
    INPUT_AUDIO = 7
    OUTPUT_AUDIO = 8
    CACHE_READ_AUDIO = 9
    REQUEST = 10
    IMAGE = 11
    SECOND = 12
    CHARACTER = 13
    PAGE = 14
    SEARCH = 15
    INPUT_IMAGE = 16
    OUTPUT_IMAGE = 17

    @property
    def word(self) -> str:
        """The lower-case word that manifests and answers use."""
        return self.name.lower()


class SettlementState(IntEnum):
    """How quantities and cost came to be known; values are those of tollway.usage.v1.SettlementState."""

    REPORTED = 1
    ESTIMATED = 2
    PARTIAL = 3
    UNPRICED = 4
    FREE = 5
    CACHED = 6
    NOT_BILLED = 7

    @property
    def is_billable(self) -> bool:
        """Whether the provider is owed money, known or not."""
        return self in (self.REPORTED, self.ESTIMATED, self.PARTIAL, self.UNPRICED)

    @property
    def word(self) -> str:
        """The lower-case word that answers use."""
        return self.name.lower()


class Usage(NamedTuple):
    """Disjoint quantities of one attempt, but for `reasoning`, which is a part of `output`.

    Tokens, but for `image` and `page` (apiece), `second`, `character` and `search` (apiece).
    """

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    input_audio: int = 0
    output_audio: int = 0
    cache_read_audio: int = 0
    image: int = 0
    second: int = 0
    character: int = 0
    page: int = 0
    search: int = 0
    input_image: int = 0
    output_image: int = 0

    def readings(self) -> list[tuple[Meter, int]]:
        """Meters with a quantity above zero, in order of meter."""
        return [(meter, quantity) for meter, quantity in zip(_METERS, self) if quantity]  # noqa: B905

    @property
    def input_tokens(self) -> int:
        """Everything that went in, cached tokens included."""
        return (
            self.input
            + self.cache_read
            + self.cache_write_5m
            + self.cache_write_1h
            + self.input_audio
            + self.cache_read_audio
            + self.input_image
        )

    @property
    def output_tokens(self) -> int:
        """Everything that came out, reasoning included."""
        return self.output + self.output_audio + self.output_image


USAGE_METERS: tuple[tuple[Meter, str], ...] = tuple((Meter[name.upper()], name) for name in Usage._fields)
NO_USAGE = Usage()
_METERS = tuple(meter for meter, _ in USAGE_METERS)


def event_id(start_time_ms: int, boot_id: int, sequence: int) -> uuid.UUID:
    """UUIDv7 (RFC 9562) of start time, then 34 bits of boot id and 40 bits of sequence number in its random fields.

    Raises ValueError when an argument does not fit its field.
    """
    return uuid.UUID(bytes=event_id_bytes(start_time_ms, boot_id, sequence))


def event_id_bytes(start_time_ms: int, boot_id: int, sequence: int) -> bytes:
    """The 16 bytes of `event_id`. Raises ValueError as it does."""
    if not 0 <= start_time_ms < 1 << 48:
        raise ValueError(f"start time {start_time_ms} ms does not fit 48 bits")
    if not 0 <= boot_id < 1 << BOOT_ID_BITS:
        raise ValueError(f"boot id {boot_id} does not fit {BOOT_ID_BITS} bits")
    if not 0 <= sequence < 1 << SEQUENCE_BITS:
        raise ValueError(f"sequence {sequence} does not fit {SEQUENCE_BITS} bits")
    return _UUID_HALVES.pack(
        start_time_ms << 16 | 0x7000 | boot_id >> _LOW_BOOT_ID_BITS,
        0b10 << 62 | (boot_id & _LOW_BOOT_ID) << SEQUENCE_BITS | sequence,
    )


def event_time_ms(identity: uuid.UUID) -> int:
    """Unix milliseconds that a UUIDv7 begins with."""
    return identity.int >> 80


def first_event_id(time_ms: int) -> uuid.UUID:
    """The smallest UUID of a millisecond: the bound of ranges and partitions."""
    return uuid.UUID(int=time_ms << 80)
