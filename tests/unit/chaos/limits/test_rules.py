"""Rules of campaigns and of the bench are what an admin may write."""

from typing import Any

from tests.bench.limits import KEYS, key_manifests, rule_manifests
from tests.chaos.limits.evidence import BudgetCap, Counted
from tests.chaos.limits.rules import (
    Purse,
    generous_rules,
    paced_rule,
    slots_rule,
    strict_budget,
    unavailable_budget,
    unavailable_rate,
)
from tests.chaos.load import Caller
from tollway.resources.manifests import read_closed_set

CALLER = Caller("teams/a", "twk_x")
TEAM = {"apiVersion": "tollway/v1", "kind": "Team", "metadata": {"name": "a"}}


def violations(*manifests: dict[str, Any]) -> list[str]:
    return [str(violation) for violation in read_closed_set([TEAM, *manifests])[1]]


def test_every_rule_of_a_campaign_can_be_applied() -> None:
    rules = [
        *generous_rules(CALLER),
        strict_budget(CALLER, Purse(50, 95_500, 290_000)),
        paced_rule(CALLER, Counted.TOKENS, 60_000, 2_000),
        slots_rule(CALLER, 8),
        unavailable_budget(CALLER, "deny"),
        *(unavailable_rate(CALLER, 50, policy) for policy in ("deny", "allow", "local_share")),
    ]
    for rule in rules:
        assert violations(rule.manifest) == []


def test_a_strict_budget_promises_what_it_says() -> None:
    rule = strict_budget(CALLER, Purse(50, 95_500, 290_000))
    [cap] = rule.caps
    assert isinstance(cap, BudgetCap)
    assert rule.manifest["spec"]["amount_usd"] == "0.004775"
    assert (cap.amount_nano_usd, cap.overrun_nano_usd, cap.is_used_up) == (4_775_000, 0, True)


def test_the_rules_of_the_bench_can_be_applied() -> None:
    rules = list(rule_manifests())
    assert len(rules) == 3 * KEYS
    assert violations(*key_manifests(9)[:4], *rules[:3]) == []
