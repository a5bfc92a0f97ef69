"""Every recorded answer of Bedrock in scope parses to what it says, and streams do however their bytes are split.

What is expected is worked out here, from the raw recording, by other means than the dialect's.
"""

import json
import struct
from collections import Counter
from typing import Any

import pytest

from dataplane.call import Call, Endpoint
from dataplane.dialects.base import Frame
from dataplane.dialects.bedrock import BedrockDialect
from dataplane.errors import UpstreamErrorKind
from dataplane.upstream.eventstream import EventStreamDecoder
from tests.fakes.outcomes import make_call
from tests.golden.recordings import Recording, read_recordings

DIALECT = BedrockDialect()
RECORDINGS = read_recordings("bedrock")
ERRORS = [r for r in RECORDINGS if r.status >= 400]
RESULTS = [r for r in RECORDINGS if r.api == "bedrock.converse" and r.status == 200]
STREAMS = [r for r in RECORDINGS if r.api == "bedrock.converse_stream" and r.status == 200]
COUNTS = [r for r in RECORDINGS if r.api == "bedrock.count_tokens" and r.status == 200]
OUT_OF_SCOPE = {
    "bedrock.invoke": "bodies of each vendor's own; of InvokeModel only the embeddings of Titan and Cohere are spoken",
    "bedrock.invoke_stream": "chunks of each vendor's own; streams go through ConverseStream",
}
COUNT_TOKENS = Endpoint("count_tokens", "/v1/messages/count_tokens", "count_tokens", False)
FINISH = {
    "end_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "guardrail_intervened": "content_filter",
}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "CityInfo", "schema": {"type": "object"}}}


def call_of(recording: Recording) -> Call:
    """The call that the recorded request could have been made for, as far as answers depend on it."""
    asks_json = "outputConfig" in (recording.request or {})
    return make_call(body={"response_format": SCHEMA} if asks_json else {}, stream=recording.is_stream)


def raw_events(stream: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Names and payloads of a sound stream's events."""
    events, at = [], 0
    while at < len(stream):
        size, headers_size = struct.unpack_from(">II", stream, at)
        headers = stream[at + 12 : at + 12 + headers_size]
        start = headers.index(b":event-type\x07") + len(b":event-type\x07")
        (length,) = struct.unpack_from(">H", headers, start)
        name = headers[start + 2 : start + 2 + length].decode()
        events.append((name, json.loads(stream[at + 12 + headers_size : at + size - 4])))
        at += size
    return events


def whole_body(stream: bytes) -> dict[str, Any]:
    """The answer of Converse that would have said what `stream` says."""
    blocks: dict[int, dict[str, Any]] = {}
    body: dict[str, Any] = {}
    for name, payload in raw_events(stream):
        block = blocks.setdefault(payload.get("contentBlockIndex", -1), {})
        delta = payload.get("delta", {})
        if name == "contentBlockStart":
            block["toolUse"] = payload["start"]["toolUse"] | {"input": ""}
        elif "text" in delta:
            block["text"] = block.get("text", "") + delta["text"]
        elif "toolUse" in delta:
            block["toolUse"]["input"] += delta["toolUse"]["input"]
        elif "redactedContent" in delta.get("reasoningContent", {}):
            block["reasoningContent"] = delta["reasoningContent"]
        elif "reasoningContent" in delta:
            told = block.setdefault("reasoningContent", {}).setdefault("reasoningText", {"text": ""})
            told["text"] += delta["reasoningContent"].get("text", "")
            told |= {key: value for key, value in delta["reasoningContent"].items() if key == "signature"}
        elif name in ("messageStop", "metadata"):
            body |= {key: value for key, value in payload.items() if key != "p"}
    content = [block for index, block in sorted(blocks.items()) if index >= 0 and block]
    for block in content:
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"])
    return body | {"output": {"message": {"role": "assistant", "content": content}}}


def parse_stream(call: Call, pieces: list[bytes]) -> list[Frame]:
    decoder, parser = EventStreamDecoder(), DIALECT.stream_parser(call)
    frames: list[Frame] = []
    for piece in pieces:
        for event in decoder.feed(piece):
            assert not parser.is_over
            frames += parser.feed(event)
    assert decoder.finish() == []
    assert parser.is_over
    return [*frames, *parser.finish()]


def folded(frames: list[Frame]) -> dict[str, Any]:
    """The complete answer that a stream's chunks add up to."""
    message: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None}
    answer: dict[str, Any] = {}
    choice: dict[str, Any] = {}
    for chunk in (json.loads(frame.data) for frame in frames):
        answer |= chunk
        for choice in chunk["choices"]:
            delta = choice["delta"]
            for name in ("content", "reasoning_content"):
                if delta.get(name):
                    message[name] = message.get(name, "") + delta[name]
            for detail in delta.get("reasoning_details", ()):
                message.setdefault("reasoning_details", []).append(detail)
            for piece in delta.get("tool_calls", ()):
                calls = message.setdefault("tool_calls", [])
                if piece["index"] == len(calls):
                    calls.append({"id": piece["id"], "type": piece["type"], "function": {"name": "", "arguments": ""}})
                for name, text in piece["function"].items():
                    calls[piece["index"]]["function"][name] += text
    if "tool_calls" in message and not message["content"]:
        message["content"] = None
    return answer | {"object": "chat.completion", "choices": [choice | {"message": message}]}


def is_unused(body: dict[str, Any]) -> bool:
    """Whether a guardrail answered, and no model was asked."""
    usage = body.get("usage") or {}
    return body.get("stopReason") == "guardrail_intervened" and not (usage["inputTokens"] or usage["outputTokens"])


def check_answer(answer: dict[str, Any], body: dict[str, Any]) -> None:
    """Compares the hub's answer with the body of Converse that it stands for."""
    blocks = body["output"]["message"]["content"]
    (choice,) = answer["choices"]
    message = choice["message"]
    assert (message["content"] or "") == "".join(block.get("text", "") for block in blocks)
    uses = [block["toolUse"] for block in blocks if "toolUse" in block]
    calls = message.get("tool_calls", [])
    assert [call["id"] for call in calls] == [use["toolUseId"] for use in uses]
    assert [call["function"]["name"] for call in calls] == [use["name"] for use in uses]
    assert [json.loads(call["function"]["arguments"]) for call in calls] == [use["input"] for use in uses]
    told = [block["reasoningContent"] for block in blocks if "reasoningContent" in block]
    texts = [one["reasoningText"] for one in told if "reasoningText" in one]
    assert message.get("reasoning_content", "") == "".join(one["text"] for one in texts)
    signed = [(one["text"], one["signature"]) for one in texts if "signature" in one]
    details = message.get("reasoning_details", [])
    assert [(one["text"], one["signature"]) for one in details if one["type"] == "reasoning.text"] == signed
    redacted = sum("redactedContent" in one for one in told)
    assert Counter(one["type"] for one in details) == Counter(
        {"reasoning.text": len(signed), "reasoning.encrypted": redacted}
    )
    assert choice["finish_reason"] == FINISH[body["stopReason"]]


def check_usage(frame: Frame, answer: dict[str, Any], reported: dict[str, Any]) -> None:
    """Compares the meters and the hub's usage object with Converse's."""
    usage = frame.usage
    assert usage is not None
    cached, written = (reported.get(f"cache{what}InputTokens", 0) for what in ("Read", "Write"))
    assert usage.input == reported["inputTokens"]
    assert (usage.cache_read, usage.cache_write_5m + usage.cache_write_1h) == (cached, written)
    assert (usage.output, usage.reasoning) == (reported["outputTokens"], 0)
    assert usage.input_tokens + usage.output_tokens == reported["totalTokens"] == answer["usage"]["total_tokens"]
    assert answer["usage"]["prompt_tokens"] == reported["inputTokens"] + cached + written
    assert answer["usage"]["completion_tokens"] == reported["outputTokens"]
    assert answer["usage"]["prompt_tokens_details"] == {"cached_tokens": cached, "cache_write_tokens": written}


def test_every_recording_has_a_test_or_a_reason() -> None:
    tested = {r.id for r in (*ERRORS, *RESULTS, *STREAMS, *COUNTS)}
    left = Counter(r.api for r in RECORDINGS if r.id not in tested)
    assert left == {"bedrock.invoke": 9, "bedrock.invoke_stream": 6}
    assert set(left) == set(OUT_OF_SCOPE)


@pytest.mark.parametrize("recording", RESULTS, ids=lambda r: r.id)
def test_result_is_what_the_recording_says(recording: Recording) -> None:
    body = json.loads(recording.body)
    frame = DIALECT.parse_result(call_of(recording), recording.body)
    answer = json.loads(frame.data)
    assert (answer["object"], answer["model"]) == ("chat.completion", "smart")
    check_answer(answer, body)
    check_usage(frame, answer, body["usage"])
    text = answer["choices"][0]["message"]["content"] or ""
    assert frame.text_bytes == 0 if is_unused(body) else frame.text_bytes >= len(text.encode())
    assert answer.get("trace") == body.get("trace")


@pytest.mark.parametrize("recording", RESULTS, ids=lambda r: r.id)
def test_result_told_as_chunks_says_the_same(recording: Recording) -> None:
    call = call_of(recording)
    whole = DIALECT.parse_result(call, recording.body)
    frames = DIALECT.parse_result_chunks(call, recording.body)
    check_same(folded(frames), json.loads(whole.data))
    assert frames[-1].usage == whole.usage
    assert sum(frame.text_bytes for frame in frames) == whole.text_bytes


@pytest.mark.parametrize("recording", STREAMS, ids=lambda r: r.id)
def test_stream_is_what_the_recording_says(recording: Recording) -> None:
    call, body = call_of(recording), whole_body(recording.body)
    frames = parse_stream(call, [recording.body])
    check_chunks(frames)
    answer = folded(frames)
    check_answer(answer, body)
    check_usage(frames[-1], answer, body["usage"])
    whole = DIALECT.parse_result(call, json.dumps(body).encode())
    check_same(answer, json.loads(whole.data))
    assert sum(frame.text_bytes for frame in frames) == whole.text_bytes


@pytest.mark.parametrize("recording", STREAMS, ids=lambda r: r.id)
def test_stream_parses_alike_however_it_is_split(recording: Recording) -> None:
    call = call_of(recording)
    whole = parse_stream(call, [recording.body])
    for size in (1, 7) if len(recording.body) < 6000 else (7,):
        pieces = [recording.body[at : at + size] for at in range(0, len(recording.body), size)]
        assert parse_stream(call, pieces) == whole


@pytest.mark.parametrize("recording", COUNTS, ids=lambda r: r.id)
def test_count_is_what_the_recording_says(recording: Recording) -> None:
    frame = DIALECT.parse_result(make_call(endpoint=COUNT_TOKENS), recording.body)
    assert json.loads(frame.data) == {"input_tokens": json.loads(recording.body)["inputTokens"]}
    assert frame.usage is not None
    assert not frame.usage.readings()


@pytest.mark.parametrize("recording", ERRORS, ids=lambda r: r.id)
def test_error_keeps_status_and_words(recording: Recording) -> None:
    error = DIALECT.parse_error(recording.status, recording.headers, recording.body)
    assert error.status == recording.status
    assert error.message == json.loads(recording.body)["message"]
    assert error.kind is (UpstreamErrorKind.AUTH if recording.status == 403 else UpstreamErrorKind.INVALID)
    if "model identifier is invalid" in error.message:
        assert error.code == "model_not_found"


def check_chunks(frames: list[Frame]) -> None:
    """The order that every stream has: role, content, one finish, usage."""
    chunks = [json.loads(frame.data) for frame in frames]
    assert all(b"\n" not in frame.data for frame in frames)
    assert len({(chunk["id"], chunk["object"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert not frames[0].is_content
    finishes = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
    assert [finish for finish in finishes if finish] == [finishes[-1]]
    assert chunks[-1]["choices"] == []
    assert [frame.is_usage_only for frame in frames] == [False] * (len(frames) - 1) + [True]


def check_same(answer: dict[str, Any], whole: dict[str, Any]) -> None:
    """Compares a folded stream with the whole answer's form, but for the white space of arguments."""
    for one in (answer, whole):
        (choice,) = one["choices"]
        choice.pop("delta", None)
        for call in choice["message"].get("tool_calls", ()):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    assert answer == whole
