"""Clients that know functions, and no tools, are answered in functions, whoever answers them."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.call import Call, Endpoint
from dataplane.dialects.base import Dialect, Frame, SseEvent
from dataplane.dialects.catalog import DIALECTS, PROVIDERS
from dataplane.dialects.openai.function_answers import in_functions
from dataplane.errors import UpstreamError
from tests.fakes.outcomes import make_call

FUNCTIONS = {"messages": [{"role": "user", "content": "hi"}], "functions": [{"name": "f"}, {"name": "g"}]}
CALL = make_call(body=FUNCTIONS)
SAID = {"name": "f", "arguments": '{"x":1}'}
TOOL = {"id": "c1", "type": "function", "function": SAID}
OTHER = {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}}
CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
GEMINIS = [{"functionCall": {"name": "f", "args": {"x": 1}}}, {"functionCall": {"name": "g", "args": {}}}]
BEDROCKS = [
    {"toolUse": {"toolUseId": "1", "name": "f", "input": {"x": 1}}},
    {"toolUse": {"toolUseId": "2", "name": "g", "input": {}}},
]
ANSWERS: dict[str, dict[str, Any]] = {
    "anthropic": {
        "type": "message",
        "content": [
            {"type": "tool_use", "id": "1", "name": "f", "input": {"x": 1}},
            {"type": "tool_use", "id": "2", "name": "g", "input": {}},
        ],
        "stop_reason": "tool_use",
    },
    "google-ai-studio": {"candidates": [{"content": {"parts": GEMINIS}, "finishReason": "STOP"}]},
    "bedrock": {"output": {"message": {"content": BEDROCKS}}, "stopReason": "tool_use"},
    "cohere": {"message": {"tool_calls": [TOOL, OTHER]}, "finish_reason": "TOOL_CALL"},
    "mistral": {"choices": [{"index": 0, "message": {"tool_calls": [TOOL, OTHER]}, "finish_reason": "tool_calls"}]},
}
"""By provider, an answer with two calls."""


def answering(provider: str, call: Call = CALL) -> Dialect:
    row = PROVIDERS[provider]
    return in_functions(DIALECTS[row.dialect], call, row)


def encode(value: Any) -> bytes:
    return json.dumps(value).encode()


def choices(frames: list[Frame]) -> list[dict[str, Any]]:
    return [choice for frame in frames for choice in json.loads(frame.data)["choices"]]


def delta(at: int = 0, choice: int = 0, finish: str | None = None, **function: str) -> bytes:
    told = {"tool_calls": [{"index": at, "function": function}]} if function else {}
    return encode({**CHUNK, "choices": [{"index": choice, "delta": told, "finish_reason": finish}]})


def streamed(*payloads: bytes) -> list[Frame]:
    parser = answering("mistral").stream_parser(CALL)
    frames = [frame for payload in (*payloads, b"[DONE]") for frame in parser.feed(SseEvent("", payload))]
    assert parser.is_over
    return [*frames, *parser.finish()]


@pytest.mark.parametrize("provider", ANSWERS)
def test_the_first_call_of_a_tool_is_told_as_that_of_a_function(provider: str) -> None:
    dialect, body = answering(provider), encode(ANSWERS[provider])
    (whole,) = choices([dialect.parse_result(CALL, body)])
    assert (whole["message"]["function_call"], whole["finish_reason"]) == (SAID, "function_call")
    assert "tool_calls" not in whole["message"]
    chunks = choices(dialect.parse_result_chunks(CALL, body))
    told = [chunk["delta"]["function_call"] for chunk in chunks if "function_call" in chunk["delta"]]
    assert {name: "".join(piece.get(name, "") for piece in told) for name in SAID} == SAID
    assert not any("tool_calls" in chunk["delta"] for chunk in chunks)
    assert [chunk["finish_reason"] for chunk in chunks if chunk["finish_reason"]] == ["function_call"]


def test_calls_that_come_in_pieces_are_told_one_for_each_choice() -> None:
    frames = streamed(
        delta(name="f", arguments=""),
        delta(1, name="g", arguments="{"),
        delta(arguments='{"x"'),
        delta(3, choice=1, name="g", arguments="{}"),
        delta(1, arguments="}"),
        delta(arguments=":1}"),
        delta(finish="tool_calls"),
        delta(choice=1, finish="tool_calls"),
    )
    told: dict[int, list[Any]] = {0: [], 1: []}
    for choice in choices(frames):
        assert "tool_calls" not in choice["delta"]
        told[choice["index"]] += [choice["delta"].get("function_call")]
    pieces = {index: [piece for piece in said if piece] for index, said in told.items()}
    first, *others = pieces[0]
    assert (first, others) == (
        {"name": "f", "arguments": ""},
        [{"arguments": '{"x"'}, {"arguments": ":1}"}],
    )
    assert pieces[1] == [{"name": "g", "arguments": "{}"}]
    assert [choice["finish_reason"] for choice in choices(frames)][-2:] == ["function_call"] * 2


def test_what_is_no_call_passes_as_the_bytes_that_came() -> None:
    text = encode({**CHUNK, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}}]})
    end = encode({**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
    assert [frame.data for frame in streamed(text, end)] == [text, end]


@pytest.mark.parametrize(
    ("provider", "call"),
    [
        ("anthropic", make_call(body={"tools": [TOOL]})),
        ("anthropic", make_call(body=FUNCTIONS | {"tools": [TOOL]})),
        ("anthropic", make_call(body=FUNCTIONS | {"functions": []})),
        ("anthropic", replace(CALL, is_translated=True)),
        ("anthropic", replace(CALL, endpoint=Endpoint("messages", "/v1/messages", "chat", True, format="anthropic"))),
        *((provider, CALL) for provider in ("openai", "azure-openai", "groq", "vllm", "openai_compatible")),
    ],
)
def test_calls_that_speak_of_tools_and_places_that_know_functions_are_left_alone(provider: str, call: Call) -> None:
    assert answering(provider, call) is DIALECTS[PROVIDERS[provider].dialect]


JSON = st.recursive(
    st.none() | st.integers() | st.sampled_from(["tool_calls", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["index", "delta", "message", "tool_calls", "function", "name", "arguments"]), inner
        )
    ),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=3), st.sampled_from(["mistral", "cohere"]))
def test_any_calls_are_told_or_are_an_upstream_error(said: list[Any], provider: str) -> None:
    dialect = answering(provider)
    for value in said:
        body = encode({"choices": [value], "message": value})
        for parse in (dialect.parse_result, dialect.parse_result_chunks):
            try:
                parse(CALL, body)
            except UpstreamError:
                continue
