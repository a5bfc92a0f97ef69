"""A complete answer in OpenAI's format: passed on as the bytes that came, but where it must be mended to be that."""

from codecs import BOM_UTF8
from types import MappingProxyType
from typing import Any, Final

from dataplane.call import Call, JsonObject
from dataplane.dialects.base import Frame
from dataplane.dialects.openai.content import message_bytes, text_bytes
from dataplane.dialects.openai.errors import WORDS, parse_error_object
from dataplane.dialects.openai.mending import TEXT_COMPLETION, encode, mend_answer
from dataplane.dialects.openai.payload import parse_payload
from dataplane.dialects.openai.usage import parse_service_tier, parse_usage, read_usage
from dataplane.errors import UpstreamError, UpstreamErrorKind

_CHOICES, _DATA = "choices", "data"
_MEMBERS: Final = MappingProxyType({"chat": _CHOICES, TEXT_COMPLETION: _CHOICES, "embeddings": _DATA})
"""What an answer is made of, by the operation that was asked for."""


def parse_result(body: bytes, call: Call | None = None) -> Frame:
    """The answer to `call` as one frame.

    Raises UpstreamError when it is no answer, or an error all the same; what it says was used is then told by that.
    """
    members = needed_members(call)
    payload = parse_answer(body, *members)
    try:
        return _frame(payload, body, call, members)
    except UpstreamError as error:
        note_usage(error, payload, members)
        raise


def needed_members(call: Call | None) -> tuple[str, ...]:
    """Members of which an answer to `call` has one."""
    member = None if call is None else _MEMBERS.get(call.endpoint.operation)
    return () if member is None else (member,)


def note_usage(error: UpstreamError, payload: JsonObject, members: tuple[str, ...]) -> None:
    """Has `error` tell what `payload`, the answer of `members` that it is about, says was used."""
    error.usage = parse_usage(payload.get("usage"), has_output=_DATA not in members)
    error.service_tier = parse_service_tier(payload)


def _frame(payload: JsonObject, body: bytes, call: Call | None, members: tuple[str, ...]) -> Frame:
    model, choices = payload.get("model"), payload.get(_CHOICES)
    has_changed = mend_answer(payload, call)
    usage, is_mended = read_usage(payload.get("usage"), has_output=_DATA not in members)
    return Frame(
        encode(payload) if has_changed or is_mended else body.removeprefix(BOM_UTF8),
        model=model if isinstance(model, str) else "",
        usage=usage,
        text_bytes=sum([_choice_bytes(choice) for choice in choices]) if isinstance(choices, list) else 0,
        service_tier=parse_service_tier(payload),
    )


def parse_answer(body: bytes, *members: str) -> JsonObject:
    """The object that a complete answer is; where `members` are named, one of them is a list.

    Raises UpstreamError as parse_result does, in the provider's words where it gives any in place of an answer.
    """
    try:
        payload = parse_payload(body.removeprefix(BOM_UTF8))
    except ValueError as error:
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer is not JSON.") from error
    if not isinstance(payload, dict):
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer is not a JSON object.")
    failure = _failure(payload, members)
    if failure is not None:
        note_usage(failure, payload, members)
        raise failure
    return payload


def _failure(payload: JsonObject, members: tuple[str, ...]) -> UpstreamError | None:
    if payload.get("error") and not _holds_answer(payload):
        return parse_error_object(payload["error"])
    if not members or any(isinstance(payload.get(name), list) for name in members):
        return None
    if any(payload.get(name) for name in WORDS):
        return parse_error_object(payload)
    return UpstreamError(UpstreamErrorKind.PROTOCOL, f"The upstream's answer holds no {members[0]}.")


def _holds_answer(payload: JsonObject) -> bool:
    """Whether there is anything in `payload` beside its error that may be an answer."""
    for name in (_CHOICES, _DATA):
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
