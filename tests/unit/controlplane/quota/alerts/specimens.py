"""Budgets and buckets as alerts see them."""

import uuid
from datetime import UTC, datetime
from typing import Any

from controlplane.quota.alerts.rows import AlertedBudget, Receiver, SpentBucket, Window
from tollway.config.v1 import resources_pb2 as pb
from tollway.resources.budgets import DEFAULT_THRESHOLDS_PERCENT

USD = 1_000_000_000
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
MONTH = Window(datetime(2026, 10, 31, 23, 0, tzinfo=UTC), datetime(2026, 11, 30, 23, 0, tzinfo=UTC))


def budget(**fields: Any) -> AlertedBudget:
    given: dict[str, Any] = {
        "name": "budgets/growth",
        "uid": uuid.UUID(int=7),
        "generation": "g1",
        "amount_nano_usd": 100 * USD,
        "per": ("team",),
        "period": pb.BUDGET_PERIOD_MONTH,
        "time_zone": "Europe/Berlin",
        "is_enforced": True,
        "thresholds_percent": DEFAULT_THRESHOLDS_PERCENT,
        "receiver": Receiver("https://hooks.example.com/x", ""),
    }
    return AlertedBudget(**{**given, **fields})


def bucket(spent_nano_usd: int, **fields: Any) -> SpentBucket:
    given: dict[str, Any] = {"bucket_id": uuid.UUID(int=1), "window": MONTH, "values": ("teams/growth",)}
    return SpentBucket(**{**given, **fields}, spent_nano_usd=spent_nano_usd)
