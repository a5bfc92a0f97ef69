"""Pieces of Protocol Buffers' wire format that are faster to write than to have written. Pure."""

from typing import Final

from tollway.kernel.usage import Meter

_SMALL: Final = 1 << 14
_EVENTS_TAG: Final = b"\x0a"
"""Field 1 of UsageEventBatch: a batch's bytes are the concatenation of such fields."""
_METERS_TAG: Final = b"\x92\x03"
"""Field 50 of UsageEvent, a MeterReading, whose own fields 1 and 2 are varints."""
_METER_TAG, _QUANTITY_TAG = 0x08, 0x10


def varint(number: int) -> bytes:
    """`number`, which is not negative, seven bits to a byte, the least significant first."""
    if number < _SMALL:
        return bytes((number,)) if number <= 0x7F else bytes((number & 0x7F | 0x80, number >> 7))
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def events_field(event: bytes) -> bytes:
    """A serialised UsageEvent as one of UsageEventBatch.events."""
    return _EVENTS_TAG + varint(len(event)) + event


def meters_field(meter: Meter, quantity: int) -> bytes:
    """A quantity, which is not negative, as one of UsageEvent.meters."""
    encoded = varint(quantity)
    return _METERS_TAG + bytes((len(encoded) + 3, _METER_TAG, meter, _QUANTITY_TAG)) + encoded
