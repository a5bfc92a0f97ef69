"""Answers of the Messages API: any JSON parses or is an UpstreamError, and each says what the hub's clients expect."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.call import Call, Endpoint
from dataplane.dialects.anthropic import AnthropicDialect
from dataplane.dialects.base import Frame, SseEvent
from dataplane.errors import UpstreamError, UpstreamErrorKind
from dataplane.metering.meter import Meter
from tests.fakes.outcomes import CHAT, REQUEST_ID, START_TIME_US, make_attempt, make_call
from tests.unit.dataplane.dialects.test_anthropic_recordings import folded, whole
from tollway.kernel.usage import Usage

DIALECT = AnthropicDialect()
HUB = make_call(endpoint=CHAT)
NATIVE = make_call(endpoint=Endpoint("messages", "/v1/messages", "chat", True, format="anthropic"))
COUNT = make_call(endpoint=Endpoint("count_tokens", "/v1/messages/count_tokens", "count_tokens", False))
AS_JSON = make_call(endpoint=CHAT, body={"response_format": {"type": "json_object"}})
CALLS = st.sampled_from([HUB, NATIVE, COUNT, AS_JSON])
WORDS = st.sampled_from(
    [
        *("text", "tool_use", "thinking", "redacted_thinking", "server_tool_use", "json_answer", "refusal", "error"),
        *("connector_text", "connector_text_delta", "compaction", "advisor_message", "fallback_message", "message"),
        *("text_delta", "input_json_delta", "thinking_delta", "signature_delta", "citations_delta", "fast", "ping"),
    ]
)
NAMES = st.sampled_from(
    [
        *("type", "content", "usage", "error", "model", "id", "text", "thinking", "signature", "data", "input", "name"),
        *("stop_reason", "stop_details", "explanation", "citations", "url", "title", "index", "message", "delta"),
        *("content_block", "partial_json", "citation", "input_tokens", "output_tokens", "cache_creation", "iterations"),
        *("cache_read_input_tokens", "cache_creation_input_tokens", "ephemeral_1h_input_tokens", "server_tool_use"),
        *("output_tokens_details", "thinking_tokens", "web_search_requests", "service_tier", "speed", "request_id"),
        *("connector_text",),
    ]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS
    | st.text(max_size=4),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(NAMES, children, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(NAMES, JSON, max_size=5)
BLOCKS = OBJECTS | st.builds(lambda kind, fields: fields | {"type": kind}, WORDS, OBJECTS)
MESSAGES = OBJECTS | st.builds(
    lambda fields, blocks: fields | {"content": blocks}, OBJECTS, st.lists(BLOCKS, max_size=3)
)
EVENTS = st.sampled_from(
    [
        *("message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta"),
        *("message_stop", "ping", "error", "from_the_future", ""),
    ]
)
PAYLOADS = st.builds(
    lambda kind, fields, inner: (
        fields | {"type": kind, "index": 0, "message": inner, "content_block": inner, "delta": inner}
    ),
    EVENTS,
    OBJECTS,
    BLOCKS,
)


def encode(value: Any) -> bytes:
    return json.dumps(value).encode()


def check_frame(frame: Frame) -> None:
    frame.model.encode()
    if frame.usage is not None:
        assert min(frame.usage) >= 0
        assert frame.usage.reasoning <= frame.usage.output


@settings(max_examples=60)
@given(CALLS, MESSAGES)
def test_any_object_is_a_result_or_an_upstream_error(call: Call, payload: dict[str, Any]) -> None:
    try:
        frame = DIALECT.parse_result(call, encode(payload))
    except UpstreamError:
        return
    check_frame(frame)
    answer = json.loads(frame.data)
    if call in (HUB, AS_JSON):
        assert answer["choices"][0]["finish_reason"] in ("stop", "length", "tool_calls", "content_filter")


@settings(max_examples=60)
@given(st.sampled_from([HUB, NATIVE, AS_JSON]), MESSAGES)
def test_a_result_as_a_stream_folds_to_itself(call: Call, payload: dict[str, Any]) -> None:
    try:
        frame = DIALECT.parse_result(call, encode(payload))
    except UpstreamError:
        return
    frames = DIALECT.parse_result_chunks(call, encode(payload))
    assert any(frame.is_content for frame in frames)
    if call is not NATIVE and frame.usage is not None:
        assert folded(frames) == whole(frame)
        assert frames[-1].usage == frame.usage


@settings(max_examples=60)
@given(st.sampled_from([HUB, NATIVE, AS_JSON]), st.lists(st.tuples(EVENTS, PAYLOADS | JSON), max_size=5))
def test_any_events_are_a_stream_or_an_upstream_error(call: Call, events: list[tuple[str, Any]]) -> None:
    parser = DIALECT.stream_parser(call)
    try:
        for name, payload in events:
            for frame in parser.feed(SseEvent(name, encode(payload))):
                check_frame(frame)
                assert frame.deltas >= (frame.text_bytes > 0)
                assert b"\n" not in frame.data
        list(parser.finish())
    except UpstreamError as error:
        assert error.message


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"5", b"{}", b'{"content": "x"}', b"[" * 2000 + b"]" * 2000])
@pytest.mark.parametrize("call", [HUB, NATIVE, COUNT])
def test_no_answer_is_an_error(call: Call, body: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        DIALECT.parse_result(call, body)
    assert caught.value.kind is UpstreamErrorKind.PROTOCOL


def test_input_nested_too_deep_is_an_error() -> None:
    nested = b'{"content":[{"type":"tool_use","input":' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}]}"
    for parse in (DIALECT.parse_result, DIALECT.parse_result_chunks):
        with pytest.raises(UpstreamError):
            parse(HUB, nested)


def test_error_under_a_good_status_is_one() -> None:
    body = encode({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    with pytest.raises(UpstreamError) as caught:
        DIALECT.parse_result(HUB, body)
    assert (caught.value.kind, caught.value.status) == (UpstreamErrorKind.OVERLOADED, 529)


def message(*blocks: dict[str, Any], stop: str | None = "end_turn", **fields: Any) -> bytes:
    usage = {"input_tokens": 1, "output_tokens": 2}
    return encode(
        {"id": "msg_1", "model": "claude-x", "content": blocks, "stop_reason": stop, "usage": usage, **fields}
    )


def answered(body: bytes, call: Call = HUB) -> dict[str, Any]:
    """The answer that `body` is, which as a stream says the same."""
    frame = DIALECT.parse_result(call, body)
    assert folded(DIALECT.parse_result_chunks(call, body)) == whole(frame)
    answer: dict[str, Any] = json.loads(frame.data)
    return answer


TEXT = {"type": "text", "text": "hi"}
USE = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": "\u00e9"}}


def test_envelope() -> None:
    answer = answered(message(TEXT))
    del answer["choices"], answer["usage"]
    assert answer == {
        "id": "chatcmpl-msg_1",
        "object": "chat.completion",
        "created": START_TIME_US // 1_000_000,
        "model": "claude-x",
    }
    bare = json.loads(DIALECT.parse_result(HUB, encode({"content": [TEXT]})).data)
    assert (bare["id"], bare["model"], "usage" in bare) == (f"chatcmpl-{REQUEST_ID}", "smart", False)


@pytest.mark.parametrize(
    ("stop", "blocks", "finish"),
    [
        ("end_turn", [TEXT], "stop"),
        ("stop_sequence", [], "stop"),
        ("max_tokens", [USE], "length"),
        ("model_context_window_exceeded", [TEXT], "length"),
        ("tool_use", [TEXT, USE], "tool_calls"),
        ("end_turn", [USE], "tool_calls"),
        ("tool_use", [], "stop"),
        ("refusal", [], "content_filter"),
        ("pause_turn", [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}}], "stop"),
        ("compaction", [TEXT], "stop"),
        ("from_the_future", [TEXT], "stop"),
        (None, [TEXT], "stop"),
    ],
)
def test_finish(stop: str | None, blocks: list[dict[str, Any]], finish: str) -> None:
    choice = answered(message(*blocks, stop=stop))["choices"][0]
    assert choice["finish_reason"] == finish
    assert [call["id"] for call in choice["message"].get("tool_calls", [])] == [b["id"] for b in blocks if b is USE]


def test_message_of_calls_only() -> None:
    said = answered(message(USE, {**USE, "id": "", "input": {}}))["choices"][0]["message"]
    assert said["content"] is None
    assert said["tool_calls"] == [
        {"id": "toolu_1", "type": "function", "function": {"name": "f", "arguments": '{"a":"é"}'}},
        {"id": f"call_{REQUEST_ID}_1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
    ]


def test_repeated_ids_are_made_unique() -> None:
    said = answered(message(USE, {**USE, "id": "toolu_2"}, USE, {**USE, "id": 7}))["choices"][0]["message"]
    ids = [call["id"] for call in said["tool_calls"]]
    assert ids == ["toolu_1", "toolu_2", f"toolu_1_{REQUEST_ID}_2", f"call_{REQUEST_ID}_3"]


def test_server_tools_are_no_calls() -> None:
    blocks: list[dict[str, Any]] = [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        {"type": "mcp_tool_use", "id": "m", "name": "x", "server_name": "y", "input": {}},
        {"type": "from_the_future", "text": "no"},
        TEXT,
    ]
    said = answered(message(*blocks))["choices"][0]["message"]
    assert said == {"role": "assistant", "content": "hi", "refusal": None}


def test_what_a_model_says_between_calls_is_text() -> None:
    said = answered(message({"type": "connector_text", "connector_text": "Now "}, TEXT, USE))["choices"][0]["message"]
    assert (said["content"], len(said["tool_calls"])) == ("Now hi", 1)


def test_what_is_billed_beside_the_answer_is_metered_and_not_told() -> None:
    compaction = {"type": "compaction", "input_tokens": 100, "output_tokens": 20}
    body = message(TEXT, usage={"input_tokens": 1, "output_tokens": 2, "iterations": [compaction]})
    told = answered(body)["usage"]
    assert (told["prompt_tokens"], told["completion_tokens"], told["total_tokens"]) == (1, 2, 3)
    whole_frame, last = DIALECT.parse_result(HUB, body), DIALECT.parse_result_chunks(HUB, body)[-1]
    assert whole_frame.usage == last.usage == Usage(input=101, output=22)
    assert json.loads(last.data)["usage"] == told


def test_citations_with_urls_are_annotations() -> None:
    cited = {"type": "web_search_result_location", "url": "https://x.example", "title": "X", "cited_text": "t"}
    blocks: list[dict[str, Any]] = [
        TEXT,
        {"type": "text", "text": "there", "citations": [cited, {"type": "char_location"}, 5]},
    ]
    note = {"start_index": 2, "end_index": 7, "url": "https://x.example", "title": "X"}
    said = answered(message(*blocks))["choices"][0]["message"]
    assert said["annotations"] == [{"type": "url_citation", "url_citation": note}]


def test_refusal_has_its_words() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "No."}
    said = answered(message(stop="refusal", stop_details=details))["choices"][0]["message"]
    assert (said["content"], said["refusal"]) == (None, "No.")


def test_thinking_is_told_and_kept() -> None:
    blocks = [
        {"type": "thinking", "thinking": "a", "signature": "s1"},
        {"type": "redacted_thinking", "data": "d"},
        {"type": "thinking", "thinking": "", "signature": "s2"},
        {"type": "thinking", "thinking": "b", "signature": ""},
        TEXT,
    ]
    said = answered(message(*blocks))["choices"][0]["message"]
    assert said["reasoning_content"] == "ab"
    assert [(d["type"], d.get("signature"), d.get("data"), d["index"]) for d in said["reasoning_details"]] == [
        ("reasoning.text", "s1", None, 0),
        ("reasoning.encrypted", None, "d", 1),
        ("reasoning.text", "s2", None, 2),
    ]


@pytest.mark.parametrize("stop", ["tool_use", "end_turn"])
def test_answer_by_tool_is_the_content(stop: str) -> None:
    block = {"type": "tool_use", "id": "t", "name": "json_answer", "input": {"a": 1}}
    choice = answered(message(block, stop=stop), AS_JSON)["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ('{"a":1}', "stop")
    other = answered(message(block, stop=stop))["choices"][0]
    assert (other["message"]["content"], other["finish_reason"]) == (None, "tool_calls")


def feed(*events: dict[str, Any], call: Call = HUB) -> list[Frame]:
    parser = DIALECT.stream_parser(call)
    frames = [frame for event in events for frame in parser.feed(SseEvent(event["type"], encode(event)))]
    return [*frames, *parser.finish()]


START = {
    "type": "message_start",
    "message": {"id": "m", "model": "claude-x", "usage": {"input_tokens": 9, "output_tokens": 1}},
}
STOP = {"type": "message_stop"}


def begun(block: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(kind: str, index: int = 0, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def test_tools_are_numbered_apart_from_blocks_and_never_without_arguments() -> None:
    frames = feed(
        START,
        begun({"type": "text", "text": ""}),
        delta("text_delta", text="a"),
        begun({"type": "tool_use", "id": "t1", "name": "f", "input": {}}, 1),
        delta("input_json_delta", 1, partial_json=""),
        begun({"type": "tool_use", "id": "t2", "name": "g", "input": {"x": 1}}, 3),
        {"type": "content_block_stop", "index": 1},
        {"type": "content_block_stop", "index": 3},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}},
        STOP,
    )
    said = folded(frames)
    assert said["calls"] == [
        {"id": "t1", "name": "f", "arguments": {}},
        {"id": "t2", "name": "g", "arguments": {"x": 1}},
    ]
    assert (said["content"], said["finish"], frames[-1].usage) == ("a", "tool_calls", Usage(input=9, output=5))


def test_answer_by_tool_streams_as_content() -> None:
    frames = feed(
        START,
        begun({"type": "tool_use", "id": "t1", "name": "json_answer", "input": {}}),
        delta("input_json_delta", partial_json='{"a":'),
        delta("input_json_delta", partial_json=" 1}"),
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}},
        STOP,
        call=AS_JSON,
    )
    said = folded(frames)
    assert (said["content"], said["calls"], said["finish"]) == ('{"a": 1}', [], "stop")


def test_prelude_is_no_content_and_reports_what_went_in() -> None:
    parser = DIALECT.stream_parser(HUB)
    (frame,) = parser.feed(SseEvent("message_start", encode(START)))
    assert (frame.is_content, frame.deltas, frame.usage) == (False, 0, Usage(input=9))
    assert list(parser.feed(SseEvent("ping", b'{"type": "ping"}'))) == []
    assert list(parser.feed(SseEvent("future", b'{"type": "future"}'))) == []
    assert list(parser.feed(SseEvent("", b" "))) == []


CONTAINED = {"id": "m", "content": [TEXT, USE, "x"], "stop_reason": "tool_use"}
COUNTED = {"usage": {"input_tokens": 9, "output_tokens": 4}}


def test_content_and_end_may_come_with_the_beginning() -> None:
    frames = feed({"type": "message_start", "message": CONTAINED | COUNTED}, STOP)
    said = folded(frames)
    assert (said["content"], said["finish"]) == ("hi", "tool_calls")
    assert said["calls"] == [{"id": "toolu_1", "name": "f", "arguments": {"a": "\u00e9"}}]
    assert frames[-1].usage == Usage(input=9, output=4)
    (native, _) = feed({"type": "message_start", "message": CONTAINED | COUNTED}, STOP, call=NATIVE)
    assert (native.is_content, native.text_bytes, native.deltas) == (True, 2 + 1 + len('{"a":"é"}'.encode()), 1)
    assert native.usage == Usage(input=9, output=4)


def test_message_begins_once() -> None:
    again = {"type": "message_start", "message": {"id": "other", "usage": {"input_tokens": 12, "output_tokens": 1}}}
    ended = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}
    frames = feed(START, again, begun(TEXT), ended, STOP)
    assert {json.loads(frame.data)["id"] for frame in frames if frame.data} == {"chatcmpl-m"}
    assert (folded(frames)["content"], frames[-1].usage) == ("hi", Usage(input=12, output=5))


@pytest.mark.parametrize(
    ("kind", "name", "told"),
    [
        ("text_delta", "text", "content"),
        ("connector_text_delta", "connector_text", "content"),
        ("thinking_delta", "thinking", "reasoning_content"),
    ],
)
def test_text_of_a_block_that_was_not_begun_is_told(kind: str, name: str, told: str) -> None:
    frames = feed(START, delta(kind, 3, **{name: "a"}), delta(kind, 3, **{name: "b"}), STOP)
    deltas = [choice["delta"] for frame in frames for choice in json.loads(frame.data)["choices"]]
    assert "".join(said.get(told) or "" for said in deltas) == "ab"


def test_input_of_a_call_that_was_not_begun_is_none() -> None:
    frames = feed(START, delta("input_json_delta", 1, partial_json="{}"), STOP)
    assert (folded(frames)["calls"], folded(frames)["finish"]) == ([], "stop")


ENDED = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5, "speed": "fast"}}


@pytest.mark.parametrize("call", [HUB, NATIVE])
def test_usage_is_known_when_the_stream_breaks_off_after_its_last_word(call: Call) -> None:
    parser, meter = DIALECT.stream_parser(call), Meter()
    for event in (START, begun(TEXT), ENDED):
        meter.observe(parser.feed(SseEvent("", encode(event))))
    with pytest.raises(UpstreamError):
        list(parser.finish())
    attempt = make_attempt()
    meter.settle(call, attempt)
    assert (meter.usage, meter.service_tier) == (Usage(input=9, output=5), "fast")
    assert attempt.usage == Usage(input=9, output=5)


@pytest.mark.parametrize("call", [HUB, NATIVE])
def test_usage_on_the_way_is_not_the_last_word(call: Call) -> None:
    on_the_way = {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 5}}
    assert not any(frame.is_usage_only for frame in feed(START, on_the_way, ENDED, STOP, call=call)[:-3])


def test_usage_of_an_ended_message_is_told_once() -> None:
    frames = feed(START, begun(TEXT), ENDED, STOP)
    end, last = [json.loads(frame.data) for frame in frames[-2:]]
    assert [frame.is_usage_only for frame in frames] == [False, False, True, False, True]
    assert (frames[2].data, frames[2].usage) == (b"", Usage(input=9, output=5))
    assert (end["choices"][0]["finish_reason"], last["usage"]["completion_tokens"]) == ("stop", 5)


def test_stream_without_reported_usage_ends_with_its_finish() -> None:
    frames = feed({"type": "message_start"}, begun(TEXT), STOP)
    assert json.loads(frames[-1].data)["choices"][0]["finish_reason"] == "stop"
    assert [frame.usage for frame in frames] == [None, None, None]


def test_nothing_counts_after_the_end() -> None:
    parser = DIALECT.stream_parser(HUB)
    for event in (START, STOP):
        list(parser.feed(SseEvent("", encode(event))))
    assert parser.is_over
    assert list(parser.feed(SseEvent("data", b"[DONE]"))) == []
    assert list(parser.finish()) == []


@pytest.mark.parametrize("call", [HUB, NATIVE])
@pytest.mark.parametrize("events", [[], [START], [START, begun(TEXT)]])
def test_stream_without_an_answer_or_an_end_is_broken(call: Call, events: list[dict[str, Any]]) -> None:
    with pytest.raises(UpstreamError) as caught:
        feed(*events, call=call)
    assert caught.value.kind is UpstreamErrorKind.PROTOCOL


@pytest.mark.parametrize("call", [HUB, NATIVE])
@pytest.mark.parametrize(
    ("type_", "kind", "status"),
    [
        ("overloaded_error", "overloaded", 529),
        ("rate_limit_error", "rate_limited", 429),
        ("api_error", "server", 500),
        ("timeout_error", "timeout", 504),
        ("authentication_error", "auth", 401),
        ("permission_error", "auth", 403),
        ("billing_error", "auth", 402),
        ("invalid_request_error", "invalid", 400),
        ("from_the_future", "server", 500),
    ],
)
def test_error_in_a_stream(call: Call, type_: str, kind: str, status: int) -> None:
    said = {"type": "error", "error": {"type": type_, "message": "words"}, "request_id": "req_1"}
    with pytest.raises(UpstreamError) as caught:
        feed(START, said, call=call)
    error = caught.value
    assert (error.kind.value, error.status, error.message, error.type) == (kind, status, "words", type_)
    assert error.detail == "request req_1"


def test_native_frames_count_what_was_generated() -> None:
    frames = feed(
        START,
        {"type": "ping"},
        begun({"type": "text", "text": ""}),
        delta("text_delta", text="h\u00e9"),
        delta("thinking_delta", thinking="abc"),
        delta("input_json_delta", partial_json=""),
        begun({"type": "tool_use", "id": "t", "name": "fn", "input": {}}),
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 7, "service_tier": "priority"}},
        STOP,
        call=NATIVE,
    )
    assert [(frame.is_content, frame.text_bytes, frame.deltas) for frame in frames] == [
        (False, 0, 0),
        (False, 0, 0),
        (False, 0, 0),
        (True, 3, 1),
        (True, 3, 1),
        (True, 0, 0),
        (True, 2, 1),
        (True, 0, 0),
        (True, 0, 0),
    ]
    assert (frames[0].model, frames[0].usage) == ("claude-x", Usage(input=9))
    assert (frames[7].usage, frames[7].service_tier) == (Usage(input=9, output=7), "priority")


def test_native_event_of_several_lines_becomes_one() -> None:
    (frame,) = DIALECT.stream_parser(NATIVE).feed(SseEvent("ping", b'{"type":\n"ping", "n": 1.50}'))
    assert (frame.data, frame.event) == (b'{"type": "ping", "n": 1.50}', "ping")


def test_half_a_surrogate_pair_passes() -> None:
    body = rb'{"model": "m", "content": [{"type": "text", "text": "a\ud83d"}]}'
    assert (
        json.loads(DIALECT.parse_result(HUB, body).data)["choices"][0]["message"]["content"]
        == "a\N{REPLACEMENT CHARACTER}"
    )
    assert DIALECT.parse_result(NATIVE, body).data == body


def test_counts() -> None:
    body = b'{"input_tokens": 14, "context_management": {}}'
    assert DIALECT.parse_result(COUNT, body).data == b'{"input_tokens":14}'
    native = replace(COUNT, endpoint=replace(COUNT.endpoint, format="anthropic"))
    assert DIALECT.parse_result(native, body).data == body
