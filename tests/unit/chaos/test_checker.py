"""The checker finds every fault that is planted, and nothing where all is well."""

from dataclasses import replace

import pytest

from tests.chaos.checker import judge
from tests.chaos.evidence import ClientEnding, Entry, Evidence, Producer
from tests.chaos.sums import reports_of, rollups_of
from tests.unit.chaos.planting import BOOT, ENTRIES, NOON, OBSERVATIONS, REQUESTS, changed, evidence, line, request
from tollway.kernel.usage import SettlementState


def violated(found: Evidence, *, is_nothing_failed: bool = False) -> set[str]:
    return {v.invariant for v in judge(found, is_nothing_failed=is_nothing_failed) if not v.holds}


def without(number: int) -> tuple[Entry, ...]:
    return tuple(entry for entry in ENTRIES if entry.sequence != number)


def test_a_right_ledger_has_no_violations() -> None:
    verdicts = {verdict.invariant: verdict for verdict in judge(evidence())}
    assert [verdict.violations for verdict in verdicts.values()] == [()] * 4
    assert verdicts["L1"].numbers == {"exact lines": 2}
    assert verdicts["L5"].numbers["estimates"] == 2


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_a_lost_event_is_found(number: int) -> None:
    """Even where sums and producers are silent about it."""
    assert "L5" in violated(evidence(without(number), producers=()))


def test_an_event_that_is_accounted_for_and_not_booked_is_found() -> None:
    assert "L2" in violated(evidence(producers=(Producer(BOOT, ((1, 6),), 5),)))


def test_a_gap_of_a_producer_is_found() -> None:
    assert violated(evidence(producers=(Producer(BOOT, ((1, 2), (4, 6)), 5),))) == {"L2"}
    assert violated(evidence(producers=(Producer(BOOT, ((2, 6),), 5),))) == {"L2"}


def test_a_doubled_event_is_found() -> None:
    assert "L2" in violated(evidence((*ENTRIES, ENTRIES[0])))
    again = replace(ENTRIES[0], event_id="other", sequence=6)
    assert "L2" in violated(evidence((*ENTRIES, again)))


def test_a_dead_letter_is_found() -> None:
    assert violated(evidence(dead_letters=1)) == {"L2"}


@pytest.mark.parametrize(
    "fields",
    [
        {"cost_nano_usd": 14_999},
        {"tokens": (3, 4, 0, 0, 0)},
        {"tokens": (2, 3, 0, 0, 0)},
        {"state": SettlementState.ESTIMATED},
        {"state": SettlementState.UNPRICED, "cost_nano_usd": 0},
    ],
)
def test_a_wrong_line_of_a_call_that_was_reported_is_found(fields: dict[str, object]) -> None:
    assert "L1" in violated(evidence(changed(ENTRIES, 1, **fields)))


def test_a_cost_that_the_client_was_not_told_is_found() -> None:
    observations = tuple(replace(o, cost_nano_usd=1) if o.call == "c1" else o for o in OBSERVATIONS)
    assert violated(evidence(observations=observations)) == {"L1"}


def test_usage_reported_of_an_answer_without_usage_is_found() -> None:
    assert "L1" in violated(evidence(changed(ENTRIES, 5, state=SettlementState.REPORTED)))


@pytest.mark.parametrize("number", [4, 5])
@pytest.mark.parametrize(
    "fields",
    [
        {"cost_nano_usd": 0},
        {"state": SettlementState.NOT_BILLED, "cost_nano_usd": 0, "error_code": ""},
        {"state": SettlementState.UNPRICED, "cost_nano_usd": 0},
    ],
)
def test_a_missing_estimate_is_found(number: int, fields: dict[str, object]) -> None:
    assert "L5" in violated(evidence(changed(ENTRIES, number, **fields)))


def test_a_charge_for_what_the_provider_refused_is_found() -> None:
    entries = changed(ENTRIES, 2, state=SettlementState.ESTIMATED, cost_nano_usd=9)
    assert "L5" in violated(evidence(entries))


def test_a_line_of_something_that_never_went_out_is_found() -> None:
    assert "L5" in violated(evidence(requests=REQUESTS[1:]))
    assert "L5" in violated(evidence((*ENTRIES, line(6, "nobody", "echo", (1, 1)))))


def test_an_attempt_that_was_begun_and_never_went_out_may_have_a_line() -> None:
    requests = tuple(r for r in REQUESTS if r.user != "c3")
    assert violated(evidence(requests=requests)) == set()
    unsent = line(6, "c2", "echo", (0, 0), attempt=3, state=SettlementState.NOT_BILLED, final=False)
    moved = (*changed(ENTRIES, 3, attempt=3), replace(unsent, attempt=2, error_code="connect"))
    assert violated(evidence(moved)) == set()


def test_a_refused_call_may_have_a_line_of_its_own() -> None:
    refusal = line(6, "c5", "", (0, 0), attempt=0, status=401, state=SettlementState.NOT_BILLED)
    assert violated(evidence((*ENTRIES, refusal))) == set()


def test_two_last_lines_and_none_are_found() -> None:
    assert "L5" in violated(evidence(changed(ENTRIES, 2, final=True)))
    assert "L5" in violated(evidence(changed(ENTRIES, 3, final=False)))


def test_drifted_sums_are_found() -> None:
    rollups = {key: dict(sums) for key, sums in rollups_of(ENTRIES).items()}
    next(iter(rollups.values()))["cost_nano_usd"] += 1
    assert violated(evidence(rollups=rollups)) == {"L3"}
    assert violated(evidence(rollups={**rollups_of(ENTRIES), (NOON, ("x",) * 8): {"requests": 1}})) == {"L3"}
    assert violated(evidence(rollups=dict(list(rollups_of(ENTRIES).items())[1:]))) == {"L3"}
    reports = {key: {**sums, "requests": sums["requests"] + 1} for key, sums in reports_of(ENTRIES).items()}
    assert violated(evidence(reports=reports)) == {"L3"}


def test_what_cannot_be_read_is_said_and_not_passed_over() -> None:
    verdicts = {v.invariant: v for v in judge(evidence(rollups=None, producers=None, dead_letters=None))}
    assert verdicts["L2"].missing and verdicts["L3"].missing
    assert all(verdict.holds for verdict in verdicts.values())


def test_failed_calls_are_found_where_none_may_fail() -> None:
    assert violated(evidence(), is_nothing_failed=True) == {"Z1"}
    good = tuple(replace(o, ending=ClientEnding.LEFT) if o.call in ("c3", "c5") else o for o in OBSERVATIONS)
    assert violated(evidence(observations=good), is_nothing_failed=True) == set()


@pytest.mark.parametrize(("status", "allows", "found"), [(503, True, set()), (503, False, {"Z1"}), (502, True, {"Z1"})])
def test_a_lease_that_came_late_is_a_failure_but_where_that_is_allowed(
    status: int, allows: bool, found: set[str]
) -> None:
    words = "The rate limit cannot be checked at the moment: the control plane does not answer in time."
    late = {"ending": ClientEnding.REFUSED, "status": status, "detail": words}
    seen = tuple(replace(o, **late) if o.call in ("c3", "c5") else o for o in OBSERVATIONS)  # type: ignore[arg-type]
    judged = judge(evidence(observations=seen), is_nothing_failed=True, allows_late_leases=allows)
    assert {v.invariant for v in judged if v.invariant == "Z1" and not v.holds} == found


def test_requests_of_one_call_are_matched_in_order() -> None:
    swapped = (*changed(changed(ENTRIES, 2, attempt=2, final=True), 3, attempt=1, final=False),)
    assert "L5" in violated(evidence(swapped))
    twice = (*REQUESTS, request("c1", "echo", (3, 3)))
    assert "L5" in violated(evidence(requests=twice))
