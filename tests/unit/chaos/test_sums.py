"""Entries add up as reports say."""

from dataclasses import replace
from datetime import UTC, datetime

from tests.chaos.sums import reports_of, rollups_of
from tests.unit.chaos.planting import ENTRIES, TEAM, line
from tollway.kernel.usage import SettlementState


def test_a_call_counts_once_and_its_lines_each() -> None:
    sums = reports_of(ENTRIES)
    fallback = {model: sums[TEAM, f"sim/{model}"] for model in ("flaky-30", "echo")}
    assert (fallback["flaky-30"]["requests"], fallback["flaky-30"]["attempts"]) == (0, 1)
    assert (fallback["echo"]["requests"], fallback["echo"]["attempts"], fallback["echo"]["errors"]) == (2, 2, 0)
    assert fallback["echo"]["cost_nano_usd"] == 40_000
    assert fallback["echo"]["state_reported"] == 2


def test_a_crash_is_an_error_at_a_failed_cost() -> None:
    sums = reports_of(ENTRIES)[TEAM, "sim/stream-50"]
    assert (sums["requests"], sums["errors"], sums["failed_cost_nano_usd"]) == (1, 1, 3_000)


def test_a_refused_call_counts_as_such_alone() -> None:
    refusal = line(6, "c5", "", (0, 0), attempt=0, status=401, state=SettlementState.NOT_BILLED)
    sums = reports_of((refusal,))[TEAM, "sim/"]
    assert {name: count for name, count in sums.items() if count} == {"refused": 1}


def test_an_adjustment_moves_cost_and_states() -> None:
    moved = replace(
        ENTRIES[0], is_adjustment=True, prior_state=SettlementState.UNPRICED, cost_nano_usd=-5, tokens=(0, 0, 0, 0, 0)
    )
    sums = reports_of((moved,))[TEAM, "sim/echo"]
    changes = {"cost_nano_usd": -5, "adjustment_nano_usd": -5, "state_reported": 1, "state_unpriced": -1}
    assert {name: count for name, count in sums.items() if count} == changes


def test_slots_are_quarter_hours() -> None:
    slots = {slot for slot, _ in rollups_of(ENTRIES)}
    assert slots == {datetime(2026, 1, 2, 12, 0, tzinfo=UTC)}
