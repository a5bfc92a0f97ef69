"""Months -> admin messages. Pure."""

from datetime import date

from controlplane.ledger.periods.months import ClosedMonth, MonthSums, next_month, period_name, start_of
from controlplane.ledger.times import timestamp
from tollway.admin.v1 import rerating_pb2 as admin
from tollway.kernel.money import format_usd


def period_message(month: date, sums: MonthSums, closed: ClosedMonth | None) -> admin.LedgerPeriod:
    """A month with its sums as they are now; `closed` is what it was closed with, None while it is open."""
    period = admin.LedgerPeriod(
        name=period_name(month),
        start_time=timestamp(start_of(month)),
        end_time=timestamp(start_of(next_month(month))),
        state=admin.LEDGER_PERIOD_STATE_OPEN,
        attempts=sums.attempts,
        cost_usd=format_usd(sums.cost_nano_usd),
    )
    if closed is not None:
        period.state = admin.LEDGER_PERIOD_STATE_CLOSED
        period.close_time.FromDatetime(closed.close_time)
        period.close_principal = closed.principal
        period.closed_attempts = closed.attempts
        period.closed_cost_usd = format_usd(closed.cost_nano_usd)
        period.late_attempts = sums.attempts - closed.attempts
        period.late_cost_usd = format_usd(sums.cost_nano_usd - closed.cost_nano_usd)
    return period
