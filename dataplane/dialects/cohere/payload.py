"""The JSON that Cohere answers with, and that the hub is answered with."""

from typing import Any

import orjson

from dataplane.call import JsonObject
from dataplane.dialects.cohere.errors import parse_failure
from dataplane.dialects.openai.payload import parse_payload
from dataplane.errors import UpstreamError, UpstreamErrorKind


def parse_answer(body: bytes) -> JsonObject:
    """The object that an answer or an event of one is. Raises UpstreamError when `body` is none, or tells an error."""
    try:
        payload = parse_payload(body)
    except ValueError as error:
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer is not JSON.") from error
    if not isinstance(payload, dict):
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer is not a JSON object.")
    if isinstance(payload.get("message"), str):
        raise parse_failure(payload)
    return payload


def encode(value: JsonObject) -> bytes:
    """`value` as JSON. Raises UpstreamError when what the provider sent is nested too deep for it."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer is nested too deep.") from error


def object_of(value: Any) -> JsonObject:
    """`value`, or an empty object where it is none."""
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    """`value`, or an empty list where it is none."""
    return value if isinstance(value, list) else []


def text_of(value: Any) -> str:
    """`value`, or an empty text where it is none."""
    return value if isinstance(value, str) else ""
