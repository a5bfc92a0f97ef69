"""Domain errors on the wire: one table from error to gRPC code and HTTP status, and google.rpc.Status with details.

What only the transport can find wrong is here too, below the domain's errors:

ControlPlaneError
├── Internal             an error that nobody expected; says nothing but where to look
└── HttpRefusal          wrong path, method, size or encoding of an HTTP request
"""

from dataclasses import dataclass

import grpc
from google.protobuf.any_pb2 import Any as PackedMessage
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from controlplane import errors
from controlplane.errors import ControlPlaneError, InvalidArgument

ERROR_DOMAIN = "tollway"
MAX_MESSAGE_CHARACTERS = 2_000
MAX_DESCRIPTION_CHARACTERS = 500
# A gRPC client refuses a call whose trailing metadata is over 8 KiB, and there the message and the base64 of the
# details travel.
MAX_GRPC_DETAIL_BYTES = 3_500
MAX_VIOLATIONS = 100


class Internal(ControlPlaneError):
    reason = "INTERNAL"


class HttpRefusal(ControlPlaneError):
    """An HTTP request that no method takes; `allow` holds the methods of a 405."""

    def __init__(self, http_status: int, reason: str, message: str, *, allow: frozenset[str] = frozenset()) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.refusal = reason
        self.allow = allow


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """How one class of error is told: code of google.rpc, HTTP status, and the code's canonical name."""

    code: grpc.StatusCode
    http_status: int

    @property
    def number(self) -> int:
        return int(code_pb2.Code.Value(self.code.name))


ERROR_TABLE: dict[type[ControlPlaneError], ErrorRow] = {
    errors.InvalidArgument: ErrorRow(grpc.StatusCode.INVALID_ARGUMENT, 400),
    errors.Unauthenticated: ErrorRow(grpc.StatusCode.UNAUTHENTICATED, 401),
    errors.PermissionDenied: ErrorRow(grpc.StatusCode.PERMISSION_DENIED, 403),
    errors.NotFound: ErrorRow(grpc.StatusCode.NOT_FOUND, 404),
    errors.AlreadyExists: ErrorRow(grpc.StatusCode.ALREADY_EXISTS, 409),
    errors.FailedPrecondition: ErrorRow(grpc.StatusCode.FAILED_PRECONDITION, 400),
    errors.Aborted: ErrorRow(grpc.StatusCode.ABORTED, 412),
    errors.Unavailable: ErrorRow(grpc.StatusCode.UNAVAILABLE, 503),
    errors.DatabaseRefused: ErrorRow(grpc.StatusCode.UNAVAILABLE, 503),
    Internal: ErrorRow(grpc.StatusCode.INTERNAL, 500),
}
_HTTP_CODES = {404: grpc.StatusCode.NOT_FOUND, 408: grpc.StatusCode.DEADLINE_EXCEEDED}


def error_row(error: ControlPlaneError) -> ErrorRow:
    """The row of the error's class or of the nearest base that has one."""
    if isinstance(error, HttpRefusal):
        return ErrorRow(_HTTP_CODES.get(error.http_status, grpc.StatusCode.INVALID_ARGUMENT), error.http_status)
    for base in type(error).__mro__:
        if base in ERROR_TABLE:
            return ERROR_TABLE[base]
    return ERROR_TABLE[Internal]


def rpc_status(error: ControlPlaneError, *, max_detail_bytes: int | None = None) -> Status:
    """`error` as google.rpc.Status; violations beyond a bound are counted, not listed."""
    status = Status(code=error_row(error).number, message=_shorten(error.message, MAX_MESSAGE_CHARACTERS))
    reason = error.refusal if isinstance(error, HttpRefusal) else error.reason
    status.details.append(_pack(error_details_pb2.ErrorInfo(reason=reason, domain=ERROR_DOMAIN)))
    if error.resource:
        collection = error.resource.rpartition("/")[0].rpartition("/")[2]
        info = error_details_pb2.ResourceInfo(resource_type=collection, resource_name=_shorten(error.resource, 300))
        status.details.append(_pack(info))
    if isinstance(error, InvalidArgument):
        status.details.append(_pack(_bad_request(error, max_detail_bytes)))
    return status


def _bad_request(error: InvalidArgument, max_bytes: int | None) -> error_details_pb2.BadRequest:
    listed = error_details_pb2.BadRequest()
    for violation in error.violations[:MAX_VIOLATIONS]:
        listed.field_violations.add(
            field=_shorten(violation.field, 300),
            description=_shorten(violation.description, MAX_DESCRIPTION_CHARACTERS),
        )
        if max_bytes is not None and listed.ByteSize() > max_bytes:
            del listed.field_violations[-1]
            break
    left = len(error.violations) - len(listed.field_violations)
    if left:
        listed.field_violations.add(description=f"{left} more violations are not listed")
    return listed


def _pack(message: Message) -> PackedMessage:
    packed = PackedMessage()
    packed.Pack(message)
    return packed


def _shorten(text: str, limit: int) -> str:
    # A lone surrogate has no UTF-8 form, which protobuf needs.
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
