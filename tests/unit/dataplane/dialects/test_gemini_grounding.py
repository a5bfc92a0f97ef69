"""What Gemini's answers rest on: sources that come piece by piece, and searches as Google bills them."""

import json
from typing import Any

import pytest

from dataplane.dialects.base import Frame, SseEvent
from dataplane.dialects.gemini import GeminiDialect
from tests.fakes.outcomes import make_call
from tollway.kernel.usage import Meter

DIALECT = GeminiDialect()
CHAT = make_call()
OLD, NEW = "gemini-2.5-flash", "gemini-3.5-flash"
ENTRY = {"searchEntryPoint": {"renderedContent": "<div>"}}
TOKENS = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}


def response(*parts: Any, model: str = NEW, grounding: Any = None, **fields: Any) -> dict[str, Any]:
    candidate = {"content": {"parts": list(parts)}, **fields}
    grounded = candidate if grounding is None else candidate | {"groundingMetadata": grounding}
    return {"candidates": [grounded], "modelVersion": model, "usageMetadata": TOKENS}


def feed(*responses: Any) -> list[Frame]:
    parser = DIALECT.stream_parser(CHAT)
    frames = [frame for told in responses for frame in parser.feed(SseEvent("", json.dumps(told).encode()))]
    return [*frames, *parser.finish()]


def searches(*responses: Any) -> int:
    """Searches that the answer is metered with: the same whole, as chunks and as a stream."""
    body = json.dumps(list(responses)).encode()
    whole, chunks = DIALECT.parse_result(CHAT, body), DIALECT.parse_result_chunks(CHAT, body)
    counted = {frame.usage.search if frame.usage else 0 for frame in (whole, chunks[-1], feed(*responses)[-1])}
    assert len(counted) == 1
    return counted.pop()


def searching(tool: str, *queries: Any) -> dict[str, Any]:
    return {"toolCall": {"toolType": tool, "args": {"queries": list(queries)}, "id": "a"}}


def cited(*responses: Any) -> list[tuple[str, int, int]]:
    annotations = json.loads(DIALECT.parse_result(CHAT, json.dumps(list(responses)).encode()).data)["choices"][0]
    told = [entry["url_citation"] for entry in annotations["message"].get("annotations", [])]
    return [(citation["url"], citation["start_index"], citation["end_index"]) for citation in told]


@pytest.mark.parametrize(
    ("model", "grounding", "count"),
    [
        (NEW, {"webSearchQueries": ["a", "b"]} | ENTRY, 2),
        (NEW, {"webSearchQueries": ["", "a", "", "a"]}, 1),
        (NEW, {"webSearchQueries": ["a"], "imageSearchQueries": ["a", "b"]}, 3),
        (NEW, {"webSearchQueries": [""]} | ENTRY, 0),
        (NEW, {"webSearchQueries": [3, None, {}]}, 0),
        (NEW, {"webSearchQueries": "a"}, 0),
        (NEW, {"groundingChunks": [{"web": {"uri": "https://a"}}]}, 0),
        (NEW, {}, 0),
        ("tuned-model", {"webSearchQueries": ["a", "b"]}, 2),
        (OLD, {"webSearchQueries": ["a", "b", "c"]} | ENTRY, 1),
        (OLD, ENTRY, 1),
        (OLD, {"groundingChunks": [{"web": {"uri": "https://a"}}]}, 0),
        (OLD, {}, 0),
        ("gemini-2.0-flash-001", {"webSearchQueries": ["a", "b"]}, 1),
    ],
)
def test_searches_are_billed_by_query_from_the_third_generation_on_and_by_call_before(
    model: str, grounding: Any, count: int
) -> None:
    assert searches(response({"text": "x"}, model=model, grounding=grounding, finishReason="STOP")) == count


def test_searches_told_in_several_places_count_once() -> None:
    told = [
        response(searching("GOOGLE_SEARCH_WEB", "a", "b"), searching("URL_CONTEXT", "c")),
        response({"text": "x"}, grounding={"webSearchQueries": ["", "a"]}),
        response({"text": ""}, grounding={"webSearchQueries": ["a", "b", "d"]}, finishReason="STOP"),
    ]
    assert searches(*told) == 3


def test_searches_of_an_answer_that_only_calls_are_metered() -> None:
    call = {"functionCall": {"name": "f", "args": {}}}
    assert searches(response(searching("GOOGLE_SEARCH_WEB", "a"), call, finishReason="STOP")) == 1


def test_searches_are_metered_where_no_tokens_are_told_and_no_usage_is_shown_for_them() -> None:
    told = response({"text": "x"}, grounding={"webSearchQueries": ["a"]}, finishReason="STOP") | {"usageMetadata": {}}
    whole, streamed = DIALECT.parse_result(CHAT, json.dumps(told).encode()), feed(told)
    readings = [frame.usage.readings() for frame in (whole, streamed[-1]) if frame.usage is not None]
    assert readings == [[(Meter.SEARCH, 1)]] * 2
    assert "usage" not in json.loads(whole.data)
    assert not any(frame.is_usage_only for frame in streamed)


def test_searches_are_in_the_usage_of_a_stream_that_breaks_off() -> None:
    parser = DIALECT.stream_parser(CHAT)
    told = [response({"text": "x"}), response(searching("GOOGLE_SEARCH_WEB", "a"))]
    frames = [frame for one in told for frame in parser.feed(SseEvent("", json.dumps(one).encode()))]
    assert [frame.usage and frame.usage.search for frame in frames] == [0, 1]


PAGES = [{"web": {"uri": f"https://{name}"}} for name in "ab"]


def support(start: int, end: int, *pages: int) -> dict[str, Any]:
    return {"segment": {"startIndex": start, "endIndex": end}, "groundingChunkIndices": list(pages)}


@pytest.mark.parametrize(
    ("first", "second", "citations"),
    [
        (
            {"groundingChunks": PAGES[:1], "groundingSupports": [support(0, 1, 0)]},
            {"groundingChunks": PAGES[1:], "groundingSupports": [support(1, 2, 1)]},
            [("https://a", 0, 1), ("https://b", 1, 2)],
        ),
        (
            {"groundingChunks": PAGES[:1], "groundingSupports": [support(0, 1, 0)]},
            {"groundingChunks": PAGES, "groundingSupports": [support(0, 1, 0), support(1, 2, 1)]},
            [("https://a", 0, 1), ("https://b", 1, 2)],
        ),
        (
            {"groundingChunks": PAGES[:1]},
            {"groundingChunks": PAGES[:1], "groundingSupports": [support(0, 2, 1)]},
            [("https://a", 0, 2)],
        ),
        ({"groundingChunks": PAGES}, {}, [("https://a", 0, 2), ("https://b", 0, 2)]),
        (
            {"groundingChunks": [3, PAGES[0]]},
            {"groundingSupports": [support(0, 2, 1, 0, -1, 7)]},
            [("https://a", 0, 2)],
        ),
    ],
)
def test_sources_that_come_piece_by_piece_are_cited_in_full(first: Any, second: Any, citations: Any) -> None:
    told = [response({"text": "x"}, grounding=first), response({"text": "y"}, grounding=second, finishReason="STOP")]
    assert cited(*told) == citations
