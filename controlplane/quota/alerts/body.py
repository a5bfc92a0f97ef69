"""What a webhook says: JSON with `text` for people, and everything in it for programs under `alert`. Pure.

Slack, Mattermost, Rocket.Chat and Discord (under /slack) show `text`, and give names such as `type` or `channel` beside
it a meaning of their own, so that nothing else of the alert may stand there.
"""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import orjson

from controlplane.quota.alerts.rows import AlertedBudget, SpentBucket
from tollway.kernel.money import NANO_PER_USD, format_usd
from tollway.kernel.names import bare_id
from tollway.kernel.rules import shown_value

KIND = "budget_threshold"
_NANO_PER_CENT = NANO_PER_USD // 100
_SHOWN_CHARACTERS = 100
_ACTIVE = ("@", "://", "](")
_ZERO_WIDTH_SPACE = "\u200b"
_PERIODS = {"day": "today", "week": "this week", "month": "this month", "quarter": "this quarter", "year": "this year"}


def group_of(budget: AlertedBudget, bucket: SpentBucket) -> dict[str, str]:
    """The bucket's value of each dimension that the budget counts apart."""
    return dict(zip(budget.per, bucket.values, strict=True))


def render_body(
    alert_id: uuid.UUID, budget: AlertedBudget, bucket: SpentBucket, threshold_percent: int, now: datetime
) -> bytes:
    """The JSON of one alert; money is decimal strings, times are RFC 3339 in UTC."""
    alert = {
        "id": str(alert_id),
        "kind": KIND,
        "create_time": _rfc3339(now),
        "budget": budget.name,
        "group": group_of(budget, bucket),
        "threshold_percent": threshold_percent,
        "spent_percent": _spent_percent(budget, bucket),
        "amount_usd": format_usd(budget.amount_nano_usd),
        "spent_usd": format_usd(bucket.spent_nano_usd),
        "period": budget.period_word,
        "time_zone": budget.time_zone or "UTC",
        "start_time": _rfc3339(bucket.window.start),
        "reset_time": None if bucket.window.end is None else _rfc3339(bucket.window.end),
        "mode": "enforce" if budget.is_enforced else "audit",
    }
    return orjson.dumps({"text": render_text(budget, bucket, threshold_percent, now), "alert": alert})


def render_text(budget: AlertedBudget, bucket: SpentBucket, threshold_percent: int, now: datetime) -> str:
    """One line for people; what end users can choose in it can neither mention anybody nor be a link."""
    spent, amount = _shown_usd(bucket.spent_nano_usd), format_usd(budget.amount_nano_usd)
    place = _shown_group(group_of(budget, bucket))
    told = (
        f"Budget {bare_id(budget.name)}{place} has reached {threshold_percent}%: {spent} of {amount} USD "
        f"({_spent_percent(budget, bucket)}%) are spent {_shown_period(budget, bucket, now)}."
    )
    return " ".join(part for part in (told, _consequence(budget, bucket), _reset(budget, bucket, now)) if part)


def _consequence(budget: AlertedBudget, bucket: SpentBucket) -> str:
    if bucket.spent_nano_usd < budget.amount_nano_usd:
        return ""
    if budget.is_enforced:
        return "Calls are refused until it resets or is raised."
    return "Calls still pass, because it is in audit mode."


def _reset(budget: AlertedBudget, bucket: SpentBucket, now: datetime) -> str:
    end = bucket.window.end
    if end is None:
        return "It never resets."
    return f"It {'resets' if end > now else 'was reset'} at {_local(budget, end)}."


def _shown_period(budget: AlertedBudget, bucket: SpentBucket, now: datetime) -> str:
    end = bucket.window.end
    if end is None:
        return "in all"
    if end > now and budget.period_word in _PERIODS:
        return _PERIODS[budget.period_word]
    return f"in the {budget.period_word} from {_local(budget, bucket.window.start)}"


def _local(budget: AlertedBudget, moment: datetime) -> str:
    zone = budget.time_zone or "UTC"
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M} {zone}"


def _shown_group(group: Mapping[str, str]) -> str:
    shown = ", ".join(f"{name} {_escape(shown_value(name, value))}" for name, value in group.items())
    return f" ({shown})" if shown else ""


def _escape(value: str) -> str:
    """`value` as chats show it literally: Slack's three entities, and what makes a mention or a link taken apart."""
    if not value:
        return '""'
    shown = value if len(value) <= _SHOWN_CHARACTERS else value[: _SHOWN_CHARACTERS - 1] + "…"
    plain = "".join(character if character.isprintable() else "?" for character in shown)
    for active in _ACTIVE:
        plain = plain.replace(active, active[0] + _ZERO_WIDTH_SPACE + active[1:])
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _spent_percent(budget: AlertedBudget, bucket: SpentBucket) -> int:
    return bucket.spent_nano_usd * 100 // budget.amount_nano_usd


def _shown_usd(nano_usd: int) -> str:
    """To the cent, rounded down, from one USD on; small amounts in full."""
    return format_usd(nano_usd if nano_usd < NANO_PER_USD else nano_usd // _NANO_PER_CENT * _NANO_PER_CENT)


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
