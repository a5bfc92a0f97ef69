"""What is wrong with a resource or a manifest, as values: all of it is collected before anything is refused."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

MAX_LISTED = 300


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong: the field's path, e.g. `targets[0].upstream`, and what to do about it."""

    field: str
    description: str

    def __str__(self) -> str:
        return f"{self.field}: {self.description}" if self.field else self.description


def prefixed(prefix: str, violations: Iterable[Violation]) -> list[Violation]:
    """The same violations with `prefix` before their paths."""
    return [Violation(join_path(prefix, v.field), v.description) for v in violations]


def listed(violations: Iterable[Violation], path: str) -> list[Violation]:
    """The first of what is wrong below `path`, and how many more there are; `path` is "" for the whole."""
    rest = iter(violations)
    first = list(islice(rest, MAX_LISTED))
    left = sum(1 for _ in rest)
    return [*first, Violation(path, f"has {left} more violations, which are not listed")] if left else first


def join_path(prefix: str, field: str) -> str:
    if not prefix or not field:
        return prefix or field
    return f"{prefix}{field}" if field.startswith("[") else f"{prefix}.{field}"
