"""Pages: bounded sizes, and tokens that are opaque and only good for the list that gave them."""

import base64
import binascii
import zlib

from controlplane.errors import InvalidArgument
from tollway.resources.violations import Violation

MAX_PAGE_SIZE = 500
DEFAULT_PAGE_SIZE = 50


def page_limit(page_size: int) -> int:
    """How many rows a page has; more than the maximum is lowered to it. Raises InvalidArgument below 0."""
    if page_size < 0:
        raise InvalidArgument([Violation("page_size", "must not be negative")])
    return min(page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def make_page_token(list_name: str, after: str) -> str:
    """A token to go on after `after` in the list that `list_name` identifies, its filters included."""
    text = f"{zlib.crc32(list_name.encode()):08x}{after}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_page_token(list_name: str, token: str) -> str:
    """What the page begins after; "" for the first one. Raises InvalidArgument for a token of another list."""
    if not token:
        return ""
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        text = ""
    after = text.removeprefix(f"{zlib.crc32(list_name.encode()):08x}")
    if after == text or not after.isprintable():
        raise InvalidArgument(
            [Violation("page_token", "is not a token of this list; take next_page_token of its last answer, unchanged")]
        )
    return after
