"""Answers of Gemini in OpenAI's format: any JSON parses or is an UpstreamError, and each kind of part has its place."""

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.call import Endpoint
from dataplane.dialects.base import Frame, SseEvent
from dataplane.dialects.gemini import GeminiDialect
from dataplane.dialects.gemini.partial_args import add_partial
from dataplane.errors import UpstreamError, UpstreamErrorKind
from tests.fakes.outcomes import REQUEST_ID, START_TIME_US, make_call

DIALECT = GeminiDialect()
CHAT = make_call()
EMBEDDINGS = make_call(endpoint=Endpoint("embeddings", "/v1/embeddings", "embeddings", False))
COUNT = make_call(endpoint=Endpoint("count_tokens", "/v1/messages/count_tokens", "count", False))
NAMES = st.sampled_from(
    [
        *(
            "candidates",
            "content",
            "parts",
            "text",
            "thought",
            "thoughtSignature",
            "functionCall",
            "name",
            "args",
            "id",
        ),
        *("finishReason", "index", "promptFeedback", "blockReason", "usageMetadata", "promptTokenCount", "inlineData"),
        *("mimeType", "data", "groundingMetadata", "groundingChunks", "groundingSupports", "segment", "web", "uri"),
        *("groundingChunkIndices", "startIndex", "endIndex", "logprobsResult", "chosenCandidates", "topCandidates"),
        *(
            "partialArgs",
            "jsonPath",
            "stringValue",
            "numberValue",
            "willContinue",
            "error",
            "code",
            "message",
            "status",
        ),
        *("webSearchQueries", "imageSearchQueries", "searchEntryPoint", "toolCall", "toolType", "queries"),
        *("modelVersion", "responseId", "serviceTier", "trafficType", "details", "retryDelay", "violations", "quotaId"),
        *("embeddings", "values", "predictions", "statistics", "totalTokens", "token_count", "tokenCount", "modality"),
    ]
)
WORDS = st.sampled_from(
    [
        "STOP",
        "SAFETY",
        "GOOGLE_SEARCH_WEB",
        "gemini-3",
        "$.a.b",
        "$.a[0]",
        "$.a",
        "image/png",
        "audio/wav",
        "UNAVAILABLE",
        "3s",
        "AA",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | WORDS | st.text(max_size=4),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(NAMES, children, max_size=4),
    max_leaves=12,
)
PARTS = st.lists(st.dictionaries(NAMES, JSON, min_size=1, max_size=3) | JSON, max_size=4)
CANDIDATES = st.lists(
    st.builds(
        lambda parts, fields: fields | {"content": {"parts": parts}}, PARTS, st.dictionaries(NAMES, JSON, max_size=3)
    ),
    max_size=3,
)
ANSWERS = st.builds(
    lambda fields, candidates: fields | {"candidates": candidates}, st.dictionaries(NAMES, JSON, max_size=4), CANDIDATES
)


def encode(value: Any) -> bytes:
    return json.dumps(value).encode()


def answer(*parts: Any, finish: Any = "STOP", **fields: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts)}, "finishReason": finish, **fields}]}


def message(*parts: Any, **fields: Any) -> Any:
    return json.loads(DIALECT.parse_result(CHAT, encode(answer(*parts, **fields))).data)["choices"][0]["message"]


def feed(*payloads: Any) -> list[Frame]:
    parser = DIALECT.stream_parser(CHAT)
    frames = [frame for payload in payloads for frame in parser.feed(SseEvent("", encode(payload)))]
    return [*frames, *parser.finish()]


def choices(frames: list[Frame]) -> list[Any]:
    return [choice for frame in frames for choice in json.loads(frame.data)["choices"]]


@settings(deadline=None, max_examples=60)
@given(ANSWERS | st.dictionaries(NAMES, JSON, max_size=5))
def test_any_object_is_a_result_or_an_upstream_error(payload: dict[str, Any]) -> None:
    for call in (CHAT, EMBEDDINGS, COUNT):
        try:
            frame = DIALECT.parse_result(call, encode(payload))
        except UpstreamError as error:
            assert error.message
            continue
        json.loads(frame.data)
        assert all(quantity >= 0 for quantity in frame.usage or ())


@settings(deadline=None, max_examples=60)
@given(st.lists(ANSWERS | JSON, max_size=3), st.sampled_from(["", "", "error"]))
def test_any_objects_are_a_stream_or_an_upstream_error(payloads: list[Any], event: str) -> None:
    parser = DIALECT.stream_parser(CHAT)
    frames: list[Frame] = []
    try:
        for payload in payloads:
            frames += parser.feed(SseEvent(event, encode(payload)))
        frames += parser.finish()
    except UpstreamError as error:
        assert error.message
        return
    assert all(frame.deltas >= (frame.text_bytes > 0) for frame in frames)
    assert any(choice["finish_reason"] for choice in choices(frames))


@settings(deadline=None, max_examples=30)
@given(st.lists(ANSWERS, min_size=1, max_size=3))
def test_any_objects_in_a_list_fold_alike_as_chunks(payloads: list[Any]) -> None:
    try:
        whole = json.loads(DIALECT.parse_result(CHAT, encode(payloads)).data)["choices"]
        told = choices(DIALECT.parse_result_chunks(CHAT, encode(payloads)))
    except UpstreamError:
        return
    for choice in whole:
        deltas = [part["delta"] for part in told if part["index"] == choice["index"]]
        assert "".join(delta.get("content", "") for delta in deltas) == (choice["message"]["content"] or "")
        calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
        assert [call["id"] for call in calls] == [call["id"] for call in choice["message"].get("tool_calls", [])]
        assert len({call["id"] for call in calls}) == len(calls)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"<html>", b"3", b"[3]", b"{}", b'{"usageMetadata":{"promptTokenCount":1}}']
)
def test_no_answer(body: bytes) -> None:
    for parse in (DIALECT.parse_result, DIALECT.parse_result_chunks):
        with pytest.raises(UpstreamError) as caught:
            parse(CHAT, body)
        assert caught.value.kind is UpstreamErrorKind.PROTOCOL


def test_ids_are_made_where_there_are_none_and_stay_unique() -> None:
    calls = [{"functionCall": {"name": name, "args": {}} | given} for name, given in (("f", {}), ("f", {"id": "x"}))]
    ids = [call["id"] for call in message(*calls, calls[1], calls[0])["tool_calls"]]
    assert ids[1] == "x"
    assert len(set(ids)) == 4
    assert all(identity.startswith("call_") and len(identity) <= 40 for identity in (ids[0], *ids[2:]))
    assert [call["id"] for call in message(*calls, calls[1], calls[0])["tool_calls"]] == ids
    other = DIALECT.parse_result(make_call(request_id="req_x"), encode(answer(calls[0])))
    assert json.loads(other.data)["choices"][0]["message"]["tool_calls"][0]["id"] != ids[0]


def test_envelope_without_the_providers_own() -> None:
    told = json.loads(DIALECT.parse_result(CHAT, encode(answer({"text": "a"}))).data)
    assert (told["id"], told["model"], told["created"]) == (
        f"chatcmpl-{REQUEST_ID}",
        "smart",
        START_TIME_US // 1_000_000,
    )
    assert "usage" not in told


def test_what_the_provider_ran_itself_is_no_call() -> None:
    parts = [
        {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "S"},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
        {"text": "one"},
    ]
    assert message(*parts) == {"role": "assistant", "content": "one"}


def test_what_google_wants_back_of_its_own_tools_is_in_the_details() -> None:
    used = {"toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "id": "a"}, "thoughtSignature": "S"}
    came = {"toolResponse": {"id": "a", "response": {"r": 1}}, "thoughtSignature": "T"}
    said = message(used, came, {"text": "one", "thoughtSignature": "U"})
    kept = [(detail["index"], detail["data"]) for detail in said["reasoning_details"]]
    assert [(at, json.loads(data)) for at, data in kept[:2]] == [(0, used), (1, came)]
    assert kept[2] == (2, "U")
    assert "tool_calls" not in said
    deltas = [choice["delta"] for choice in choices(feed(answer(used, came, finish=None), answer({"text": "one"})))]
    assert deltas[0]["reasoning_details"] == said["reasoning_details"][:2]


def test_images_and_sound() -> None:
    picture = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}, "thoughtSignature": "S"}
    sounds = [{"inlineData": {"mimeType": "audio/L16;rate=24000", "data": data}} for data in ("QQ==", "Qg==")]
    draft = {"inlineData": {"mimeType": "image/png", "data": "BBBB"}, "thought": True}
    said = message({"text": "see"}, draft, picture, *sounds)
    assert said["images"] == [
        {
            "type": "image_url",
            "image_url": {"url": "data:image/png;base64,AAAA"},
            "index": 0,
            "extra_content": {"google": {"thought_signature": "S"}},
        }
    ]
    assert base64.b64decode(said["audio"]["data"]) == b"AB"
    frames = feed(answer(picture, finish=None), answer(finish="STOP"))
    assert (frames[0].deltas, frames[0].text_bytes) == (1, 0)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("RECITATION", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "stop"),
        ("UNEXPECTED_TOOL_CALL", "stop"),
        ("SOMETHING_NEW", "stop"),
    ],
)
def test_finish_reasons(reason: str, finish: str) -> None:
    assert choices(feed(answer({"text": "a"}, finish=reason)))[-1]["finish_reason"] == finish
    call = {"functionCall": {"name": "f", "args": {}}}
    assert choices(feed(answer(call, finish=reason)))[-1]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(("continues", "finish"), [(True, "length"), (False, "tool_calls")])
def test_a_call_that_the_limit_cuts_is_none_to_be_answered(continues: bool, finish: str) -> None:
    call = {"functionCall": {"name": "f", "args": {}}}
    last = {"functionCall": {"name": "g", "willContinue": continues}}
    ended = choices(feed(answer(call, finish=None), answer(last, finish="MAX_TOKENS")))[-1]
    assert ended["finish_reason"] == finish


@pytest.mark.parametrize(
    "payload",
    [
        {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 3}},
        {"candidates": [{"finishReason": "SAFETY", "index": 0}]},
        {"candidates": [{"content": {}, "finishReason": "SAFETY"}]},
    ],
)
def test_blocks_are_content_filter_without_content(payload: Any) -> None:
    told = json.loads(DIALECT.parse_result(CHAT, encode(payload)).data)["choices"][0]
    assert (told["finish_reason"], told["message"]["content"]) == ("content_filter", "")
    begun, ended, *_ = frames = feed(payload)
    assert [choice["finish_reason"] for choice in choices(frames)] == [None, "content_filter"]
    assert (begun.is_content, ended.is_content, ended.deltas) == (False, True, 0)


def test_block_in_the_middle_of_a_stream_ends_it() -> None:
    begun = {"candidates": [{"content": {"parts": [{"text": "a"}]}}]}
    frames = feed(begun, {"promptFeedback": {"blockReason": "SAFETY"}})
    assert [choice["finish_reason"] for choice in choices(frames)] == [None, "content_filter"]


def test_candidates_come_as_choices_of_their_own() -> None:
    def both(finish: str | None, *texts: str) -> Any:
        parts = [[{"text": text}] for text in texts]
        return {
            "candidates": [{"content": {"parts": p}, "index": i, "finishReason": finish} for i, p in enumerate(parts)]
        }

    told = choices(feed(both(None, "a", "b"), both("STOP", "c", "d")))
    assert [(c["index"], c["delta"].get("content"), c["finish_reason"]) for c in told] == [
        *((0, "a", None), (1, "b", None), (0, "c", None), (1, "d", None), (0, None, "stop"), (1, None, "stop"))
    ]
    with pytest.raises(UpstreamError):
        feed(both(None, "a", "b"), answer({"text": "c"}))


def test_last_usage_wins_and_one_without_tokens_is_none() -> None:
    first = answer({"text": "a"}, finish=None) | {"usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3}}
    last = answer({"text": ""}) | {"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 9}}
    frames = feed(first, last, {"usageMetadata": {"trafficType": "ON_DEMAND_FLEX"}})
    assert frames[-1].usage is not None
    assert (frames[-1].usage.output, frames[-2].service_tier) == (9, "flex")
    assert frames[0].usage is not None
    assert frames[0].usage.input == 3
    assert not any(frame.is_usage_only for frame in feed(answer({"text": "a"})))


def counted(prompt: int, answered: int = 0, **fields: Any) -> dict[str, Any]:
    usage = {"promptTokenCount": prompt, "totalTokenCount": prompt + answered}
    return {"usageMetadata": usage | ({"candidatesTokenCount": answered} if answered else {}) | fields}


def feed_unfinished(*payloads: Any) -> list[Frame]:
    parser = DIALECT.stream_parser(CHAT)
    return [frame for payload in payloads for frame in parser.feed(SseEvent("", encode(payload)))]


def tokens(frames: list[Frame]) -> list[tuple[int, int] | None]:
    return [frame.usage and (frame.usage.input_tokens, frame.usage.output_tokens) for frame in frames]


CODE = answer({"executableCode": {"code": "1"}}, finish=None)


def test_usage_is_told_to_the_meter_also_where_clients_are_told_nothing() -> None:
    frames = feed_unfinished(
        answer({"text": "a"}, finish=None) | counted(3, 1),
        CODE | counted(3, 9),
        CODE | counted(3, 9),
        answer({"functionCall": {"name": "f", "willContinue": True}}, finish=None) | counted(3, 12),
    )
    assert tokens(frames) == [(3, 1), (3, 9), (3, 12)]
    assert [frame.data for frame in frames[1:]] == [b"", b""]
    assert [(frame.is_content, frame.deltas, frame.text_bytes) for frame in frames[1:]] == [(False, 0, 0)] * 2


def test_usage_that_more_text_came_after_is_not_the_last_word() -> None:
    begun, rest = answer({"text": "a"}, finish=None) | counted(10, 1), answer({"text": "b" * 999})
    frames = feed(begun, rest)
    assert tokens(frames)[:2] == [(10, 1), None]
    assert tokens(frames)[2:] == [None] * len(frames[2:])
    assert tokens(feed(begun, rest, counted(10, 300)))[-1] == (10, 300)
    assert tokens(feed(begun, answer({"text": ""})))[-1] == (10, 1)


def test_usage_before_any_candidate_is_told_and_is_no_content() -> None:
    (frame,) = feed_unfinished(counted(3))
    assert (tokens([frame]), frame.is_content) == ([(3, 0)], False)


def test_counts_that_begin_anew_are_a_streams_least_until_its_end() -> None:
    told = [
        CODE | counted(9, 90),
        answer({"codeExecutionResult": {"output": "1"}}, finish=None) | counted(9),
        answer({"text": "a"}, finish=None) | counted(9, 5),
    ]
    assert tokens(feed_unfinished(*told)) == [(9, 90), (9, 90)]
    frames = feed(*told, answer({"text": ""}) | counted(40, 5))
    assert tokens(frames)[-2:] == [(40, 5)] * 2
    assert json.loads(frames[-1].data)["usage"]["total_tokens"] == 45


def test_class_of_service_is_told_by_the_first_chunk_after_it_is_known() -> None:
    frames = feed_unfinished(
        answer({"text": "a"}, finish=None),
        CODE | {"usageMetadata": {"trafficType": "ON_DEMAND_PRIORITY"}},
        answer({"text": "b"}, finish=None),
    )
    assert [frame.service_tier for frame in frames] == [None, "priority", "priority"]


def test_stream_ends_with_the_body() -> None:
    parser = DIALECT.stream_parser(CHAT)
    list(parser.feed(SseEvent("", encode(answer({"text": "a"})))))
    assert [*parser.feed(SseEvent("", b"[DONE]")), *parser.feed(SseEvent("", b" "))] == []
    assert not parser.is_over
    assert choices(list(parser.finish()))[-1]["finish_reason"] == "stop"


@pytest.mark.parametrize("wrap", [lambda error: error, lambda error: [error]])
def test_error_inside_a_stream(wrap: Any) -> None:
    failed = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
    with pytest.raises(UpstreamError) as caught:
        feed(answer({"text": "a"}, finish=None), wrap(failed))
    assert (caught.value.kind, caught.value.status) == (UpstreamErrorKind.OVERLOADED, 503)
    assert caught.value.message == "The model is overloaded."


def test_event_that_is_an_error() -> None:
    with pytest.raises(UpstreamError):
        list(DIALECT.stream_parser(CHAT).feed(SseEvent("error", b'{"message": "no"}')))


def test_logprobs() -> None:
    chosen = [{"token": "é", "logProbability": -0.5}, {"token": "b", "logProbability": 0}]
    tops = [{"candidates": [{"token": "é", "logProbability": -0.5}, {"token": "x", "logProbability": -2}]}]
    payload = answer({"text": "éb"}, logprobsResult={"chosenCandidates": chosen, "topCandidates": tops})
    told = json.loads(DIALECT.parse_result(CHAT, encode(payload)).data)["choices"][0]["logprobs"]
    first, second = told["content"]
    assert (first["token"], first["logprob"], first["bytes"]) == ("é", -0.5, [195, 169])
    assert [top["token"] for top in first["top_logprobs"]] == ["é", "x"]
    assert (second["top_logprobs"], told["refusal"]) == ([], None)
    assert choices(feed(payload))[0]["logprobs"] == told


def test_citations_count_characters() -> None:
    grounding: dict[str, Any] = {
        "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}, {"retrievedContext": {}}],
        "groundingSupports": [
            {"segment": {"startIndex": 3, "endIndex": 5, "text": "ab"}, "groundingChunkIndices": [0, 1, 7]},
            {"segment": {"startIndex": 90, "endIndex": 92, "text": "cd"}, "groundingChunkIndices": [0]},
            {"segment": {"startIndex": 90, "endIndex": 92, "text": "no"}, "groundingChunkIndices": [0]},
        ],
    }
    pieces = [answer({"text": "é "}, finish=None), answer({"text": "abcd"}, groundingMetadata=grounding)]
    cited = [choice["delta"].get("annotations") for choice in choices(feed(*pieces))][-2]
    places = [(entry["url_citation"]["start_index"], entry["url_citation"]["end_index"]) for entry in cited]
    assert places == [(2, 4), (4, 6)]
    assert cited[0]["url_citation"] | {"url": "https://a", "title": "A"} == cited[0]["url_citation"]
    whole = message({"text": "abc"}, groundingMetadata={"groundingChunks": grounding["groundingChunks"]})
    assert [entry["url_citation"]["end_index"] for entry in whole["annotations"]] == [3]


def test_arguments_that_arrive_value_by_value() -> None:
    arguments: dict[str, Any] = {}
    values: list[tuple[str, dict[str, Any]]] = [
        ("$.a", {"stringValue": "x", "willContinue": True}),
        ("$.a", {"stringValue": "y"}),
        ("$.b[0].c", {"numberValue": 3.0}),
        ("$.b[1]['d.e']", {"numberValue": 0.5}),
        ("$.b[0].f", {"boolValue": True}),
        ("$.g", {"nullValue": "NULL_VALUE"}),
        ("$.b[9]", {"stringValue": "too far"}),
        ("$.a.z", {"stringValue": "not there"}),
        ("a", {"stringValue": "no path"}),
        ("$[0]", {"stringValue": "no name"}),
    ]
    for path, value in values:
        add_partial(arguments, {"jsonPath": path, **value})
    assert arguments == {"a": "xy", "b": [{"c": 3, "f": True}, {"d.e": 0.5}], "g": None}


def test_call_that_was_still_arriving_ends_with_the_answer() -> None:
    piece = {
        "functionCall": {"name": "f", "willContinue": True, "partialArgs": [{"jsonPath": "$.a", "boolValue": True}]}
    }
    told = choices(feed(answer(piece, finish=None), answer()))
    assert told[1]["delta"]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":true}'}
    assert told[-1]["finish_reason"] == "tool_calls"


def test_arguments_nested_too_deep_are_an_error() -> None:
    deep = b'{"a":' * 300 + b"1" + b"}" * 300
    body = b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":%s}}]}}]}' % deep
    with pytest.raises(UpstreamError):
        DIALECT.parse_result(CHAT, body)


def test_embeddings_of_either_place_in_either_encoding() -> None:
    studio: dict[str, Any] = {"embeddings": [{"values": [0.5, -1]}, {"values": [2, 3]}]}
    vertex = {
        "predictions": [
            {"embeddings": {"values": values["values"], "statistics": {"token_count": 4}}}
            for values in studio["embeddings"]
        ]
    }
    cases: list[tuple[dict[str, Any], int | None]] = [(studio, None), (vertex, 8)]
    for payload, tokens in cases:
        frame = DIALECT.parse_result(EMBEDDINGS, encode(payload))
        told = json.loads(frame.data)
        assert [item["embedding"] for item in told["data"]] == [[0.5, -1], [2, 3]]
        assert [item["index"] for item in told["data"]] == [0, 1]
        assert (frame.usage and frame.usage.input) == tokens
        packed = make_call(endpoint=EMBEDDINGS.endpoint, body={"encoding_format": "base64"})
        item = json.loads(DIALECT.parse_result(packed, encode(payload)).data)["data"][1]
        assert struct.unpack("<2f", base64.b64decode(item["embedding"])) == (2, 3)


@pytest.mark.parametrize("payload", [{}, {"embeddings": [{"values": ["x"]}]}, {"embedding": {"values": None}}])
def test_no_embeddings(payload: Any) -> None:
    with pytest.raises(UpstreamError):
        DIALECT.parse_result(EMBEDDINGS, encode(payload))
