"""Errors of Bedrock: their class is in a header, else in the body, else the status tells it. Streams tell them too."""

import re
from collections.abc import Mapping
from typing import Any, Final

from dataplane.dialects.hub import CONTEXT_LENGTH_EXCEEDED, is_context_error
from dataplane.dialects.openai.errors import kind_of_status, parse_retry_after_s
from dataplane.dialects.openai.payload import payload_or_text
from dataplane.errors import UpstreamError, UpstreamErrorKind

_SHOWN_CHARACTERS: Final = 2000
_CLASS_HEADER: Final = "x-amzn-errortype"
_REQUEST_HEADER: Final = "x-amzn-requestid"
_SERVER_ERROR: Final = 500
_AUTH, _LIMITED, _INVALID, _SERVER = (
    UpstreamErrorKind.AUTH,
    UpstreamErrorKind.RATE_LIMITED,
    UpstreamErrorKind.INVALID,
    UpstreamErrorKind.SERVER,
)
_CLASSES: Final = {
    "accessdenied": (_AUTH, 403),
    "expiredtoken": (_AUTH, 403),
    "incompletesignature": (_AUTH, 403),
    "invalidclienttokenid": (_AUTH, 403),
    "invalidsignature": (_AUTH, 403),
    "missingauthenticationtoken": (_AUTH, 403),
    "notauthorized": (_AUTH, 403),
    "optinrequired": (_AUTH, 403),
    "signaturedoesnotmatch": (_AUTH, 403),
    "unrecognizedclient": (_AUTH, 403),
    "validation": (_INVALID, 400),
    "serialization": (_INVALID, 400),
    "resourcenotfound": (_INVALID, 404),
    "unknownoperation": (_INVALID, 404),
    "modelnotready": (_LIMITED, 429),
    "servicequotaexceeded": (_LIMITED, 400),
    "throttling": (_LIMITED, 429),
    "toomanyrequests": (_LIMITED, 429),
    "modeltimeout": (UpstreamErrorKind.TIMEOUT, 408),
    "modelerror": (_SERVER, 424),
    "modelstreamerror": (_SERVER, 424),
    "internalfailure": (_SERVER, _SERVER_ERROR),
    "internalserver": (_SERVER, _SERVER_ERROR),
    "serviceunavailable": (UpstreamErrorKind.OVERLOADED, 503),
}
_KIND_OF_STATUS: Final = {424: _SERVER}
_NO_MODEL: Final = re.compile(r"model identifier is invalid|could not resolve the foundation model", re.IGNORECASE)


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The error that an answer of `status` stands for, in the provider's own words."""
    payload = payload_or_text(body)
    name = _class_name(headers.get(_CLASS_HEADER) or _class_of(payload))
    known = _CLASSES.get(_key(name))
    kind = known[0] if known else _KIND_OF_STATUS.get(status) or kind_of_status(status)
    error = _error(kind, status, name, payload)
    error.retry_after_s = parse_retry_after_s(headers)
    if request_id := headers.get(_REQUEST_HEADER):
        error.detail = f"request {request_id[:_SHOWN_CHARACTERS]}"
    return error


def parse_exception(name: str, data: bytes) -> UpstreamError:
    """The error that an exception of class `name` inside a stream stands for."""
    kind, status = _CLASSES.get(_key(name), (_SERVER, _SERVER_ERROR))
    return _error(kind, status, name, payload_or_text(data))


def parse_error_object(payload: Any) -> UpstreamError:
    """The error of a body that came under a good status and is no answer."""
    name = _class_name(_class_of(payload))
    message = _message(payload)
    if not name and not message:
        return UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer is not one to this call.")
    kind, status = _CLASSES.get(_key(name), (_SERVER, _SERVER_ERROR))
    return _error(kind, status, name, payload)


def is_exception(name: str) -> bool:
    """Whether an event of this name is one of the errors that streams tell."""
    return _key(name) in _CLASSES


def _error(kind: UpstreamErrorKind, status: int, name: str, payload: Any) -> UpstreamError:
    words = _message(payload)
    message = words or f"The upstream answered {name or status or 'an error'}."
    error = UpstreamError(kind, message[:_SHOWN_CHARACTERS], status=status, is_quote=bool(words))
    error.code = name[:_SHOWN_CHARACTERS] or None
    if kind is UpstreamErrorKind.INVALID:
        if is_context_error(error):
            error.code = CONTEXT_LENGTH_EXCEEDED
        elif _NO_MODEL.search(message):
            error.code = "model_not_found"
    return error


def _class_of(payload: Any) -> str:
    """The class that a body names; what stands before all services wraps it in an output."""
    if not isinstance(payload, dict):
        return ""
    wrapped = payload.get("Output")
    outer = wrapped.get("__type") if isinstance(wrapped, dict) else None
    name = payload.get("__type") or payload.get("code") or outer
    return name if isinstance(name, str) else ""


def _class_name(told: str) -> str:
    """The bare name in "ValidationException:http://..." or "com.amazon.coral.service#ValidationException"."""
    return told.partition(":")[0].rpartition("#")[2].strip()


def _key(name: str) -> str:
    """The name in which a class is listed: whether it ends in Exception or Error differs by service."""
    key = name.lower().removesuffix("exception")
    return key if key in _CLASSES else key.removesuffix("error")


def _message(payload: Any) -> str:
    if isinstance(payload, str):
        return payload
    if not isinstance(payload, dict):
        return ""
    for name in ("message", "Message", "originalMessage", "errorMessage"):
        text = payload.get(name)
        if isinstance(text, str) and text:
            return text
    return ""
