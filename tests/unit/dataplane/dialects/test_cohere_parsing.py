"""Cohere's chats, whole and streamed: what the hub is told of them, and that no answer can do harm."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.dialects.base import Frame, SseEvent
from dataplane.dialects.cohere import CohereDialect
from dataplane.errors import UpstreamError, UpstreamErrorKind
from tests.fakes.outcomes import REQUEST_ID, START_TIME_US, make_call
from tollway.kernel.usage import Usage

DIALECT = CohereDialect()
CALL = make_call()
USAGE = {"tokens": {"input_tokens": 10, "output_tokens": 5, "reasoning_tokens": 2}, "cached_tokens": 4}
METERED = Usage(input=6, cache_read=4, output=5, reasoning=2)
TOOL_CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
PAGE = {"type": "document", "id": "d", "document": {"url": "https://a/b", "title": "B"}}


def encode(value: Any) -> bytes:
    return json.dumps(value).encode()


def parse(message: Any = None, finish: Any = "COMPLETE", **fields: Any) -> tuple[Frame, dict[str, Any]]:
    answer = {"id": "x", "message": message or {"content": []}, "finish_reason": finish, "usage": USAGE} | fields
    frame = DIALECT.parse_result(CALL, encode(answer))
    return frame, json.loads(frame.data)


def parse_message(message: Any, finish: str = "COMPLETE") -> dict[str, Any]:
    told: dict[str, Any] = parse(message, finish)[1]["choices"][0]["message"]
    return told


def feed(*payloads: Any) -> list[Frame]:
    parser = DIALECT.stream_parser(CALL)
    frames = [frame for payload in payloads for frame in parser.feed(SseEvent("", encode(payload)))]
    return [*frames, *parser.finish()]


def event(kind: str, message: Any = None, index: int = 0, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "index": index, "delta": {"message": message or {}}, **fields}


def end(finish: Any = "COMPLETE", usage: Any = USAGE, **fields: Any) -> dict[str, Any]:
    return {"type": "message-end", "delta": {"finish_reason": finish, "usage": usage, **fields}}


START = {"type": "message-start", "id": "x", "delta": {"message": {"role": "assistant", "content": []}}}


def text(piece: str, index: int = 0) -> dict[str, Any]:
    return event("content-delta", {"content": {"text": piece}}, index)


def deltas(frames: list[Frame]) -> list[dict[str, Any]]:
    return [choice["delta"] for frame in frames for choice in json.loads(frame.data)["choices"]]


def test_whole_answer() -> None:
    blocks = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    frame, answer = parse({"role": "assistant", "content": blocks})
    assert answer == {
        "id": "chatcmpl-x",
        "object": "chat.completion",
        "created": START_TIME_US // 1_000_000,
        "model": "smart",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "ab", "refusal": None, "reasoning_content": "hm"},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    }
    assert (frame.usage, frame.model, frame.text_bytes) == (METERED, "", 4)


def test_calls_and_the_plan_of_them() -> None:
    bare = {"function": {"name": "g"}}
    message = parse_message({"tool_plan": "I will", "tool_calls": [TOOL_CALL, bare]}, "TOOL_CALL")
    assert (message["content"], message["reasoning_content"]) == (None, "I will")
    made = {"id": f"call_{REQUEST_ID}_1", "type": "function", "function": {"name": "g", "arguments": "{}"}}
    assert message["tool_calls"] == [TOOL_CALL, made]


@pytest.mark.parametrize(
    ("told", "word"),
    [
        ("COMPLETE", "stop"),
        ("STOP_SEQUENCE", "stop"),
        ("MAX_TOKENS", "length"),
        ("TOOL_CALL", "tool_calls"),
        ("ERROR_TOXIC", "content_filter"),
        ("SOMETHING_NEW", "stop"),
        (None, "stop"),
    ],
)
def test_why_an_answer_ended(told: Any, word: str) -> None:
    assert parse(None, told)[1]["choices"][0]["finish_reason"] == word
    last = json.loads(feed(START, end(told))[-2].data)
    assert last["choices"][0]["finish_reason"] == word


def test_answer_with_calls_ends_with_them() -> None:
    assert parse({"tool_calls": [TOOL_CALL]})[1]["choices"][0]["finish_reason"] == "tool_calls"
    assert parse({"tool_calls": [TOOL_CALL]}, "MAX_TOKENS")[1]["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("finish", "fields", "kind", "code"),
    [
        ("ERROR", {"error": "words", "error_type": "INVALID_TOOL_GENERATION"}, "server", "invalid_tool_generation"),
        ("COMPLETE", {"error": "words"}, "server", None),
        ("TIMEOUT", {"error": "words"}, "timeout", None),
        ("ERROR", {"error": "words", "error_type": "TOO_MANY_TOKENS"}, "invalid", "context_length_exceeded"),
    ],
)
def test_failed_answers_are_errors(finish: str, fields: dict[str, Any], kind: str, code: str | None) -> None:
    for attempt in (lambda: parse(None, finish, **fields), lambda: feed(START, text("a"), end(finish, **fields))):
        with pytest.raises(UpstreamError) as caught:
            attempt()
        assert (caught.value.kind.value, caught.value.code, caught.value.message) == (kind, code, "words")


def test_failed_answers_tell_what_they_used() -> None:
    billed = {"billed_units": {"input_tokens": 1000, "output_tokens": 50}}
    body = {"message": {"content": []}, "finish_reason": "ERROR", "usage": billed}
    for parse_body in (DIALECT.parse_result, DIALECT.parse_result_chunks):
        with pytest.raises(UpstreamError) as caught:
            parse_body(CALL, encode(body))
        assert caught.value.usage == Usage(input=1000, output=50)
    frames: list[Frame] = []
    parser = DIALECT.stream_parser(CALL)
    with pytest.raises(UpstreamError):
        frames += parser.feed(SseEvent("", encode(end("ERROR", billed))))
    assert [(frame.usage, frame.is_content, frame.is_usage_only) for frame in frames] == [
        (Usage(input=1000, output=50), False, True)
    ]
    with pytest.raises(UpstreamError):
        frames += DIALECT.stream_parser(CALL).feed(SseEvent("", encode(end("ERROR", None))))
    assert len(frames) == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"message":"no"}', b'{"message":[]}'])
def test_what_is_no_answer_is_an_error(body: bytes) -> None:
    for parse_body in (DIALECT.parse_result, DIALECT.parse_result_chunks):
        with pytest.raises(UpstreamError):
            parse_body(CALL, body)


def test_citations_are_told_in_both_forms() -> None:
    cited = [
        {"start": 1, "end": 2, "text": "d", "sources": [PAGE, {"type": "tool", "id": "t:0"}], "content_index": 2},
        {"start": 0, "end": 1, "type": "PLAN", "sources": [PAGE]},
        {"start": 0, "end": 1, "sources": [{"type": "tool", "id": "https://c/d"}]},
    ]
    blocks = [{"thinking": "hm"}, {"text": "abc"}, {"text": "de"}]
    message = parse_message({"content": blocks, "citations": cited})
    assert message["citations"] == cited
    notes = [note["url_citation"] for note in message["annotations"]]
    assert notes == [
        {"start_index": 4, "end_index": 5, "url": "https://a/b", "title": "B"},
        {"start_index": 0, "end_index": 1, "url": "https://c/d", "title": ""},
    ]
    thought = event("content-start", {"content": {"type": "thinking", "thinking": "hm"}})
    told = [event("citation-start", {"citations": citation}) for citation in cited]
    frames = feed(START, thought, text("abc", 1), text("de", 2), *told, event("citation-end"), end())
    streamed = deltas(frames)
    assert [one for delta in streamed for one in delta.get("citations", [])] == cited
    assert [one for delta in streamed for one in delta.get("annotations", [])] == message["annotations"]
    assert [frame.text_bytes for frame in frames if b"citations" in frame.data] == [0, 0, 0]


def test_log_probabilities() -> None:
    items = [{"text": "ab", "token_ids": [1, 2], "logprobs": [-0.5, -0.25]}, {"text": "c", "token_ids": [3]}]
    wanted = [{"token": "ab", "logprob": -0.75, "bytes": [97, 98], "top_logprobs": []}]
    assert parse(logprobs=items)[1]["choices"][0]["logprobs"] == {"content": wanted, "refusal": None}
    frames = feed(START, {**text("ab"), "logprobs": items[0]}, text("c"), end())
    told = [json.loads(frame.data)["choices"][0]["logprobs"] for frame in frames[1:3]]
    assert told == [{"content": wanted, "refusal": None}, None]


def test_stream_of_text() -> None:
    frames = feed(
        START, event("content-start", {"content": {"type": "text", "text": ""}}), text("hé"), text("y"), end()
    )
    chunks = [json.loads(frame.data) for frame in frames]
    assert {(chunk["id"], chunk["object"], chunk["model"]) for chunk in chunks} == {
        ("chatcmpl-x", "chat.completion.chunk", "smart")
    }
    assert deltas(frames) == [{"role": "assistant", "content": ""}, {"content": "hé"}, {"content": "y"}, {}]
    assert [frame.is_content for frame in frames] == [False, True, True, True, True]
    assert [(frame.text_bytes, frame.deltas) for frame in frames] == [(0, 0), (3, 1), (1, 1), (0, 0), (0, 0)]
    assert (chunks[-1]["choices"], chunks[-1]["usage"]["total_tokens"]) == ([], 15)
    assert (frames[-1].usage, frames[-1].is_usage_only) == (METERED, True)


def test_stream_of_calls() -> None:
    began = [event("tool-call-start", {"tool_calls": {"id": f"c{at}", "function": {"name": "f"}}}, at) for at in (0, 1)]
    piece = event("tool-call-delta", {"tool_calls": {"function": {"arguments": '{"a":1}'}}}, 0)
    plan = event("tool-plan-delta", {"tool_plan": "I will"})
    frames = feed(
        START, plan, began[0], piece, event("tool-call-end"), began[1], event("tool-call-end", index=1), end()
    )
    assert deltas(frames)[1:-1] == [
        {"reasoning_content": "I will"},
        {"tool_calls": [{"index": 0, "id": "c0", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":1}'}}]},
        {"tool_calls": [{"index": 1, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
    ]
    assert json.loads(frames[-2].data)["choices"][0]["finish_reason"] == "tool_calls"


def test_calls_that_never_end_and_those_that_never_began_are_whole() -> None:
    began = event("tool-call-start", {"tool_calls": [{"id": "c", "function": {"name": "f"}}]}, 4)
    piece = event("tool-call-delta", {"tool_calls": {"function": {"arguments": "{}"}}}, 5)
    calls = [call for delta in deltas(feed(began, piece, end("TOOL_CALL"))) for call in delta.get("tool_calls", [])]
    assert [(call["index"], call["function"]["arguments"]) for call in calls] == [(0, ""), (1, "{}"), (0, "{}")]
    assert calls[1]["id"] == f"call_{REQUEST_ID}_1"


def test_repeated_ids_are_made_unique() -> None:
    told = [TOOL_CALL, {**TOOL_CALL, "id": "c2"}, TOOL_CALL]
    starts = [event("tool-call-start", {"tool_calls": call}, at) for at, call in enumerate(told)]
    streamed = [call for delta in deltas(feed(*starts, end())) for call in delta.get("tool_calls", [])]
    ids = ["c1", "c2", f"c1_{REQUEST_ID}_2"]
    assert [call["id"] for call in parse_message({"tool_calls": told})["tool_calls"]] == ids
    assert [(call["index"], call["id"]) for call in streamed] == list(enumerate(ids))


def test_pieces_of_reasoning_are_kept_apart() -> None:
    blocks = [{"thinking": "a"}, {"thinking": "b"}]
    thoughts = [event("content-delta", {"content": {"thinking": piece}}, at) for at, piece in enumerate("ab")]
    plan = event("tool-plan-delta", {"tool_plan": "c"})
    streamed = "".join(
        delta.get("reasoning_content", "") for delta in deltas(feed(START, *thoughts, plan, plan, end()))
    )
    assert streamed == "a\nb\ncc"
    assert parse_message({"content": blocks, "tool_plan": "cc"})["reasoning_content"] == streamed


def test_stream_without_a_start_has_a_role_first() -> None:
    assert deltas(feed(text("a"), end()))[0] == {"role": "assistant", "content": ""}
    assert deltas(feed(end()))[0] == {"role": "assistant", "content": ""}
    assert json.loads(feed(end())[0].data)["id"] == f"chatcmpl-{REQUEST_ID}"


def test_end_of_the_message_is_the_end_of_the_stream() -> None:
    parser = DIALECT.stream_parser(CALL)
    list(parser.feed(SseEvent("", encode(START))))
    assert not parser.is_over
    list(parser.feed(SseEvent("", encode(end()))))
    assert parser.is_over
    assert [*parser.feed(SseEvent("", b"[DONE]")), *parser.feed(SseEvent("", b"junk")), *parser.finish()] == []


@pytest.mark.parametrize("payloads", [[], [START], [START, text("a")]])
def test_stream_without_an_end_is_broken(payloads: list[Any]) -> None:
    with pytest.raises(UpstreamError) as caught:
        feed(*payloads)
    assert caught.value.kind is UpstreamErrorKind.PROTOCOL


@pytest.mark.parametrize("data", [b'{"message":"no luck"}', b'{"type":"error","error":"no luck"}', b"<html>", b"[]"])
def test_errors_inside_a_stream_are_raised(data: bytes) -> None:
    with pytest.raises(UpstreamError):
        list(DIALECT.stream_parser(CALL).feed(SseEvent("", data)))


def test_unknown_events_and_blanks_say_nothing() -> None:
    parser = DIALECT.stream_parser(CALL)
    for data in (b"", b" \n", b'{"type":"debug","prompt":"p"}', b'{"type":["new"]}', b"{}"):
        assert list(parser.feed(SseEvent("", data))) == []


def test_whole_answer_told_as_a_stream() -> None:
    answer = {"id": "x", "message": {"content": [{"text": "a"}]}, "finish_reason": "COMPLETE", "usage": USAGE}
    frames = DIALECT.parse_result_chunks(CALL, encode(answer))
    assert [delta.get("content") for delta in deltas(frames)] == ["a", None]
    assert deltas(frames)[0]["role"] == "assistant"
    assert (frames[-1].usage, frames[-1].is_usage_only) == (METERED, True)
    assert {frame.model for frame in frames} == {""}
    assert sum(frame.text_bytes for frame in frames) == 1


@pytest.mark.parametrize(
    ("usage", "metered"),
    [
        (None, None),
        ({}, None),
        ({"tokens": {"input_tokens": 3}}, None),
        ({"tokens": {"input_tokens": -3, "output_tokens": 1}}, None),
        ({"tokens": {"input_tokens": 3.0, "output_tokens": 1.0}, "cached_tokens": 9}, Usage(cache_read=3, output=1)),
        ({"tokens": {"input_tokens": 3, "output_tokens": 1, "reasoning_tokens": 7}}, Usage(3, output=1, reasoning=1)),
        ({"billed_units": {"input_tokens": 3, "output_tokens": 1}}, Usage(3, output=1)),
        ({"billed_units": {"input_tokens": 3}, "tokens": USAGE["tokens"]}, Usage(10, output=5, reasoning=2)),
    ],
)
def test_usage_that_is_told_and_that_is_not(usage: Any, metered: Usage | None) -> None:
    frame, answer = parse(usage=usage)
    last = feed(START, end(usage=usage))[-1]
    assert (frame.usage, last.usage, last.is_usage_only) == (metered, metered, True)
    assert answer["usage"] == json.loads(last.data)["usage"]


@pytest.mark.parametrize(
    ("billed", "metered"),
    [
        ({"input_tokens": 3, "output_tokens": 4}, Usage(3, output=4, reasoning=2)),
        ({"input_tokens": 3.0, "output_tokens": 1.0, "search_units": 1}, Usage(3, output=1, reasoning=1)),
        ({"input_tokens": 0, "output_tokens": 0}, Usage()),
    ],
)
def test_what_is_billed_is_metered_and_all_that_was_counted_is_told(billed: Any, metered: Usage) -> None:
    frame, answer = parse(usage=USAGE | {"billed_units": billed})
    streamed = feed(START, end(usage=USAGE | {"billed_units": billed}))[-1]
    assert frame.usage == streamed.usage == metered
    for told in (answer["usage"], json.loads(streamed.data)["usage"]):
        assert (told["prompt_tokens"], told["completion_tokens"], told["total_tokens"]) == (10, 5, 15)
        assert told["prompt_tokens_details"]["cached_tokens"] == 4


NAMES = st.sampled_from(
    [
        *("type", "index", "delta", "message", "content", "text", "thinking", "tool_plan", "tool_calls", "function"),
        *("name", "arguments", "id", "citations", "start", "end", "sources", "content_index", "url", "document"),
        *(
            "finish_reason",
            "usage",
            "tokens",
            "billed_units",
            "input_tokens",
            "output_tokens",
            "cached_tokens",
            "error",
        ),
        *("reasoning_tokens", "logprobs", "error_type"),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(NAMES, children, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(NAMES, JSON, max_size=5)
COUNTS = st.none() | st.integers(-5, 50) | st.floats(-5, 50) | st.text(max_size=2)
COUNTED = st.fixed_dictionaries(
    {}, optional={"input_tokens": COUNTS, "output_tokens": COUNTS, "reasoning_tokens": COUNTS}
)
USAGES = st.fixed_dictionaries({"tokens": COUNTED, "billed_units": COUNTED}, optional={"cached_tokens": COUNTS})
KINDS = st.sampled_from(
    [
        *("message-start", "content-start", "content-delta", "tool-plan-delta", "tool-call-start", "tool-call-delta"),
        *("tool-call-end", "citation-start", "citation-end", "message-end", "debug"),
    ]
)
EVENTS = st.builds(
    lambda kind, fields, delta, message: fields | {"type": kind, "delta": delta | {"message": message}},
    KINDS,
    OBJECTS,
    OBJECTS,
    OBJECTS,
)


def check(frame: Frame) -> None:
    assert b"\n" not in frame.data
    assert all(quantity >= 0 for quantity in frame.usage or ())
    assert isinstance(json.loads(frame.data)["choices"], list)


@settings(max_examples=100)
@given(OBJECTS, OBJECTS)
def test_any_object_is_a_result_or_an_upstream_error(fields: dict[str, Any], message: dict[str, Any]) -> None:
    for payload in (fields, fields | {"message": message}):
        try:
            check(DIALECT.parse_result(CALL, encode(payload)))
            for frame in DIALECT.parse_result_chunks(CALL, encode(payload)):
                check(frame)
        except UpstreamError as error:
            assert error.message


@settings(max_examples=60)
@given(st.lists(EVENTS | JSON, max_size=5), KINDS)
def test_any_events_are_a_stream_or_an_upstream_error(payloads: list[Any], name: str) -> None:
    parser = DIALECT.stream_parser(CALL)
    frames: list[Frame] = []
    try:
        for payload in payloads:
            frames += parser.feed(SseEvent(name, encode(payload)))
        frames += parser.finish()
    except UpstreamError as error:
        assert error.message
    for frame in frames:
        check(frame)
    if frames:
        assert deltas(frames)[0]["role"] == "assistant"


@given(USAGES)
def test_meters_are_disjoint_and_make_up_what_is_told(usage: dict[str, Any]) -> None:
    frame, answer = parse(usage=usage)
    assert frame.usage == feed(START, end(usage=usage))[-1].usage
    if frame.usage is None:
        return
    assert all(quantity >= 0 for quantity in frame.usage)
    assert frame.usage.reasoning <= frame.usage.output
    told = answer["usage"]
    sets = [
        (counted.get("input_tokens"), counted.get("output_tokens"))
        for counted in (usage["tokens"], usage["billed_units"])
    ]
    assert (told["prompt_tokens"], told["completion_tokens"]) in sets
    assert (frame.usage.input_tokens, frame.usage.output_tokens) in sets


def test_answer_that_is_nested_too_deep_is_an_upstream_error() -> None:
    deep = b"[" * 600 + b"]" * 600
    with pytest.raises(UpstreamError):
        DIALECT.parse_result(CALL, b'{"message":{"citations":' + deep + b"}}")
    event = b'{"type":"citation-start","delta":{"message":{"citations":' + deep + b"}}}"
    with pytest.raises(UpstreamError):
        list(DIALECT.stream_parser(CALL).feed(SseEvent("", event)))
