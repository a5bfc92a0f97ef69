"""Domain errors of the control plane; transport/ maps them to gRPC codes and HTTP status in one table.

ControlPlaneError
├── InvalidArgument      every violation of the request at once
├── Unauthenticated      no token, or an unknown one
├── PermissionDenied     the principal may not do this
├── NotFound             no such resource
├── AlreadyExists        create of a name that is taken
├── FailedPrecondition   the state of the system refuses it, e.g. delete of a referenced resource
├── Aborted              the etag is not the current one
└── Unavailable          a dependency is away; the call may be repeated
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong: the field's path in the request, e.g. `upstream.base_url`, and what to do."""

    field: str
    description: str


class ControlPlaneError(Exception):
    """Base; `message` is safe for clients, names the object and the next step."""

    reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, resource: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.resource = resource


class InvalidArgument(ControlPlaneError):
    reason = "INVALID_ARGUMENT"

    def __init__(self, violations: list[Violation], *, resource: str = "") -> None:
        text = "; ".join(f"{v.field}: {v.description}" if v.field else v.description for v in violations)
        super().__init__(text, resource=resource)
        self.violations = violations


class Unauthenticated(ControlPlaneError):
    reason = "UNAUTHENTICATED"


class PermissionDenied(ControlPlaneError):
    reason = "PERMISSION_DENIED"


class NotFound(ControlPlaneError):
    reason = "NOT_FOUND"


class AlreadyExists(ControlPlaneError):
    reason = "ALREADY_EXISTS"


class FailedPrecondition(ControlPlaneError):
    reason = "FAILED_PRECONDITION"


class Aborted(ControlPlaneError):
    reason = "ETAG_MISMATCH"


class Unavailable(ControlPlaneError):
    reason = "UNAVAILABLE"
