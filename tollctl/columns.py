"""How resources read in a table: each cell is a function of the resource."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tollctl.moments import render_age
from tollway.kernel.names import bare_id
from tollway.kernel.rules import shown_value

_SHOWN_AT_MOST = 4
Cell = Callable[[dict[str, Any]], str]


@dataclass(frozen=True, slots=True)
class Column:
    """A heading and what stands under it."""

    title: str
    cell: Cell


def text(path: str) -> Cell:
    """A field as it is."""
    return lambda item: _show(item.get(path))


def bare(path: str) -> Cell:
    """The last part of a resource name."""
    return lambda item: bare_id(_show(item.get(path)))


def flag(path: str) -> Cell:
    """yes or no."""
    return lambda item: "yes" if item.get(path) else "no"


def percent(path: str) -> Cell:
    """A number of percent."""
    return lambda item: f"{_show(item.get(path))}%"


def within(field: str, path: str) -> Cell:
    """A field of what is in another field."""
    inner = text(path)
    return lambda item: inner(item.get(field) or {})


def each(path: str, part: str | None = None) -> Cell:
    """The first entries of a list or a map on one line; of a list of objects, the field `part` of each."""

    def cell(item: dict[str, Any]) -> str:
        value = item.get(path) or ()
        if isinstance(value, dict):
            return _join([f"{name}={value[name]}" for name in sorted(value)])
        return _join([_show(entry if part is None else entry.get(part)) for entry in value])

    return cell


def since(path: str) -> Cell:
    """How long ago a time was, or in how long it will be."""

    def cell(item: dict[str, Any]) -> str:
        moment = item.get(path)
        return render_age(datetime.fromisoformat(moment), datetime.now(UTC)) if moment else ""

    return cell


def short_key(item: dict[str, Any]) -> str:
    """TEAM/KEY of a key's name."""
    return _show(item.get("name")).removeprefix("teams/").replace("/keys/", "/")


def secret(upstream: dict[str, Any]) -> str:
    """Where an upstream's secret is."""
    found = upstream.get("secret") or {}
    return _show(found.get("ref")) or ("stored" if found.get("fingerprint") else "")


def targets(route: dict[str, Any]) -> str:
    """UPSTREAM/MODEL of each target, with what differs from the default."""
    return ", ".join(_show_target(target) for target in route.get("targets") or ())


def rates(price: dict[str, Any]) -> str:
    """Each meter's price, and what is taken off."""
    discount = price.get("discount_percent")
    return ", ".join([_show_rate(rate) for rate in price.get("rates") or ()] + ([f"-{discount}%"] if discount else []))


def matched(rule: dict[str, Any]) -> str:
    """What a rule is about: each list of its match that says something."""
    parts = []
    for name, said in (rule.get("match") or {}).items():
        lists = {f"{name}.{key}": said[key] for key in sorted(said)} if isinstance(said, dict) else {name: said}
        parts += [f"{shown}={'|'.join(map(_show, values))}" for shown, values in lists.items() if values]
    return _join(parts) or "everything"


def fullest(budget: dict[str, Any]) -> str:
    """The bucket that a budget's status is about."""
    group = (budget.get("status") or {}).get("group") or {}
    return _join([f"{name}={shown_value(name, _show(group[name]))}" for name in sorted(group)])


def limits(rule: dict[str, Any]) -> str:
    """Amount and unit of each limit, per window."""
    return ", ".join(_show_limit(limit) for limit in rule.get("limits") or ())


def _join(shown: list[str]) -> str:
    more = len(shown) - _SHOWN_AT_MOST
    return ", ".join([*shown[:_SHOWN_AT_MOST], *([f"+{more}"] if more > 0 else [])])


def _show_target(target: dict[str, Any]) -> str:
    model = _show(target.get("model"))
    place = bare_id(_show(target.get("upstream"))) + (f"/{model}" if model else "")
    weight, priority = target.get("weight", 1), target.get("priority") or 0
    notes = ([f"weight {weight}"] if weight != 1 else []) + ([f"priority {priority}"] if priority else [])
    return f"{place} ({', '.join(notes)})" if notes else place


def _show_rate(rate: dict[str, Any]) -> str:
    per = int(rate.get("per") or (1 if rate.get("meter") == "request" else 1_000_000))
    unit = "" if per == 1_000_000 else f" per {per}"
    above, tier = rate.get("above_input_tokens"), rate.get("service_tier")
    shown = f"{rate.get('meter')} {rate.get('price_usd')}{unit}" + (f" above {above}" if above else "")
    return f"{shown} ({tier})" if tier else shown


def _show_limit(limit: dict[str, Any]) -> str:
    window, burst = limit.get("window"), limit.get("burst")
    shown = f"{limit.get('amount')} {limit.get('unit')}" + (f" per {window}" if window else "")
    return f"{shown} (burst {burst})" if burst else shown


def _show(value: object) -> str:
    return "" if value is None else str(value)
