"""Tests of whole texts that need no regular expression, whose compilation costs a hundred times as much."""

from dataclasses import dataclass
from typing import Protocol


class TextTest(Protocol):
    """What PlainTests and compiled patterns have in common."""

    def fullmatch(self, text: str, /) -> object:
        """True in a condition when the whole of `text` matches."""


@dataclass(frozen=True, slots=True)
class PlainTests:
    """Texts that are one of `exact`, begin with one of `prefixes`, end with one of `suffixes` or hold one of `parts`.

    With none of these it matches nothing.
    """

    exact: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()

    def fullmatch(self, text: str, /) -> bool:
        return (
            text in self.exact
            or text.startswith(self.prefixes)
            or text.endswith(self.suffixes)
            or any(part in text for part in self.parts)
        )
