"""Answers of Bedrock in the hub's format: any JSON parses or is an UpstreamError, and odd streams end as they must."""

import json
from array import array
from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.call import Call, Endpoint
from dataplane.dialects.base import Frame, SseEvent
from dataplane.dialects.bedrock import BedrockDialect
from dataplane.dialects.bedrock.usage import parse_usage
from dataplane.errors import UpstreamError, UpstreamErrorKind
from dataplane.limits.estimate import size_of
from dataplane.metering.meter import Meter
from tests.fakes.outcomes import REQUEST_ID, make_attempt, make_call
from tollway.kernel.usage import NO_USAGE, SettlementState, Usage

DIALECT = BedrockDialect()
CHAT = make_call()
JSON_CHAT = make_call(body={"response_format": {"type": "json_object"}, "tools": [{"function": {"name": "f"}}]})
EMBEDDINGS = Endpoint("embeddings", "/v1/embeddings", "embeddings", False)
RERANK = Endpoint("rerank", "/v1/rerank", "rerank", False)
COUNT_TOKENS = Endpoint("count_tokens", "/v1/messages/count_tokens", "count_tokens", False)
HOUR = {"ttl": "1h", "inputTokens": 6}
USAGE = {"inputTokens": 5, "outputTokens": 3, "totalTokens": 8}
STOP = ("messageStop", {"stopReason": "end_turn"})
METADATA = ("metadata", {"usage": USAGE})
BLOCKED = {"stopReason": "guardrail_intervened", "usage": {"inputTokens": 0, "outputTokens": 0}}


def encode(value: Any) -> bytes:
    return json.dumps(value).encode()


def use(name: str, identity: Any = "t1", **more: Any) -> dict[str, Any]:
    return {"toolUse": {"toolUseId": identity, "name": name, **more}}


def begin(index: int, start: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "contentBlockStart", {"contentBlockIndex": index, "start": start}


def piece(index: int, delta: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "contentBlockDelta", {"contentBlockIndex": index, "delta": delta}


def feed(*events: tuple[str, Any], call: Call = CHAT) -> list[Frame]:
    parser = DIALECT.stream_parser(call)
    frames = [frame for name, payload in events for frame in parser.feed(SseEvent(name, encode(payload)))]
    return [*frames, *parser.finish()]


def deltas(frames: list[Frame]) -> list[dict[str, Any]]:
    """What the chunks say of the message, but for the role."""
    choices = [choice for frame in frames for choice in json.loads(frame.data)["choices"]]
    return [choice["delta"] for choice in choices[1:] if choice["delta"]]


def finish(frames: list[Frame]) -> str:
    choices = [choice for frame in frames for choice in json.loads(frame.data)["choices"]]
    return str(choices[-1]["finish_reason"])


def answer(*blocks: dict[str, Any], call: Call = CHAT, **members: Any) -> dict[str, Any]:
    body = {"output": {"message": {"role": "assistant", "content": list(blocks)}}, "stopReason": "tool_use", **members}
    parsed: dict[str, Any] = json.loads(DIALECT.parse_result(call, encode(body)).data)
    return parsed


def message(*blocks: dict[str, Any], call: Call = CHAT, **members: Any) -> dict[str, Any]:
    told: dict[str, Any] = answer(*blocks, call=call, **members)["choices"][0]["message"]
    return told


def test_chunks_have_what_openais_have() -> None:
    frames = feed(("messageStart", {"role": "assistant"}), piece(0, {"text": "hä"}), STOP, METADATA)
    begun, text, ended, usage = [json.loads(frame.data) for frame in frames]
    assert begun == {
        "id": f"chatcmpl-{REQUEST_ID}",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": "smart",
        "choices": [
            {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
        ],
    }
    assert text["choices"][0]["delta"] == {"content": "hä"}
    assert (ended["choices"][0]["delta"], ended["choices"][0]["finish_reason"]) == ({}, "stop")
    assert (usage["choices"], usage["usage"]["prompt_tokens"]) == ([], 5)
    assert [(frame.is_content, frame.deltas, frame.text_bytes) for frame in frames] == [
        (False, 0, 0),
        (True, 1, 3),
        (True, 0, 0),
        (True, 0, 0),
    ]


def test_stream_is_over_with_its_metadata_only() -> None:
    parser = DIALECT.stream_parser(CHAT)
    list(parser.feed(SseEvent("messageStart", b"{}")))
    list(parser.feed(SseEvent(STOP[0], encode(STOP[1]))))
    assert not parser.is_over
    list(parser.feed(SseEvent(METADATA[0], encode(METADATA[1]))))
    assert parser.is_over
    assert list(parser.feed(SseEvent("contentBlockDelta", b"{}"))) == []


def test_stream_without_metadata_ends_well_and_reports_no_usage() -> None:
    frames = feed(piece(0, {"text": "a"}), STOP)
    assert finish(frames) == "stop"
    assert all(frame.usage is None for frame in frames)


def test_metadata_before_the_end_is_told_after_it() -> None:
    frames = feed(METADATA, piece(0, {"text": "a"}), STOP)
    assert [frame.is_usage_only for frame in frames] == [False, False, False, True]


@pytest.mark.parametrize("events", [[], [("ping", {})], [("messageStart", {})], [piece(0, {"text": "a"}), METADATA]])
def test_stream_without_its_end_is_broken(events: list[Any]) -> None:
    with pytest.raises(UpstreamError) as caught:
        feed(*events)
    assert caught.value.kind is UpstreamErrorKind.PROTOCOL


@pytest.mark.parametrize(
    ("name", "kind", "status"),
    [
        ("throttlingException", UpstreamErrorKind.RATE_LIMITED, 429),
        ("serviceUnavailableException", UpstreamErrorKind.OVERLOADED, 503),
        ("modelStreamErrorException", UpstreamErrorKind.SERVER, 424),
        ("validationException", UpstreamErrorKind.INVALID, 400),
        ("internalServerException", UpstreamErrorKind.SERVER, 500),
        ("modelTimeoutException", UpstreamErrorKind.TIMEOUT, 408),
        ("newException", UpstreamErrorKind.SERVER, 500),
    ],
)
def test_exceptions_are_errors(name: str, kind: UpstreamErrorKind, status: int) -> None:
    with pytest.raises(UpstreamError) as caught:
        feed(piece(0, {"text": "a"}), (f"exception:{name}", {"message": "words"}))
    assert (caught.value.kind, caught.value.status, caught.value.message) == (kind, status, "words")


def test_exception_as_a_plain_event_is_one_too() -> None:
    with pytest.raises(UpstreamError, match="words"):
        feed(("throttlingException", {"message": "words"}))


def test_calls_come_in_pieces_and_have_arguments_in_any_case() -> None:
    frames = feed(
        begin(0, use("f", "a")),
        piece(0, {"toolUse": {"input": '{"x"'}}),
        begin(1, use("g", "a")),
        piece(0, {"toolUse": {"input": ":1}"}}),
        begin(2, use("h", None)),
        ("messageStop", {"stopReason": "tool_use"}),
    )
    assert [delta["tool_calls"][0] for delta in deltas(frames)] == [
        {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"x"'}},
        {"index": 1, "id": f"call_{REQUEST_ID}_1", "type": "function", "function": {"name": "g", "arguments": ""}},
        {"index": 0, "function": {"arguments": ":1}"}},
        {"index": 2, "id": f"call_{REQUEST_ID}_2", "type": "function", "function": {"name": "h", "arguments": ""}},
        {"index": 1, "function": {"arguments": "{}"}},
        {"index": 2, "function": {"arguments": "{}"}},
    ]
    assert finish(frames) == "tool_calls"


def test_tools_of_the_provider_are_no_calls() -> None:
    served = use("nova_grounding", type="server_tool_use", input={"q": 1})
    told = message(served, {"toolResult": {"content": [{"text": "found"}]}}, {"text": "a"})
    assert told == {"role": "assistant", "content": "a", "refusal": None}
    frames = feed(begin(0, served), piece(0, {"toolUse": {"input": "{}"}}), piece(1, {"text": "a"}), STOP)
    assert deltas(frames) == [{"content": "a"}]


def test_searches_of_the_web_are_metered() -> None:
    search = use("nova_grounding", type="server_tool_use", input={})
    ran = use("nova_code_interpreter", type="server_tool_use", input={})
    body = {"output": {"message": {"content": [search, ran, search, use("nova_grounding", input={})]}}, "usage": USAGE}
    whole = DIALECT.parse_result(CHAT, encode(body))
    streamed = DIALECT.parse_result_chunks(CHAT, encode(body))[-1]
    assert whole.usage == streamed.usage == Usage(input=5, output=3, search=2)


def test_uses_that_are_typed_as_the_clients_are_calls() -> None:
    typed = use("f", type="tool_use", input={"a": 1})
    (call,) = message(typed)["tool_calls"]
    assert (call["id"], call["function"]["arguments"]) == ("t1", '{"a":1}')
    frames = feed(begin(0, typed), piece(0, {"toolUse": {"input": '{"a":1}'}}), ("messageStop", {}))
    assert "".join(delta["tool_calls"][0]["function"]["arguments"] for delta in deltas(frames)) == '{"a":1}'
    assert finish(frames) == "tool_calls"


def test_what_the_providers_tools_return_in_pieces_is_left_out() -> None:
    ran = begin(0, use("nova_code_interpreter", type="server_tool_use"))
    returned = begin(1, {"toolResult": {"toolUseId": "t1", "type": "nova_code_interpreter_result"}})
    found = piece(1, {"toolResult": [{"json": {"stdOut": "7"}}]})
    frames = feed(ran, piece(0, {"toolUse": {"input": "{}"}}), returned, found, piece(2, {"text": "a"}), STOP)
    assert (deltas(frames), finish(frames)) == ([{"content": "a"}], "stop")


WEB = {"location": {"web": {"url": "https://a.example/b", "domain": "a.example"}}}
FOUND = {"source": "http://c.example", "title": "C", "location": {"searchResultLocation": {"start": 0}}}
PAGE = {"title": "t", "location": {"documentPage": {"start": 1, "end": 2}}}
STORED: dict[str, Any] = {"source": "s3://bucket/key", "title": "t"}


def note(start: int, end: int, url: str, title: str) -> dict[str, Any]:
    cited = {"start_index": start, "end_index": end, "url": url, "title": title}
    return {"type": "url_citation", "url_citation": cited}


def test_cited_text_is_text_and_is_annotated_where_its_source_has_an_address() -> None:
    cited: dict[str, Any] = {"content": [{"text": "bö"}, {"text": "c"}], "citations": [PAGE, WEB, STORED, FOUND]}
    blocks: list[dict[str, Any]] = [{"text": "a"}, {"citationsContent": cited}, {"text": "d"}]
    notes = [note(1, 4, "https://a.example/b", "a.example"), note(1, 4, "http://c.example", "C")]
    told = message(*blocks)
    assert (told["content"], told["annotations"]) == ("aböcd", notes)
    pieces: list[dict[str, Any]] = [
        {"citation": PAGE},
        {"text": "bö"},
        {"citation": WEB},
        {"text": "c"},
        {"citation": FOUND},
    ]
    events = [
        piece(0, {"text": "a"}),
        *(piece(1, one) for one in pieces),
        ("contentBlockStop", {"contentBlockIndex": 1}),
    ]
    streamed = deltas(feed(*events, piece(2, {"text": "d"}), STOP))
    assert "".join(delta.get("content", "") for delta in streamed) == "aböcd"
    assert [delta["annotations"] for delta in streamed if "annotations" in delta] == [notes]


def test_citations_without_text_are_of_the_text_before_them() -> None:
    bare = {"citationsContent": {"citations": [WEB]}}
    assert message({"text": "ab"}, {"text": "cd"}, bare)["annotations"] == [
        note(2, 4, "https://a.example/b", "a.example")
    ]
    assert message({"text": "ab"}, {"citationsContent": {"citations": [PAGE, 5]}}) == message({"text": "ab"})


def test_answers_in_json_are_not_annotated() -> None:
    cited = {"citationsContent": {"content": [{"text": '{"a":1}'}], "citations": [WEB]}}
    told = message(cited, call=JSON_CHAT)
    assert (told["content"], "annotations" in told) == ('{"a":1}', False)


@pytest.mark.parametrize(
    ("members", "counted"),
    [
        (BLOCKED, 0),
        ({**BLOCKED, "usage": USAGE}, 3),
        ({**BLOCKED, "stopReason": "end_turn"}, 3),
        ({**BLOCKED, "usage": {}}, 3),
    ],
)
def test_words_of_a_guardrail_that_used_nothing_are_not_counted(members: dict[str, Any], counted: int) -> None:
    body = encode({"output": {"message": {"content": [{"text": "no!"}]}}, **members})
    whole = DIALECT.parse_result(CHAT, body)
    assert whole.text_bytes == counted
    chunks = DIALECT.parse_result_chunks(CHAT, body)
    usage = ("metadata", {"usage": members["usage"]})
    stop = ("messageStop", {"stopReason": members["stopReason"]})
    for frames in (chunks, feed(piece(0, {"text": "n"}), piece(0, {"text": "o!"}), usage, stop)):
        assert sum(frame.text_bytes for frame in frames) == counted
        assert (sum(frame.deltas for frame in frames) > 0) == (counted > 0)
        assert frames[-1].usage == whole.usage
    assert (whole.usage == NO_USAGE) == (members["usage"] == BLOCKED["usage"])


def test_words_of_a_guardrail_that_used_nothing_are_settled_as_reported() -> None:
    body = encode({"output": {"message": {"content": [{"text": "no!"}]}}, **BLOCKED})
    for frames in ([DIALECT.parse_result(CHAT, body)], DIALECT.parse_result_chunks(CHAT, body)):
        attempt, meter = make_attempt(), Meter()
        meter.observe(frames)
        meter.complete()
        meter.settle(CHAT, attempt)
        assert (attempt.basis, attempt.usage) == (SettlementState.REPORTED, NO_USAGE)


def test_reasoning_is_text_and_details() -> None:
    frames = feed(
        piece(0, {"reasoningContent": {"text": "a"}}),
        piece(0, {"reasoningContent": {"text": "b"}}),
        piece(0, {"reasoningContent": {"signature": "s"}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        piece(1, {"reasoningContent": {"redactedContent": "RXRrRUNrZ0lCeEFC"}}),
        piece(2, {"reasoningContent": {"redactedContent": "AP8="}}),
        piece(3, {"reasoningContent": {"redactedContent": "cnNuX3BVUGgxNnRvNFY="}}),
        piece(4, {"reasoningContent": {"text": "c"}}),
        STOP,
    )
    signed = {"type": "reasoning.text", "text": "ab", "signature": "s", "format": "anthropic-claude-v1", "index": 0}
    redacted = {"type": "reasoning.encrypted", "data": "EtkECkgIBxAB", "format": "anthropic-claude-v1", "index": 1}
    other = {"type": "reasoning.encrypted", "data": "AP8=", "format": "bedrock-v1", "index": 2}
    gpts = {"type": "reasoning.encrypted", "data": "cnNuX3BVUGgxNnRvNFY=", "format": "bedrock-v1", "index": 3}
    assert deltas(frames) == [
        {"reasoning_content": "a"},
        {"reasoning_content": "b"},
        *({"reasoning_details": [detail]} for detail in (signed, redacted, other, gpts)),
        {"reasoning_content": "c"},
    ]
    told = message(
        {"reasoningContent": {"reasoningText": {"text": "ab", "signature": "s"}}},
        {"reasoningContent": {"redactedContent": "RXRrRUNrZ0lCeEFC"}},
        {"reasoningContent": {"redactedContent": "AP8="}},
        {"reasoningContent": {"reasoningText": {"text": "c"}}},
    )
    assert (told["reasoning_content"], told["reasoning_details"]) == ("abc", [signed, redacted, other])


@pytest.mark.parametrize(
    ("reason", "has_call", "word"),
    [
        ("end_turn", False, "stop"),
        ("end_turn", True, "tool_calls"),
        ("stop_sequence", False, "stop"),
        ("tool_use", False, "stop"),
        ("max_tokens", True, "length"),
        ("model_context_window_exceeded", False, "length"),
        ("guardrail_intervened", False, "content_filter"),
        ("content_filtered", False, "content_filter"),
        ("malformed_model_output", False, "stop"),
        ("malformed_tool_use", False, "stop"),
        ("unheard_of", False, "stop"),
        (None, True, "tool_calls"),
        ({}, False, "stop"),
    ],
)
def test_finish(reason: Any, has_call: bool, word: str) -> None:
    blocks = [use("f", input={})] if has_call else []
    assert answer(*blocks, stopReason=reason)["choices"][0]["finish_reason"] == word
    events = [begin(0, block) for block in blocks]
    assert finish(feed(*events, ("messageStart", {}), ("messageStop", {"stopReason": reason}))) == word


JSON_USE = use("json_answer", "j", input={"a": 1})


@pytest.mark.parametrize(
    ("blocks", "content", "calls", "word"),
    [
        ([JSON_USE], {"a": 1}, 0, "stop"),
        ([{"text": "Here it is:"}, JSON_USE, {"text": "Done."}], {"a": 1}, 0, "stop"),
        ([JSON_USE, use("json_answer", "k", input={"b": 2})], {"a": 1}, 0, "stop"),
        ([use("f", input={}), JSON_USE], {"a": 1}, 1, "tool_calls"),
        ([{"text": "I call it."}, use("f", input={})], "I call it.", 1, "tool_calls"),
        ([{"text": "I cannot"}, {"text": " do that."}], "I cannot do that.", 0, "stop"),
        ([{"text": ' {"a":'}, {"text": "1}"}, JSON_USE], {"a": 1}, 0, "stop"),
    ],
)
def test_answer_by_the_tool_is_content(blocks: list[Any], content: Any, calls: int, word: str) -> None:
    body = {"output": {"message": {"content": blocks}}, "stopReason": "tool_use", "usage": USAGE}
    told = json.loads(DIALECT.parse_result(JSON_CHAT, encode(body)).data)["choices"][0]
    assert (
        told["message"]["content"] if isinstance(content, str) else json.loads(told["message"]["content"])
    ) == content
    assert (len(told["message"].get("tool_calls", [])), told["finish_reason"]) == (calls, word)
    frames = DIALECT.parse_result_chunks(JSON_CHAT, encode(body))
    assert "".join(delta.get("content", "") for delta in deltas(frames)) == told["message"]["content"]
    assert (sum("id" in delta["tool_calls"][0] for delta in deltas(frames) if "tool_calls" in delta)) == calls
    assert finish(frames) == word


def test_answer_by_the_tool_streams_as_it_comes() -> None:
    events = [
        piece(0, {"text": "Well"}),
        begin(1, use("json_answer")),
        piece(1, {"toolUse": {"input": '{"a"'}}),
        piece(1, {"toolUse": {"input": ":1}"}}),
        ("messageStop", {"stopReason": "tool_use"}),
    ]
    assert deltas(feed(*events, call=JSON_CHAT)) == [{"content": '{"a"'}, {"content": ":1}"}]
    assert [delta for delta in deltas(feed(*events)) if "tool_calls" in delta]
    native = [piece(0, {"text": "\n"}), piece(0, {"text": '{"a"'}), piece(0, {"text": ":1}"}), STOP]
    assert deltas(feed(*native, call=JSON_CHAT)) == [{"content": '\n{"a"'}, {"content": ":1}"}]


@pytest.mark.parametrize("name", ["json_answer", "json_answer<|channel|>commentary"])
def test_markup_after_the_tools_name_is_no_part_of_it(name: str) -> None:
    told = message(use(name, input={"a": 1}), call=JSON_CHAT)
    assert (told["content"], "tool_calls" in told) == ('{"a":1}', False)
    assert message(use(name, input={}))["tool_calls"][0]["function"]["name"] == name


def test_what_is_said_of_the_whole_passes() -> None:
    router = {"promptRouter": {"invokedModelId": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"}}
    members = {
        "stopReason": "end_turn",
        "usage": USAGE,
        "trace": router,
        "serviceTier": {"type": "flex"},
        "additionalModelResponseFields": {"stop_sequence": "x"},
    }
    body = encode({"output": {"message": {"content": [{"text": "a"}]}}, **members})
    whole = DIALECT.parse_result(CHAT, body)
    told = json.loads(whole.data)
    assert (told["trace"], told["service_tier"]) == (router, "flex")
    assert told["additionalModelResponseFields"] == {"stop_sequence": "x"}
    assert (whole.model, whole.service_tier, told["model"]) == ("amazon.nova-lite-v1:0", "flex", "smart")
    *_, ended, last = DIALECT.parse_result_chunks(CHAT, body)
    assert json.loads(ended.data)["additionalModelResponseFields"] == {"stop_sequence": "x"}
    assert (last.model, last.service_tier) == ("amazon.nova-lite-v1:0", "flex")
    assert json.loads(last.data)["trace"] == router


@pytest.mark.parametrize(
    ("members", "tier", "told"),
    [
        ({}, None, None),
        ({"serviceTier": {"type": "priority"}}, "priority", "priority"),
        ({"serviceTier": {"type": "default"}}, "", "default"),
        ({"performanceConfig": {"latency": "optimized"}}, "optimized", None),
        ({"performanceConfig": {"latency": "standard"}}, None, None),
        ({"serviceTier": {"type": "default"}, "performanceConfig": {"latency": "optimized"}}, "optimized", "default"),
        ({"serviceTier": {"type": "flex"}, "performanceConfig": {"latency": "optimized"}}, "flex", "flex"),
        ({"serviceTier": 5, "performanceConfig": 5}, None, None),
    ],
)
def test_class_of_service_that_the_answer_says(members: dict[str, Any], tier: str | None, told: str | None) -> None:
    body = {"output": {"message": {"content": []}}, "usage": USAGE, **members}
    whole = DIALECT.parse_result(CHAT, encode(body))
    streamed = feed(STOP, ("metadata", {"usage": USAGE, **members}))[-1]
    for frame in (whole, streamed, DIALECT.parse_result_chunks(CHAT, encode(body))[-1]):
        assert (frame.service_tier, json.loads(frame.data).get("service_tier")) == (tier, told)


@pytest.mark.parametrize(
    ("reported", "meters"),
    [
        (USAGE, (5, 0, 0, 0, 3)),
        ({**USAGE, "cacheReadInputTokens": 7, "cacheWriteInputTokens": 4}, (5, 7, 4, 0, 3)),
        ({**USAGE, "cacheReadInputTokenCount": 7, "cacheWriteInputTokenCount": 4}, (5, 7, 4, 0, 3)),
        (
            {**USAGE, "cacheWriteInputTokens": 9, "cacheDetails": [HOUR, {"ttl": "5m", "inputTokens": 3}]},
            (5, 0, 3, 6, 3),
        ),
        ({**USAGE, "cacheDetails": [HOUR, {"inputTokens": 1}, 5]}, (5, 0, 1, 6, 3)),
        ({**USAGE, "cacheWriteInputTokens": 2, "cacheDetails": [HOUR]}, (5, 0, 0, 2, 3)),
        ({"inputTokens": 5.0, "outputTokens": 0}, (5, 0, 0, 0, 0)),
        ({"inputTokens": 5}, None),
        ({"inputTokens": -5, "outputTokens": 3}, None),
        ([], None),
    ],
)
def test_usage(reported: Any, meters: tuple[int, ...] | None) -> None:
    usage = parse_usage(reported)
    assert (None if usage is None else tuple(usage)[:5]) == meters


def test_answer_without_usage_reports_none() -> None:
    frame = DIALECT.parse_result(CHAT, encode({"output": {"message": {"content": []}}}))
    assert frame.usage is None
    assert "usage" not in json.loads(frame.data)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>", UpstreamErrorKind.PROTOCOL),
        (b"[]", UpstreamErrorKind.PROTOCOL),
        (b"{}", UpstreamErrorKind.PROTOCOL),
        (b'{"__type":"com.amazon.coral.service#ThrottlingException","message":"no"}', UpstreamErrorKind.RATE_LIMITED),
        (b'{"Message":"no"}', UpstreamErrorKind.SERVER),
        (b'{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"}}', UpstreamErrorKind.INVALID),
    ],
)
@pytest.mark.parametrize("endpoint", [CHAT.endpoint, COUNT_TOKENS, EMBEDDINGS, RERANK])
def test_what_is_no_answer_is_an_error(body: bytes, kind: UpstreamErrorKind, endpoint: Endpoint) -> None:
    with pytest.raises(UpstreamError) as caught:
        DIALECT.parse_result(make_call(endpoint=endpoint), body)
    assert caught.value.kind is kind


@pytest.mark.parametrize(
    ("payload", "vectors", "tokens"),
    [
        ({"embedding": [0.5, -1], "inputTextTokenCount": 4, "embeddingsByType": {}}, [[0.5, -1]], 4),
        ({"embeddings": [[0.5], [1.0]], "response_type": "embeddings_floats"}, [[0.5], [1.0]], None),
        ({"embeddings": {"int8": [[1]], "float": [[0.5]]}}, [[0.5]], None),
        ({"embeddings": {"int8": [[1]]}}, [[1]], None),
        ({"embeddings": [{"embeddingType": "TEXT", "embedding": [0.5, -1]}]}, [[0.5, -1]], None),
    ],
)
def test_embeddings(payload: dict[str, Any], vectors: list[Any], tokens: int | None) -> None:
    frame = DIALECT.parse_result(make_call(endpoint=EMBEDDINGS), encode(payload))
    told = json.loads(frame.data)
    assert [(item["object"], item["index"], item["embedding"]) for item in told["data"]] == [
        ("embedding", at, vector) for at, vector in enumerate(vectors)
    ]
    assert (told["object"], told["model"]) == ("list", "smart")
    assert told["usage"] == {"prompt_tokens": tokens or 0, "total_tokens": tokens or 0}
    assert (frame.usage and frame.usage.input) == tokens
    call = make_call(endpoint=EMBEDDINGS, body={"encoding_format": "base64"})
    packed = [item["embedding"] for item in json.loads(DIALECT.parse_result(call, encode(payload)).data)["data"]]
    assert [array("f", b64decode(text)).tolist() for text in packed] == vectors


COUNTED = {"x-amzn-bedrock-input-token-count": "9", "x-amzn-bedrock-output-token-count": "0"}


@pytest.mark.parametrize(
    ("payload", "headers", "usage"),
    [
        ({"embeddings": [[0.5], [1.0]]}, COUNTED, Usage(input=9)),
        ({"embeddings": [{"embedding": [0.5]}]}, {"x-amzn-bedrock-input-token-count": " 9"}, Usage(input=9)),
        ({"embedding": [0.5]}, COUNTED, Usage(input=9)),
        ({"embedding": [0.5], "inputTextTokenCount": 4}, COUNTED, Usage(input=4)),
        (
            {"embedding": [0.5]},
            COUNTED
            | {
                "x-amzn-bedrock-output-token-count": "1",
                "x-amzn-bedrock-cache-read-input-token-count": "2",
                "x-amzn-bedrock-cache-write-input-token-count": "3",
            },
            Usage(input=9, cache_read=2, cache_write_5m=3),
        ),
        *(
            ({"embedding": [0.5]}, {"x-amzn-bedrock-input-token-count": text}, None)
            for text in ("", "-1", "9.5", "\u0663", "1" * 5_000, "9, 9")
        ),
    ],
)
def test_embeddings_that_are_counted_in_headers_alone(
    payload: dict[str, Any], headers: dict[str, str], usage: Usage | None
) -> None:
    frame = DIALECT.parse_result(make_call(endpoint=EMBEDDINGS), encode(payload), headers)
    assert frame.usage == usage
    assert json.loads(frame.data)["usage"]["prompt_tokens"] == (usage.input_tokens if usage else 0)


@pytest.mark.parametrize("body", [b"", b'{"embeddings":5}', b'{"embeddings":[["x"]]}'])
def test_embeddings_that_are_none_tell_what_they_used(body: bytes) -> None:
    call = make_call(endpoint=EMBEDDINGS, body={"encoding_format": "base64"})
    with pytest.raises(UpstreamError) as caught:
        DIALECT.parse_result(call, body, COUNTED)
    assert caught.value.usage == Usage(input=9)


@pytest.mark.parametrize("name", ["relevance_score", "relevanceScore"])
def test_ranking(name: str) -> None:
    call = make_call(endpoint=RERANK, body={"documents": ["a", {"text": "b"}, "c"], "return_documents": True})
    results = [{"index": 1, name: 0.5, "document": {"type": "TEXT"}}, {"index": 0, name: 0.25}, 5]
    frame = DIALECT.parse_result(call, encode({"results": results, "nextToken": "n"}))
    answer = json.loads(frame.data)
    assert answer["results"] == [
        {"index": 1, "relevance_score": 0.5, "document": {"text": "b"}},
        {"index": 0, "relevance_score": 0.25, "document": {"text": "a"}},
    ]
    assert answer["meta"] == {"billed_units": {"search_units": 1}}
    assert frame.usage == Usage(search=1)


@pytest.mark.parametrize(
    ("documents", "query", "searches"),
    [
        (["a"], "q", 1),
        (["a"] * 100, "q", 1),
        (["a"] * 101, "q", 2),
        (["a" * 509] * 100, "q", 1),
        (["a" * 510] * 51, "q", 2),
        (["a" * 20] * 100, "q" * 490, 1),
        (["a" * 20] * 100, "q" * 491, 2),
        (["\U0001f600" * 128] * 51, "", 2),
        (None, None, 1),
    ],
)
def test_rankings_cost_a_search_for_each_hundred_documents_at_the_most(
    documents: Any, query: Any, searches: int
) -> None:
    call = make_call(endpoint=RERANK, body={"documents": documents, "query": query})
    frame = DIALECT.parse_result(call, b'{"results":[]}')
    assert (frame.usage, frame.is_estimate) == (Usage(search=searches), True)
    assert searches <= size_of(call).searches
    meter, attempt = Meter(), make_attempt()
    meter.observe([frame])
    meter.complete()
    meter.settle(call, attempt)
    assert (attempt.usage, attempt.basis) == (Usage(search=searches), SettlementState.ESTIMATED)


MEMBERS = st.sampled_from(
    [
        *("output", "message", "content", "text", "toolUse", "toolUseId", "name", "input", "reasoningContent", "delta"),
        *("reasoningText", "signature", "redactedContent", "stopReason", "usage", "inputTokens", "outputTokens"),
        *("cacheReadInputTokens", "cacheDetails", "ttl", "serviceTier", "type", "trace", "promptRouter", "start"),
        *(
            "citation",
            "citations",
            "location",
            "web",
            "url",
            "source",
            "title",
            "performanceConfig",
            "results",
            "index",
        ),
        *("contentBlockIndex", "citationsContent", "embedding", "embeddings", "invokedModelId", "float", "__type"),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(MEMBERS, children, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(MEMBERS, VALUES, max_size=5)
BLOCKS = st.lists(OBJECTS | VALUES, max_size=4)
ANSWERS = OBJECTS | st.builds(
    lambda rest, blocks: {**rest, "output": {"message": {"content": blocks}}}, OBJECTS, BLOCKS
)
NAMES = st.sampled_from(
    [
        *("messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"),
        *("", "other", "exception:throttlingException", "exception:"),
    ]
)
ENDPOINTS = st.sampled_from([CHAT.endpoint, COUNT_TOKENS, EMBEDDINGS, RERANK])
BODIES = st.sampled_from([CHAT.body, JSON_CHAT.body, {"encoding_format": "base64"}])


@given(ANSWERS | VALUES, ENDPOINTS, BODIES)
def test_any_json_is_a_result_or_an_upstream_error(payload: Any, endpoint: Endpoint, body: dict[str, Any]) -> None:
    call = make_call(endpoint=endpoint, body=body)
    frames: list[Frame] = []
    for parse in (DIALECT.parse_result_chunks, DIALECT.parse_result):
        try:
            told = parse(call, encode(payload))
            frames += told if isinstance(told, list) else [told]
        except UpstreamError as error:
            assert error.message
    for frame in frames:
        json.loads(frame.data)
        assert frame.usage is None or min(frame.usage) >= 0


@settings(max_examples=100)
@given(st.lists(st.tuples(NAMES, OBJECTS | VALUES), max_size=6), st.sampled_from([CHAT, JSON_CHAT]))
def test_any_events_are_a_stream_or_an_upstream_error(events: list[tuple[str, Any]], call: Call) -> None:
    parser = DIALECT.stream_parser(call)
    frames: list[Frame] = []
    try:
        for name, payload in events:
            frames += parser.feed(SseEvent(name, encode(payload)))
        frames += parser.finish()
    except UpstreamError as error:
        assert error.message
    for frame in frames:
        assert json.loads(frame.data)["object"] == "chat.completion.chunk"
        assert frame.deltas >= (frame.text_bytes > 0) or frame.usage == NO_USAGE
    assert sum(frame.text_bytes for frame in frames) >= 0 <= sum(frame.deltas for frame in frames)


@given(st.binary(max_size=20), NAMES)
def test_any_bytes_are_an_event_or_an_upstream_error(data: bytes, name: str) -> None:
    try:
        list(DIALECT.stream_parser(CHAT).feed(SseEvent(name, data)))
    except UpstreamError as error:
        assert error.message


@given(
    st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6)
)
def test_meters_add_up_to_the_total(fresh: int, read: int, written: int, hour: int, output: int) -> None:
    reported = {
        "inputTokens": fresh,
        "outputTokens": output,
        "cacheReadInputTokens": read,
        "cacheWriteInputTokens": written,
        "cacheDetails": [{"ttl": "1h", "inputTokens": hour}],
    }
    usage = parse_usage(reported)
    assert usage is not None
    assert usage.input_tokens + usage.output_tokens == fresh + read + written + output
    assert min(usage) >= 0


@pytest.mark.parametrize("depth", [300, 900])
def test_deep_nesting_is_an_answer_or_an_upstream_error(depth: int) -> None:
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    body = b'{"output":{"message":{"content":[{"toolUse":{"name":"f","input":%s}}]}},"trace":%s}' % (deep, deep)
    with pytest.raises(UpstreamError):
        DIALECT.parse_result(CHAT, body)
