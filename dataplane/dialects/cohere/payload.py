"""The JSON that Cohere answers with, and that the hub is answered with."""

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
