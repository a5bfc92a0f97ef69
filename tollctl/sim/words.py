"""Words, which are this provider's tokens."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import cycle, islice

_WORD = re.compile(r"\s*\S+")
_LOREM = (
    "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore magna "
    "aliqua enim ad minim veniam quis nostrud exercitation ullamco laboris nisi aliquip ex ea commodo consequat"
)
_CACHED_WORDS_MAX = 2_000


def count_words(text: str) -> int:
    return len(text.split())


def split_words(text: str) -> tuple[str, ...]:
    """Cut text into pieces of one word each, every one with the whitespace before it; what follows the last is cut."""
    return tuple(_WORD.findall(text))


def make_lorem(count: int) -> Sequence[str]:
    """`count` pieces of placeholder text."""
    return _cached_lorem(count) if count <= _CACHED_WORDS_MAX else tuple(_spin_lorem(count))


@lru_cache(maxsize=256)
def _cached_lorem(count: int) -> tuple[str, ...]:
    return tuple(_spin_lorem(count))


def _spin_lorem(count: int) -> Iterator[str]:
    for index, word in enumerate(islice(cycle(_LOREM.split()), count)):
        yield f" {word}" if index else word


def cut_at_stop(pieces: Sequence[str], stops: Sequence[str]) -> Sequence[str] | None:
    """The pieces before the first stop sequence; None where none occurs."""
    text = "".join(pieces)
    places = [place for stop in stops if stop and (place := text.find(stop)) >= 0]
    return split_words(text[: min(places)]) if places else None
