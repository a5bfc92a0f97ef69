"""What ends a command, with the exit code that says so.

CommandError          1  the command failed, or differences were found
├── Refused           1  the control plane or the data plane answered with an error
├── NotAuthenticated  3  no token or key, or one that is not accepted
└── Unreachable       4  nothing answers at the address
"""

from dataclasses import dataclass
from typing import ClassVar


class CommandError(Exception):
    """Its text is one or few lines that name the object and the next step, and hold no secret."""

    exit_code: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong with a request: the field's path, which may be empty, and what to do."""

    field: str
    description: str

    def __str__(self) -> str:
        return f"{self.field}: {self.description}" if self.field else self.description


class Refused(CommandError):
    """An error answer.

    status: the HTTP status.
    summary: one line, without the violations.
    violations: all that is wrong, in the order of the answer.
    """

    def __init__(self, status: int, summary: str, violations: tuple[Violation, ...] = ()) -> None:
        super().__init__("\n".join([summary, *(f"  {violation}" for violation in violations)]))
        self.status = status
        self.summary = summary
        self.violations = violations


class NotAuthenticated(CommandError):
    exit_code = 3


class Unreachable(CommandError):
    exit_code = 4
