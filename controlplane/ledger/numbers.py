"""Names and pages of what the ledger numbers: dead letters, replays. Pure."""

from dataclasses import dataclass
from typing import Any

from controlplane.errors import InvalidArgument
from controlplane.ledger.reading.pages import (
    invalid_page_token,
    page_size_of,
    query_fingerprint,
    read_page_token,
    write_page_token,
)
from tollway.resources.violations import Violation

_LARGEST = 2**63 - 1
_DIGITS = 18


@dataclass(frozen=True, slots=True)
class NumberedPage:
    """A page of at most `size` items beyond number `after`, 0 for the first page."""

    after: int
    size: int
    fingerprint: str

    def token(self, last: int) -> str:
        """The token of the page beyond `last`."""
        return write_page_token(self.fingerprint, [last])


def page_after(page_size: int, page_token: str, *query: Any) -> NumberedPage:
    """The page that a request asks for; tokens are good for the same `query` only. Raises InvalidArgument."""
    size = page_size_of(page_size, default=50, maximum=500)
    fingerprint = query_fingerprint(*query)
    if not page_token:
        return NumberedPage(0, size, fingerprint)
    match read_page_token(page_token, fingerprint):
        case [int(after)] if 0 < after <= _LARGEST:
            return NumberedPage(after, size, fingerprint)
        case _:
            raise invalid_page_token()


def number_in(name: str, collection: str, field: str) -> int:
    """The number of `collection/{number}`. Raises InvalidArgument about `field`."""
    found, _, digits = name.rpartition("/")
    if found != collection or not (digits.isascii() and digits.isdecimal()) or len(digits) > _DIGITS:
        raise InvalidArgument([Violation(field, f"must be {collection}/ and a number, as the list shows it")])
    return int(digits)
