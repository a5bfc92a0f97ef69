"""A complete answer in OpenAI's format: passed on as the bytes that came, but where it must be mended to be that."""

from typing import Any, Final

from dataplane.call import Call
from dataplane.dialects.base import Frame
from dataplane.dialects.openai.content import message_bytes, text_bytes
from dataplane.dialects.openai.errors import parse_error_object
from dataplane.dialects.openai.mending import encode, mend_answer
from dataplane.dialects.openai.payload import parse_payload
from dataplane.dialects.openai.usage import mend_usage, parse_service_tier, parse_usage
from dataplane.errors import UpstreamError, UpstreamErrorKind

_ANSWERS: Final = ("choices", "data")


def parse_result(body: bytes, call: Call | None = None) -> Frame:
    """The answer to `call` as one frame.

    Raises UpstreamError when it is not an object, or an error all the same; what it says was used is then told by that.
    """
    payload = parse_answer(body)
    try:
        return _frame(payload, body, call)
    except UpstreamError as error:
        note_usage(error, payload)
        raise


def note_usage(error: UpstreamError, payload: dict[str, Any]) -> None:
    """Has `error` tell what `payload`, the answer that it is about, says was used."""
    error.usage, error.service_tier = parse_usage(payload.get("usage")), parse_service_tier(payload)


def _frame(payload: dict[str, Any], body: bytes, call: Call | None) -> Frame:
    model, usage = payload.get("model"), payload.get("usage")
    reported = parse_usage(usage)
    has_changed = mend_answer(payload, call)
    has_changed |= mend_usage(usage)
    choices = payload.get("choices")
    return Frame(
        encode(payload) if has_changed else body,
        model=model if isinstance(model, str) else "",
        usage=reported,
        text_bytes=sum([_choice_bytes(choice) for choice in choices]) if isinstance(choices, list) else 0,
        service_tier=parse_service_tier(payload),
    )


def parse_answer(body: bytes) -> dict[str, Any]:
    """The object that a complete answer is. Raises UpstreamError as parse_result does."""
    try:
        payload = parse_payload(body)
    except ValueError as error:
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer is not JSON.") from error
    if not isinstance(payload, dict):
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer is not a JSON object.")
    if payload.get("error") and not _holds_answer(payload):
        failure = parse_error_object(payload["error"])
        note_usage(failure, payload)
        raise failure
    return payload


def _holds_answer(payload: dict[str, Any]) -> bool:
    """Whether there is anything in `payload` beside its error that may be an answer."""
    for name in _ANSWERS:
        value = payload.get(name)
        if any(value) if isinstance(value, list) else value:
            return True
    return False


def _choice_bytes(choice: Any) -> int:
    """Bytes of generated text, reasoning and tool arguments in one choice of a complete answer."""
    if not isinstance(choice, dict):
        return 0
    message = choice.get("message")
    return message_bytes(message) if isinstance(message, dict) else text_bytes(choice.get("text"))
