"""Budgets with how far they are in their period. Pure."""

from datetime import datetime

from controlplane.quota.reading.buckets import BudgetPeriod, Fullness
from controlplane.quota.windows import window_at
from tollway.admin.v1.budgets_pb2 import Budget, BudgetStatus
from tollway.kernel.money import format_usd
from tollway.resources.budgets import project_budget


def current_period(budget: Budget, now: datetime) -> BudgetPeriod:
    """The period of a stored budget that `now` is in."""
    form = project_budget(budget, 0).budget
    window = window_at(form.period, form.time_zone, now)
    return BudgetPeriod(budget.name, form, window, budget.update_time.ToMilliseconds() < window.start_ms)


def status_of(period: BudgetPeriod, fullness: Fullness) -> BudgetStatus:
    amount = period.budget.amount_nano_usd
    status = BudgetStatus(
        group=dict(zip(period.budget.per, fullness.values, strict=True)),
        amount_usd=format_usd(amount),
        spent_usd=format_usd(fullness.spent),
        reserved_usd=format_usd(fullness.reserved),
        remaining_usd=format_usd(max(0, amount - fullness.total)),
    )
    if period.window.start_ms:
        status.start_time.FromMilliseconds(period.window.start_ms)
    if period.window.end_ms is not None:
        status.reset_time.FromMilliseconds(period.window.end_ms)
    return status
