"""Price books, differences and prices as tables."""

from collections.abc import Iterable, Mapping
from typing import Any

from tollctl.render import render_table
from tollway.kernel.names import bare_id

_MILLION = 1_000_000


def render_books(books: Iterable[Mapping[str, Any]]) -> str:
    titles = ("BOOK", "STATE", "SOURCE", "MODELS", "PRICES", "LEFT OUT", "IN FORCE FROM")
    return render_table(titles, [_book_row(book) for book in books], right=frozenset({3, 4, 5}))


def render_diff(lines: Iterable[Mapping[str, Any]]) -> str:
    titles = ("PROVIDER", "MODEL", "METER", "WHEN", "BEFORE USD", "AFTER USD", "PER")
    return render_table(titles, [_diff_row(line) for line in lines], right=frozenset({4, 5, 6}))


def summary_line(summary: Mapping[str, Any]) -> str:
    """The counts of a diff in a sentence."""
    counts = ", ".join(f"{summary.get(word) or 0} {word}" for word in ("added", "removed", "changed", "unchanged"))
    return f"rates compared with {summary.get('base') or 'nothing'}: {counts}"


def render_resolved(price: Mapping[str, Any]) -> str:
    """One price that holds, with its rates, why it does and what does not."""
    lines = [f"{price.get('provider')}: {price.get('price') or 'no price'}\n", f"  {price.get('reason')}\n"]
    if price.get("discount_percent"):
        lines.append(f"  {price['discount_percent']}% is taken off the sum of each call\n")
    rates = price.get("rates") or ()
    if rates:
        table = render_table(
            ("METER", "WHEN", "USD", "PER"),
            [(str(rate.get("meter")), _conditions(rate), str(rate.get("price_usd")), per_text(rate)) for rate in rates],
            right=frozenset({2, 3}),
        )
        lines += [f"  {line}\n" for line in table.splitlines()]
    lines += [f"  not {found.get('price')}: {found.get('reason')}\n" for found in price.get("passed_over") or ()]
    return "".join(lines)


def per_text(rate: Mapping[str, Any]) -> str:
    """How many units a rate buys: "1M", "1"."""
    per = int(rate.get("per") or 0)
    return f"{per // _MILLION}M" if per and per % _MILLION == 0 else str(per)


def band_text(band: Mapping[str, Any]) -> str:
    days = ",".join(band.get("weekdays") or ())
    return f"{band.get('start_time')}-{band.get('end_time')} UTC" + (f" {days}" if days else "")


def _book_row(book: Mapping[str, Any]) -> list[str]:
    starts = [str(found.get("effective_from") or "always") for found in book.get("activations") or ()]
    return [
        bare_id(str(book.get("name"))),
        str(book.get("state") or ""),
        str(book.get("source") or ""),
        str(book.get("model_count") or 0),
        str(book.get("price_count") or 0),
        str(book.get("omission_count") or 0),
        ", ".join(starts),
    ]


def _diff_row(line: Mapping[str, Any]) -> list[str]:
    return [
        str(line.get("provider") or ""),
        str(line.get("model") or ""),
        str(line.get("meter") or ""),
        _conditions(line),
        str(line.get("before_usd") or ""),
        str(line.get("after_usd") or ""),
        per_text(line),
    ]


def _conditions(rate: Mapping[str, Any]) -> str:
    """Of which calls a rate is: tier, context, time of day, and from when."""
    parts = [str(rate["service_tier"])] if rate.get("service_tier") else []
    if int(rate.get("above_input_tokens") or 0):
        parts.append(f"above {rate['above_input_tokens']} tokens")
    if rate.get("band"):
        parts.append(band_text(rate["band"]))
    if rate.get("effective_from"):
        parts.append(f"from {rate['effective_from']}")
    return ", ".join(parts)
