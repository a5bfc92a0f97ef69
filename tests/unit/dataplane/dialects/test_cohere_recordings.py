"""Every recorded answer of Cohere's says the same in the hub's format, however its bytes are split."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from dataplane.dialects.base import Frame
from dataplane.dialects.cohere import CohereDialect
from dataplane.errors import UpstreamError
from dataplane.ingress.openai import ENDPOINTS
from dataplane.upstream.sse import SseDecoder
from tests.fakes.outcomes import make_call
from tests.golden.conformance import judge_ledger
from tests.golden.evidence.cohere import read_cohere_chat
from tests.golden.recordings import Recording, read_recordings
from tollway.kernel.usage import Usage

DIALECT = CohereDialect()
RECORDINGS = read_recordings("cohere")
GOOD = [r for r in RECORDINGS if r.status == 200]
FAILED_WITH_200 = "cohere-chat_v2-c44df7c662d7"
STREAMS = [r for r in GOOD if r.is_stream and r.id != FAILED_WITH_200]
RESULTS = [r for r in GOOD if ".chat" in r.api and not r.is_stream]
EMBEDDINGS = [r for r in GOOD if ".embed" in r.api]
SHORT_STREAMS = sorted(STREAMS, key=lambda r: len(r.body))[:3]
EMBEDDINGS_ENDPOINT = next(endpoint for endpoint in ENDPOINTS if endpoint.name == "embeddings")
CALL = make_call(stream=True)
FINISHES = {"COMPLETE": "stop", "STOP_SEQUENCE": "stop", "MAX_TOKENS": "length", "TOOL_CALL": "tool_calls"}


@dataclass
class Said:
    """What an answer says, whatever its format. Calls are (id, name, arguments)."""

    id: str = ""
    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    citations: list[Any] = field(default_factory=list)
    finish: str = ""
    usage: tuple[int, int, int, int] = (0, 0, 0, 0)


def billed_usage(body: bytes) -> Usage:
    """What costs money of a chat, whole or streamed."""
    told = next(
        payload.get("delta", payload)["usage"]
        for line in body.decode().splitlines()[::-1]
        if "billed_units" in line and (payload := json.loads(line.removeprefix("data: ")))
    )
    billed = told["billed_units"]
    return Usage(
        input=billed["input_tokens"],
        output=billed["output_tokens"],
        reasoning=told["tokens"].get("reasoning_tokens", 0),
    )


def told_usage(usage: dict[str, Any]) -> tuple[int, int, int, int]:
    tokens = usage["tokens"]
    return (
        tokens["input_tokens"],
        tokens["output_tokens"],
        usage.get("cached_tokens", 0),
        tokens.get("reasoning_tokens", 0),
    )


def recorded_result(body: bytes) -> Said:
    """What a whole answer of Cohere's says."""
    answer = json.loads(body)
    message = answer["message"]
    blocks = message.get("content", [])
    return Said(
        f"chatcmpl-{answer['id']}",
        "".join(block.get("text", "") for block in blocks),
        "".join(block.get("thinking", "") for block in blocks) + message.get("tool_plan", ""),
        [
            (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in message.get("tool_calls", [])
        ],
        message.get("citations", []),
        FINISHES[answer["finish_reason"]],
        told_usage(answer["usage"]),
    )


def recorded_stream(body: bytes) -> Said:
    """What a stream of Cohere's says."""
    said = Said()
    calls: list[list[str]] = []
    for line in body.decode().splitlines():
        if not line.startswith("data: {"):
            continue
        event = json.loads(line.removeprefix("data: "))
        message = event.get("delta", {}).get("message", {})
        if event["type"] == "message-start":
            said.id = f"chatcmpl-{event['id']}"
        elif event["type"].startswith("content-") and message:
            said.text += message["content"].get("text", "")
            said.reasoning += message["content"].get("thinking", "")
        elif event["type"] == "tool-plan-delta":
            said.reasoning += message["tool_plan"]
        elif event["type"] == "tool-call-start":
            call = message["tool_calls"]
            calls.append([call["id"], call["function"]["name"], ""])
        elif event["type"] == "tool-call-delta":
            calls[-1][2] += message["tool_calls"]["function"]["arguments"]
        elif event["type"] == "citation-start":
            said.citations.append(message["citations"])
        elif event["type"] == "message-end":
            said.finish = FINISHES[event["delta"]["finish_reason"]]
            said.usage = told_usage(event["delta"]["usage"])
    said.calls = [(identity, name, json.loads(arguments or "{}")) for identity, name, arguments in calls]
    return said


def hub_usage(usage: dict[str, Any]) -> tuple[int, int, int, int]:
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    return (
        usage["prompt_tokens"],
        usage["completion_tokens"],
        usage["prompt_tokens_details"]["cached_tokens"],
        usage["completion_tokens_details"]["reasoning_tokens"],
    )


def hub_result(frame: Frame) -> Said:
    """What a whole answer in the hub's format says."""
    answer = json.loads(frame.data)
    (choice,) = answer["choices"]
    message = choice["message"]
    return Said(
        answer["id"],
        message["content"] or "",
        message.get("reasoning_content", ""),
        [
            (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in message.get("tool_calls", [])
        ],
        message.get("citations", []),
        choice["finish_reason"],
        hub_usage(answer["usage"]),
    )


def hub_stream(frames: list[Frame]) -> Said:
    """What the chunks of a stream in the hub's format say together."""
    said = Said()
    calls: dict[int, list[str]] = {}
    for at, frame in enumerate(frames):
        chunk = json.loads(frame.data)
        said.id = chunk["id"]
        for choice in chunk["choices"]:
            delta = choice["delta"]
            assert (delta.get("role") == "assistant") == (at == 0)
            said.text += delta.get("content") or ""
            said.reasoning += delta.get("reasoning_content", "")
            said.citations += delta.get("citations", [])
            for call in delta.get("tool_calls", []):
                begun = calls.setdefault(call["index"], [call.get("id"), call["function"].get("name"), ""])
                begun[2] += call["function"]["arguments"]
            said.finish = choice["finish_reason"] or said.finish
    said.calls = [(identity, name, json.loads(arguments)) for identity, name, arguments in calls.values()]
    said.usage = hub_usage(json.loads(frames[-1].data)["usage"])
    return said


def parse_stream(body: bytes, size: int) -> list[Frame]:
    """Frames of a stream that arrives in pieces of `size` bytes."""
    decoder, parser = SseDecoder(), DIALECT.stream_parser(CALL)
    frames: list[Frame] = []
    for at in range(0, len(body), size):
        for event in decoder.feed(body[at : at + size]):
            frames += parser.feed(event)
    for event in decoder.finish():
        frames += parser.feed(event)
    return [*frames, *parser.finish()]


def test_there_are_recordings_of_everything() -> None:
    assert STREAMS
    assert RESULTS
    assert EMBEDDINGS


@pytest.mark.parametrize("recording", RESULTS, ids=lambda r: r.id)
def test_result_says_what_was_recorded(recording: Recording) -> None:
    frame = DIALECT.parse_result(make_call(), recording.body)
    told = recorded_result(recording.body)
    assert hub_result(frame) == told
    chunks = DIALECT.parse_result_chunks(CALL, recording.body)
    assert hub_stream(chunks) == told
    assert frame.usage == chunks[-1].usage == billed_usage(recording.body)
    assert sum(chunk.text_bytes for chunk in chunks) == frame.text_bytes


def test_judge_of_the_ledger_wants_what_is_billed() -> None:
    body = json.dumps(
        {
            "message": {"content": [{"text": "a"}]},
            "finish_reason": "COMPLETE",
            "usage": {
                "tokens": {"input_tokens": 9, "output_tokens": 3},
                "billed_units": {"input_tokens": 2, "output_tokens": 1},
                "cached_tokens": 4,
            },
        }
    ).encode()
    evidence = read_cohere_chat(body, is_stream=False)
    usage = DIALECT.parse_result(make_call(), body).usage
    assert usage is not None
    assert judge_ledger(evidence, usage) == []
    assert judge_ledger(evidence, Usage(input=5, cache_read=4, output=3))


@pytest.mark.parametrize("recording", STREAMS, ids=lambda r: r.id)
def test_stream_says_what_was_recorded(recording: Recording) -> None:
    frames = parse_stream(recording.body, len(recording.body))
    told = recorded_stream(recording.body)
    assert hub_stream(frames) == told
    assert frames[-1].usage == billed_usage(recording.body)
    assert [frame.is_usage_only for frame in frames[-2:]] == [False, True]
    assert [frame.is_content for frame in frames[:2]] == [False, True]
    assert parse_stream(recording.body, 7) == frames


@pytest.mark.parametrize("recording", SHORT_STREAMS, ids=lambda r: r.id)
def test_stream_parses_alike_byte_by_byte_and_is_broken_wherever_it_is_cut(recording: Recording) -> None:
    whole = parse_stream(recording.body, len(recording.body))
    assert parse_stream(recording.body, 1) == whole
    end = recording.body.index(b"event: message-end")
    for at in range(0, end, max(1, end // 20)):
        with pytest.raises(UpstreamError):
            parse_stream(recording.body[:at] or b"\n", len(recording.body))


@pytest.mark.parametrize("recording", STREAMS, ids=lambda r: r.id)
def test_folded_stream_equals_the_whole_answer_of_the_same_content(recording: Recording) -> None:
    said = hub_stream(parse_stream(recording.body, len(recording.body)))
    words = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL"}
    went_in, came_out, cached, reasoning = said.usage
    blocks = [{"type": "thinking", "thinking": said.reasoning}, {"type": "text", "text": said.text}]
    answer = {
        "id": said.id.removeprefix("chatcmpl-"),
        "message": {
            "content": blocks,
            "tool_calls": [
                {"id": identity, "function": {"name": name, "arguments": json.dumps(arguments)}}
                for identity, name, arguments in said.calls
            ],
            "citations": said.citations,
        },
        "finish_reason": words[said.finish],
        "usage": {
            "tokens": {"input_tokens": went_in, "output_tokens": came_out, "reasoning_tokens": reasoning},
            "cached_tokens": cached,
        },
    }
    assert hub_result(DIALECT.parse_result(make_call(), json.dumps(answer).encode())) == said


@pytest.mark.parametrize("recording", EMBEDDINGS, ids=lambda r: r.id)
def test_embeddings_say_what_was_recorded(recording: Recording) -> None:
    payload = json.loads(recording.body)
    vectors = payload["embeddings"]
    if isinstance(vectors, dict):
        (vectors,) = vectors.values()
    frame = DIALECT.parse_result(make_call(endpoint=EMBEDDINGS_ENDPOINT), recording.body)
    answer = json.loads(frame.data)
    assert [item["embedding"] for item in answer["data"]] == vectors
    billed = payload["meta"]["billed_units"].get("input_tokens")
    assert frame.usage == (None if billed is None else Usage(input=billed))
    assert answer["usage"]["prompt_tokens"] == (billed or 0)


@pytest.mark.parametrize("recording", [r for r in RECORDINGS if r.status != 200], ids=lambda r: r.id)
def test_error_keeps_the_providers_words(recording: Recording) -> None:
    error = DIALECT.parse_error(recording.status, recording.headers, recording.body)
    wanted = {400: ("invalid", "context_length_exceeded"), 401: ("auth", None), 404: ("invalid", "model_not_found")}
    assert (error.kind.value, error.code) == wanted[recording.status]
    assert (error.status, error.message) == (recording.status, json.loads(recording.body)["message"])


def test_stream_that_ends_with_an_error_is_one() -> None:
    recording = next(r for r in RECORDINGS if r.id == FAILED_WITH_200)
    with pytest.raises(UpstreamError) as caught:
        parse_stream(recording.body, 7)
    assert (caught.value.kind.value, caught.value.code) == ("server", "invalid_tool_generation")
    assert caught.value.message.startswith("your request resulted in an invalid tool generation")
