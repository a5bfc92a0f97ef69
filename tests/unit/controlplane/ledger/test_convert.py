"""What becomes an entry as it is, what is cut, and what is refused."""

import uuid
from typing import Any

import pytest

from controlplane.ledger.convert import InvalidEvent, entry_of, request_text, request_uuid
from controlplane.ledger.entries import EntryCharge, LedgerEntry
from tests.fakes.usage_events import FakeDataPlane, event_uuid, readings
from tollway.kernel.usage import SettlementState, event_id
from tollway.usage.v1.usage_pb2 import METER_INPUT, METER_OUTPUT, Charge, MeterReading, UsageEvent

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_every_field_of_an_event_is_kept() -> None:
    event = FakeDataPlane(boot_id=9).event(
        client_request_id="mine",
        team="teams/a",
        key="teams/a/keys/ci",
        user="users/ada",
        end_user="u-1",
        metadata={"b": "2", "a": "1"},
        route="routes/chat",
        stream=True,
        error_code="x",
        client_gone=True,
        meters=readings({METER_OUTPUT: 2, METER_INPUT: 1}),
        traceparent=TRACEPARENT,
        service_tier="flex",
        basis=3,
        call_start_time_us=1_795_262_400_000_000,
    )
    entry = entry_of(event)
    assert entry.event_id == event_uuid(event)
    assert request_text(entry.request_id) == event.request_id
    assert entry.state is SettlementState.REPORTED
    assert list(entry.meters.items()) == [("input", 1), ("output", 2)]
    assert entry.metadata == {"a": "1", "b": "2"}
    assert (entry.basis, entry.adjusts, entry.run_id, entry.prior_state) == (SettlementState.PARTIAL, None, None, None)
    of_adjustments = {"adjusts", "run_id", "prior_state"}
    same = (
        set(LedgerEntry._fields)
        - {"event_id", "request_id", "state", "basis", "meters", "metadata", "charges"}
        - of_adjustments
    )
    assert {name: getattr(entry, name) for name in same} == {name: getattr(event, name) for name in same}
    assert same | {"event_id", "request_id", "state", "basis", "meters", "metadata", "charges"} == set(
        UsageEvent.DESCRIPTOR.fields_by_name
    )


def test_what_clients_and_upstreams_say_is_cut_and_never_refused() -> None:
    event = FakeDataPlane(boot_id=9).event(
        requested_model="é" * 500,
        end_user="a\0b",
        error_code="x" * 1000,
        metadata={f"{n:03}": "v\0" * 400 for n in range(100)},
        traceparent="00-nonsense",
    )
    entry = entry_of(event)
    assert entry.requested_model == "é" * 128
    assert entry.end_user == "a\N{REPLACEMENT CHARACTER}b"
    assert entry.error_code == "x" * 256
    assert len(entry.metadata) == 32
    assert all(len(value.encode()) <= 256 and "\0" not in value for value in entry.metadata.values())
    assert entry.traceparent == ""


def test_repeated_readings_of_a_meter_add_up_and_zeros_vanish() -> None:
    meters = [MeterReading(meter=METER_INPUT, quantity=n) for n in (3, 4)] + readings({METER_OUTPUT: 0})
    assert entry_of(FakeDataPlane(boot_id=9).event(meters=meters)).meters == {"input": 7}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"event_id": b""}, "event_id"),
        ({"event_id": b"\x01" * 16}, "event_id"),
        ({"boot_id": 0}, "boot_id"),
        ({"boot_id": 1 << 34}, "boot_id"),
        ({"boot_id": 10}, "event_id"),
        ({"sequence": 0}, "sequence"),
        ({"sequence": 1 << 40}, "sequence"),
        ({"sequence": 2}, "event_id"),
        ({"request_id": ""}, "request_id"),
        ({"request_id": "req_" + "g" * 32}, "request_id"),
        ({"request_id": "req_" + " " * 32}, "request_id"),
        ({"attempt": -1}, "attempt"),
        ({"attempt": 1001}, "attempt"),
        ({"attempt": 0, "final": False}, "final"),
        ({"attempt": 0, "cost_nano_usd": 1}, "costs nothing"),
        ({"team": ""}, "team"),
        ({"team": "teams/"}, "team"),
        ({"team": "growth"}, "team"),
        ({"team": "teams/" + "a" * 300}, "team"),
        ({"team": "teams/a\0"}, "team"),
        ({"key": ""}, "key"),
        ({"key": "teams/other/keys/ci"}, "key"),
        ({"upstream": "openai"}, "upstream"),
        ({"route": "chat"}, "route"),
        ({"end_time_us": -1}, "end_time_us"),
        ({"first_frame_time_us": 1}, "first_frame_time_us"),
        ({"status": -1}, "status"),
        ({"status": 1000}, "status"),
        ({"meters": [MeterReading(meter=METER_INPUT, quantity=-1)]}, "quantity"),
        ({"meters": [MeterReading(meter=METER_INPUT, quantity=2**53 + 1)]}, "quantity"),
        ({"meters": [MeterReading(meter=METER_INPUT, quantity=2**53)] * 2}, "quantity"),
        ({"meters": [MeterReading(quantity=1)]}, "meter 0"),
        ({"state": 0}, "state"),
        ({"cost_nano_usd": -1}, "cost_nano_usd"),
        ({"cost_nano_usd": 1 << 60}, "cost_nano_usd"),
        ({"price_revision": -1}, "price_revision"),
    ],
)
def test_what_the_gateway_writes_must_be_right(fields: dict[str, Any], reason: str) -> None:
    event = FakeDataPlane(boot_id=9).event(team=fields.pop("team", "teams/a"), key=fields.pop("key", "teams/a/keys/k"))
    for name, value in fields.items():
        if name == "meters":
            del event.meters[:]
            event.meters.extend(value)
        else:
            setattr(event, name, value)
    with pytest.raises(InvalidEvent, match=reason):
        entry_of(event)


@pytest.mark.parametrize("unknown", [18, 99])
def test_enum_values_that_are_not_known_are_refused(unknown: int) -> None:
    with pytest.raises(InvalidEvent, match="state"):
        entry_of(UsageEvent.FromString(FakeDataPlane(boot_id=9).event(state=0).SerializeToString() + b"\x98\x03\x63"))
    meter = MeterReading.FromString(bytes([0x08, unknown, 0x10, 1]))
    with pytest.raises(InvalidEvent, match=f"meter {unknown}"):
        entry_of(FakeDataPlane(boot_id=9).event(meters=[meter]))


@pytest.mark.parametrize("start_time_us", [0, 1_577_836_799_999_999, 4_102_444_800_000_000])
def test_start_times_must_be_of_this_century(start_time_us: int) -> None:
    event = FakeDataPlane(boot_id=9).event()
    event.start_time_us = start_time_us
    event.event_id = event_id(start_time_us // 1000, 9, event.sequence).bytes
    with pytest.raises(InvalidEvent, match="start_time_us"):
        entry_of(event)


def test_the_largest_numbers_that_data_planes_write_are_kept() -> None:
    event = FakeDataPlane(boot_id=9).event(meters=readings({METER_OUTPUT: 2**53}), cost_nano_usd=2**53)
    entry = entry_of(event)
    assert (entry.meters["output"], entry.cost_nano_usd) == (2**53, 2**53)


def test_request_ids_survive_the_round_trip() -> None:
    text = "req_0190163d8694739bab4c9f1ef1c2d3e4"
    assert request_text(request_uuid(text)) == text


def test_charges_are_kept_and_only_the_first_to_a_bucket_counts() -> None:
    bucket, lease = uuid.uuid4(), uuid.uuid4()
    charges = [
        Charge(bucket_id=bucket.bytes, lease_id=lease.bytes, window_start_ms=1_000, amount_nano_usd=5),
        Charge(bucket_id=bucket.bytes, window_start_ms=0, amount_nano_usd=7),
    ]
    assert entry_of(FakeDataPlane(boot_id=9).event(charges=charges)).charges == (
        EntryCharge(bucket, lease, 1_000, 5, True),
        EntryCharge(bucket, None, 0, 7, False),
    )


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"bucket_id": b"short"}, "bucket_id and lease_id"),
        ({"lease_id": b"short"}, "bucket_id and lease_id"),
        ({"amount_nano_usd": -1}, "is not within"),
        ({"window_start_ms": -1}, "no time before"),
    ],
)
def test_a_charge_that_no_data_plane_makes_is_refused(fields: dict[str, Any], reason: str) -> None:
    values: dict[str, Any] = {"bucket_id": uuid.uuid4().bytes, "amount_nano_usd": 1, **fields}
    charge = Charge(**values)
    with pytest.raises(InvalidEvent, match=reason):
        entry_of(FakeDataPlane(boot_id=9).event(charges=[charge]))
