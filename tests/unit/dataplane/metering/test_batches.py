from hypothesis import given
from hypothesis import strategies as st

from dataplane.metering.batches import MAX_BATCH_BYTES, MAX_BATCH_EVENTS, Batch, BatchBuilder
from tollway.usage.v1.usage_pb2 import UsageEvent, UsageEventBatch


def build(events: list[bytes]) -> list[Batch]:
    builder = BatchBuilder(boot_id=3)
    batches = [full for event in events if (full := builder.add(event))]
    return batches if builder.is_empty else [*batches, builder.seal()]


@given(st.lists(st.integers(0, 3_000), max_size=700))
def test_batches_hold_every_event_once_in_order_within_their_bounds(sizes: list[int]) -> None:
    events = [UsageEvent(sequence=n + 1, error_code="x" * size) for n, size in enumerate(sizes)]

    batches = build([event.SerializeToString() for event in events])

    read = [event for batch in batches for event in UsageEventBatch.FromString(batch.payload).events]
    assert read == events
    assert all(batch.events <= MAX_BATCH_EVENTS and len(batch.payload) <= MAX_BATCH_BYTES for batch in batches)
    numbers = [n for batch in batches for n in range(batch.first_sequence, batch.last_sequence + 1)]
    assert numbers == list(range(1, len(events) + 1))


def test_small_events_fill_a_batch_by_number() -> None:
    assert [batch.events for batch in build([b"\x10\x01"] * (2 * MAX_BATCH_EVENTS + 1))] == [256, 256, 1]


def test_an_event_larger_than_a_batch_travels_alone() -> None:
    small = UsageEvent(sequence=1).SerializeToString()
    large = UsageEvent(sequence=2, error_code="x" * (2 * MAX_BATCH_BYTES)).SerializeToString()

    batches = build([small, large, small])

    assert [batch.events for batch in batches] == [1, 1, 1]
    assert UsageEventBatch.FromString(batches[1].payload).events[0].sequence == 2
