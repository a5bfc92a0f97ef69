"""Errors in Anthropic's format, and in that of the hosts that serve its models."""

import re
from collections.abc import Mapping
from typing import Any, Final

from dataplane.dialects.hub import CONTEXT_LENGTH_EXCEEDED, is_context_error
from dataplane.dialects.openai.errors import kind_of_status, parse_retry_after_s
from dataplane.dialects.openai.payload import payload_or_text
from dataplane.errors import UpstreamError, UpstreamErrorKind

_SHOWN_CHARACTERS: Final = 2000
_SERVER_ERROR: Final = 500
_STATUS_OF_TYPE: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": _SERVER_ERROR,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_OUT_OF_CREDIT: Final = re.compile(r"credit balance is too low|API usage limits")
_CODE_OF_STATUS: Final = {413: "request_too_large", 529: "overloaded_error"}


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The error that an answer of `status` stands for, in the provider's own words."""
    error = _error(status, payload_or_text(body))
    error.retry_after_s = parse_retry_after_s(headers)
    return error


def parse_error_object(payload: Any) -> UpstreamError:
    """An error that arrived under a good status, alone or inside a stream: its type says which status it has."""
    type_ = _text(_fields(payload).get("type")) or ""
    return _error(_STATUS_OF_TYPE.get(type_, _SERVER_ERROR), payload)


def _error(status: int, payload: Any) -> UpstreamError:
    fields = _fields(payload)
    message = (_text(fields.get("message")) or (payload if isinstance(payload, str) else ""))[:_SHOWN_CHARACTERS]
    error = UpstreamError(
        kind_of_status(status), message or f"The upstream answered {status}.", status=status, is_quote=bool(message)
    )
    error.type, error.is_foreign = _text(fields.get("type")) or _text(fields.get("status")), True
    if error.kind is UpstreamErrorKind.INVALID and _OUT_OF_CREDIT.search(message):
        error.kind = UpstreamErrorKind.AUTH
    error.code = _code(error)
    request_id = payload.get("request_id") if isinstance(payload, dict) else None
    if isinstance(request_id, str):
        error.detail = f"request {request_id[:_SHOWN_CHARACTERS]}"
    return error


def _code(error: UpstreamError) -> str | None:
    """The code that OpenAI's clients know the case by; the provider itself has none."""
    if error.kind is UpstreamErrorKind.INVALID and is_context_error(error):
        return CONTEXT_LENGTH_EXCEEDED
    if error.type == "not_found_error" and error.message.startswith("model"):
        return "model_not_found"
    return _CODE_OF_STATUS.get(error.status)


def _fields(payload: Any) -> dict[str, Any]:
    """The error object of an envelope, which some hosts put into a list."""
    if isinstance(payload, list) and payload:
        payload = payload[0]
    if not isinstance(payload, dict):
        return {}
    inner = payload.get("error")
    if isinstance(inner, dict):
        return inner
    return {"message": inner} if isinstance(inner, str) else payload


def _text(value: Any) -> str | None:
    return value[:_SHOWN_CHARACTERS] if isinstance(value, str) and value else None
