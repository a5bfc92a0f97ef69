"""What the name of a model says about it."""

import re
from dataclasses import dataclass
from functools import lru_cache

_VERSION = re.compile(r"gemini-(\d{1,2})(?:\.(\d{1,2}))?(?![\d.])")
_LATEST = re.compile(r"gemini-[a-z-]*latest")
_NEWEST = (3, 8)
_FIRST_WITH_THOUGHTS = (2, 5)
_FIRST_WITH_THREE_LEVELS = (3, 1)
_FIRST_WITHOUT_MINIMAL = (3, 7)


@dataclass(frozen=True, slots=True)
class GeminiModel:
    """A model by its name. `version` is (0, 0) where the name tells none: a tuned or a foreign model."""

    name: str
    version: tuple[int, int]

    @property
    def is_third(self) -> bool:
        """Whether it is of the third generation: levels of thought, signatures required, files in tool results."""
        return self.version[0] >= 3

    @property
    def is_pro(self) -> bool:
        return "-pro" in self.name

    @property
    def is_drawing(self) -> bool:
        """Whether images are what it makes."""
        return "-image" in self.name

    @property
    def thinks(self) -> bool:
        """Whether it knows a thinkingConfig; a model without a version is taken to know it."""
        if self.version == (0, 0):
            return True
        return self.version >= _FIRST_WITH_THOUGHTS and (self.is_third or not self.is_drawing)

    @property
    def has_medium_thought(self) -> bool:
        return not self.is_pro or self.version >= _FIRST_WITH_THREE_LEVELS

    @property
    def has_minimal_thought(self) -> bool:
        """Whether it can be told to think next to nothing: of the later models only those called lite can."""
        return not self.is_pro and (self.version < _FIRST_WITHOUT_MINIMAL or "-lite" in self.name)

    @property
    def is_billed_by_query(self) -> bool:
        """Whether each search of the web is billed, not each call that searches; a model without a version is late."""
        return self.is_third or self.version == (0, 0)


@lru_cache(256)
def parse_model(name: str) -> GeminiModel:
    """The model that `name` stands for; "latest" ones are of the newest generation."""
    found = _VERSION.search(name)
    if found is not None:
        return GeminiModel(name, (int(found[1]), int(found[2] or 0)))
    return GeminiModel(name, _NEWEST if _LATEST.search(name) else (0, 0))
