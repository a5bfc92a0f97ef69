"""Every recorded answer of the Messages API parses, and streams parse alike however their bytes are split."""

import json
from dataclasses import replace
from typing import Any

import pytest

from dataplane.call import Endpoint
from dataplane.dialects.anthropic import AnthropicDialect
from dataplane.dialects.base import Frame
from dataplane.errors import UpstreamError
from dataplane.upstream.sse import SseDecoder
from tests.fakes.outcomes import CHAT, make_call
from tests.golden.recordings import Recording, read_recordings
from tollway.kernel.usage import NO_USAGE

DIALECT = AnthropicDialect()
HUB = make_call(endpoint=CHAT)
NATIVE = make_call(endpoint=Endpoint("messages", "/v1/messages", "chat", True, format="anthropic"))
RECORDINGS = read_recordings("anthropic")
COUNTS = [r for r in RECORDINGS if r.api == "anthropic.count_tokens"]
GOOD = [r for r in RECORDINGS if r.status == 200 and r not in COUNTS]
STREAMS = [r for r in GOOD if r.is_stream]
RESULTS = [r for r in GOOD if not r.is_stream]
ERRORS = [r for r in RECORDINGS if r.status >= 400]
KINDS = {400: "invalid", 401: "auth", 404: "invalid"}
BYTE_BY_BYTE = {"anthropic-messages-82908a9d2f43", "anthropic-messages-fd2b648cf037", "anthropic-messages-f99ac77cc21d"}


def parse_stream(pieces: list[bytes], call: Any = HUB) -> list[Frame]:
    decoder, parser = SseDecoder(), DIALECT.stream_parser(call)
    frames: list[Frame] = []
    for piece in pieces:
        for event in decoder.feed(piece):
            frames += parser.feed(event)
    for event in decoder.finish():
        frames += parser.feed(event)
    return [*frames, *parser.finish()]


def split(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


def events_of(recording: Recording) -> list[dict[str, Any]]:
    """The events of a stream up to its end; one recording holds a second stream after that."""
    lines = recording.body.decode().replace("\r\n", "\n").split("\n")
    data = [line.removeprefix("data:").strip() for line in lines if line.startswith("data:")]
    events = [json.loads(text) for text in data if text != "[DONE]"]
    return events[: 1 + [event["type"] for event in events].index("message_stop")]


def message_of(recording: Recording) -> dict[str, Any]:
    """The whole message that a recorded stream adds up to, as Anthropic's own clients would have it."""
    message: dict[str, Any] = {}
    inputs: dict[int, str] = {}
    for event in events_of(recording):
        match event["type"]:
            case "message_start":
                message = {**event["message"], "content": []}
            case "content_block_start":
                message["content"].append(dict(event["content_block"]))
            case "content_block_delta":
                block, delta = message["content"][event["index"]], event["delta"]
                if delta["type"] == "input_json_delta":
                    inputs[event["index"]] = inputs.get(event["index"], "") + delta["partial_json"]
                for name in ("text", "thinking", "signature"):
                    if name in delta:
                        block[name] = block.get(name, "") + delta[name]
            case "message_delta":
                message |= event["delta"]
                said = {name: value for name, value in event["usage"].items() if value is not None}
                message["usage"] = {**message["usage"], **said}
    for index, text in inputs.items():
        message["content"][index]["input"] = json.loads(text or "{}")
    return message


def folded(frames: list[Frame]) -> dict[str, Any]:
    """The complete answer that chunks add up to, as OpenAI's clients fold them."""
    chunks = [json.loads(frame.data) for frame in frames if frame.data]
    answer: dict[str, Any] = {"content": "", "refusal": None, "reasoning": "", "details": [], "notes": [], "calls": []}
    for chunk in chunks:
        assert (chunk["object"], chunk["id"], chunk["model"]) == (
            "chat.completion.chunk",
            chunks[0]["id"],
            chunks[0]["model"],
        )
        for choice in chunk["choices"]:
            delta = choice["delta"]
            answer["content"] += delta.get("content") or ""
            answer["refusal"] = delta.get("refusal") or answer["refusal"]
            answer["reasoning"] += delta.get("reasoning_content") or ""
            answer["details"] += delta.get("reasoning_details") or []
            answer["notes"] += delta.get("annotations") or []
            for call in delta.get("tool_calls") or []:
                if "id" in call:
                    assert call["index"] == len(answer["calls"])
                    answer["calls"].append({"id": call["id"], "name": call["function"]["name"], "arguments": ""})
                answer["calls"][call["index"]]["arguments"] += call["function"]["arguments"]
            answer["finish"] = choice["finish_reason"]
    for call in answer["calls"]:
        call["arguments"] = json.loads(call["arguments"])
    return answer | {"usage": chunks[-1]["usage"], "id": chunks[0]["id"], "model": chunks[0]["model"]}


def whole(frame: Frame) -> dict[str, Any]:
    answer = json.loads(frame.data)
    message, finish = answer["choices"][0]["message"], answer["choices"][0]["finish_reason"]
    assert (answer["object"], message["role"]) == ("chat.completion", "assistant")
    calls = [
        {
            "id": c["id"],
            "name": c["function"]["name"],
            "arguments": json.loads(c["function"]["arguments"]),
        }
        for c in message.get("tool_calls", [])
    ]
    return {
        "content": message["content"] or "",
        "refusal": message["refusal"],
        "reasoning": message.get("reasoning_content", ""),
        "details": message.get("reasoning_details", []),
        "notes": message.get("annotations", []),
        "calls": calls,
        "finish": finish,
        "usage": answer["usage"],
        "id": answer["id"],
        "model": answer["model"],
    }


def expected(message: dict[str, Any]) -> dict[str, Any]:
    """What the answer must say, computed from the provider's message."""
    blocks, usage = message["content"], message["usage"]
    calls = [{"id": b["id"], "name": b["name"], "arguments": b["input"]} for b in blocks if b["type"] == "tool_use"]
    finishes = {"max_tokens": "length", "refusal": "content_filter", "tool_use": "tool_calls"}
    prompt = sum(
        usage.get(name) or 0 for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    )
    details: list[dict[str, Any]] = []
    for block in blocks:
        common = {"format": "anthropic-claude-v1", "index": len(details)}
        if block["type"] == "thinking":
            said = {"text": block["thinking"], "signature": block["signature"]}
            details.append({"type": "reasoning.text", **said, **common})
        elif block["type"] == "redacted_thinking":
            details.append({"type": "reasoning.encrypted", "data": block["data"], **common})
    return {
        "content": "".join(b["text"] for b in blocks if b["type"] == "text"),
        "refusal": (message.get("stop_details") or {}).get("explanation"),
        "reasoning": "".join(b["thinking"] for b in blocks if b["type"] == "thinking"),
        "details": details,
        "calls": calls,
        "finish": finishes.get(message["stop_reason"], "stop"),
        "id": f"chatcmpl-{message['id']}",
        "model": message["model"],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": usage["output_tokens"],
            "total_tokens": prompt + usage["output_tokens"],
            "prompt_tokens_details": {
                "cached_tokens": usage.get("cache_read_input_tokens") or 0,
                "cache_write_tokens": usage.get("cache_creation_input_tokens") or 0,
            },
            "completion_tokens_details": {
                "reasoning_tokens": (usage.get("output_tokens_details") or {}).get("thinking_tokens", 0)
            },
        },
    }


def check_usage(frame: Frame, usage: dict[str, Any]) -> None:
    assert frame.usage is not None
    split_writes = usage.get("cache_creation") or {}
    writes = usage.get("cache_creation_input_tokens") or 0
    for_1h = split_writes.get("ephemeral_1h_input_tokens", 0)
    assert frame.usage.input == usage["input_tokens"]
    assert frame.usage.cache_read == (usage.get("cache_read_input_tokens") or 0)
    assert (frame.usage.cache_write_1h, frame.usage.cache_write_5m) == (for_1h, writes - for_1h)
    assert frame.usage.output == usage["output_tokens"]
    assert frame.usage.search == (usage.get("server_tool_use") or {}).get("web_search_requests", 0)
    assert frame.service_tier == ("" if usage.get("service_tier") else None)


@pytest.mark.parametrize("recording", RESULTS, ids=lambda r: r.id)
def test_result_says_what_the_provider_said(recording: Recording) -> None:
    message = json.loads(recording.body)
    frame = DIALECT.parse_result(HUB, recording.body)
    said = whole(frame)
    del said["notes"]
    assert said == expected(message)
    check_usage(frame, message["usage"])
    assert frame.model == message["model"]
    assert frame.text_bytes >= len(said["content"].encode())


@pytest.mark.parametrize("recording", STREAMS, ids=lambda r: r.id)
def test_stream_says_what_the_provider_said(recording: Recording) -> None:
    message = message_of(recording)
    frames = parse_stream([recording.body])
    said = folded(frames)
    assert {name: said[name] for name in expected(message)} == expected(message)
    check_usage(frames[-1], message["usage"])
    assert (frames[0].is_content, frames[-1].is_usage_only) == (False, True)
    assert json.loads(frames[0].data)["choices"][0]["delta"]["role"] == "assistant"
    assert json.loads(frames[-1].data)["choices"] == []
    assert not any(b"\n" in frame.data for frame in frames)
    assert sum(frame.text_bytes for frame in frames) >= len(said["content"].encode())


@pytest.mark.parametrize("recording", STREAMS, ids=lambda r: r.id)
def test_stream_folds_to_the_answer_that_the_message_is(recording: Recording) -> None:
    message = message_of(recording)
    assert folded(parse_stream([recording.body])) == whole(DIALECT.parse_result(HUB, json.dumps(message).encode()))


@pytest.mark.parametrize("recording", RESULTS, ids=lambda r: r.id)
def test_result_told_as_a_stream_folds_to_itself(recording: Recording) -> None:
    frame, frames = DIALECT.parse_result(HUB, recording.body), DIALECT.parse_result_chunks(HUB, recording.body)
    assert folded(frames) == whole(frame)
    assert frames[-1].usage == frame.usage


@pytest.mark.parametrize("call", [HUB, NATIVE], ids=["hub", "native"])
@pytest.mark.parametrize("recording", STREAMS, ids=lambda r: r.id)
def test_stream_parses_alike_however_it_is_split(recording: Recording, call: Any) -> None:
    parsed = parse_stream([recording.body], call)
    sizes = (7, 1) if recording.id in BYTE_BY_BYTE else (7,)
    for size in sizes:
        assert parse_stream(split(recording.body, size), call) == parsed


@pytest.mark.parametrize("recording", STREAMS, ids=lambda r: r.id)
def test_stream_that_is_cut_has_no_finish(recording: Recording) -> None:
    cut = recording.body.index(b"event: message_stop")
    decoder, parser = SseDecoder(), DIALECT.stream_parser(HUB)
    frames = [frame for event in decoder.feed(recording.body[:cut]) for frame in parser.feed(event)]
    chunks = [json.loads(frame.data) for frame in frames if frame.data]
    assert all(choice["finish_reason"] is None for chunk in chunks for choice in chunk["choices"])
    with pytest.raises(UpstreamError) as caught:
        list(parser.finish())
    assert caught.value.kind.value == "protocol"


@pytest.mark.parametrize("recording", STREAMS, ids=lambda r: r.id)
def test_native_stream_passes_every_event(recording: Recording) -> None:
    frames = parse_stream([recording.body], NATIVE)
    assert [json.loads(frame.data) for frame in frames] == events_of(recording)
    assert [frame.event for frame in frames] == [event["type"] for event in events_of(recording)]
    assert {frame.format for frame in frames} == {"anthropic"}
    assert [frame.event for frame in frames if frame.is_usage_only] == ["message_delta"]
    usages = [frame.usage for frame in frames if frame.usage is not None]
    assert usages[-1] == parse_stream([recording.body])[-1].usage


@pytest.mark.parametrize("recording", RESULTS, ids=lambda r: r.id)
def test_native_result_passes_as_it_came(recording: Recording) -> None:
    frame, translated = DIALECT.parse_result(NATIVE, recording.body), DIALECT.parse_result(HUB, recording.body)
    assert (frame.data, frame.format) == (recording.body, "anthropic")
    assert frame == replace(translated, data=recording.body, format="anthropic")


@pytest.mark.parametrize("recording", COUNTS, ids=lambda r: r.id)
def test_count_of_tokens_passes(recording: Recording) -> None:
    counted = json.loads(recording.body)["input_tokens"]
    hub = make_call(endpoint=Endpoint("count_tokens", "/v1/messages/count_tokens", "chat", False))
    frame = DIALECT.parse_result(hub, recording.body)
    assert (json.loads(frame.data), frame.usage) == ({"input_tokens": counted}, NO_USAGE)
    native = make_call(endpoint=replace(hub.endpoint, format="anthropic"))
    assert DIALECT.parse_result(native, recording.body).data == recording.body


@pytest.mark.parametrize("recording", ERRORS, ids=lambda r: r.id)
def test_error_keeps_the_providers_words(recording: Recording) -> None:
    error = DIALECT.parse_error(recording.status, recording.headers, recording.body)
    said = json.loads(recording.body)["error"]
    assert (error.status, error.kind.value) == (recording.status, KINDS[recording.status])
    assert (error.message, error.type) == (said["message"], said["type"])
    assert error.code == ("model_not_found" if recording.status == 404 else None)
