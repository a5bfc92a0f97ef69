"""Every event of a message becomes an entry or a dead letter."""

from hypothesis import given
from hypothesis import strategies as st

from controlplane.ledger.decode import decode, refuse
from controlplane.ledger.entries import WHOLE_MESSAGE, Delivery
from tests.fakes.usage_events import FakeDataPlane, batch
from tollway.usage.v1.usage_pb2 import UsageEvent


def delivery(data: bytes) -> Delivery:
    return Delivery("tollway.usage.v1.a", 5, 2, data)


def test_good_events_are_booked_beside_bad_ones() -> None:
    events = FakeDataPlane(boot_id=3).events(3)
    events[1].team = "nobody"
    entries, dead_letters = decode(delivery(batch(events)))
    assert [entry.sequence for entry in entries] == [1, 3]
    [letter] = dead_letters
    assert (letter.event_index, letter.stream_sequence, letter.deliveries) == (1, 5, 2)
    assert UsageEvent.FromString(letter.payload) == events[1]
    assert "team" in letter.reason


@given(st.binary(max_size=200))
def test_whatever_comes_is_kept(data: bytes) -> None:
    entries, dead_letters = decode(delivery(data))
    assert entries == []
    assert len(dead_letters) >= 1
    assert all(letter.event_index != WHOLE_MESSAGE or letter.payload == data for letter in dead_letters)


def test_a_message_without_events_is_a_dead_letter() -> None:
    [letter] = decode(delivery(b""))[1]
    assert letter.event_index == WHOLE_MESSAGE


def test_a_refused_entry_is_found_in_its_message() -> None:
    events = FakeDataPlane(boot_id=3).events(3)
    message = delivery(batch(events))
    [letter] = refuse(message, decode(message)[0][2], "because")
    assert (letter.event_index, letter.reason) == (2, "because")
    assert UsageEvent.FromString(letter.payload) == events[2]
