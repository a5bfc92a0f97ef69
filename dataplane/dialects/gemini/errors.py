"""Errors of Google's APIs: {error: {code, message, status, details}}, alone, in a list, or inside a stream."""

import re
from collections.abc import Mapping
from typing import Any, Final

from dataplane.call import JsonObject
from dataplane.dialects.gemini.fields import object_at, objects_at, text_at
from dataplane.dialects.hub import CONTEXT_LENGTH_EXCEEDED, is_context_error
from dataplane.dialects.openai.errors import (
    MAX_RETRY_AFTER_S,
    kind_of_status,
    parse_error_object,
    parse_retry_after_s,
)
from dataplane.dialects.openai.errors import parse_error as parse_foreign_error
from dataplane.dialects.openai.payload import parse_payload
from dataplane.errors import UpstreamError, UpstreamErrorKind

_SHOWN_CHARACTERS: Final = 2000
_DAY_QUOTA_PAUSE_S: Final = 3600.0
_FIRST_STATUS, _LAST_STATUS = 400, 599
_BAD_KEY_REASONS = frozenset(("API_KEY_INVALID", "API_KEY_EXPIRED", "API_KEY_SERVICE_BLOCKED"))
_PLACE_REFUSED = re.compile(r"location|country|billing", re.I)
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")
_STATUSES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The error that an answer of `status` stands for, in the provider's own words."""
    reported = _reported(body)
    if reported is None:
        return parse_foreign_error(status, headers, body)
    error = _error(reported, status)
    if error.retry_after_s is None:
        error.retry_after_s = parse_retry_after_s(headers)
    return error


def parse_answers(body: bytes) -> list[JsonObject]:
    """The objects of a body: the one that it is, or those of a list, as streams without events have them.

    Raises UpstreamError when it is something else, empty, or an error under a good status.
    """
    try:
        payload = parse_payload(body)
    except ValueError as error:
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer is not JSON.") from error
    answers = payload if isinstance(payload, list) else [payload]
    if not answers or not all(isinstance(answer, dict) for answer in answers):
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer is not a JSON object.")
    for answer in answers:
        raise_error_in(answer)
    return answers


def raise_error_in(answer: JsonObject) -> None:
    """Raises the UpstreamError that `answer` carries under a good status, if it does."""
    reported = answer.get("error")
    if not reported:
        return
    if _is_googles(reported):
        raise _error(reported, _status(reported))
    raise parse_error_object(reported)


def _reported(body: bytes) -> JsonObject | None:
    """Google's error object in `body`; None when there is none."""
    try:
        payload = parse_payload(body)
    except ValueError:
        return None
    if isinstance(payload, list) and payload:
        payload = payload[0]
    reported = payload.get("error") if isinstance(payload, dict) else None
    return reported if _is_googles(reported) else None


def _is_googles(reported: Any) -> bool:
    if not isinstance(reported, dict) or not text_at(reported, "message"):
        return False
    return "type" not in reported and ("status" in reported or type(reported.get("code")) is int)


def _status(reported: JsonObject) -> int:
    """The HTTP status that an error object tells, 0 for none."""
    code = reported.get("code")
    if type(code) is int and _FIRST_STATUS <= code <= _LAST_STATUS:
        return code
    return _STATUSES.get(text_at(reported, "status"), 0)


def _error(reported: JsonObject, status: int) -> UpstreamError:
    kind = kind_of_status(status) if status else UpstreamErrorKind.SERVER
    error = UpstreamError(kind, text_at(reported, "message")[:_SHOWN_CHARACTERS], status=status, is_quote=True)
    error.code = text_at(reported, "status")[:_SHOWN_CHARACTERS] or None
    details = objects_at(reported, "details")
    error.retry_after_s = _retry_after_s(details)
    if kind is UpstreamErrorKind.INVALID:
        error.type = "invalid_request_error"
        _refine(error, details)
    return error


def _refine(error: UpstreamError, details: list[JsonObject]) -> None:
    """Tells what is wrong with the place or its key from what is wrong with the call, and names what callers know."""
    if any(text_at(detail, "reason") in _BAD_KEY_REASONS for detail in details):
        error.kind, error.type, error.code = UpstreamErrorKind.AUTH, "authentication_error", "invalid_api_key"
    elif error.code == "FAILED_PRECONDITION" and _PLACE_REFUSED.search(error.message):
        error.kind = UpstreamErrorKind.AUTH
    elif error.status == 404:
        error.code = "model_not_found"
    elif is_context_error(error):
        error.code = CONTEXT_LENGTH_EXCEEDED


def _retry_after_s(details: list[JsonObject]) -> float | None:
    """Seconds until it is worth trying again, as details tell; a quota of the day is worth no trying."""
    violations = [violation for detail in details for violation in objects_at(detail, "violations")]
    if any("PerDay" in text_at(violation, "quotaId") for violation in violations):
        return _DAY_QUOTA_PAUSE_S
    for detail in details:
        if (delay := _DURATION.fullmatch(text_at(detail, "retryDelay"))) is not None:
            return min(float(delay[1]), MAX_RETRY_AFTER_S)
        if isinstance(seconds := object_at(detail, "retryDelay").get("seconds"), int):
            return min(float(max(0, seconds)), MAX_RETRY_AFTER_S)
    return None
