"""Cohere's errors, `{id, message}` or `{message, error_type}`, and those that end an answer of good status."""

import re
from collections.abc import Mapping
from typing import Any

from dataplane.call import JsonObject
from dataplane.dialects.hub import CONTEXT_LENGTH_EXCEEDED, is_context_error
from dataplane.dialects.openai.errors import parse_error as parse_hub_error
from dataplane.dialects.openai.payload import parse_payload
from dataplane.errors import UpstreamError, UpstreamErrorKind

_SHOWN_CHARACTERS = 2000
_INVALID_TOKEN, _CANCELLED = 498, 499
_TOO_MANY_TOKENS = "TOO_MANY_TOKENS"
_MONTHLY = re.compile(r"\bmonth(?:ly)?\b", re.IGNORECASE)


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The error that an answer of `status` stands for, in the provider's own words.

    A limit by the month is final: trying again does not help, and the credential is as good as refused.
    """
    error = parse_hub_error(status, headers, body)
    error.type = None
    _judge(error, _error_type(body))
    return error


def parse_failure(fields: JsonObject, finish: str = "ERROR") -> UpstreamError:
    """The error that ended an answer of good status, which `fields` tell in `error` or `message`, and `error_type`."""
    kind = UpstreamErrorKind.TIMEOUT if finish == "TIMEOUT" else UpstreamErrorKind.SERVER
    said = next((text for name in ("error", "message") if (text := _text(fields.get(name)))), "")
    error = UpstreamError(kind, said or f"The upstream ended its answer with {finish}.", is_quote=bool(said))
    error_type = _text(fields.get("error_type"))
    error.code = error_type.lower() or None
    if _is_context_too_long(error, error_type):
        error.kind, error.status, error.code = UpstreamErrorKind.INVALID, 400, CONTEXT_LENGTH_EXCEEDED
    return error


def _judge(error: UpstreamError, error_type: str) -> None:
    """Sets kind and code of `error` where Cohere's statuses and words mean more than others'."""
    if error_type:
        error.code = error_type.lower()
    if error.status == _INVALID_TOKEN:
        error.kind = UpstreamErrorKind.AUTH
    elif error.status == _CANCELLED:
        error.kind = UpstreamErrorKind.SERVER
    elif error.status == 429 and _MONTHLY.search(error.message):
        error.kind = UpstreamErrorKind.AUTH
    elif error.status == 404:
        error.code = "model_not_found"
    elif error.kind is UpstreamErrorKind.INVALID and _is_context_too_long(error, error_type):
        error.code = CONTEXT_LENGTH_EXCEEDED


def _is_context_too_long(error: UpstreamError, error_type: str) -> bool:
    return error_type == _TOO_MANY_TOKENS or is_context_error(error)


def _error_type(body: bytes) -> str:
    try:
        payload = parse_payload(body)
    except ValueError:
        return ""
    return _text(payload.get("error_type")) if isinstance(payload, dict) else ""


def _text(value: Any) -> str:
    return value[:_SHOWN_CHARACTERS] if isinstance(value, str) else ""
