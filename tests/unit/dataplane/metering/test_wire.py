from hypothesis import given
from hypothesis import strategies as st

from dataplane.call import Charge
from dataplane.metering.wire import charges_fields, cost_field, events_field, meters_fields, varint
from tollway.kernel.usage import USAGE_METERS, Meter
from tollway.usage.v1.usage_pb2 import MeterReading, UsageEvent, UsageEventBatch

NUMBERS = st.integers(0, 2**53) | st.sampled_from([2**n + d for n in (7, 14, 21, 28, 49, 53) for d in (-1, 0)])
ANY_NUMBERS = NUMBERS | st.integers(-5, 2**80)
LARGEST = 2**53


@given(NUMBERS)
def test_numbers_are_written_as_protocol_buffers_writes_them(number: int) -> None:
    expected = UsageEvent(sequence=number).SerializeToString()
    assert expected == (b"\x18" + varint(number) if number else b"")


@given(ANY_NUMBERS, st.lists(st.tuples(st.sampled_from([meter for meter, _ in USAGE_METERS]), ANY_NUMBERS)))
def test_costs_and_meters_are_fields_of_an_event_within_their_bound(
    cost_nano_usd: int, readings: list[tuple[Meter, int]]
) -> None:
    event = UsageEvent.FromString(meters_fields(readings) + cost_field(cost_nano_usd))
    assert event.cost_nano_usd == max(0, min(cost_nano_usd, LARGEST))
    assert [(reading.meter, reading.quantity) for reading in event.meters] == [
        (int(meter), max(0, min(quantity, LARGEST))) for meter, quantity in readings
    ]
    canonical = [MeterReading(meter=int(m), quantity=q) for m, q in readings if 0 < q <= LARGEST]  # type: ignore[arg-type]
    written = meters_fields([(m, q) for m, q in readings if 0 < q <= LARGEST])
    assert written == UsageEvent(meters=canonical).SerializeToString()


@given(st.lists(st.binary(max_size=400)))
def test_a_batch_is_its_events_one_after_another(client_request_ids: list[bytes]) -> None:
    events = [UsageEvent(client_request_id=text.hex()) for text in client_request_ids]
    written = b"".join(events_field(event.SerializeToString()) for event in events)
    assert written == UsageEventBatch(events=events).SerializeToString()


@given(
    st.lists(
        st.tuples(
            st.binary(min_size=16, max_size=16),
            st.sampled_from((b"", b"l" * 16)),
            st.integers(0, 2**45),
            st.integers(0, LARGEST),
        ),
        max_size=3,
    )
)
def test_charges_are_written_as_protobuf_writes_them(charges: list[tuple[bytes, bytes, int, int]]) -> None:
    event = UsageEvent()
    for bucket_id, lease_id, window_start_ms, amount_nano_usd in charges:
        event.charges.add(
            bucket_id=bucket_id, lease_id=lease_id, window_start_ms=window_start_ms, amount_nano_usd=amount_nano_usd
        )
    assert charges_fields(Charge(*charge) for charge in charges) == event.SerializeToString()
