from typing import Any

import pytest

from tests.unit.tollway.resources.rules import read_budget
from tollway.admin.v1.budgets_pb2 import ADMISSION_EXPECTED, BUDGET_PERIOD_MONTH, Budget
from tollway.admin.v1.rules_pb2 import ENFORCEMENT_MODE_ENFORCE, ON_UNAVAILABLE_ALLOW, ON_UNAVAILABLE_DENY
from tollway.config.v1 import resources_pb2 as machine
from tollway.resources.budgets import on_unavailable_of, project_budget

INPUT = {"meter": "input", "price_usd": "2.50"}


def generation(budget: Budget) -> str:
    return project_budget(budget, 1).budget.generation


def test_defaults_are_written_out() -> None:
    budget, wrong = read_budget(alerts={"webhook_url": "https://hooks.example/x?y=z"})
    assert wrong == {}
    assert (budget.period, budget.time_zone) == (BUDGET_PERIOD_MONTH, "UTC")
    assert (budget.mode, budget.admission) == (ENFORCEMENT_MODE_ENFORCE, ADMISSION_EXPECTED)
    assert on_unavailable_of(budget) == ON_UNAVAILABLE_DENY
    assert list(budget.alerts.thresholds_percent) == [50, 75, 90, 100]
    assert on_unavailable_of(read_budget(mode="audit")[0]) == ON_UNAVAILABLE_ALLOW
    assert not read_budget()[0].HasField("alerts")


def test_what_is_done_without_a_control_plane_follows_the_mode_unless_it_was_said_otherwise() -> None:
    audited, _ = read_budget(mode="audit", on_unavailable="allow")
    audited.mode = ENFORCEMENT_MODE_ENFORCE
    assert project_budget(audited, 1).budget.on_unavailable == machine.ON_UNAVAILABLE_DENY
    lenient, _ = read_budget(on_unavailable="allow")
    assert project_budget(lenient, 1).budget.on_unavailable == machine.ON_UNAVAILABLE_ALLOW


def test_the_machine_form_has_money_and_rates_in_nano_usd() -> None:
    budget, wrong = read_budget(
        amount_usd="0.5", ceiling_rates=[INPUT], period="quarter", time_zone="Asia/Kathmandu", admission="strict"
    )
    assert wrong == {}
    form = project_budget(budget, 3)
    assert (form.name, form.revision) == ("budgets/r", 3)
    assert form.budget.amount_nano_usd == 500_000_000
    assert form.budget.ceiling_rates[0].nano_usd_per_million == 2_500_000_000
    assert (form.budget.period, form.budget.time_zone) == (machine.BUDGET_PERIOD_QUARTER, "Asia/Kathmandu")
    assert form.budget.admission == machine.ADMISSION_STRICT


@pytest.mark.parametrize(
    ("spec", "field", "text"),
    [
        ({"amount_usd": None}, "amount_usd", "is required"),
        ({"amount_usd": "0"}, "amount_usd", "must be positive"),
        ({"amount_usd": "-5"}, "amount_usd", "must be positive"),
        ({"amount_usd": "ten"}, "amount_usd", "decimal amount"),
        ({"amount_usd": "9999999999.99"}, "amount_usd", "too large"),
        ({"amount_usd": 5}, "amount_usd", "put it in quotes"),
        ({"time_zone": "Europe/Atlantis"}, "time_zone", "no IANA time zone"),
        ({"time_zone": "../etc/passwd"}, "time_zone", "no IANA time zone"),
        ({"time_zone": "Europe"}, "time_zone", "no IANA time zone"),
        ({"time_zone": "localtime"}, "time_zone", "no IANA time zone"),
        ({"amount_usd": "٢٥٠"}, "amount_usd", "decimal amount"),
        ({"period": "hour"}, "period", "day, week, month, quarter, year, total"),
        ({"on_unavailable": "local_share"}, "on_unavailable", "rate limits only"),
        ({"ceiling_rates": [{"meter": "words", "price_usd": "1"}]}, "ceiling_rates[0].meter", "is not one of"),
        ({"ceiling_rates": [INPUT, INPUT]}, "ceiling_rates[1]", "has a rate already"),
        ({"alerts": {"thresholds_percent": [0]}}, "alerts.thresholds_percent[0]", "from 1 to 1000"),
        ({"alerts": {"thresholds_percent": [1001]}}, "alerts.thresholds_percent[0]", "from 1 to 1000"),
        ({"alerts": {"thresholds_percent": [50, 20, 50]}}, "alerts.thresholds_percent[2]", "50 is listed twice"),
        ({"alerts": {"webhook_url": "ftp://a"}}, "alerts.webhook_url", "https://"),
        ({"alerts": {"webhook_url": "http://169.254.169.254/x"}}, "alerts.webhook_url", "link-local"),
        ({"alerts": {"webhook_url": "http://metadata.google.internal/"}}, "alerts.webhook_url", "metadata service"),
        ({"alerts": {"webhook_url": "https://u:p@a/"}}, "alerts.webhook_url", "user and a password"),
        ({"alerts": {"webhook_url": "https://a/#x"}}, "alerts.webhook_url", "no fragment"),
        (
            {"alerts": {"webhook_url": "https://a", "webhook_secret_ref": "env:TOLLWAY_KEY_PEPPER"}},
            "alerts.webhook_secret_ref",
            "Tollway's own",
        ),
        ({"alerts": {"webhook_secret_ref": "plain"}}, "alerts.webhook_secret_ref", "env:NAME"),
        ({"alerts": {"webhook_secret_ref": "env:HOOK"}}, "alerts.webhook_secret_ref", "signs nothing"),
        ({"status": {}}, "status", "unknown field"),
        ({"since_revision": 4}, "since_revision", "unknown field"),
    ],
)
def test_what_is_wrong_with_a_budget(spec: dict[str, Any], field: str, text: str) -> None:
    _, wrong = read_budget(**spec)
    assert text in wrong[field]


def test_amounts_and_modes_keep_the_generation_and_what_is_counted_does_not() -> None:
    budget, _ = read_budget(match={"teams": ["a"]})
    same = [
        read_budget(match={"teams": ["teams/a"]}, amount_usd="7.00")[0],
        read_budget(match={"teams": ["a"]}, mode="audit", admission="strict", ceiling_rates=[INPUT])[0],
        read_budget(match={"teams": ["a"]}, time_zone="UTC", alerts={"webhook_url": "https://a"})[0],
    ]
    assert {generation(other) for other in same} == {generation(budget)}
    others = [
        read_budget(match={"teams": ["b"]})[0],
        read_budget(match={"teams": ["a"]}, per=["key"])[0],
        read_budget(match={"teams": ["a"]}, period="day")[0],
        read_budget(match={"teams": ["a"]}, time_zone="Europe/Berlin")[0],
    ]
    assert len({generation(other) for other in [budget, *others]}) == 5
    budget.since_revision = 9
    assert generation(budget) != generation(same[0])
