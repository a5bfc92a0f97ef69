"""Posting a webhook, as couriers see it; transport/ does it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one post: whether the receiver took it, or why not and the pause that it asked for."""

    is_taken: bool
    reason: str = ""
    retry_after_s: int = 0


Post = Callable[[str, Mapping[str, str], bytes], Awaitable[Answer]]
"""Posts JSON to a URL with further headers; raises nothing."""
