from dataclasses import replace

import pytest

from dataplane.config.compile import apply
from dataplane.config.rules import compile_rule
from dataplane.config.state import CompiledState
from dataplane.rules import Admission, CompiledBudget, CompiledLimit, Mode, OnUnavailable, Unit
from tests.unit.dataplane.config.machine import budget, delta, rate_limit
from tollway.config.v1 import resources_pb2 as machine
from tollway.kernel.usage import Usage
from tollway.usage.v1.usage_pb2 import METER_INPUT


def test_a_rate_limit_compiles_with_its_defaults_written_out() -> None:
    form = rate_limit("rpm", per=["key"])
    form.rate_limit.limits.add(unit=machine.LIMIT_UNIT_CONCURRENT, amount=3)
    rule = compile_rule(form)
    requests = CompiledLimit(
        rule="rateLimits/rpm",
        generation="g",
        index=0,
        unit=Unit.REQUESTS,
        amount=10,
        window_ms=60_000,
        burst=10,
        per=("key",),
        mode=Mode.ENFORCE,
        on_unavailable=OnUnavailable.LOCAL_SHARE,
    )
    slots = replace(requests, index=1, unit=Unit.CONCURRENT, amount=3, window_ms=0, burst=3)
    assert rule.limits == (requests, slots)
    assert (rule.name, rule.generation, rule.is_per_attempt) == ("rateLimits/rpm", "g", False)


def test_a_budget_compiles_with_its_ceiling() -> None:
    form = budget("growth", per=["upstream"])
    form.budget.mode = machine.ENFORCEMENT_MODE_AUDIT
    form.budget.admission = machine.ADMISSION_STRICT
    form.budget.on_unavailable = machine.ON_UNAVAILABLE_ALLOW
    rule = compile_rule(form)
    assert rule.budgets == (
        CompiledBudget(
            "budgets/growth", "g", 10, ("upstream",), Mode.AUDIT, OnUnavailable.ALLOW, Admission.STRICT, None
        ),
    )
    assert rule.is_per_attempt
    form.budget.ceiling_rates.add(meter=METER_INPUT, nano_usd_per_million=2_000_000)
    ceiling = compile_rule(form).budgets[0].ceiling
    assert ceiling is not None
    assert ceiling.name == "budgets/growth"
    assert ceiling.cost_nano_usd(Usage(input=3)) == 6


def _no_generation(form: machine.Resource) -> None:
    form.rate_limit.generation = ""


def _unknown_unit(form: machine.Resource) -> None:
    form.rate_limit.limits[0].unit = 99  # type: ignore[assignment]


def _no_window(form: machine.Resource) -> None:
    form.rate_limit.limits[0].window_ms = 0


def _unknown_dimension(form: machine.Resource) -> None:
    form.rate_limit.per.append("planet")


def _unknown_mode(form: machine.Resource) -> None:
    form.rate_limit.mode = 9  # type: ignore[assignment]


def _no_limits(form: machine.Resource) -> None:
    form.rate_limit.ClearField("limits")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_no_generation, "generation"),
        (_unknown_unit, "unit 99"),
        (_no_window, "window of 0 ms"),
        (_unknown_dimension, "planet"),
        (_unknown_mode, "mode 9"),
        (_no_limits, "no limits"),
    ],
)
def test_a_rule_that_does_not_compile_is_rejected_alone_and_its_last_form_stays(spoil, reason) -> None:  # type: ignore[no-untyped-def]
    state = apply(CompiledState(), delta(rate_limit("a", amount=5), rate_limit("b"), reset=True))
    bad, changed = rate_limit("a", amount=7), rate_limit("b", amount=8)
    spoil(bad)
    after = apply(state, delta(bad, changed, revision=2))
    assert [rejection.name for rejection in after.rejections] == ["rateLimits/a"]
    assert reason in after.rejections[0].reason
    rules = after.snapshot.limits.rules
    assert (rules["rateLimits/a"].limits[0].amount, rules["rateLimits/b"].limits[0].amount) == (5, 8)


def test_a_budget_never_takes_a_local_share() -> None:
    form = budget("a")
    form.budget.on_unavailable = machine.ON_UNAVAILABLE_LOCAL_SHARE
    with pytest.raises(ValueError, match="local_share"):
        compile_rule(form)


def test_the_index_stays_the_same_object_until_a_rule_changes() -> None:
    state = apply(CompiledState(), delta(rate_limit("a"), budget("b"), reset=True))
    same = apply(state, delta(rate_limit("a"), revision=2))
    assert same.snapshot.limits is state.snapshot.limits
    gone = apply(same, delta(removals=["budgets/b"], revision=3))
    assert set(gone.snapshot.limits.rules) == {"rateLimits/a"}
