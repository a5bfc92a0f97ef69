"""Sums of entries do not depend on how the entries arrive."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.ledger.aggregate import aggregate
from controlplane.ledger.convert import entry_of
from controlplane.ledger.entries import ROLLUP_DIMENSIONS, LedgerEntry, Rollup
from tests.fakes.usage_events import MINUTE_US, TEAMS, FakeDataPlane, Truth, readings, rich_readings
from tollway.usage.v1.usage_pb2 import METER_CACHE_WRITE_1H, METER_OUTPUT, METER_OUTPUT_AUDIO, UsageEvent

NOON_US = 1_795_262_400_000_000


@st.composite
def usage_events(draw: st.DrawFn) -> list[UsageEvent]:
    plane = FakeDataPlane(boot_id=7, start_time_us=NOON_US)
    events = []
    for _ in range(draw(st.integers(0, 30))):
        attempt = draw(st.integers(0, 3))
        events.append(
            plane.event(
                attempt=attempt,
                final=attempt == 0 or draw(st.booleans()),
                team=draw(st.sampled_from(TEAMS)),
                requested_model=draw(st.sampled_from(["a", "b"])),
                start_time_us=NOON_US + draw(st.integers(0, 40)) * MINUTE_US,
                status=draw(st.sampled_from([200, 399, 400, 429, 500])),
                meters=readings({METER_OUTPUT: draw(st.integers(0, 10**12))}),
                state=draw(st.integers(1, 7)),
                cost_nano_usd=draw(st.integers(0, 10**15)) if attempt else 0,
            )
        )
    return events


@settings(max_examples=150)
@given(usage_events(), st.randoms(use_true_random=False), st.integers(1, 5))
def test_sums_are_those_of_the_set_however_it_is_split_ordered_and_repeated(
    events: list[UsageEvent], random: object, parts: int
) -> None:
    entries = [entry_of(event) for event in events]
    deliveries = [*entries, *entries[: len(entries) // 2]]
    random.shuffle(deliveries)  # type: ignore[attr-defined]
    ledger: dict[object, LedgerEntry] = {}
    table: Counter[tuple[object, ...]] = Counter()
    for part in range(parts):
        new = [e for e in {e.event_id: e for e in deliveries[part::parts]}.values() if e.event_id not in ledger]
        ledger.update((entry.event_id, entry) for entry in new)
        for rollup in aggregate(new):
            _add(table, rollup)
    whole: Counter[tuple[object, ...]] = Counter()
    for rollup in aggregate(entries):
        _add(whole, rollup)
    assert {key: n for key, n in table.items() if n} == {key: n for key, n in whole.items() if n}


@given(usage_events())
def test_sums_equal_a_plain_count_of_the_events(events: list[UsageEvent]) -> None:
    rollups = aggregate(entry_of(event) for event in events)
    truth = Truth.of(events)
    assert sum(r.requests for r in rollups) == truth.requests
    assert sum(r.attempts for r in rollups) == truth.attempts
    assert sum(r.refused for r in rollups) == truth.refused
    assert sum(r.output_tokens for r in rollups) == sum(
        reading.quantity for event in events if event.attempt for reading in event.meters
    )
    assert sum(r.cost_nano_usd for r in rollups) == truth.cost_nano_usd
    assert all(sum(r[-7:]) == r.attempts for r in rollups)


@given(usage_events())
def test_rollups_are_ordered_and_unique_by_dimensions(events: list[UsageEvent]) -> None:
    dimensions = [r[: len(ROLLUP_DIMENSIONS)] for r in aggregate(entry_of(event) for event in events)]
    assert dimensions == sorted(set(dimensions))


def test_a_call_is_counted_by_its_final_attempt() -> None:
    plane = FakeDataPlane(boot_id=1, start_time_us=NOON_US)
    failed = plane.event(team="teams/a", attempt=1, final=False, status=500, upstream="upstreams/x", state=7, meters=[])
    answered = plane.event(team="teams/a", attempt=2, final=True, upstream="upstreams/y", meters=rich_readings())
    first, second = aggregate([entry_of(failed), entry_of(answered)])
    assert (first.upstream, first.requests, first.attempts, first.errors) == ("upstreams/x", 0, 1, 0)
    assert (first.state_not_billed, first.state_reported) == (1, 0)
    assert (second.upstream, second.requests, second.attempts, second.errors) == ("upstreams/y", 1, 1, 0)
    assert (second.input_tokens, second.cache_read_tokens) == (12, 7)
    assert (second.output_tokens, second.reasoning_tokens) == (11, 4)


def test_a_refused_call_is_neither_a_request_nor_an_error() -> None:
    event = FakeDataPlane(boot_id=1).event(attempt=0, status=429, state=7, meters=[], cost_nano_usd=0)
    [rollup] = aggregate([entry_of(event)])
    assert (rollup.refused, rollup.requests, rollup.attempts, rollup.errors) == (1, 0, 0, 0)
    assert sum(rollup[-7:]) == 0


def test_audio_and_cache_writes_count_among_all_tokens() -> None:
    meters = readings({METER_CACHE_WRITE_1H: 3, METER_OUTPUT: 2, METER_OUTPUT_AUDIO: 5})
    [rollup] = aggregate([entry_of(FakeDataPlane(boot_id=1).event(meters=meters))])
    assert (rollup.input_tokens, rollup.cache_write_tokens, rollup.output_tokens) == (3, 3, 7)


def test_the_quarter_hour_is_that_of_the_start() -> None:
    plane = FakeDataPlane(boot_id=1)
    times = [NOON_US - 1, NOON_US, NOON_US + 15 * MINUTE_US - 1, NOON_US + 15 * MINUTE_US]
    entries = [entry_of(plane.event(start_time_us=time, team="teams/a")) for time in times]
    noon_s = NOON_US // 1_000_000
    quarters = [(r.quarter_start_s, r.requests) for r in aggregate(entries)]
    assert quarters == [(noon_s - 900, 1), (noon_s, 2), (noon_s + 900, 1)]


def _add(table: Counter[tuple[object, ...]], rollup: Rollup) -> None:
    width = len(ROLLUP_DIMENSIONS)
    for name, value in zip(Rollup._fields[width:], rollup[width:], strict=True):
        table[(*rollup[:width], name)] += int(value)
