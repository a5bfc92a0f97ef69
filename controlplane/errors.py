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
    └── DatabaseRefused  the database does not take this process in: wrong user, password, name or parameter
"""

from collections.abc import Iterable
from typing import ClassVar

from tollway.resources.violations import Violation


class ControlPlaneError(Exception):
    """Base; `message` is safe for clients, names the object and the next step."""

    reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, resource: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.resource = resource


class InvalidArgument(ControlPlaneError):
    reason = "INVALID_ARGUMENT"

    def __init__(self, violations: Iterable[Violation], *, resource: str = "") -> None:
        self.violations = list(violations)
        super().__init__("; ".join(str(violation) for violation in self.violations), resource=resource)


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


class DatabaseRefused(Unavailable):
    """`detail` is one line for the operator, with the place and without the password."""

    def __init__(self, message: str, *, detail: str) -> None:
        super().__init__(message)
        self.detail = detail
