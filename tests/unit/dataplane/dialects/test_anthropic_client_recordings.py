"""Recorded answers of OpenAI-format providers as Anthropic's clients get them, and recorded Messages requests."""

import json
from typing import Any

import pytest

from dataplane.call import Endpoint
from dataplane.dialects.anthropic.client import AnthropicFormat
from dataplane.dialects.base import Frame, SseEvent
from dataplane.dialects.openai import OpenAIDialect
from dataplane.errors import InvalidRequest, UpstreamError
from dataplane.upstream.sse import SseDecoder
from tests.fakes.outcomes import make_call
from tests.golden.recordings import Recording, read_recordings
from tests.unit.dataplane.dialects.test_anthropic_client_stream import events, folded, input_of

FORMAT, HUB = AnthropicFormat(), OpenAIDialect()
CALL = make_call(endpoint=Endpoint("messages", "/v1/messages", "chat", True, "anthropic"), stream=True)
CHATS = [recording for recording in read_recordings() if recording.api.endswith("chat") and recording.status == 200]
REQUESTS = [recording for recording in read_recordings("anthropic") if recording.request and recording.status == 200]
STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


def identity(recording: Recording) -> str:
    return recording.id


def payloads(recording: Recording) -> list[dict[str, Any]]:
    """The chunks of a recorded stream."""
    lines = [line.removeprefix("data:").strip() for line in recording.body.decode().splitlines() if line[:5] == "data:"]
    found = [json.loads(line) for line in lines if line and not line.startswith("[DONE]")]
    return [payload for payload in found if isinstance(payload, dict)]


def messages(recording: Recording) -> tuple[list[dict[str, Any]], str]:
    """The message, or the deltas of it, of a recording's first answer, and why that ended."""
    found, finish = [], ""
    for payload in payloads(recording) if recording.is_stream else [json.loads(recording.body)]:
        for choice in payload.get("choices") or ():
            if (choice.get("index") or 0) == 0:
                found.append(choice.get("delta" if recording.is_stream else "message") or {})
                finish = choice.get("finish_reason") or finish
    return found, finish


def text_of(content: Any, kind: str) -> str:
    """All of a kind of text in a message's content: a string, parts, or an object that was asked for."""
    if isinstance(content, dict) and kind == "text":
        return json.dumps(content, separators=(",", ":"))
    if isinstance(content, list):
        return "".join(text_of(part[kind], "text") for part in content if kind in part)
    return (content or "") if kind == "text" else ""


def calls_of(deltas: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """Name and arguments of the tool calls; those that say no number have one each."""
    calls: dict[Any, list[str]] = {}
    for delta in deltas:
        for at, call in enumerate(delta.get("tool_calls") or ()):
            name, arguments = calls.setdefault(call.get("index", at), ["", ""])
            function = call["function"]
            calls[call.get("index", at)] = [name or function.get("name"), arguments + (function.get("arguments") or "")]
    return [(name, input_of(arguments) if arguments.strip() else {}) for name, arguments in calls.values()]


def rendered(recording: Recording) -> tuple[dict[str, Any], list[Frame]]:
    if not recording.is_stream:
        frame = HUB.parse_result(CALL, recording.body)
        return json.loads(FORMAT.render_result(CALL, frame)), [frame]
    parser, renderer, decoder = HUB.stream_parser(CALL), FORMAT.stream_renderer(CALL), SseDecoder()
    told: list[SseEvent] = [*decoder.feed(recording.body), *decoder.finish()]
    frames = [frame for event in told for frame in parser.feed(event)]
    written = b"".join([renderer.feed(frame) for frame in frames]) + renderer.finish()
    return folded(events(written)), frames


@pytest.mark.parametrize("recording", CHATS, ids=identity)
def test_recorded_answer_is_a_message(recording: Recording) -> None:
    try:
        message, frames = rendered(recording)
    except UpstreamError:
        assert b'"error"' in recording.body
        return
    deltas, finish = messages(recording)
    content = message["content"]
    text = "".join(text_of(delta.get("content"), "text") + (delta.get("refusal") or "") for delta in deltas)
    reasoning = "".join(
        (delta.get("reasoning_content") or delta.get("reasoning") or "") + text_of(delta.get("content"), "thinking")
        for delta in deltas
    )
    assert "".join(block["text"] for block in content if block["type"] == "text").strip() == text.strip()
    assert "".join(block["thinking"] for block in content if block["type"] == "thinking") == reasoning
    uses = [block for block in content if block["type"] == "tool_use"]
    assert [(block["name"], block["input"]) for block in uses] == calls_of(deltas)
    assert len({block["id"] for block in uses}) == len(uses)
    stop = "refusal" if any(delta.get("refusal") for delta in deltas) else STOPS.get(finish, "end_turn")
    assert message["stop_reason"] == ("tool_use" if uses and stop == "end_turn" else stop)
    assert message["id"].startswith("msg_") and message["model"]
    used = message["usage"]
    for frame in [frame for frame in frames if frame.usage is not None][-1:]:
        assert frame.usage is not None
        assert used["output_tokens"] == frame.usage.output_tokens
        cached = used["cache_read_input_tokens"] + used["cache_creation_input_tokens"]
        told = json.loads(frame.data).get("usage") or {"prompt_tokens": frame.usage.input_tokens}
        assert used["input_tokens"] + cached == told["prompt_tokens"]


PLAIN = {"text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking"}


def kinds_of(content: Any) -> set[str]:
    """The types of the blocks in content, and in tools' results in it."""
    blocks = content if isinstance(content, list) else []
    inner = [kind for block in blocks if block["type"] == "tool_result" for kind in kinds_of(block.get("content"))]
    return {*(block["type"] for block in blocks), *inner}


@pytest.mark.parametrize("recording", REQUESTS, ids=identity)
def test_recorded_request_has_a_hub_form_unless_it_holds_what_is_anthropics_own(recording: Recording) -> None:
    body = recording.request or {}
    count = recording.api.endswith("count_tokens")
    endpoint = Endpoint("count_tokens" if count else "messages", "/v1/messages", "chat", not count, "anthropic")
    tools = body.get("tools") or ()
    kinds = {kind for message in body["messages"] for kind in kinds_of(message["content"])}
    is_own = bool(kinds - PLAIN) or any(tool.get("type", "custom") != "custom" for tool in tools)
    try:
        hub = FORMAT.parse_request(make_call(endpoint=endpoint, body=body)).body
    except InvalidRequest as error:
        assert (error.error_code, is_own) == ("unsupported_content", True)
        return
    assert not is_own
    assert [tool["function"]["name"] for tool in hub.get("tools", ())] == [tool["name"] for tool in tools]
    uses = [call["id"] for message in hub["messages"] for call in message.get("tool_calls", ())]
    results = [message["tool_call_id"] for message in hub["messages"] if message["role"] == "tool"]
    assert set(results) <= set(uses)
