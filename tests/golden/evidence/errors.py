"""What error answers say, and what a gateway must make of them for its clients."""

import json
import math
from collections.abc import Mapping
from typing import Any

from tests.golden.evidence.types import Failure, JsonObject

_TOLD = frozenset((400, 404, 409, 413, 422))
"""Statuses of refusals of the call itself, which clients are told in the provider's words."""
_OPERATORS = frozenset((502,))
_BAD_KEYS = ("API_KEY_INVALID", "Incorrect API key provided", "invalid api key")
_NO_MONEY = ("insufficient_quota", "billing_hard_limit_reached")
_LONGEST_WORDS = 1000


def read_failure(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """An answer of `status`; header names are lower-case."""
    payload = _payload(body)
    text = body.decode(errors="replace")
    retry_after_s = _retry_after_s(headers, payload)
    words = tuple(word[:_LONGEST_WORDS] for word in _words(payload))
    if any(word.lower() in text.lower() for word in (*_BAD_KEYS, *_NO_MONEY)):
        return Failure(_OPERATORS, words)
    if status in _TOLD:
        return Failure(frozenset((status,)), words, is_told=True)
    return Failure(_statuses(status), words, retry_after_s=retry_after_s if status in (429, 503) else None)


def read_failure_in_answer(payload: JsonObject) -> Failure:
    """An error that came under a good status: one of the call itself where its code is a status that says so."""
    error = payload.get("error")
    code = error.get("status", error.get("code")) if isinstance(error, dict) else None
    is_call = str(code) in {str(status) for status in _TOLD}
    words = tuple(word[:_LONGEST_WORDS] for word in _words(payload))
    return Failure(frozenset((int(str(code)),)) if is_call else frozenset(range(400, 600)), words, is_told=is_call)


def _statuses(status: int) -> frozenset[int]:
    if status == 429:
        return frozenset((429,))
    if status in (408, 504):
        return frozenset((504,))
    return frozenset((502, 503)) if status in (503, 529) else _OPERATORS


def _payload(body: bytes) -> Any:
    try:
        payload = json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
    return payload[0] if isinstance(payload, list) and payload else payload


def _words(payload: Any) -> list[str]:
    """What an error tells people, wherever it stands; of a list of complaints each one."""
    if isinstance(payload, str):
        return [payload] if payload else []
    if isinstance(payload, list):
        return [word for item in payload for word in _words(item)]
    if not isinstance(payload, dict):
        return []
    for name in ("error", "message", "detail", "msg"):
        if payload.get(name):
            return _words(payload[name])
    return []


def _retry_after_s(headers: Mapping[str, str], payload: Any) -> float | None:
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return float(headers[name]) * unit_s
        except (KeyError, ValueError):
            continue
    error = payload.get("error") if isinstance(payload, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else []:
        delay = str(detail.get("retryDelay") or "") if isinstance(detail, dict) else ""
        if delay.endswith("s"):
            seconds = float(delay.removesuffix("s"))
            return seconds if math.isfinite(seconds) else None
    return None
