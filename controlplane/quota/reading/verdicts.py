"""What each limit that a call falls under would say to it now. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from controlplane.quota import gcra
from controlplane.quota.gcra import Rate
from controlplane.quota.reading.buckets import Rates
from controlplane.quota.reading.rulebook import Hit
from controlplane.quota.rows import BucketKey, BucketName, BucketRow, BucketSpec, Kind
from controlplane.quota.specs import spec_of
from tollway.admin.v1.limits_pb2 import CheckedLimit
from tollway.config.v1 import resources_pb2 as machine
from tollway.kernel.money import format_usd
from tollway.kernel.rules import bucket_id

PASS, REFUSE, WOULD_REFUSE = "pass", "refuse", "would_refuse"
_USD = "usd"
_PRICE_UNKNOWN = "no price is known for what serves the model: add a Price, or give the budget ceiling_rates"


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of buckets: rows, TATs, and what the ledger holds for buckets of budgets without a seeded row.

    `priced` are the upstreams at which a price of the call is known.
    """

    rows: Mapping[BucketKey, BucketRow]
    rates: Rates
    ledger_nano_usd: Mapping[BucketKey, int]
    priced: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Standing:
    """Amounts of one bucket in its unit, and when that changes, as words."""

    limit: int
    used: int
    reserved: int
    remaining: int
    until: str


def specs_of(hit: Hit, now_us: int) -> list[BucketSpec]:
    """The buckets that a call which falls under a rule is counted in, a limit each; `now_us` is Unix microseconds."""
    rule, form = hit.rule, hit.rule.form
    is_budget = form.HasField("budget")
    generation = form.budget.generation if is_budget else form.rate_limit.generation
    specs = []
    for limit in range(1 if is_budget else len(form.rate_limit.limits)):
        name = BucketName(bucket_id(rule.name, generation, limit, hit.values), rule.name, generation, limit, hit.values)
        spec = spec_of(name, lambda _: form, now_us)
        assert spec is not None
        specs.append(spec)
    return specs


def check_limit(hit: Hit, spec: BucketSpec, situation: Situation) -> CheckedLimit:
    standing = _standing(spec, situation)
    unit = _unit(hit.rule.form, spec.name.limit)
    amount = format_usd if unit == _USD else str
    is_unbounded = _is_unbounded(hit, situation)
    is_refused = standing.remaining <= 0 or is_unbounded
    is_audited = hit.rule.is_audited
    return CheckedLimit(
        rule=hit.rule.name,
        unit=unit,
        group=dict(zip(hit.rule.per, hit.values, strict=True)),
        mode="audit" if is_audited else "enforce",
        limit=amount(standing.limit),
        used=amount(standing.used),
        reserved=amount(standing.reserved),
        remaining=amount(standing.remaining),
        verdict=PASS if not is_refused else WOULD_REFUSE if is_audited else REFUSE,
        reason=_PRICE_UNKNOWN
        if is_unbounded
        else _reason(standing, f"{amount(standing.remaining)} of {amount(standing.limit)} {_shown(unit)}"),
    )


def is_allowed(checked: Sequence[tuple[Hit, CheckedLimit]], upstreams: Collection[str]) -> bool:
    """Whether nothing refuses the call, and there is an upstream of which nothing refuses an attempt at it."""
    refusing = [hit for hit, limit in checked if limit.verdict == REFUSE]
    if any(not hit.upstreams for hit in refusing):
        return False
    return any(all(upstream not in hit.upstreams for hit in refusing) for upstream in upstreams)


def _is_unbounded(hit: Hit, situation: Situation) -> bool:
    """Whether it is an enforced budget that could not bound the call: 402 price_unknown."""
    form = hit.rule.form
    if not form.HasField("budget") or hit.rule.is_audited or form.budget.ceiling_rates:
        return False
    return not (situation.priced & hit.upstreams if hit.upstreams else situation.priced)


def _standing(spec: BucketSpec, situation: Situation) -> Standing:
    if spec.rate is not None:
        return _rate_standing(spec.rate, spec, situation.rates)
    row = situation.rows.get(spec.key)
    spent = 0 if row is None else row.spent
    if spec.kind is Kind.BUDGET and (row is None or not row.seeded):
        spent = max(spent, situation.ledger_nano_usd.get(spec.key, 0))
    reserved = 0 if row is None else row.escrow + row.provisional
    until = "" if spec.window_end_ms is None else f"until {_shown_time(spec.window_end_ms)}"
    return Standing(spec.cap, spent, reserved, max(0, spec.cap - spent - reserved), until)


def _rate_standing(rate: Rate, spec: BucketSpec, rates: Rates) -> Standing:
    row = rates.rows.get(spec.name.bucket_id)
    tat_us = row.tat_us if row is not None else 0 if rates.since_us is None else gcra.emptied_at(rate, rates.since_us)
    available = gcra.available(rate, tat_us, rates.now_us)
    wait_us = gcra.wait_us(rate, tat_us, rates.now_us, 1) if available <= 0 else max(0, tat_us - rates.now_us)
    until = f"for {-(-wait_us // 1_000_000)} s" if wait_us else ""
    return Standing(rate.amount, rate.burst - available, 0, available, until)


def _reason(standing: Standing, left: str) -> str:
    """E.g. "3 of 60 requests are left, for 12 s"."""
    parts: Iterator[str] = filter(None, (f"{left} are left", standing.until))
    text = ", ".join(parts)
    if standing.remaining > 0 or standing.used >= standing.limit or not standing.reserved:
        return text
    return f"{text}; what is held for running calls may come free before"


def _unit(form: machine.Resource, limit: int) -> str:
    if form.HasField("budget"):
        return _USD
    return machine.LimitUnit.Name(form.rate_limit.limits[limit].unit).removeprefix("LIMIT_UNIT_").lower()


def _shown(unit: str) -> str:
    return {_USD: "USD", "concurrent": "calls at once"}.get(unit, unit.replace("_", " "))


def _shown_time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
