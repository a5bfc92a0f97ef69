"""Rules of a campaign: as manifests for the product, and as promises for the checker."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.chaos.limits.evidence import BudgetCap, Cap, Counted, RateCap, SlotCap
from tests.chaos.load import Caller
from tollway.kernel.money import format_usd

GENEROUS_NANO_USD = 1_000 * 10**9
_GENEROUS_OVERRUN_NANO_USD = 10**9
_GENEROUS_RATE = 10**9
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Rule:
    """A manifest, and what it promises."""

    manifest: dict[str, Any]
    caps: tuple[Cap, ...]


@dataclass(frozen=True, slots=True)
class Purse:
    """A budget worth `calls` calls: what each of them costs, about, and what is held for one at most."""

    calls: int
    call_nano_usd: int
    reservation_nano_usd: int


def strict_budget(caller: Caller, purse: Purse) -> Rule:
    """Of one period that never ends, over all calls of the caller's team; it is to be used up."""
    amount = purse.calls * purse.call_nano_usd
    cap = BudgetCap(
        rule=f"budgets/{_team_id(caller)}",
        team=caller.team,
        amount_nano_usd=amount,
        reservation_nano_usd=purse.reservation_nano_usd,
        is_used_up=True,
        calls=purse.calls,
    )
    return Rule(_budget(caller, amount, admission="strict"), (cap,))


def generous_rules(caller: Caller) -> list[Rule]:
    """So large that no call is refused: what the budget counts is looked at nevertheless."""
    budget = BudgetCap(f"budgets/{_team_id(caller)}", caller.team, GENEROUS_NANO_USD, _GENEROUS_OVERRUN_NANO_USD)
    limits = [
        {"unit": "requests", "amount": _GENEROUS_RATE, "window": "60s"},
        {"unit": "tokens", "amount": _GENEROUS_RATE, "window": "60s"},
        {"unit": "concurrent", "amount": _GENEROUS_RATE},
    ]
    return [Rule(_budget(caller, GENEROUS_NANO_USD), (budget,)), Rule(_rate_limit(caller, limits), ())]


def paced_rule(caller: Caller, counted: Counted, per_minute: int, burst: int) -> Rule:
    """A rate by the minute that more is asked for than it lets through."""
    limits = [{"unit": counted.value, "amount": per_minute, "window": "60s", "burst": burst}]
    name = f"rateLimits/{_team_id(caller)}"
    cap = RateCap(name, caller.team, counted, per_minute, _MINUTE_MS, burst, is_saturated=True)
    return Rule(_rate_limit(caller, limits), (cap,))


def slots_rule(caller: Caller, amount: int) -> Rule:
    """At most so many calls at once."""
    cap = SlotCap(f"rateLimits/{_team_id(caller)}", caller.team, amount)
    return Rule(_rate_limit(caller, [{"unit": "concurrent", "amount": amount}]), (cap,))


def unavailable_rate(caller: Caller, per_second: int, policy: str) -> Rule:
    """A rate whose policy for a control plane that is away is `policy`."""
    limits = [{"unit": "requests", "amount": per_second, "window": "1s"}]
    return Rule(_rate_limit(caller, limits, on_unavailable=policy), ())


def unavailable_budget(caller: Caller, policy: str) -> Rule:
    """A budget that is never used up, whose policy for a control plane that is away is `policy`."""
    cap = BudgetCap(f"budgets/{_team_id(caller)}", caller.team, GENEROUS_NANO_USD, _GENEROUS_OVERRUN_NANO_USD)
    return Rule(_budget(caller, GENEROUS_NANO_USD, on_unavailable=policy), (cap,))


def _budget(caller: Caller, amount_nano_usd: int, **fields: str) -> dict[str, Any]:
    spec = {"match": _match(caller), "amount_usd": format_usd(amount_nano_usd), "period": "total", **fields}
    return _manifest("Budget", caller, spec)


def _rate_limit(caller: Caller, limits: Sequence[dict[str, Any]], **fields: str) -> dict[str, Any]:
    return _manifest("RateLimit", caller, {"match": _match(caller), "limits": list(limits), **fields})


def _manifest(kind: str, caller: Caller, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "tollway/v1", "kind": kind, "metadata": {"name": _team_id(caller)}, "spec": spec}


def _match(caller: Caller) -> dict[str, Any]:
    return {"teams": [_team_id(caller)]}


def _team_id(caller: Caller) -> str:
    return caller.team.removeprefix("teams/")
