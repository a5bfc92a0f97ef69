"""Errors in OpenAI's format, and in the variants of it that compatible providers send."""

from collections.abc import Mapping
from typing import Any

import orjson

from dataplane.errors import UpstreamError, UpstreamErrorKind

_SHOWN_CHARACTERS = 2000
_KIND_OF_STATUS = {
    401: UpstreamErrorKind.AUTH,
    402: UpstreamErrorKind.AUTH,
    403: UpstreamErrorKind.AUTH,
    408: UpstreamErrorKind.TIMEOUT,
    429: UpstreamErrorKind.RATE_LIMITED,
    503: UpstreamErrorKind.OVERLOADED,
    504: UpstreamErrorKind.TIMEOUT,
    529: UpstreamErrorKind.OVERLOADED,
}


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The error that an answer of `status` stands for, in the provider's own words."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        payload = body[:_SHOWN_CHARACTERS].decode("utf-8", "replace")
    error = _error(kind_of_status(status), status, payload)
    error.retry_after_s = parse_retry_after_s(headers)
    return error


def parse_error_object(payload: Any) -> UpstreamError:
    """An error that arrived under a good status, alone or inside a stream; its code may be an HTTP status."""
    error = _error(UpstreamErrorKind.SERVER, 0, payload)
    status = _status(error.code) or _status(payload.get("status") if isinstance(payload, dict) else None)
    if status:
        error.kind, error.status = kind_of_status(status), status
    elif error.type == "invalid_request_error" or error.code in ("content_filter", "context_length_exceeded"):
        error.kind, error.status = UpstreamErrorKind.INVALID, 400
    elif error.type == "rate_limit_error" or error.code == "rate_limit_exceeded":
        error.kind, error.status = UpstreamErrorKind.RATE_LIMITED, 429
    return error


def kind_of_status(status: int) -> UpstreamErrorKind:
    """What a status of 400 or above means for retries."""
    kind = _KIND_OF_STATUS.get(status)
    if kind is None:
        kind = UpstreamErrorKind.SERVER if status >= 500 else UpstreamErrorKind.INVALID
    return kind


def parse_retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds of `retry-after-ms`, else of `retry-after`; None without a number."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit_s
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    return None


def _error(kind: UpstreamErrorKind, status: int, payload: Any) -> UpstreamError:
    """`payload` is an error object, a body that holds one under "error", or text."""
    shape = payload
    if isinstance(payload, dict) and payload.get("error"):
        shape = payload["error"] if isinstance(payload["error"], dict) else payload
    fields = shape if isinstance(shape, dict) else {}
    message = _message(fields) or (payload if isinstance(payload, str) else "")
    error = UpstreamError(kind, message[:_SHOWN_CHARACTERS] or f"The upstream answered {status or 'an error'}.")
    error.status = status
    error.type, error.param, error.code = (_text(fields.get(name)) for name in ("type", "param", "code"))
    return error


def _message(fields: dict[str, Any]) -> str:
    for name in ("message", "error", "detail"):
        value = fields.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, list | dict) and value:
            return orjson.dumps(value).decode()
    return ""


def _status(value: Any) -> int:
    """The HTTP error status that `value` is, as a number or as text; 0 when it is none."""
    text = str(value)
    return int(text) if text.isdecimal() and text.isascii() and 400 <= int(text) < 600 else 0


def _text(value: Any) -> str | None:
    return None if value is None or isinstance(value, list | dict) else str(value)
