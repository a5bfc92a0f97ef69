import uuid
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from controlplane.ledger.rerating.runs import (
    ReratingRun,
    RunState,
    adjustment_identity,
    parse_run,
    run_identity,
)
from tollway.admin.v1.rerating_pb2 import ReratingState
from tollway.kernel.usage import event_id

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
identities = st.uuids()
times_ms = st.integers(0, (1 << 48) - 2)


@given(identities, identities, times_ms)
def test_an_adjustment_has_one_identity_that_no_usage_event_has(
    run: uuid.UUID, adjusts: uuid.UUID, time_ms: int
) -> None:
    found = adjustment_identity(run, adjusts, time_ms)
    assert found == adjustment_identity(run, adjusts, time_ms)
    assert (found.version, found.variant, found.int >> 80) == (8, uuid.RFC_4122, time_ms)
    assert event_id(time_ms, 1, 1).version == 7


@given(identities, identities, identities, times_ms)
def test_identities_differ_by_run_and_entry(a: uuid.UUID, b: uuid.UUID, c: uuid.UUID, time_ms: int) -> None:
    if a != b:
        assert adjustment_identity(a, c, time_ms) != adjustment_identity(b, c, time_ms)
        assert adjustment_identity(c, a, time_ms) != adjustment_identity(c, b, time_ms)


@given(times_ms, times_ms, st.integers(0, 2**62 - 1), st.integers(0, 2**62 - 1))
def test_a_later_run_has_a_larger_id_though_clocks_go_back(first_ms: int, now_ms: int, one: int, two: int) -> None:
    first = run_identity(first_ms, None, one)
    assert run_identity(now_ms, first, two) > first and first.version == 7


def test_names() -> None:
    run_id = uuid.UUID(int=7)
    assert parse_run(f"reratingRuns/{run_id}") == run_id
    for name in (str(run_id), f"runs/{run_id}", f"reratingRuns/{run_id.hex}", "reratingRuns/x", ""):
        assert parse_run(name) is None


def test_a_range_is_in_whole_milliseconds_and_leaves_out_its_end() -> None:
    run = ReratingRun(
        run_id=uuid.UUID(int=7), principal="p", create_time=NOON, start_time=NOON + timedelta(microseconds=1),
        end_time=NOON + timedelta(milliseconds=5), filter="", price_book="priceBooks/default", config_revision=1,
        state=RunState.PREVIEWING, position=uuid.UUID(int=0),
    )  # fmt: skip
    noon_ms = 1_795_262_400_000
    assert (run.first_id.int >> 80, run.end_id.int >> 80) == (noon_ms + 1, noon_ms + 5)


def test_states_are_those_of_the_schema() -> None:
    assert {f"RERATING_STATE_{state.name}": int(state) for state in RunState} == {
        name: number for name, number in ReratingState.items() if number
    }
