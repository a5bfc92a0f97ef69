"""Pieces of Protocol Buffers' wire format that are faster to write than to have written. Pure."""

from collections.abc import Iterable
from typing import Final

from dataplane.call import Charge
from tollway.kernel.usage import Meter

_LARGEST: Final = 2**53
_EVENTS_TAG: Final = b"\x0a"
"""Field 1 of UsageEventBatch: a batch's bytes are the concatenation of such fields."""
_SHORT_READING: Final = b"\x92\x03\x04\x08%c\x10%c"
_READING: Final = b"\x92\x03%c\x08%c\x10%b"
"""Field 50 of UsageEvent, a MeterReading of so many bytes, whose own fields 1 and 2 are varints."""
_COST_TAG: Final = b"\xa0\x03"
"""Field 52 of UsageEvent."""
_CHARGE_TAG: Final = b"\xc2\x03"
"""Field 56 of UsageEvent, a Charge, whose own fields 1 and 2 are bytes, 3 and 4 varints."""


def bounded(number: int) -> int:
    """An upstream may report any integer; one that fits the wire still shows as absurd in the ledger."""
    return number if 0 <= number <= _LARGEST else max(0, min(number, _LARGEST))


def varint(number: int) -> bytes:
    """`number`, which is not negative, seven bits to a byte, the least significant first."""
    if number <= 0x7F:
        return bytes((number,))
    if number < 1 << 14:
        return bytes((number & 0x7F | 0x80, number >> 7))
    if number < 1 << 21:
        return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14))
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def events_field(event: bytes) -> bytes:
    """A serialised UsageEvent as one of UsageEventBatch.events."""
    return _EVENTS_TAG + varint(len(event)) + event


def cost_field(cost_nano_usd: int) -> bytes:
    """An amount, `bounded`, as UsageEvent.cost_nano_usd."""
    return _COST_TAG + varint(bounded(cost_nano_usd))


def charges_fields(charges: Iterable[Charge]) -> bytes:
    """What was taken from budgets, amounts `bounded`, as UsageEvent.charges."""
    fields = b""
    for bucket_id, lease_id, window_start_ms, amount_nano_usd in charges:
        charge = b"\x0a%c%b" % (len(bucket_id), bucket_id)
        if lease_id:
            charge += b"\x12%c%b" % (len(lease_id), lease_id)
        if window_start_ms:
            charge += b"\x18" + varint(window_start_ms)
        if amount_nano_usd > 0:
            charge += b"\x20" + varint(bounded(amount_nano_usd))
        fields += b"%b%b%b" % (_CHARGE_TAG, varint(len(charge)), charge)
    return fields


def meters_fields(readings: Iterable[tuple[Meter, int]]) -> bytes:
    """Quantities, `bounded`, as UsageEvent.meters."""
    fields = b""
    for meter, quantity in readings:
        if 0 <= quantity <= 0x7F:
            fields += _SHORT_READING % (meter, quantity)
        else:
            encoded = varint(bounded(quantity))
            fields += _READING % (len(encoded) + 3, meter, encoded)
    return fields
