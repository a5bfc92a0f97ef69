"""Page tokens: opaque to clients, bound to the query that made them. Pure."""

import base64
import binascii
import hashlib
from typing import Any

import orjson

from controlplane.errors import InvalidArgument
from tollway.resources.violations import Violation

_FINGERPRINT_LENGTH = 16
_INVALID = "is not a token of this query; pass next_page_token as it came, and leave the other parameters as they were"


def query_fingerprint(*parts: Any) -> str:
    """A short digest of the parameters that a page token is valid for; `parts` must be JSON values."""
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:_FINGERPRINT_LENGTH]


def write_page_token(fingerprint: str, position: list[Any]) -> str:
    """A token that continues after `position`, a list of JSON values."""
    return base64.urlsafe_b64encode(orjson.dumps([fingerprint, position])).decode().rstrip("=")


def read_page_token(token: str, fingerprint: str) -> list[Any]:
    """The position in `token`. Raises InvalidArgument for a token that is not of this query."""
    try:
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        content = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (UnicodeEncodeError, binascii.Error, orjson.JSONDecodeError):
        raise invalid_page_token() from None
    match content:
        case [str(found), list(position)] if found == fingerprint:
            return position
        case _:
            raise invalid_page_token()


def invalid_page_token() -> InvalidArgument:
    return InvalidArgument([Violation("page_token", _INVALID)])


def page_size_of(requested: int, *, default: int, maximum: int) -> int:
    """Rows of a page: `default` for 0, at most `maximum`. Raises InvalidArgument for a negative number."""
    if requested < 0:
        raise InvalidArgument([Violation("page_size", "must not be negative")])
    return min(requested or default, maximum)
