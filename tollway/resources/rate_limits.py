"""Rate limits: normal form, what is wrong with one, and machine form."""

from collections.abc import Iterator
from typing import cast

from tollway.admin.v1.rate_limits_pb2 import LIMIT_UNIT_CONCURRENT, Limit, LimitUnit, RateLimit
from tollway.admin.v1.rules_pb2 import (
    ENFORCEMENT_MODE_ENFORCE,
    ENFORCEMENT_MODE_UNSPECIFIED,
    ON_UNAVAILABLE_LOCAL_SHARE,
    ON_UNAVAILABLE_UNSPECIFIED,
)
from tollway.config.v1 import resources_pb2 as machine
from tollway.kernel.rules import generation_of
from tollway.resources.matches import counted_by, match_violations, normalize_match, per_violations, project_match
from tollway.resources.messages import enum_words
from tollway.resources.validate import validate_common
from tollway.resources.violations import Violation

MAX_LIMITS = 16
MAX_AMOUNT = 1_000_000_000_000
MIN_WINDOW_MS = 1_000
MAX_WINDOW_MS = 31 * 86_400_000
MAX_REFILL_MS = 366 * 86_400_000
_NS_PER_MS = 1_000_000


def normalize_rate_limit(rate_limit: RateLimit) -> None:
    normalize_match(rate_limit.match)
    if rate_limit.mode == ENFORCEMENT_MODE_UNSPECIFIED:
        rate_limit.mode = ENFORCEMENT_MODE_ENFORCE
    if rate_limit.on_unavailable == ON_UNAVAILABLE_UNSPECIFIED:
        rate_limit.on_unavailable = ON_UNAVAILABLE_LOCAL_SHARE


def validate_rate_limit(rate_limit: RateLimit) -> Iterator[Violation]:
    yield from validate_common(rate_limit)
    yield from match_violations(rate_limit.match)
    yield from per_violations(rate_limit.per)
    if not 1 <= len(rate_limit.limits) <= MAX_LIMITS:
        yield Violation("limits", f"needs from 1 to {MAX_LIMITS} entries: {{unit, amount, window}}")
    seen: set[tuple[int, int]] = set()
    for index, limit in enumerate(rate_limit.limits):
        path = f"limits[{index}]"
        yield from _limit_violations(path, limit)
        identity = (limit.unit, _window_ms(limit))
        if identity in seen:
            yield Violation(path, "has the unit and the window of an earlier limit; keep the smaller one")
        seen.add(identity)


def project_rate_limit(rate_limit: RateLimit, revision: int) -> machine.Resource:
    """`revision` is that of the resource; the generation follows from what is counted and since which revision."""
    match, per = project_match(rate_limit.match), list(rate_limit.per)
    limits = [
        machine.Limit(
            unit=cast(machine.LimitUnit.ValueType, int(limit.unit)),
            amount=limit.amount,
            window_ms=_window_ms(limit),
            burst=limit.burst,
        )
        for limit in rate_limit.limits
    ]
    return machine.Resource(
        name=rate_limit.name,
        revision=revision,
        rate_limit=machine.RateLimit(
            match=match,
            per=per,
            limits=limits,
            mode=cast(machine.EnforcementMode.ValueType, int(rate_limit.mode)),
            on_unavailable=cast(machine.OnUnavailable.ValueType, int(rate_limit.on_unavailable)),
            generation=generation_of(rate_limit.since_revision, rate_limit_counts(rate_limit)),
        ),
    )


def rate_limit_counts(rate_limit: RateLimit) -> list[object]:
    """What a rate limit counts and how, as JSON values: what changes these begins new buckets."""
    limits = [[int(limit.unit), _window_ms(limit)] for limit in rate_limit.limits]
    return [counted_by(project_match(rate_limit.match)), list(rate_limit.per), limits]


def _limit_violations(path: str, limit: Limit) -> Iterator[Violation]:
    if not limit.unit:
        yield Violation(f"{path}.unit", f"is required: one of {', '.join(enum_words(LimitUnit.DESCRIPTOR))}")
    if not 1 <= limit.amount <= MAX_AMOUNT:
        yield Violation(f"{path}.amount", f"must be from 1 to {MAX_AMOUNT}; to refuse all calls revoke the key instead")
    if limit.unit == LIMIT_UNIT_CONCURRENT:
        if limit.HasField("window"):
            yield Violation(f"{path}.window", "must be left out: `concurrent` counts calls that run at the same time")
        if limit.burst:
            yield Violation(f"{path}.burst", "must be left out: `concurrent` has no burst")
        return
    if not limit.HasField("window"):
        yield Violation(f"{path}.window", 'is required, e.g. "60s"')
    elif not MIN_WINDOW_MS <= _window_ms(limit) <= MAX_WINDOW_MS or limit.window.nanos % _NS_PER_MS:
        yield Violation(f"{path}.window", 'must be from "1s" to "31d", in whole milliseconds')
    if not 0 <= limit.burst <= MAX_AMOUNT:
        yield Violation(f"{path}.burst", f"must be from 1 to {MAX_AMOUNT}, or left out for as much as the amount")
    elif limit.burst * _window_ms(limit) > MAX_REFILL_MS * limit.amount:
        yield Violation(f"{path}.burst", "takes more than 366 days to come back at this amount and window")


def _window_ms(limit: Limit) -> int:
    return limit.window.ToMilliseconds() if limit.HasField("window") else 0
