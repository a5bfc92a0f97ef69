"""Classes of service: the words that prices and usage events use for what upstreams report."""

import re

from tollway.kernel.pricing import ORDINARY_TIER

_ORDINARY_WORDS = frozenset({"default", "standard", "auto", "on_demand"})
_TIER = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


def canonical_tier(reported: str) -> str:
    """The tier that `reported` means: "" for every word that stands for the ordinary one, and for no text at all."""
    word = reported.strip().lower()
    return ORDINARY_TIER if word in _ORDINARY_WORDS else word


def is_tier(word: str) -> bool:
    """Whether a rate can be for a tier of this name."""
    return _TIER.fullmatch(word) is not None
