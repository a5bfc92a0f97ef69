"""Errors in OpenAI's format, and in the variants of it that compatible providers send."""

import re
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from dataplane.dialects.hub import CONTEXT_LENGTH_EXCEEDED, is_context_error, object_of
from dataplane.dialects.openai.payload import parse_payload
from dataplane.errors import UpstreamError, UpstreamErrorKind
from dataplane.masking import mask_credentials

WORDS = ("message", "error", "detail", "errors", "msg")
"""Where errors say what went wrong, the clearest first."""
MAX_RETRY_AFTER_S = 366 * 86400.0
_SHOWN_CHARACTERS = 2000
_MOST_COMPLAINTS = 100
_MAX_UNPACKED_BYTES = 256 * 1024
_ANY_ZLIB_HEADER = 47
_GZIP_MAGIC = b"\x1f\x8b"
_FIRST_ERROR_STATUS, _FIRST_SERVER_STATUS, _LAST_ERROR_STATUS = 400, 500, 599
_STATUS_OF_REFUSED = {"authentication_error": 401, "billing_error": 402, "permission_error": 403}
"""Types of errors about the credential, as the statuses that they have before an answer."""
_REFUSED_KEY = re.compile(r"(?:incorrect|invalid) api key|api key not valid", re.IGNORECASE)
_OUT_OF_CREDIT = frozenset(("insufficient_quota", "billing_hard_limit_reached"))
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
_TOO_LONG_TYPES = frozenset(("exceed_context_size_error", "invalid_request_prompt_too_long"))
_CODES = {"DeploymentNotFound": "model_not_found"}
"""Codes of providers' own as those that OpenAI's clients know."""
_KIND_OF_OWN_STATUS = {424: UpstreamErrorKind.SERVER, 498: UpstreamErrorKind.OVERLOADED}


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The error that an answer of `status` stands for, in the provider's own words."""
    error = _error(_KIND_OF_OWN_STATUS.get(status) or kind_of_status(status), status, _payload(body))
    if error.kind is UpstreamErrorKind.INVALID and _is_refused_key(error):
        error.kind = UpstreamErrorKind.AUTH
    if error.kind in (UpstreamErrorKind.INVALID, UpstreamErrorKind.RATE_LIMITED) and _is_out_of_credit(error):
        error.kind = UpstreamErrorKind.AUTH
    _name_case(error)
    error.retry_after_s = parse_retry_after_s(headers)
    return error


def parse_error_object(payload: Any) -> UpstreamError:
    """An error that arrived under a good status, alone or inside a stream; its code may be an HTTP status."""
    error = _error(UpstreamErrorKind.SERVER, 0, payload)
    status = _status(error.code) or _status(payload.get("status") if isinstance(payload, dict) else None)
    if _is_out_of_credit(error):
        error.kind, error.status = UpstreamErrorKind.AUTH, status or 429
    elif _is_refused_key(error) and status < _FIRST_SERVER_STATUS:
        error.kind, error.status = UpstreamErrorKind.AUTH, status or 401
    elif status:
        error.kind, error.status = kind_of_status(status), status
    elif refused := _STATUS_OF_REFUSED.get(error.type or "") or _STATUS_OF_REFUSED.get(error.code or ""):
        error.kind, error.status = UpstreamErrorKind.AUTH, refused
    elif error.type == "rate_limit_error" or error.code == "rate_limit_exceeded":
        error.kind, error.status = UpstreamErrorKind.RATE_LIMITED, 429
    elif "overloaded_error" in (error.type, error.code):
        error.kind, error.status = UpstreamErrorKind.OVERLOADED, 529
    elif error.type == "invalid_request_error" or error.code == "content_filter" or _is_context_too_long(error):
        error.kind, error.status = UpstreamErrorKind.INVALID, 400
    _name_case(error)
    return error


def kind_of_status(status: int) -> UpstreamErrorKind:
    """What a status other than 200 means for retries; one below 400 is no answer to a call."""
    if status < _FIRST_ERROR_STATUS:
        return UpstreamErrorKind.PROTOCOL
    kind = _KIND_OF_STATUS.get(status)
    if kind is None:
        kind = UpstreamErrorKind.SERVER if status >= _FIRST_SERVER_STATUS else UpstreamErrorKind.INVALID
    return kind


def parse_retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds of `retry-after-ms`, else of `retry-after`, MAX_RETRY_AFTER_S at most; None when neither tells.

    A time of day is counted from the answer's own `date`, whatever the provider's clock says.
    """
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit_s
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return min(seconds, MAX_RETRY_AFTER_S)
    until, sent = _time(headers.get("retry-after", "")), _time(headers.get("date", ""))
    if until is None or sent is None:
        return None
    return min(max(0.0, (until - sent).total_seconds()), MAX_RETRY_AFTER_S)


def _time(text: str) -> datetime | None:
    """The time that an HTTP date is; None when it is none."""
    try:
        time = parsedate_to_datetime(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time
    except (ValueError, OverflowError):
        return None


def _payload(body: bytes) -> Any:
    """The JSON value of an error's body, else its text, else None; gzip is unpacked, though none was asked for."""
    if body.startswith(_GZIP_MAGIC):
        try:
            body = zlib.decompressobj(_ANY_ZLIB_HEADER).decompress(body, _MAX_UNPACKED_BYTES)
        except zlib.error:
            return None
    try:
        return parse_payload(body)
    except ValueError:
        return _readable(body[:_SHOWN_CHARACTERS])


def _readable(body: bytes) -> str | None:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        is_cut = len(body) == _SHOWN_CHARACTERS and error.start > len(body) - 4
        if not is_cut:
            return None
        text = body[: error.start].decode()
    return text if "".join(text.split()).isprintable() else None


def _is_refused_key(error: UpstreamError) -> bool:
    return error.code == "invalid_api_key" or _REFUSED_KEY.search(error.message) is not None


def _is_context_too_long(error: UpstreamError) -> bool:
    is_named = error.code == CONTEXT_LENGTH_EXCEEDED or error.type in _TOO_LONG_TYPES
    return is_named or is_context_error(error)


def _name_case(error: UpstreamError) -> None:
    """Gives a refusal the type and the code that OpenAI's clients know its case by, where they act on it."""
    if error.kind is not UpstreamErrorKind.INVALID:
        return
    if _is_context_too_long(error):
        error.type, error.code = "invalid_request_error", CONTEXT_LENGTH_EXCEEDED
    else:
        error.code = _CODES.get(error.code or "", error.code)


def _is_out_of_credit(error: UpstreamError) -> bool:
    return error.code in _OUT_OF_CREDIT or error.type in _OUT_OF_CREDIT


def _error(kind: UpstreamErrorKind, status: int, payload: Any) -> UpstreamError:
    """`payload` is an error object, a body that holds one under "error", such a body in a list, or text."""
    fields = _fields(payload)
    words = _with_raw(_words(payload), object_of(fields.get("metadata")).get("raw"))[:_SHOWN_CHARACTERS]
    message = words or f"The upstream answered {status or 'an error'}."
    error = UpstreamError(kind, message, status=status, is_quote=bool(words))
    error.type, error.param, error.code = (_text(fields.get(name)) for name in ("type", "param", "code"))
    return error


def _fields(payload: Any) -> dict[str, Any]:
    """The error object that `payload` is or holds; an empty one for none."""
    payload = _alone(payload)
    inner = payload.get("error") if isinstance(payload, dict) else None
    return object_of(inner) or object_of(payload)


def _alone(payload: Any) -> Any:
    """What is in a list of one; everything else as it is."""
    return payload[0] if isinstance(payload, list) and len(payload) == 1 else payload


def _words(payload: Any) -> str:
    """What an error, in any form that _error takes, says to people."""
    payload = _alone(payload)
    return payload if isinstance(payload, str) else _message(_fields(payload))


def _with_raw(words: str, raw: Any) -> str:
    """`words` of a router, with those of the provider behind it: `raw` is text, JSON text, or a JSON value.

    Credentials and organisations in them are masked, since they are none that the caller has a part in.
    """
    if not raw:
        return words
    try:
        said = _words(parse_payload(raw.encode()) if isinstance(raw, str) else raw)
    except ValueError:
        said = ""
    said = said or (raw if isinstance(raw, str) else "")
    told = words if said in words else f"{words}: {said}" if words else said
    return mask_credentials(told[:_SHOWN_CHARACTERS])


def _message(fields: dict[str, Any]) -> str:
    """What an error says to people; of several complaints each one, with the place that it is about."""
    for name in WORDS:
        value = fields.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, list | dict) and value:
            complaints = value if isinstance(value, list) else [value]
            told = [_complaint(complaint) for complaint in complaints[:_MOST_COMPLAINTS]]
            return "; ".join(told) if all(told) else _json(value)
    return ""


def _complaint(value: Any) -> str:
    """One complaint in words, "" where it has none."""
    if not isinstance(value, dict):
        return value if isinstance(value, str) else ""
    words = next((text for name in ("message", "msg", "detail") if isinstance(text := value.get(name), str)), "")
    place = value.get("loc")
    if not words or not isinstance(place, list):
        return words
    return f"{'.'.join(str(step) for step in place if isinstance(step, str | int))}: {words}"


def _json(value: Any) -> str:
    """`value` as JSON text; "" when it is nested too deep to be one."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return ""


def _status(value: Any) -> int:
    """The HTTP error status that `value` is, as a number or as text; 0 when it is none."""
    text = str(value) if isinstance(value, str | int) else ""
    if len(text) != len(str(_FIRST_ERROR_STATUS)) or not (text.isdecimal() and text.isascii()):
        return 0
    return int(text) if _FIRST_ERROR_STATUS <= int(text) <= _LAST_ERROR_STATUS else 0


def _text(value: Any) -> str | None:
    return None if value is None or isinstance(value, list | dict) else str(value)[:_SHOWN_CHARACTERS]
