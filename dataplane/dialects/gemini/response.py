"""A complete answer: of one response, or of a list of them, in OpenAI's format."""

from typing import Any

import orjson

from dataplane.call import Call, JsonObject
from dataplane.dialects.base import Frame
from dataplane.dialects.gemini.candidates import AnswerReader, Piece
from dataplane.dialects.gemini.errors import parse_answers
from dataplane.dialects.gemini.fields import index_at
from dataplane.dialects.gemini.sound import join_sound
from dataplane.dialects.gemini.usage import render_usage
from dataplane.dialects.openai.content import text_bytes
from dataplane.errors import UpstreamError, UpstreamErrorKind
from tollway.kernel.usage import NO_USAGE


def parse_completion(call: Call, body: bytes) -> Frame:
    """The answer as one frame. Raises UpstreamError when it is not one, or an error under a good status."""
    answer = AnswerReader(call)
    choices: dict[int, JsonObject] = {}
    pieces = [piece for response in parse_answers(body) for piece in answer.read(response)]
    pieces += answer.close(is_complete=True)
    for piece in pieces:
        _fold(piece, choices.setdefault(piece.choice, _choice(piece.choice)))
    completion = answer.envelope | {
        "object": "chat.completion",
        "choices": [_settled(choices[index]) for index in sorted(choices)],
    }
    if answer.tokens is not None:
        completion["usage"] = render_usage(answer.tokens)
    return Frame(
        orjson.dumps(completion),
        model=answer.model,
        usage=answer.usage,
        text_bytes=sum(delta_bytes(choice["message"]) for choice in choices.values()),
        service_tier=answer.service_tier,
    )


def parse_count(body: bytes) -> Frame:
    """The answer to how many tokens a call has. Raises UpstreamError when it is not one."""
    (answer, *_) = parse_answers(body)
    counted = index_at(answer, "totalTokens", -1)
    if counted < 0:
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's answer holds no count of tokens.")
    return Frame(orjson.dumps({"input_tokens": counted}), usage=NO_USAGE)


def delta_bytes(delta: JsonObject) -> int:
    """UTF-8 bytes of what was generated as text: content, reasoning, and calls."""
    size = text_bytes(delta.get("content")) + text_bytes(delta.get("reasoning_content"))
    for call in delta.get("tool_calls", ()):
        size += text_bytes(call["function"]["name"]) + text_bytes(call["function"]["arguments"])
    return size


def _choice(index: int) -> JsonObject:
    return {"index": index, "message": {"role": "assistant", "content": None}, "logprobs": None, "finish_reason": None}


def _fold(piece: Piece, choice: JsonObject) -> None:
    """Adds `piece` to `choice`: text to text, and items to lists."""
    message: JsonObject = choice["message"]
    for name, value in piece.delta.items():
        before: Any = message.get(name)
        if name == "audio":
            message[name] = join_sound(before, value)
        else:
            message[name] = value if before is None else before + value
    if piece.logprobs is not None:
        before = choice["logprobs"]
        content = piece.logprobs["content"] if before is None else before["content"] + piece.logprobs["content"]
        choice["logprobs"] = piece.logprobs | {"content": content}
    if piece.finish:
        choice["finish_reason"] = piece.finish


def _settled(choice: JsonObject) -> JsonObject:
    """`choice` as a complete answer has it: calls without numbers, and content unless calls stand in for it."""
    message: JsonObject = choice["message"]
    if "tool_calls" in message:
        calls = [{name: value for name, value in call.items() if name != "index"} for call in message["tool_calls"]]
        return choice | {"message": message | {"tool_calls": calls}}
    return choice | {"message": message | {"content": message["content"] or ""}}
