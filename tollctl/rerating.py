"""Re-rating runs: waiting for them, and how they read."""

import time
from collections.abc import Iterator
from typing import Any

from tollctl.errors import CommandError
from tollctl.render import render_table
from tollctl.session import Session
from tollway.kernel.money import format_usd, parse_usd

JsonObject = dict[str, Any]
POLL_S = 0.5
TELL_EVERY_S = 5.0
_TITLES = ("TEAM", "MODEL", "CHANGED", "PRICED", "UNPRICED", "BEFORE USD", "AFTER USD", "DIFFERENCE USD")
_COUNTS = ("changed_entries", "newly_priced_entries", "newly_unpriced_entries")
_AMOUNTS = ("cost_before_usd", "cost_after_usd", "difference_usd")


def await_run(session: Session, name: str, state: str) -> JsonObject:
    """The run once it is no longer in `state`; tells now and then how far it is.

    Raises CommandError when it has failed or was canceled.
    """
    admin = session.admin()
    told_s = time.monotonic()
    while (run := admin.read(name))["state"] == state:
        if time.monotonic() - told_s >= TELL_EVERY_S:
            told_s = time.monotonic()
            session.tell(f"{state}: {run['examined_entries']} entries, at {run['position_time']} of {run['end_time']}")
        time.sleep(POLL_S)
    if run["state"] == "failed":
        raise CommandError(f"{name} failed: {run['failure']}")
    if run["state"] == "canceled":
        raise CommandError(f"{name} was canceled; create another run")
    return run


def fetch_differences(session: Session, run: JsonObject) -> list[JsonObject]:
    """Those of the preview or, of a run that has posted, of what it posted; the largest first."""
    query = {"posted": _is_posted(run)}
    pages = session.admin().pages(f"{run['name']}/differences", query)
    found = [difference for page in pages for difference in page.get("differences") or ()]
    return sorted(found, key=lambda difference: -abs(parse_usd(difference["sums"]["difference_usd"])))


def is_unchanged(run: JsonObject) -> bool:
    return not sums_of(run).get("changed_entries")


def sums_of(run: JsonObject) -> JsonObject:
    """The sums over all teams and models."""
    sums: JsonObject = run["posted" if _is_posted(run) else "preview"]
    return sums


def render_differences(run: JsonObject, differences: list[JsonObject]) -> str:
    """A table with a line of totals; "" where nothing differs."""
    if not differences:
        return ""
    rows = [[found["team"], found["model"], *_cells(found["sums"])] for found in differences]
    total = ["TOTAL", " ", *_cells(sums_of(run))]
    return render_table(_TITLES, [*rows, total], frozenset(range(2, len(_TITLES))))


def render_sums(run: JsonObject) -> str:
    """One line of what the run changes, or has changed."""
    sums = sums_of(run)
    verb = "posted" if _is_posted(run) else "would change"
    text = (
        f"{verb} {sums['changed_entries']} of {run['examined_entries']} entries,"
        f" {_signed(sums['difference_usd'])} USD in all"
    )
    if sums.get("closed_entries"):
        where = "of closed months, in the month of posting"
        text += f"; {sums['closed_entries']} {where} ({_signed(sums['closed_difference_usd'])} USD)"
    return text


def warnings_of(run: JsonObject) -> Iterator[str]:
    """What a reader of the sums must know."""
    for day in run.get("detached_days") or ():
        entries = f"its {day['entries']} entries ({day['cost_usd']} USD)"
        yield f"{day['day']} is detached from the ledger: {entries} are not rated anew"
    unpriced = sums_of(run).get("newly_unpriced_entries")
    if unpriced:
        yield f"{unpriced} entries have a cost and no price in the book: add Prices, or --allow-unpriced takes the cost"


def _is_posted(run: JsonObject) -> bool:
    return run["state"] in ("posting", "posted")


def _cells(sums: JsonObject) -> list[str]:
    counts = [str(sums.get(name) or 0) for name in _COUNTS]
    return [*counts, *(format_usd(parse_usd(sums.get(name) or "0")) for name in _AMOUNTS)]


def _signed(usd: str) -> str:
    return usd if usd.startswith("-") else f"+{usd}"
