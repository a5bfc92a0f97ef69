"""OpenAI's answer formats: whole bodies, and the events of a stream."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from tollctl.sim.answers import Choice
from tollctl.sim.asks import Ask

DONE = b"data: [DONE]\n\n"
_CREATED = 1_735_689_600
_FINGERPRINT = "fp_sim"


@dataclass(frozen=True, slots=True)
class Event:
    """Bytes of one server-sent event, and how many words of the answer they carry."""

    data: bytes
    words: int = 0


class ChatFormat:
    """/v1/chat/completions."""

    def render_body(self, ask: Ask, call_id: str, choices: Sequence[Choice]) -> bytes:
        body = {
            "id": f"chatcmpl-{call_id}",
            "object": "chat.completion",
            "created": _CREATED,
            "model": ask.model.name,
            "choices": [
                {
                    "index": index,
                    "message": self._render_message(choice, call_id, index),
                    "logprobs": None,
                    "finish_reason": choice.finish_reason,
                }
                for index, choice in enumerate(choices)
            ],
            "service_tier": "default",
            "system_fingerprint": _FINGERPRINT,
        }
        return orjson.dumps(body | _render_usage_field(ask, choices) | _render_unknown(ask.unknown))

    def render_events(self, ask: Ask, call_id: str, choices: Sequence[Choice]) -> Iterator[Event]:
        """Everything up to [DONE]."""
        frame = _Frame(f"chatcmpl-{call_id}", "chat.completion.chunk", ask)
        for index, choice in enumerate(choices):
            opening: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None}
            if choice.tool_name:
                opening |= {"content": None, "tool_calls": [_render_call(choice.tool_name, call_id, index, "")]}
            yield Event(frame.render_delta(index, opening, _render_unknown(ask.unknown)), len(choice.tool_name.split()))
            yield from self._render_pieces(frame, index, choice)
            yield Event(
                frame.render(
                    b'{"index":%d,"delta":{},"logprobs":null,"finish_reason":"%b"}'
                    % (index, choice.finish_reason.encode())
                )
            )
        if ask.include_usage:
            yield Event(frame.render_usage(render_usage(ask, choices)))

    def _render_pieces(self, frame: "_Frame", index: int, choice: Choice) -> Iterator[Event]:
        before, after = b'{"index":%d,"delta":{"content":' % index, b'},"logprobs":null,"finish_reason":null}'
        if choice.tool_name:
            before += b'null,"tool_calls":[{"index":0,"function":{"arguments":'
            before, after = before.replace(b'"content":null,', b""), b"}}]" + after
        for piece in choice.pieces:
            yield Event(frame.render(before + orjson.dumps(piece) + after), 1)

    def _render_message(self, choice: Choice, call_id: str, index: int) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None, "annotations": []}
        if choice.tool_name:
            call = _render_call(choice.tool_name, call_id, index, choice.text)
            del call["index"]
            message |= {"content": None, "tool_calls": [call]}
        return message


class TextFormat:
    """/v1/completions."""

    def render_body(self, ask: Ask, call_id: str, choices: Sequence[Choice]) -> bytes:
        body = {
            "id": f"cmpl-{call_id}",
            "object": "text_completion",
            "created": _CREATED,
            "model": ask.model.name,
            "choices": [
                {"text": choice.text, "index": index, "logprobs": None, "finish_reason": choice.finish_reason}
                for index, choice in enumerate(choices)
            ],
            "system_fingerprint": _FINGERPRINT,
        }
        return orjson.dumps(body | _render_usage_field(ask, choices) | _render_unknown(ask.unknown))

    def render_events(self, ask: Ask, call_id: str, choices: Sequence[Choice]) -> Iterator[Event]:
        """Everything up to [DONE]."""
        frame = _Frame(f"cmpl-{call_id}", "text_completion", ask)
        for index, choice in enumerate(choices):
            after = b',"index":%d,"logprobs":null,"finish_reason":null}' % index
            for piece in choice.pieces:
                yield Event(frame.render(b'{"text":' + orjson.dumps(piece) + after), 1)
            last = {"text": "", "index": index, "logprobs": None, "finish_reason": choice.finish_reason}
            yield Event(frame.render(orjson.dumps(last)))
        if ask.include_usage:
            yield Event(frame.render_usage(render_usage(ask, choices)))


class _Frame:
    """What all events of one stream have in common."""

    def __init__(self, answer_id: str, kind: str, ask: Ask) -> None:
        head = {
            "id": answer_id,
            "object": kind,
            "created": _CREATED,
            "model": ask.model.name,
            "system_fingerprint": _FINGERPRINT,
        }
        self._head = b"data: " + orjson.dumps(head)[:-1] + b',"choices":['
        self._tail = b'],"usage":null}\n\n' if ask.include_usage else b"]}\n\n"

    def render(self, choice: bytes) -> bytes:
        return self._head + choice + self._tail

    def render_delta(self, index: int, delta: Mapping[str, Any], extra: Mapping[str, Any]) -> bytes:
        choice = orjson.dumps({"index": index, "delta": delta, "logprobs": None, "finish_reason": None})
        more = b"]," + orjson.dumps(extra)[1:-1] + self._tail[1:] if extra else self._tail
        return self._head + choice + more

    def render_usage(self, usage: Mapping[str, Any]) -> bytes:
        return self._head + b'],"usage":' + orjson.dumps(usage) + b"}\n\n"


def render_usage(ask: Ask, choices: Sequence[Choice]) -> dict[str, Any]:
    output = sum(choice.tokens for choice in choices)
    return {
        "prompt_tokens": ask.input_tokens,
        "completion_tokens": output,
        "total_tokens": ask.input_tokens + output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _render_usage_field(ask: Ask, choices: Sequence[Choice]) -> dict[str, Any]:
    return {"usage": render_usage(ask, choices)} if ask.model.reports_usage else {}


def _render_call(name: str, call_id: str, index: int, arguments: str) -> dict[str, Any]:
    return {
        "index": 0,
        "id": f"call_{call_id}_{index}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _render_unknown(unknown: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that OpenAI does not know come back under `sim_unknown_fields`, so that a client sees they arrived."""
    return {"sim_unknown_fields": dict(unknown)} if unknown else {}
