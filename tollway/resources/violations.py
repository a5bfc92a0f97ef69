"""What is wrong with a resource or a manifest, as values: all of it is collected before anything is refused."""

from collections.abc import Iterable
from dataclasses import dataclass


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


def join_path(prefix: str, field: str) -> str:
    if not prefix or not field:
        return prefix or field
    return f"{prefix}{field}" if field.startswith("[") else f"{prefix}.{field}"
