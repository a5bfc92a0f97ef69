"""Filters of lists: `field = "value"` joined by AND (a part of AIP-160)."""

import re
from collections.abc import Sequence

from controlplane.errors import InvalidArgument
from tollway.resources.violations import Violation

_TERM = re.compile(r'\s*(?P<field>[a-z_]+)\s*=\s*(?:"(?P<quoted>[^"\\]*)"|(?P<bare>[^\s"]+))\s*')
_AND = re.compile(r"AND\b")
MAX_FILTER = 1024


def parse_filter(text: str, fields: Sequence[str]) -> dict[str, str]:
    """Values by field; {} for no filter. Raises InvalidArgument that shows what a filter looks like."""
    if not text.strip():
        return {}
    if len(text) > MAX_FILTER or not text.isprintable():
        raise _bad_filter(fields, f"must be printable text of at most {MAX_FILTER} characters")
    found: dict[str, str] = {}
    position = 0
    while True:
        term = _TERM.match(text, position)
        if term is None:
            raise _bad_filter(fields, f'cannot be read at "{text[position : position + 20]}"')
        if term["field"] not in fields or term["field"] in found:
            known = term["field"] in found
            raise _bad_filter(fields, f'"{term["field"]}" is {"given twice" if known else "not a field of it"}')
        found[term["field"]] = term["bare"] if term["quoted"] is None else term["quoted"]
        position = term.end()
        if position == len(text):
            return found
        joined = _AND.match(text, position)
        if joined is None:
            raise _bad_filter(fields, f'cannot be read at "{text[position : position + 20]}"')
        position = joined.end()


def _bad_filter(fields: Sequence[str], problem: str) -> InvalidArgument:
    form = f'write `{fields[0]} = "value"`, joined by AND; fields are {", ".join(fields)}'
    return InvalidArgument([Violation("filter", f"{problem}; {form}")])
