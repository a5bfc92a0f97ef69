"""Models that search and read by themselves, for which a provider charges more than what a call says. Pure."""

import re
from typing import Final

from dataplane.snapshot import Target

_MARKS: Final = ("search", "sonar", "compound", "online", "multi-agent")
"""One of them is in each name that is read below."""
_RESEARCHING: Final = re.compile(
    r".*deep-research.*|(?:.*/)?compound(?:-.*)?|.*sonar-pro-search.*|.*-search-api.*|.*multi-agent.*|.*:online"
)
"""How many pages they read and how long they reason about them is bounded by nothing that a call says."""
_SEARCHING: Final = re.compile(r"(?:.*/)?(?:sonar(?:-.*)?|llama-.*-sonar-.*|gpt-4o(?:-mini)?-search-preview.*)")
"""They search once for an answer, and what they find is not billed."""
_RESELLERS: Final = frozenset(("openrouter",))
"""Providers whose prices for such models leave out what they charge for the search."""


def searches_of(target: Target) -> int | None:
    """How many searches `target` is billed for per answer, unasked; None where nothing bounds what it reads."""
    model = target.model.lower()
    for mark in _MARKS:
        if mark in model:
            break
    else:
        return 0
    if _RESEARCHING.fullmatch(model):
        return None
    if not _SEARCHING.fullmatch(model):
        return 0
    return None if target.upstream.provider in _RESELLERS else 1
