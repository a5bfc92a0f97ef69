"""Alerts -> admin messages. Pure."""

from controlplane.ledger.times import timestamp
from controlplane.quota.alerts.rows import Alert, AlertState
from tollway.admin.v1 import budget_alerts_pb2 as admin
from tollway.kernel.money import format_usd

COLLECTION = "budgetAlerts"
_STATES = {
    AlertState.PENDING: admin.BUDGET_ALERT_STATE_PENDING,
    AlertState.FAILING: admin.BUDGET_ALERT_STATE_FAILING,
    AlertState.DELIVERED: admin.BUDGET_ALERT_STATE_DELIVERED,
    AlertState.FAILED: admin.BUDGET_ALERT_STATE_FAILED,
}


def alert_message(alert: Alert) -> admin.BudgetAlert:
    delivery = alert.delivery
    return admin.BudgetAlert(
        name=f"{COLLECTION}/{alert.alert_id}",
        budget=alert.budget,
        group=alert.group,
        threshold_percent=alert.threshold_percent,
        amount_usd=format_usd(alert.amount_nano_usd),
        spent_usd=format_usd(alert.spent_nano_usd),
        start_time=timestamp(alert.window.start),
        reset_time=timestamp(alert.window.end),
        create_time=timestamp(alert.create_time),
        state=_STATES[delivery.state],
        reason=delivery.reason,
        attempts=delivery.attempts,
        last_attempt_time=timestamp(delivery.last_attempt_time),
        next_attempt_time=timestamp(delivery.next_attempt_time),
        deliver_time=timestamp(delivery.deliver_time),
    )
