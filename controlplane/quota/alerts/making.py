"""Alerts that are due, as they are kept. Pure."""

from datetime import datetime

from controlplane.quota.alerts.body import group_of, render_body
from controlplane.quota.alerts.rows import Alert, AlertedBudget, AlertState, Delivery, SpentBucket
from controlplane.quota.alerts.schedule import GIVE_UP_AFTER
from controlplane.quota.alerts.thresholds import alert_id_of


def make_alert(budget: AlertedBudget, bucket: SpentBucket, threshold_percent: int, now: datetime) -> Alert:
    """The alert of a threshold that was passed, to be delivered from now on."""
    alert_id = alert_id_of(budget, bucket, threshold_percent)
    return Alert(
        alert_id=alert_id,
        budget=budget.name,
        budget_uid=budget.uid,
        bucket_id=bucket.bucket_id,
        group=group_of(budget, bucket),
        window=bucket.window,
        threshold_percent=threshold_percent,
        amount_nano_usd=budget.amount_nano_usd,
        spent_nano_usd=bucket.spent_nano_usd,
        create_time=now,
        body=render_body(alert_id, budget, bucket, threshold_percent, now),
        delivery=Delivery(AlertState.PENDING, 0, give_up_time=now + GIVE_UP_AFTER, next_attempt_time=now),
    )
