"""Errors as Anthropic's clients read them, and the errors that a client's own body makes."""

from typing import Final

from dataplane.call import JsonObject
from dataplane.errors import GatewayError, InvalidRequest

_FIRST_SERVER_STATUS: Final = 500
_TYPE_OF_STATUS: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def render_error(error: GatewayError) -> JsonObject:
    """The body that tells `error`: its type is Anthropic's word for the status; `code` says what it is exactly."""
    shape = {"type": _type_of_status(error.http_status), "message": error.message, "code": error.error_code}
    return {"type": "error", "error": shape}


def invalid(param: str, must_be: str) -> InvalidRequest:
    """The error of a field that is not what it must be."""
    return InvalidRequest(f'The field "{param}" must be {must_be}.', code="invalid_value", param=param)


def unsupported(
    param: str, what: str, next_step: str = "Leave it out, or choose a model of Anthropic's."
) -> InvalidRequest:
    """The error of content that only Anthropic's own models take."""
    message = f'The field "{param}" holds {what}, which this model cannot be sent. {next_step}'
    return InvalidRequest(message, code="unsupported_content", param=param)


def _type_of_status(status: int) -> str:
    known = _TYPE_OF_STATUS.get(status)
    if known is None:
        known = "api_error" if status >= _FIRST_SERVER_STATUS else "invalid_request_error"
    return known
