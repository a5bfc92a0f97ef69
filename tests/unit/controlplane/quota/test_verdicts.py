"""Which rules a described call falls under, and what amounts and words their limits come to."""

from dataclasses import replace

from controlplane.quota.reading.buckets import Rates
from controlplane.quota.reading.rulebook import Hit, Rule, matching_rules
from controlplane.quota.reading.verdicts import Situation, check_limit, specs_of
from controlplane.quota.rows import BucketRow, RateRow
from tests.unit.dataplane.config.machine import budget, rate_limit
from tollway.config.v1 import resources_pb2 as machine
from tollway.kernel.rules import Subject
from tollway.resources.rules import compile_match, compile_per

NOW_US = 1_795_262_400_000_000
CALL = Subject("teams/t", "teams/t", "teams/t/keys/k", "m", "ann", {"env": "prod"})
NOTHING = Situation({}, Rates(NOW_US), {}, frozenset({"u"}))


def rule(form: machine.Resource) -> Rule:
    said = form.budget if form.HasField("budget") else form.rate_limit
    return Rule(form, compile_match(said.match), compile_per(said.per))


def monthly(nano_usd: int = 5_000_000_000) -> machine.Resource:
    form = budget("b", nano_usd=nano_usd)
    form.budget.period = machine.BUDGET_PERIOD_MONTH
    form.budget.mode = machine.ENFORCEMENT_MODE_ENFORCE
    return form


def test_rules_that_look_at_upstreams_are_asked_for_each_attempt_and_buckets_are_told_once() -> None:
    rules = [
        rule(budget("all")),
        rule(rate_limit("each", per=["upstream"])),
        rule(rate_limit("some", machine.Match(upstreams=["u", "v"]))),
        rule(rate_limit("other", machine.Match(upstreams=["w"]))),
        rule(rate_limit("team", machine.Match(teams=["s"]))),
    ]
    hits = [(hit.rule.name, hit.values) for hit in matching_rules(rules, CALL, ["u", "v"])]
    assert hits == [
        ("budgets/all", ()),
        ("rateLimits/each", ("u",)),
        ("rateLimits/each", ("v",)),
        ("rateLimits/some", ()),
    ]


def test_a_rate_is_as_full_as_its_tat_says_and_empty_since_the_server_started() -> None:
    hit = Hit(rule(rate_limit("rpm", amount=60)), ())
    (spec,) = specs_of(hit, NOW_US)

    def remaining(rates: Rates) -> str:
        return check_limit(hit, spec, replace(NOTHING, rates=rates)).remaining

    identity = spec.name.bucket_id
    assert remaining(Rates(NOW_US)) == "60"
    assert remaining(Rates(NOW_US, NOW_US - 30_000_000)) == "30"
    assert remaining(Rates(NOW_US, NOW_US, {identity: RateRow(identity, NOW_US - 1)})) == "60"
    assert remaining(Rates(NOW_US, 0, {identity: RateRow(identity, NOW_US + 45_000_000)})) == "15"


def test_a_bucket_without_the_ledgers_past_shows_what_the_ledger_holds() -> None:
    hit = Hit(rule(monthly()), ())
    (spec,) = specs_of(hit, NOW_US)
    row = BucketRow(spec.key, spec.name, spec.kind, spec.cap, spent=1_000_000_000, escrow=2_000_000_000, seeded=True)
    ledger = {spec.key: 3_000_000_000}

    def used(row: BucketRow) -> tuple[str, str, str]:
        limit = check_limit(hit, spec, Situation({row.key: row}, Rates(NOW_US), ledger))
        return limit.used, limit.reserved, limit.remaining

    assert used(row) == ("1.00", "2.00", "2.00")
    assert used(replace(row, seeded=False)) == ("3.00", "2.00", "0.00")
    assert check_limit(hit, spec, replace(NOTHING, ledger_nano_usd=ledger)).used == "3.00"


def test_what_is_held_is_told_apart_from_what_is_spent() -> None:
    hit = Hit(rule(monthly()), ())
    (spec,) = specs_of(hit, NOW_US)
    held = BucketRow(spec.key, spec.name, spec.kind, spec.cap, spent=1_000_000_000, escrow=4_000_000_000, seeded=True)
    spent = replace(held, spent=6_000_000_000, escrow=0)
    by_row = [
        check_limit(hit, spec, Situation({spec.key: row}, Rates(NOW_US), {}, frozenset({"u"}))) for row in (held, spent)
    ]
    assert [limit.verdict for limit in by_row] == ["refuse", "refuse"]
    assert [limit.reason.endswith("may come free before") for limit in by_row] == [True, False]
    hit.rule.form.budget.mode = machine.ENFORCEMENT_MODE_AUDIT
    assert (
        check_limit(hit, spec, Situation({spec.key: spent}, Rates(NOW_US), {}, frozenset({"u"}))).verdict
        == "would_refuse"
    )
