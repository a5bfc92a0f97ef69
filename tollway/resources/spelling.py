"""Which known name somebody meant who wrote another one."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

MAX_GUESSES = 20
"""Of many unknown names the first few are enough to guess at, for each guess takes a while."""
_MAX_NAME = 64
_LEAST_LIKENESS = 0.75
_LEAST_BEGINNING = 3
_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[-. ]")


def nearest(name: str, known: Iterable[str]) -> str:
    """The one of `known` that `name` begins or is like, whatever case and separators; "" when it is like none."""
    meant, by_spelling = _spelling(name[:_MAX_NAME]), {_spelling(each): each for each in known}
    longer = [each for each in by_spelling if each.startswith(meant)] if len(meant) >= _LEAST_BEGINNING else []
    found = sorted(longer, key=len) or get_close_matches(meant, by_spelling, 1, _LEAST_LIKENESS)
    return by_spelling[found[0]] if found else ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`did you mean "..."? ` where one of `known` is like `name`, "" otherwise: to stand inside a message."""
    meant = nearest(name, known)
    return f'did you mean "{meant}"? ' if meant else ""


def _spelling(name: str) -> str:
    return _BOUNDARY.sub("_", name).lower()
