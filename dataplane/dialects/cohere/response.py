"""A complete chat as the hub tells it, and the words and pieces that its streams are told in too."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from dataplane.call import Call, JsonObject
from dataplane.dialects.base import Frame
from dataplane.dialects.cohere.errors import parse_failure
from dataplane.dialects.cohere.payload import parse_answer
from dataplane.dialects.cohere.usage import hub_usage, parse_chat_usage, parse_counted_usage
from dataplane.dialects.hub import list_of, object_of, text_of
from dataplane.dialects.openai.chunks import parse_result_chunks
from dataplane.dialects.openai.content import message_bytes
from dataplane.dialects.openai.mending import encode, tool_call
from dataplane.errors import UpstreamError, UpstreamErrorKind

REASONING_JOINT: Final = "\n"
"""What stands between two pieces of reasoning, which Cohere keeps apart and the hub does not."""
_FAILED: Final = ("ERROR", "TIMEOUT")
_FINISH: Mapping[str, str] = MappingProxyType(
    {
        "COMPLETE": "stop",
        "STOP_SEQUENCE": "stop",
        "MAX_TOKENS": "length",
        "ERROR_LIMIT": "length",
        "TOOL_CALL": "tool_calls",
        "ERROR_TOXIC": "content_filter",
    }
)
_TEXT_CITATION: Final = "TEXT_CONTENT"


def parse_chat(call: Call, body: bytes) -> Frame:
    """A complete answer as one frame. Raises UpstreamError when `body` is none, or one that failed."""
    answer, frame = _parse(call, body)
    frame.data = encode(answer)
    return frame


def parse_chat_chunks(call: Call, body: bytes) -> list[Frame]:
    """A complete answer as the frames of a stream. Raises UpstreamError as parse_chat does."""
    answer, whole = _parse(call, body)
    frames = parse_result_chunks(encode(answer))
    frames[0].text_bytes = whole.text_bytes
    for frame in frames:
        frame.model = ""
        if frame.is_usage_only:
            frame.usage = whole.usage
    return frames


def envelope(call: Call, answer_id: Any, kind: str) -> JsonObject:
    """What every answer and every chunk begins with; Cohere tells no model, so it is the one that was asked for."""
    told = text_of(answer_id) or call.request_id
    return {"id": f"chatcmpl-{told}", "object": kind, "created": call.start_time_us // 1_000_000, "model": call.model}


def finish_reason(told: Any, fields: JsonObject, has_calls: bool) -> str:
    """The hub's word for why an answer ended. Raises UpstreamError when it failed, as `fields` tell."""
    reason = text_of(told).upper()
    if reason in _FAILED or text_of(fields.get("error")):
        raise parse_failure(fields, reason or "ERROR")
    word = _FINISH.get(reason, "stop")
    return "tool_calls" if word == "stop" and has_calls else word


def hub_call(call: Call, told: Any, ids: set[str]) -> JsonObject:
    """One call of a tool, with arguments as they were told; its id is then one of `ids`, and no other one's."""
    fields = object_of(told)
    function = object_of(fields.get("function"))
    name, arguments = text_of(function.get("name")), text_of(function.get("arguments"))
    return tool_call(call, text_of(fields.get("id")), name, arguments, ids)


def hub_logprobs(items: list[Any]) -> JsonObject | None:
    """Log probabilities by pieces of text, each the sum of its tokens'; None where there are none."""
    content = []
    for item in items:
        fields = object_of(item)
        told = [value for value in list_of(fields.get("logprobs")) if isinstance(value, int | float)]
        if told:
            text = text_of(fields.get("text"))
            piece = {"token": text, "logprob": sum(told), "bytes": list(text.encode()), "top_logprobs": []}
            content.append(piece)
    return {"content": content, "refusal": None} if content else None


def hub_annotations(citation: Any, offset: int) -> list[JsonObject]:
    """The pages that a citation of the answer's text names, at its place in the text; `offset` is its block's."""
    fields = object_of(citation)
    start, end = fields.get("start"), fields.get("end")
    if fields.get("type", _TEXT_CITATION) != _TEXT_CITATION or type(start) is not int or type(end) is not int:
        return []
    pages = (_page(object_of(source)) for source in list_of(fields.get("sources")))
    return [
        {
            "type": "url_citation",
            "url_citation": {"start_index": offset + start, "end_index": offset + end, "url": url, "title": title},
        }
        for url, title in pages
        if url
    ]


def _page(source: JsonObject) -> tuple[str, str]:
    """Address and title of what a citation rests on; "" where it is no page."""
    document = object_of(source.get("document")) or object_of(source.get("tool_output"))
    url = text_of(document.get("url")) or text_of(source.get("id"))
    return (url if url.startswith(("https://", "http://")) else ""), text_of(document.get("title"))


def _parse(call: Call, body: bytes) -> tuple[JsonObject, Frame]:
    """The answer in the hub's form, and the frame that it belongs in, still without data.

    Raises UpstreamError as parse_chat does; of an answer that failed, it tells the usage.
    """
    payload = parse_answer(body)
    told = payload.get("message")
    if not isinstance(told, dict):
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer holds no message.")
    message = _message(call, told)
    usage = parse_chat_usage(payload.get("usage"))
    try:
        reason = finish_reason(payload.get("finish_reason"), payload, "tool_calls" in message)
    except UpstreamError as error:
        error.usage = usage
        raise
    frame = Frame(b"", usage=usage, text_bytes=message_bytes(message))
    choice: JsonObject = {
        "index": 0,
        "message": message | _cited(told),
        "finish_reason": reason,
        "logprobs": hub_logprobs(list_of(payload.get("logprobs"))),
    }
    answer = envelope(call, payload.get("id"), "chat.completion")
    return answer | {"choices": [choice], "usage": hub_usage(parse_counted_usage(payload.get("usage")))}, frame


def _message(call: Call, told: JsonObject) -> JsonObject:
    """Role, text, reasoning and calls of a message."""
    text = "".join(_texts(told.get("content")))
    ids: set[str] = set()
    calls = [hub_call(call, item, ids) for item in list_of(told.get("tool_calls"))]
    for item in calls:
        item["function"]["arguments"] = item["function"]["arguments"] or "{}"
    message: JsonObject = {"role": "assistant", "content": text if text or not calls else None, "refusal": None}
    thoughts = [text_of(object_of(block).get("thinking")) for block in list_of(told.get("content"))]
    reasoning = REASONING_JOINT.join(part for part in (*thoughts, text_of(told.get("tool_plan"))) if part)
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = calls
    return message


def _texts(content: Any) -> Iterator[str]:
    """The text of each block, "" for one that is none."""
    for block in [{"text": content}] if isinstance(content, str) else list_of(content):
        yield text_of(object_of(block).get("text"))


def _cited(told: JsonObject) -> JsonObject:
    """What the answer rests on: Cohere's own citations, and pages among them as OpenAI annotates them."""
    citations = list_of(told.get("citations"))
    if not citations:
        return {}
    texts = list(_texts(told.get("content")))
    annotations = []
    for citation in citations:
        block = object_of(citation).get("content_index")
        offset = sum(map(len, texts[:block])) if type(block) is int and block > 0 else 0
        annotations += hub_annotations(citation, offset)
    return {"annotations": annotations, "citations": citations}
