"""What callers are told when a rule does not admit their call. Pure."""

from datetime import UTC, datetime, timedelta

from dataplane.errors import (
    BudgetExceeded,
    GatewayError,
    InvalidRequest,
    LimitTooSmall,
    PriceUnknown,
    QuotaUnavailable,
    RateLimitExceeded,
)
from dataplane.limits.buckets import Bucket, Kind
from dataplane.limits.reservations import Denial, Reason
from dataplane.rules import CompiledBudget
from tollway.kernel.money import format_usd
from tollway.kernel.names import bare_id
from tollway.kernel.rules import shown_value

_MS_PER_S = 1000
_RESERVED_RETRY_MS = 1_000
_LIMIT_WORDS = {
    "requests": "requests",
    "tokens": "tokens",
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
}


def refusal(denial: Denial, now: datetime) -> GatewayError:
    """The error that says `denial`, names the rule and its bucket, and tells when to come back."""
    if denial.reason is not Reason.EXHAUSTED:
        return _unavailable(denial)
    if denial.bucket.kind is Kind.BUDGET:
        return _budget_exceeded(denial, now)
    return _rate_exceeded(denial)


def too_small(bucket: Bucket, amount: int) -> LimitTooSmall:
    """For a call that alone needs more than the whole limit."""
    return LimitTooSmall(
        f"This call alone may take {_shown(bucket, amount)}, more than {_rule(bucket)} ever gives at once: "
        f"{_shown(bucket, bucket.most)}. Send less, set a lower max_tokens, or ask an admin to raise the limit."
    )


def unbounded(part: str) -> InvalidRequest:
    """For a call under a strict budget of which a part has no bound."""
    return InvalidRequest(
        f'A strict budget holds the most that a call can cost, and "{part}" leaves that open: counts must be whole '
        "numbers above 0, and files, videos, tools that the provider runs, members that name other models or prices "
        "and models that research by themselves have no bound. Change it, or ask an admin for a budget with admission "
        "expected.",
        code="unbounded_request",
        param=part,
    )


def price_unknown(budget: CompiledBudget, model: str) -> PriceUnknown:
    """For a call whose cost the budget could not bound."""
    error = PriceUnknown(
        f'No price is known for what serves the model "{model}", and the budget "{bare_id(budget.rule)}" must know '
        "what a call costs. An admin can add a Price with rates for input and output, or give the budget such ceiling "
        "rates.",
        param="model",
    )
    error.headers["x-should-retry"] = "false"
    return error


def _budget_exceeded(denial: Denial, now: datetime) -> BudgetExceeded:
    left = f"{format_usd(max(0, denial.remaining))} of {format_usd(denial.limit)} USD left"
    if denial.is_reserved:
        error = BudgetExceeded(
            f"The {_rule(denial.bucket)} has {left}, too little for this call: running calls hold the rest. "
            f"What they do not use comes free; try again in a moment.{_reset(denial, now)}"
        )
        _retry_after(error, _RESERVED_RETRY_MS)
        error.headers["x-should-retry"] = "true"
        return error
    error = BudgetExceeded(
        f"The {_rule(denial.bucket)} has {left}, too little for this call.{_reset(denial, now)} "
        "An admin can raise its amount."
    )
    error.headers["x-should-retry"] = "false"
    return error


def _rate_exceeded(denial: Denial) -> RateLimitExceeded:
    bucket = denial.bucket
    if bucket.kind is Kind.SLOTS:
        what = f"{bucket.amount} calls at once, and as many are running"
    else:
        what = f"{_shown(bucket, bucket.amount)} per {_duration(bucket.window_ms)}, and this call would pass that"
    error = RateLimitExceeded(f"The {_rule(bucket)} admits {what}. Try again in {_duration(denial.retry_after_ms)}.")
    _retry_after(error, denial.retry_after_ms)
    return error


def _unavailable(denial: Denial) -> QuotaUnavailable:
    if denial.reason is Reason.CROWDED:
        problem = "too many calls wait for it already"
    else:
        problem = "the control plane that counts it does not answer in time"
    error = QuotaUnavailable(f"The {_rule(denial.bucket)} cannot be checked at the moment: {problem}. Try again soon.")
    _retry_after(error, denial.retry_after_ms)
    return error


def _rule(bucket: Bucket) -> str:
    kind = "budget" if bucket.kind is Kind.BUDGET else "rate limit"
    named = zip(bucket.per, bucket.values, strict=True)
    group = ", ".join(f'{per.removeprefix("metadata.")} "{shown_value(per, value)}"' for per, value in named)
    return f'{kind} "{bare_id(bucket.rule)}"' + (f" of {group}" if group else "")


def _shown(bucket: Bucket, amount: int) -> str:
    if bucket.kind is Kind.BUDGET:
        return f"{format_usd(amount)} USD"
    return f"{amount} {_LIMIT_WORDS.get(bucket.unit, 'calls')}"


def _reset(denial: Denial, now: datetime) -> str:
    if not denial.resets_in_ms:
        return ""
    resets = now.astimezone(UTC) + timedelta(milliseconds=denial.resets_in_ms + _MS_PER_S // 2)
    return f" It resets at {resets:%Y-%m-%dT%H:%M:%SZ}."


def _duration(duration_ms: int) -> str:
    if duration_ms < _MS_PER_S:
        return f"{duration_ms} ms"
    seconds, rest_ms = divmod(duration_ms, _MS_PER_S)
    return f"{seconds}.{rest_ms // 100} s" if rest_ms >= 100 else f"{seconds} s"


def _retry_after(error: GatewayError, wait_ms: int) -> None:
    error.headers["retry-after"] = str(-(-wait_ms // _MS_PER_S))
    error.headers["retry-after-ms"] = str(wait_ms)
