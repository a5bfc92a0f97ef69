import dataclasses
import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.quota.alerts.rows import ToldThreshold, Window
from controlplane.quota.alerts.thresholds import alert_id_of, is_passed, judge_bucket
from tests.unit.controlplane.quota.alerts.specimens import USD, bucket, budget

THRESHOLDS = (50, 75, 90, 100)


class Teller:
    """Looks at one bucket as its budget and its spend change, and keeps what it tells."""

    def __init__(self) -> None:
        self.told: dict[uuid.UUID, ToldThreshold] = {}
        self.messages: list[tuple[int, int]] = []

    def look(self, amount: int, spent: int) -> list[int]:
        rule, counter = budget(amount_nano_usd=amount), bucket(spent)
        judgement = judge_bucket(rule, counter, list(self.told.values()))
        for alert_id in judgement.rearmed:
            self.told[alert_id] = dataclasses.replace(self.told[alert_id], is_standing=False)
        for percent in judgement.due_percent:
            alert_id = alert_id_of(rule, counter, percent)
            assert alert_id not in self.told, "an id was made twice"
            self.told[alert_id] = ToldThreshold(alert_id, percent, amount, is_standing=True)
            self.messages.append((percent, amount))
        return list(judgement.due_percent)


def test_each_threshold_is_told_once_as_it_is_passed() -> None:
    teller = Teller()
    told = [teller.look(100 * USD, spent * USD) for spent in (10, 49, 50, 60, 74, 75, 89, 95, 99, 100, 130)]
    assert told == [[], [], [50], [], [], [75], [], [90], [], [100], []]


def test_all_that_were_passed_at_once_are_told_in_order() -> None:
    assert Teller().look(100 * USD, 120 * USD) == [50, 75, 90, 100]


def test_a_threshold_is_passed_to_the_nano_usd() -> None:
    assert not is_passed(1_499, 50, 3_000)
    assert is_passed(1_500, 50, 3_000)
    assert not is_passed(1_500, 50, 3_001)


def test_a_raised_amount_repeats_nothing_that_is_still_passed_and_loses_nothing_else() -> None:
    teller = Teller()
    assert teller.look(100 * USD, 95 * USD) == [50, 75, 90]
    assert teller.look(110 * USD, 95 * USD) == []
    assert teller.look(110 * USD, 99 * USD) == [90]
    assert teller.look(110 * USD, 110 * USD) == [100]


def test_a_budget_that_was_raised_after_it_ran_out_tells_of_its_new_amount() -> None:
    teller = Teller()
    assert teller.look(100 * USD, 100 * USD) == [50, 75, 90, 100]
    assert teller.look(200 * USD, 100 * USD) == []
    assert [teller.look(200 * USD, spent * USD) for spent in (149, 150, 180, 200)] == [[], [75], [90], [100]]


def test_an_amount_that_goes_up_and_down_repeats_nothing() -> None:
    teller = Teller()
    teller.look(100 * USD, 95 * USD)
    assert [teller.look(amount * USD, 95 * USD) for amount in (1_000, 100, 1_000, 100)] == [[], [], [], []]


def test_a_lowered_amount_tells_what_it_passes_by_that() -> None:
    teller = Teller()
    assert teller.look(100 * USD, 60 * USD) == [50]
    assert teller.look(64 * USD, 60 * USD) == [75, 90]


def test_spend_that_falls_by_a_correction_repeats_nothing() -> None:
    teller = Teller()
    assert teller.look(100 * USD, 52 * USD) == [50]
    assert [teller.look(100 * USD, spent * USD) for spent in (48, 52)] == [[], []]


def test_another_window_starts_anew() -> None:
    rule, november = budget(), bucket(60 * USD)
    december = bucket(60 * USD, window=Window(datetime(2026, 11, 30, 23, 0, tzinfo=UTC), None))
    assert judge_bucket(rule, december, []).due_percent == (50,)
    assert alert_id_of(rule, december, 50) != alert_id_of(rule, november, 50)


@given(st.lists(st.tuples(st.integers(0, 400), st.sampled_from([50, 90, 100, 110, 200, 1_000])), max_size=30))
def test_nothing_is_lost_and_nothing_told_twice(steps: list[tuple[int, int]]) -> None:
    teller, spent = Teller(), 0
    for more, amount in steps:
        spent += more
        teller.look(amount * USD, spent * USD // 10)
        covered = {
            t.threshold_percent for t in teller.told.values() if t.is_standing or t.amount_nano_usd >= amount * USD
        }
        passed = {percent for percent in THRESHOLDS if is_passed(spent * USD // 10, percent, amount * USD)}
        assert passed <= covered
        assert teller.look(amount * USD, spent * USD // 10) == []
    assert len(teller.messages) == len(set(teller.messages))


@pytest.mark.parametrize("amount", [1, 7, 10**18])
@given(st.lists(st.integers(0, 10**17), max_size=20))
def test_with_one_amount_each_threshold_is_told_at_most_once(amount: int, growth: list[int]) -> None:
    teller, spent = Teller(), 0
    for more in growth:
        spent += more
        teller.look(amount, spent)
    assert [percent for percent, _ in teller.messages] == [p for p in THRESHOLDS if is_passed(spent, p, amount)]
