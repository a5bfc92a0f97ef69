"""Budgets: normal form, what is wrong with one, and machine form."""

from collections.abc import Iterator, Sequence
from typing import cast

from tollway.admin.v1.budgets_pb2 import (
    ADMISSION_EXPECTED,
    ADMISSION_UNSPECIFIED,
    BUDGET_PERIOD_MONTH,
    BUDGET_PERIOD_UNSPECIFIED,
    Budget,
    BudgetAlerts,
)
from tollway.admin.v1.rules_pb2 import (
    ENFORCEMENT_MODE_AUDIT,
    ENFORCEMENT_MODE_ENFORCE,
    ENFORCEMENT_MODE_UNSPECIFIED,
    ON_UNAVAILABLE_ALLOW,
    ON_UNAVAILABLE_DENY,
    ON_UNAVAILABLE_LOCAL_SHARE,
    ON_UNAVAILABLE_UNSPECIFIED,
    OnUnavailable,
)
from tollway.config.v1 import resources_pb2 as machine
from tollway.kernel.money import parse_usd
from tollway.kernel.rules import generation_of
from tollway.resources.addresses import webhook_url_problem
from tollway.resources.matches import counted_by, match_violations, normalize_match, per_violations, project_match
from tollway.resources.normalize import normalize_rates
from tollway.resources.project import project_rate
from tollway.resources.rates import MAX_NANO_USD
from tollway.resources.secret_refs import is_own_variable, secret_ref_problem
from tollway.resources.time_zones import parse_time_zone
from tollway.resources.validate import rate_violations, validate_common
from tollway.resources.violations import Violation

DEFAULT_THRESHOLDS_PERCENT = (50, 75, 90, 100)
MAX_THRESHOLD_PERCENT = 1_000
MAX_THRESHOLDS = 32
MAX_URL = 2_048


def normalize_budget(budget: Budget) -> None:
    normalize_match(budget.match)
    normalize_rates(budget.ceiling_rates)
    budget.period = BUDGET_PERIOD_MONTH if budget.period == BUDGET_PERIOD_UNSPECIFIED else budget.period
    budget.time_zone = budget.time_zone or "UTC"
    budget.mode = ENFORCEMENT_MODE_ENFORCE if budget.mode == ENFORCEMENT_MODE_UNSPECIFIED else budget.mode
    budget.admission = ADMISSION_EXPECTED if budget.admission == ADMISSION_UNSPECIFIED else budget.admission
    if budget.on_unavailable == _default_on_unavailable(budget):
        # Follows the mode also when that changes.
        budget.on_unavailable = ON_UNAVAILABLE_UNSPECIFIED
    if budget.HasField("alerts"):
        thresholds = sorted(budget.alerts.thresholds_percent) or DEFAULT_THRESHOLDS_PERCENT
        budget.alerts.thresholds_percent[:] = thresholds


def validate_budget(budget: Budget) -> Iterator[Violation]:
    yield from validate_common(budget)
    yield from match_violations(budget.match)
    yield from per_violations(budget.per)
    yield from _amount_violations(budget.amount_usd)
    try:
        parse_time_zone(budget.time_zone)
    except ValueError as error:
        yield Violation("time_zone", str(error))
    if budget.on_unavailable == ON_UNAVAILABLE_LOCAL_SHARE:
        yield Violation("on_unavailable", "local_share is for rate limits only; a budget has deny or allow")
    yield from rate_violations("ceiling_rates", budget.ceiling_rates)
    if budget.HasField("alerts"):
        yield from _alert_violations(budget.alerts)


def project_budget(budget: Budget, revision: int) -> machine.Resource:
    """`revision` is that of the resource; the generation follows from what is counted and since which revision."""
    return machine.Resource(
        name=budget.name,
        revision=revision,
        budget=machine.Budget(
            match=project_match(budget.match),
            per=budget.per,
            amount_nano_usd=parse_usd(budget.amount_usd),
            period=cast(machine.BudgetPeriod.ValueType, int(budget.period)),
            time_zone=budget.time_zone,
            mode=cast(machine.EnforcementMode.ValueType, int(budget.mode)),
            admission=cast(machine.Admission.ValueType, int(budget.admission)),
            on_unavailable=cast(machine.OnUnavailable.ValueType, int(on_unavailable_of(budget))),
            ceiling_rates=[project_rate(rate) for rate in budget.ceiling_rates],
            generation=generation_of(budget.since_revision, budget_counts(budget)),
        ),
    )


def on_unavailable_of(budget: Budget) -> OnUnavailable.ValueType:
    """What the budget says, or else what its mode stands for."""
    return budget.on_unavailable or _default_on_unavailable(budget)


def _default_on_unavailable(budget: Budget) -> OnUnavailable.ValueType:
    return ON_UNAVAILABLE_ALLOW if budget.mode == ENFORCEMENT_MODE_AUDIT else ON_UNAVAILABLE_DENY


def budget_counts(budget: Budget) -> list[object]:
    """What a budget counts and when, as JSON values: what changes these begins new buckets."""
    match = counted_by(project_match(budget.match))
    return [match, list(budget.per), int(budget.period), budget.time_zone]


def _amount_violations(amount_usd: str) -> Iterator[Violation]:
    if not amount_usd:
        yield Violation("amount_usd", 'is required: a decimal string such as "250.00"')
        return
    try:
        nano_usd = parse_usd(amount_usd)
    except ValueError as error:
        yield Violation("amount_usd", str(error))
        return
    if nano_usd <= 0:
        yield Violation("amount_usd", "must be positive; to refuse all calls revoke the key instead")
    elif nano_usd > MAX_NANO_USD:
        yield Violation("amount_usd", "is too large")


def _alert_violations(alerts: BudgetAlerts) -> Iterator[Violation]:
    yield from _threshold_violations(alerts.thresholds_percent)
    if alerts.webhook_url:
        problem = webhook_url_problem(alerts.webhook_url)
        if problem:
            yield Violation("alerts.webhook_url", problem)
        elif len(alerts.webhook_url) > MAX_URL:
            yield Violation("alerts.webhook_url", f"must be at most {MAX_URL} characters")
    ref = alerts.webhook_secret_ref
    if not ref:
        return
    problem = secret_ref_problem(ref)
    if problem:
        yield Violation("alerts.webhook_secret_ref", problem)
    elif is_own_variable(ref):
        yield Violation("alerts.webhook_secret_ref", "variables that begin with TOLLWAY_ are Tollway's own")
    elif not alerts.webhook_url:
        yield Violation("alerts.webhook_secret_ref", "signs nothing without webhook_url; set that, or leave both out")


def _threshold_violations(thresholds: Sequence[int]) -> Iterator[Violation]:
    path = "alerts.thresholds_percent"
    if len(thresholds) > MAX_THRESHOLDS:
        yield Violation(path, f"has {len(thresholds)} entries; at most {MAX_THRESHOLDS} are allowed")
    for index, threshold in enumerate(thresholds):
        if not 1 <= threshold <= MAX_THRESHOLD_PERCENT:
            yield Violation(f"{path}[{index}]", f"must be from 1 to {MAX_THRESHOLD_PERCENT} percent")
        elif threshold in thresholds[:index]:
            yield Violation(f"{path}[{index}]", f"{threshold} is listed twice")
