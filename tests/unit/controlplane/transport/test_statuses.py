"""Domain errors on the wire."""

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]

from controlplane import errors
from controlplane.errors import ControlPlaneError, InvalidArgument
from controlplane.transport.encode import message_value
from controlplane.transport.statuses import (
    ERROR_TABLE,
    MAX_GRPC_DETAIL_BYTES,
    MAX_VIOLATIONS,
    HttpRefusal,
    Internal,
    error_row,
    rpc_status,
)
from tollway.resources.violations import Violation


def domain_errors() -> list[type[ControlPlaneError]]:
    return [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, ControlPlaneError)]


def test_every_domain_error_has_a_row() -> None:
    assert set(domain_errors()) - {ControlPlaneError} <= set(ERROR_TABLE)


@pytest.mark.parametrize(
    ("error", "code", "http_status"),
    [
        (InvalidArgument([Violation("a", "b")]), grpc.StatusCode.INVALID_ARGUMENT, 400),
        (errors.Unauthenticated("x"), grpc.StatusCode.UNAUTHENTICATED, 401),
        (errors.PermissionDenied("x"), grpc.StatusCode.PERMISSION_DENIED, 403),
        (errors.NotFound("x"), grpc.StatusCode.NOT_FOUND, 404),
        (errors.AlreadyExists("x"), grpc.StatusCode.ALREADY_EXISTS, 409),
        (errors.FailedPrecondition("x"), grpc.StatusCode.FAILED_PRECONDITION, 400),
        (errors.Aborted("x"), grpc.StatusCode.ABORTED, 412),
        (errors.Unavailable("x"), grpc.StatusCode.UNAVAILABLE, 503),
        (Internal("x"), grpc.StatusCode.INTERNAL, 500),
        (HttpRefusal(405, "METHOD_NOT_ALLOWED", "x"), grpc.StatusCode.INVALID_ARGUMENT, 405),
        (HttpRefusal(404, "UNKNOWN_URL", "x"), grpc.StatusCode.NOT_FOUND, 404),
    ],
)
def test_rows(error: ControlPlaneError, code: grpc.StatusCode, http_status: int) -> None:
    row = error_row(error)
    assert (row.code, row.http_status) == (code, http_status)
    assert rpc_status(error).code == code.value[0]


def test_details_name_reason_resource_and_violations() -> None:
    error = InvalidArgument([Violation("team.x", "unknown field")], resource="teams/a")
    info, resource, bad_request = (message_value(detail) for detail in rpc_status(error).details)
    assert (info["reason"], info["domain"]) == ("INVALID_ARGUMENT", "tollway")
    assert (resource["resource_type"], resource["resource_name"]) == ("teams", "teams/a")
    [violation] = bad_request["field_violations"]
    assert (violation["field"], violation["description"]) == ("team.x", "unknown field")


def test_an_etag_mismatch_has_its_own_reason() -> None:
    [info] = (message_value(detail) for detail in rpc_status(errors.Aborted("x")).details)
    assert info["reason"] == "ETAG_MISMATCH"


def listed(error: InvalidArgument, max_bytes: int | None) -> error_details_pb2.BadRequest:
    bad_request = error_details_pb2.BadRequest()
    assert rpc_status(error, max_detail_bytes=max_bytes).details[-1].Unpack(bad_request)
    return bad_request


def test_many_violations_are_counted_not_listed() -> None:
    error = InvalidArgument([Violation(f"field{n}", "d" * 1000) for n in range(5000)])
    assert len(listed(error, None).field_violations) == MAX_VIOLATIONS + 1
    assert f"{5000 - MAX_VIOLATIONS} more" in listed(error, None).field_violations[-1].description
    assert rpc_status(error, max_detail_bytes=MAX_GRPC_DETAIL_BYTES).ByteSize() < 6_500
    assert len(rpc_status(error).message) <= 2000


def test_text_without_utf_8_form_can_be_told() -> None:
    assert rpc_status(errors.NotFound("\ud800")).message == "?"
