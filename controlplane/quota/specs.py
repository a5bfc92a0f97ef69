"""What a bucket is in the configuration of this moment. Pure."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from controlplane.quota.gcra import Rate
from controlplane.quota.rows import BucketName, BucketSpec, Kind
from controlplane.quota.windows import window_at
from tollway.config.v1 import resources_pb2 as pb

Lookup = Callable[[str], pb.Resource | None]
"""A resource in machine form by its name, None when there is none."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def spec_of(name: BucketName, lookup: Lookup, now_us: int) -> BucketSpec | None:
    """None when the configuration has no such rule, generation or limit."""
    resource = lookup(name.rule)
    if resource is None:
        return None
    if resource.HasField("budget"):
        return _budget_spec(name, resource.budget, now_us)
    if resource.HasField("rate_limit"):
        return _limit_spec(name, resource.rate_limit)
    return None


def _budget_spec(name: BucketName, budget: pb.Budget, now_us: int) -> BucketSpec | None:
    if (name.generation, name.limit, len(name.values)) != (budget.generation, 0, len(budget.per)):
        return None
    window = window_at(budget.period, budget.time_zone, time_of(now_us))
    return BucketSpec(name, Kind.BUDGET, budget.amount_nano_usd, window.start_ms, window.end_ms)


def _limit_spec(name: BucketName, rule: pb.RateLimit) -> BucketSpec | None:
    if name.generation != rule.generation or name.limit >= len(rule.limits) or len(name.values) != len(rule.per):
        return None
    limit = rule.limits[name.limit]
    if limit.unit == pb.LIMIT_UNIT_CONCURRENT:
        return BucketSpec(name, Kind.SLOTS, limit.amount)
    rate = Rate(limit.amount, limit.window_ms * 1000, limit.burst or limit.amount)
    return BucketSpec(name, Kind.RATE, limit.amount, rate=rate)


def time_of(time_us: int) -> datetime:
    """Unix microseconds as a time in UTC, exactly."""
    return _EPOCH + timedelta(microseconds=time_us)
