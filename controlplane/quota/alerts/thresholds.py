"""Which thresholds of a bucket are to be told. Pure.

A threshold is told once per bucket and window: what is spent only grows in a window, so that it is passed once. A
larger amount moves the thresholds up. Those that are still passed are not told again; one that is not is armed again,
because a budget that was raised must not run out in silence, and is told once that part of the new amount is spent.
For one amount nothing is told twice, however often the amount goes up and down.

Each threshold has a message of its own, also where several are passed at once: what is told then does not depend on
when somebody looks.
"""

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controlplane.quota.alerts.rows import AlertedBudget, SpentBucket, ToldThreshold

_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to be done about a bucket.

    due_percent: thresholds to tell, rising.
    rearmed: ids of alerts whose thresholds are not passed any more.
    """

    due_percent: tuple[int, ...]
    rearmed: tuple[uuid.UUID, ...]


def judge_bucket(budget: AlertedBudget, bucket: SpentBucket, told: Sequence[ToldThreshold]) -> Judgement:
    """What of `bucket` is to be told; `told` is every alert of it in its window since the budget was made."""
    rearmed = [alert for alert in told if _is_undone(budget, bucket, alert)]
    silent = {alert.threshold_percent for alert in told if alert.amount_nano_usd >= budget.amount_nano_usd}
    silent |= {alert.threshold_percent for alert in told if alert.is_standing and alert not in rearmed}
    due = _passed(budget, bucket, set(budget.thresholds_percent) - silent)
    return Judgement(tuple(sorted(due)), tuple(alert.alert_id for alert in rearmed))


def least_spent(threshold_percent: int, amount_nano_usd: int) -> int:
    """The smallest spend, in nano-USD, that passes `threshold_percent` of the amount."""
    return -(-threshold_percent * amount_nano_usd // 100)


def is_passed(spent_nano_usd: int, threshold_percent: int, amount_nano_usd: int) -> bool:
    return spent_nano_usd >= least_spent(threshold_percent, amount_nano_usd)


def alert_id_of(budget: AlertedBudget, bucket: SpentBucket, threshold_percent: int) -> uuid.UUID:
    """The id of an alert, which follows from what it tells: made twice it is the same alert."""
    told = (budget.uid, bucket.bucket_id, bucket.window.start.isoformat(), threshold_percent, budget.amount_nano_usd)
    digest = hashlib.sha256("|".join(str(part) for part in told).encode()).digest()
    return uuid.UUID(bytes=digest[:_ID_BYTES])


def _passed(budget: AlertedBudget, bucket: SpentBucket, thresholds_percent: Iterable[int]) -> list[int]:
    spent, amount = bucket.spent_nano_usd, budget.amount_nano_usd
    return [percent for percent in thresholds_percent if is_passed(spent, percent, amount)]


def _is_undone(budget: AlertedBudget, bucket: SpentBucket, alert: ToldThreshold) -> bool:
    is_raised = alert.amount_nano_usd < budget.amount_nano_usd
    return alert.is_standing and is_raised and not _passed(budget, bucket, [alert.threshold_percent])
