"""Calls in the hub's format as the Messages API takes them: conversation, settings, hosts, and calls of its own."""

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from dataplane.call import Endpoint, UpstreamRequest
from dataplane.dialects.anthropic import AnthropicDialect
from dataplane.dialects.base import ProviderSpec
from dataplane.errors import InvalidRequest
from dataplane.snapshot import Target
from tests.fakes.outcomes import CHAT, UPSTREAM, make_call

DIALECT = AnthropicDialect()
COUNT = Endpoint("count_tokens", "/v1/messages/count_tokens", "chat", False)
MESSAGES = Endpoint("messages", "/v1/messages", "chat", True, format="anthropic")
PATHS = {"chat_completions": "/messages", "messages": "/messages", "count_tokens": "/messages/count_tokens"}
HOST = ProviderSpec("anthropic", "anthropic", PATHS, auth=("x-api-key", ""))
VERTEX = ProviderSpec(
    "vertex_anthropic",
    "anthropic",
    {
        "chat_completions": "/models/{model}:rawPredict",
        "chat_completions.stream": "/models/{model}:streamRawPredict",
        "messages": "/models/{model}:rawPredict",
        "count_tokens": "/models/count-tokens:rawPredict",
    },
    traits=frozenset({"vertex"}),
)
OLD, BUDGET, OPUS_4, PAIRLESS = (
    "claude-3-5-haiku-20241022",
    "claude-sonnet-4-20250514",
    "claude-opus-4-1",
    "claude-haiku-4-5",
)
ADAPTIVE, NEW, NEWEST = "claude-sonnet-4-6", "claude-sonnet-5", "claude-opus-5-5"
HELLO: list[dict[str, Any]] = [{"role": "user", "content": "hello"}]
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


DROPPED = {"seed": 1, "logit_bias": {}, "logprobs": True, "frequency_penalty": 1, "store": True, "n": 1}


def render(
    body: dict[str, Any],
    model: str = ADAPTIVE,
    provider: ProviderSpec = HOST,
    endpoint: Endpoint = CHAT,
    **fields: Any,
) -> UpstreamRequest:
    """The request of a call, whose body stays what it was."""
    before = copy.deepcopy(body)
    call = make_call(body=body, endpoint=endpoint, **fields)
    request = DIALECT.render_request(call, Target(UPSTREAM, model), provider)
    assert body == before
    return request


def sent(body: dict[str, Any], model: str = ADAPTIVE, **fields: Any) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(render({"messages": HELLO, **body}, model, **fields).body)
    return said


def turns(*messages: dict[str, Any], model: str = ADAPTIVE) -> Any:
    return sent({"messages": list(messages)}, model)["messages"]


def refused(body: dict[str, Any], model: str = ADAPTIVE) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        render({"messages": HELLO, **body}, model)
    return caught.value


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def called(identity: str, name: str = "weather", arguments: Any = "{}") -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_least_request() -> None:
    request = render({"messages": HELLO, "model": "smart"})
    assert request.url == "https://api.example.com/v1/messages"
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert request.headers["x-api-key"] == "sk-canary"
    assert json.loads(request.body) == {
        "model": ADAPTIVE,
        "max_tokens": 128_000,
        "messages": [{"role": "user", "content": [text("hello")]}],
    }


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("claude-2.1", 4096),
        ("claude-3-opus-20240229", 4096),
        (OLD, 8192),
        ("claude-3-7-sonnet-20250219", 64_000),
        (BUDGET, 64_000),
        ("claude-opus-4-20250514", 32_000),
        ("claude-4-opus-20250514", 32_000),
        (OPUS_4, 32_000),
        ("claude-sonnet-4-5@20250929", 64_000),
        ("anthropic/claude-opus-4.6", 128_000),
        ("anthropic/claude-4.7-opus", 128_000),
        (NEW, 128_000),
        ("claude-fable-5", 128_000),
        ("claude-mythos-preview", 128_000),
        ("claude-latest", 128_000),
        ("another-model", 8192),
    ],
)
def test_limit_of_the_answer_is_the_models_where_none_is_set(model: str, limit: int) -> None:
    assert sent({}, model)["max_tokens"] == limit


def test_limit_of_the_answer_that_is_set() -> None:
    assert sent({"max_tokens": 5})["max_tokens"] == 5
    assert sent({"max_tokens": 5, "max_completion_tokens": 6})["max_tokens"] == 6
    assert sent({}, output_limit=77)["max_tokens"] == 77
    assert refused({"max_tokens": "5"}).param == "max_tokens"


def test_system_messages_are_gathered() -> None:
    marked = {"type": "text", "text": "two", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    body = {
        "messages": [
            {"role": "system", "content": "one"},
            {"role": "developer", "content": [marked]},
            *HELLO,
            {"role": "system", "content": "three"},
        ]
    }
    said = sent(body)
    assert said["system"] == [text("one"), marked, text("three")]
    assert said["messages"] == [{"role": "user", "content": [text("hello")]}]


def test_same_roles_are_merged_and_empty_text_is_left_out() -> None:
    assert turns(
        {"role": "user", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": " "}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": "c", "name": "x"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "d"}]},
        {"role": "user", "content": "e"},
    ) == [
        {"role": "user", "content": [text("a"), text("b")]},
        {"role": "assistant", "content": [text("c"), text("d")]},
        {"role": "user", "content": [text("e")]},
    ]


def test_user_speaks_first() -> None:
    first, second = turns({"role": "assistant", "content": "hi"})
    assert (first["role"], second["content"]) == ("user", [text("hi")])
    said = sent({"messages": [{"role": "system", "content": "be brief"}]})
    assert said["messages"] == [{"role": "user", "content": [text("be brief")]}]
    assert "system" not in said


def test_answer_to_go_on_with_has_no_white_space_at_its_end() -> None:
    assert turns(*HELLO, {"role": "assistant", "content": "one two \n"})[-1]["content"] == [text("one two")]


def test_tool_results_come_first_and_together() -> None:
    answer = {"role": "assistant", "content": None, "tool_calls": [called("a"), called("b:1", arguments='{"x": 1}')]}
    said = turns(
        *HELLO,
        answer,
        {"role": "user", "content": "and?"},
        {"role": "tool", "tool_call_id": "a", "content": "rain"},
        {"role": "tool", "tool_call_id": "b:1", "content": [{"type": "text", "text": "sun"}]},
        {"role": "tool", "tool_call_id": "c", "content": ""},
    )
    assert said[1]["content"] == [
        {"type": "tool_use", "id": "a", "name": "weather", "input": {}},
        {"type": "tool_use", "id": "b_1", "name": "weather", "input": {"x": 1}},
    ]
    assert said[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": [text("rain")]},
        {"type": "tool_result", "tool_use_id": "b_1", "content": [text("sun")]},
        {"type": "tool_result", "tool_use_id": "c"},
        text("and?"),
    ]


def test_history_with_calls_has_tools() -> None:
    said = sent({"messages": [*HELLO, {"role": "assistant", "tool_calls": [called("a"), called("b")]}]})
    assert said["tools"] == [{"name": "weather", "input_schema": {"type": "object"}}]
    assert said["tool_choice"] == {"type": "none"}


def test_legacy_functions() -> None:
    body = {
        "messages": [
            *HELLO,
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}},
            {"role": "function", "name": "f", "content": "1"},
        ],
        "functions": [{"name": "f", "description": "d"}],
        "function_call": {"name": "f"},
    }
    said = sent(body)
    (use,), (result,) = said["messages"][1]["content"], said["messages"][2]["content"]
    assert (use["input"], use["id"]) == ({}, result["tool_use_id"])
    assert said["tools"] == [{"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {}}}]
    assert said["tool_choice"] == {"type": "tool", "name": "f", "disable_parallel_tool_use": True}


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (
            {"type": "image_url", "image_url": {"url": "https://x.example/a.png", "detail": "low"}},
            {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,QUJD"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "QUJD"}},
        ),
        (
            {"type": "image_url", "image_url": "data:image/png,%41BC"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}},
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QUJD"}},
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "QUJD"},
                "title": "a.pdf",
            },
        ),
        (
            {"type": "file", "file": {"filename": "A.PDF", "file_data": "QUJD"}},
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "QUJD"},
                "title": "A.PDF",
            },
        ),
        (
            {"type": "file", "file": {"file_data": "data:text/markdown;charset=utf-8;base64,QUJD"}},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "ABC"}},
        ),
        (
            {"type": "file", "file": {"file_data": "https://x.example/a.pdf"}},
            {"type": "document", "source": {"type": "url", "url": "https://x.example/a.pdf"}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:image/webp;base64,QUJD", "filename": "a.webp"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": "QUJD"}},
        ),
        (
            {"type": "file", "file": {"file_id": "file_011"}},
            {"type": "document", "source": {"type": "file", "file_id": "file_011"}},
        ),
        (
            {"type": "search_result", "source": "s", "title": "t", "content": [text("c")]},
            {"type": "search_result", "source": "s", "title": "t", "content": [text("c")]},
        ),
    ],
)
def test_parts_become_blocks_and_keep_their_cache_marker(part: dict[str, Any], block: dict[str, Any]) -> None:
    assert turns({"role": "user", "content": [part]}) == [{"role": "user", "content": [block]}]
    marker = {"type": "ephemeral"}
    (turn,) = turns({"role": "user", "content": [{**part, "cache_control": marker}]})
    assert turn["content"] == [{**block, "cache_control": marker}]


@pytest.mark.parametrize(
    ("part", "code"),
    [
        ({"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}, "unsupported_content"),
        ({"type": "video_url", "video_url": {"url": "https://x"}}, "unsupported_content"),
        ({"type": "image_url", "image_url": {"url": "data:image/tiff;base64,QUJD"}}, "unsupported_content"),
        ({"type": "image_url", "image_url": {"url": "ftp://x"}}, "invalid_value"),
        ({"type": "image_url"}, "invalid_value"),
        ({"type": "file", "file": {"file_id": "file-openai"}}, "unsupported_content"),
        ({"type": "file", "file": {"file_data": "data:video/mp4;base64,QUJD"}}, "unsupported_content"),
        ({"type": "file", "file": {"file_data": "data:text/plain;base64,/w=="}}, "invalid_value"),
        ({"type": "file"}, "invalid_value"),
        ({"type": "text"}, "invalid_value"),
        (5, "invalid_value"),
    ],
)
def test_content_that_cannot_be_said_is_refused(part: Any, code: str) -> None:
    error = refused({"messages": [{"role": "user", "content": [text("a"), part]}]})
    assert error.error_code == code
    assert error.param is not None
    assert error.param.startswith("messages[0].content[1]")


@pytest.mark.parametrize(
    "message",
    [
        5,
        {"content": "a"},
        {"role": "user", "content": 5},
        {"role": "tool", "content": "a"},
        {"role": "assistant", "tool_calls": 5},
        {"role": "assistant", "tool_calls": [5]},
        {"role": "assistant", "tool_calls": [{"id": "a", "function": {}}]},
        {"role": "assistant", "tool_calls": [called("")]},
        {"role": "assistant", "tool_calls": [called("a", arguments="{")]},
        {"role": "assistant", "tool_calls": [called("a", arguments="[]")]},
        {"role": "assistant", "tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "x", "input": ""}}]},
        {"role": "system", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]},
    ],
)
def test_malformed_messages_are_refused(message: Any) -> None:
    error = refused({"messages": [*HELLO, message]})
    assert error.param is not None
    assert error.param.startswith("messages[1]")


def test_message_marker_is_on_its_last_block() -> None:
    marker = {"type": "ephemeral"}
    said = turns(
        {"role": "user", "content": [text("a"), text("b")], "cache_control": marker},
        {"role": "assistant", "tool_calls": [called("a")]},
        {"role": "tool", "tool_call_id": "a", "content": [{**text("c"), "cache_control": marker}]},
    )
    assert said[0]["content"] == [text("a"), {**text("b"), "cache_control": marker}]
    assert said[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": [text("c")], "cache_control": marker}
    ]


THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "sig"}
REDACTED = {"type": "redacted_thinking", "data": "xx"}
DETAILS = [
    {"type": "reasoning.text", "text": "hm", "signature": "sig", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.encrypted", "data": "xx", "format": "anthropic-claude-v1", "index": 1},
]


@pytest.mark.parametrize(
    "carried",
    [
        {"reasoning_details": DETAILS, "reasoning_content": "hm"},
        {"thinking_blocks": [THOUGHT, REDACTED], "reasoning_content": "hm"},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "g", "format": "other"}, *DETAILS]},
        {"reasoning_details": [THOUGHT, REDACTED]},
    ],
)
def test_thinking_goes_back_before_all_else(carried: dict[str, Any]) -> None:
    answer = {"role": "assistant", "content": "a", **carried, "tool_calls": [called("a")]}
    kinds = [THOUGHT, REDACTED, text("a")]
    assert turns(*HELLO, answer)[1]["content"][:3] == kinds
    assert turns(*HELLO, answer, model=OLD)[1]["content"][0] == text("a")


@pytest.mark.parametrize(
    "carried",
    [
        {"reasoning_content": "hm"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]},
        {"reasoning_details": "x", "thinking_blocks": [5, {"type": "thinking", "signature": 5}]},
    ],
)
def test_unsigned_and_foreign_reasoning_stays_behind(carried: dict[str, Any]) -> None:
    assert turns(*HELLO, {"role": "assistant", "content": "a", **carried})[1]["content"] == [text("a")]


def test_settings() -> None:
    said = sent(
        {
            "temperature": 1.7,
            "top_k": 5,
            "stop": ["END", " \n", 5],
            "user": "u-1",
            "service_tier": "default",
            "container": "c",
            "cache_control": {"type": "ephemeral"},
            "mcp_servers": [{"name": "x"}],
            **DROPPED,
        },
        stream=True,
    )
    del said["messages"], said["model"], said["max_tokens"]
    assert said == {
        "temperature": 1,
        "top_k": 5,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u-1"},
        "service_tier": "standard_only",
        "container": "c",
        "cache_control": {"type": "ephemeral"},
        "mcp_servers": [{"name": "x"}],
        "stream": True,
    }


@pytest.mark.parametrize(
    ("body", "model", "sampling"),
    [
        ({"temperature": -1}, OLD, {"temperature": 0}),
        ({"temperature": 0.5, "top_p": 0.9}, OLD, {"temperature": 0.5, "top_p": 0.9}),
        ({"temperature": 0.5, "top_p": 0.9}, PAIRLESS, {"temperature": 0.5}),
        ({"top_p": 0.9}, PAIRLESS, {"top_p": 0.9}),
        ({"temperature": 0.5, "top_p": 0.9, "top_k": 3}, NEW, {}),
        ({"temperature": 0.5, "top_p": 0.9, "top_k": 3, "reasoning_effort": "low"}, BUDGET, {}),
        ({"temperature": 0.5, "top_p": 0.99, "reasoning_effort": "low"}, ADAPTIVE, {"top_p": 0.99}),
        ({"temperature": "hot", "top_p": True}, OLD, {}),
    ],
)
def test_sampling_as_far_as_the_model_takes_it(body: Any, model: str, sampling: Any) -> None:
    said = sent(body, model)
    assert {name: said[name] for name in ("temperature", "top_p", "top_k") if name in said} == sampling


@pytest.mark.parametrize(("user", "is_sent"), [("u" * 257, False), ("a@b.example", False), ("+49 30 123456", False)])
def test_users_that_are_refused_are_left_out(user: str, is_sent: bool) -> None:
    assert ("metadata" in sent({"user": user})) is is_sent


def test_several_answers_are_refused() -> None:
    error = refused({"n": 2})
    assert (error.error_code, error.param) == ("unsupported_value", "n")


SUMMARIZED = {"type": "adaptive", "display": "summarized"}


@pytest.mark.parametrize(
    ("body", "model", "thinking", "effort"),
    [
        ({}, NEW, None, None),
        ({"reasoning_effort": "high"}, OLD, None, None),
        ({"reasoning_effort": "low"}, BUDGET, {"type": "enabled", "budget_tokens": 2048}, None),
        ({"reasoning_effort": "high"}, PAIRLESS, {"type": "enabled", "budget_tokens": 16_384}, None),
        ({"reasoning_effort": "high", "max_tokens": 4000}, BUDGET, {"type": "enabled", "budget_tokens": 3000}, None),
        ({"reasoning_effort": "high", "max_tokens": 1200}, BUDGET, None, None),
        ({"reasoning": {"max_tokens": 3000}}, BUDGET, {"type": "enabled", "budget_tokens": 3000}, None),
        ({"reasoning": {"enabled": True}}, BUDGET, {"type": "enabled", "budget_tokens": 8192}, None),
        ({"reasoning_effort": "none"}, BUDGET, None, None),
        ({"reasoning_effort": "minimal"}, ADAPTIVE, {"type": "adaptive"}, "low"),
        ({"reasoning_effort": "xhigh"}, ADAPTIVE, {"type": "adaptive"}, "high"),
        ({"reasoning_effort": "max"}, ADAPTIVE, {"type": "adaptive"}, "max"),
        ({"reasoning_effort": "xhigh"}, NEW, SUMMARIZED, "xhigh"),
        ({"reasoning": {"effort": "medium"}}, NEWEST, SUMMARIZED, "medium"),
        ({"reasoning_effort": "none"}, "claude-opus-4-8", None, None),
        ({"reasoning_effort": "none"}, NEW, {"type": "disabled"}, None),
        ({"reasoning_effort": "none"}, "claude-sonnet-5-5", {"type": "between_tools"}, None),
        ({"reasoning_effort": "none"}, NEWEST, None, "low"),
        ({"reasoning_effort": "none"}, "claude-fable-5", None, "low"),
        ({"reasoning_effort": "whatever"}, NEW, None, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, BUDGET, {"type": "enabled", "budget_tokens": 9}, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, NEW, SUMMARIZED, None),
        ({"thinking": {"type": "disabled"}, "reasoning_effort": "low"}, NEW, {"type": "disabled"}, "low"),
        ({"thinking": {"type": "disabled"}}, "claude-sonnet-5-5", {"type": "between_tools"}, None),
        ({"thinking": {"type": "disabled"}}, "claude-fable-5", None, None),
        ({"thinking": {"type": "disabled", "x": 1}}, OLD, {"type": "disabled"}, None),
        (
            {"thinking": {"type": "enabled", "clear_thinking": False}},
            BUDGET,
            {"type": "enabled", "budget_tokens": 8192},
            None,
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": "9"}},
            BUDGET,
            {"type": "enabled", "budget_tokens": 8192},
            None,
        ),
        (
            {"thinking": {"type": "enabled"}, "reasoning_effort": "low"},
            BUDGET,
            {"type": "enabled", "budget_tokens": 2048},
            None,
        ),
        ({"thinking": {"type": "enabled"}, "max_tokens": 1200}, BUDGET, None, None),
        ({"thinking": {"type": "enabled"}}, OLD, None, None),
        ({"thinking": {"type": "adaptive"}}, BUDGET, {"type": "enabled", "budget_tokens": 8192}, None),
        (
            {"thinking": {"type": "adaptive", "display": "omitted", "x": 1}},
            NEW,
            {"type": "adaptive", "display": "omitted"},
            None,
        ),
        ({"thinking": {"type": "sometimes"}}, NEW, None, None),
        (
            {"thinking": {"type": ["enabled"]}, "reasoning_effort": "low"},
            BUDGET,
            {"type": "enabled", "budget_tokens": 2048},
            None,
        ),
        ({"thinking": "enabled"}, BUDGET, None, None),
        ({"output_config": {"effort": "max"}, "reasoning_effort": "low"}, NEW, SUMMARIZED, "max"),
    ],
)
def test_thinking_by_generation(body: Any, model: str, thinking: Any, effort: str | None) -> None:
    said = sent(body, model)
    assert (said.get("thinking"), said.get("output_config", {}).get("effort")) == (thinking, effort)
    if thinking and "budget_tokens" in thinking:
        assert thinking["budget_tokens"] < said["max_tokens"]


def test_no_thinking_where_a_tool_is_forced_or_the_last_answer_did_not_think() -> None:
    forced = sent({"reasoning_effort": "high", "tools": [WEATHER], "tool_choice": "required"})
    assert "thinking" not in forced
    assert (forced["tool_choice"], forced["output_config"]) == ({"type": "any"}, {"effort": "high"})
    looped: list[dict[str, Any]] = [*HELLO, {"role": "assistant", "tool_calls": [called("a")]}]
    looped.append({"role": "tool", "tool_call_id": "a", "content": "1"})
    body = {"messages": looped, "tools": [WEATHER], "reasoning_effort": "low"}
    assert "thinking" not in sent(body, BUDGET)
    assert sent(body, ADAPTIVE)["thinking"] == {"type": "adaptive"}
    looped[1]["thinking_blocks"] = [THOUGHT]
    assert sent(body, BUDGET)["thinking"]["budget_tokens"] == 2048


def test_vertex_has_the_version_in_the_body_and_no_model() -> None:
    request = render({"messages": HELLO, "service_tier": "auto"}, NEW, VERTEX, stream=True)
    said = json.loads(request.body)
    assert request.url.endswith(f"/models/{NEW}:streamRawPredict")
    assert "anthropic-version" not in request.headers
    assert (said["anthropic_version"], said["stream"]) == ("vertex-2023-10-16", True)
    assert {"model", "service_tier"}.isdisjoint(said)
    counted = json.loads(render({"messages": HELLO}, NEW, VERTEX, COUNT).body)
    assert (counted["model"], counted["anthropic_version"]) == (NEW, "vertex-2023-10-16")


def test_counting_has_no_settings() -> None:
    body = {"messages": HELLO, "max_tokens": 5, "temperature": 1, "user": "u", "tools": [WEATHER], "stop": "x"}
    request = render({**body, "reasoning_effort": "low"}, ADAPTIVE, HOST, COUNT)
    assert request.url.endswith("/messages/count_tokens")
    assert set(json.loads(request.body)) == {"model", "messages", "tools", "thinking", "output_config"}


@pytest.mark.parametrize(
    "endpoint", [MESSAGES, Endpoint("count_tokens", "/v1/messages/count_tokens", "chat", False, "anthropic")]
)
def test_own_calls_pass_value_for_value(endpoint: Endpoint) -> None:
    body = {
        "model": "smart",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": [{"type": "future", "x": [1.5, None]}]}],
        "temperature": 7,
        "unknown": {"a": "\u00e9"},
    }
    request = render(body, NEW, HOST, endpoint, forwarded_headers={"anthropic-beta": "a,b", "anthropic-version": "v"})
    assert json.loads(request.body) == {**body, "model": NEW}
    assert (request.headers["anthropic-beta"], request.headers["anthropic-version"]) == ("a,b", "v")


BETAS: list[tuple[dict[str, Any], str]] = [
    ({"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}, "context-management-2025-06-27"),
    (
        {"context_management": {"edits": [{"type": "compact_20260112"}]}},
        "context-management-2025-06-27,compact-2026-01-12",
    ),
    ({"mcp_servers": [{"name": "n"}]}, "mcp-client-2025-04-04"),
    (
        {"mcp_servers": [{"name": "n"}], "tools": [{"type": "mcp_toolset", "mcp_server_name": "n"}]},
        "mcp-client-2025-11-20",
    ),
    ({"speed": "fast"}, "fast-mode-2026-02-01"),
    ({"container": {"skills": [{"skill_id": "xlsx"}]}}, "skills-2025-10-02"),
    ({"output_config": {"task_budget": {"total": 9}}}, "task-budgets-2026-03-13"),
    ({"thinking": {"type": "adaptive", "block_binding": {}}}, "thinking-binding-controls-2026-08-01"),
    ({"tools": [{"type": "computer_20251124", "name": "computer"}]}, "computer-use-2025-11-24"),
    ({"tools": [{"type": "advisor_20260301", "name": "advisor"}]}, "advisor-tool-2026-03-01"),
]


@pytest.mark.parametrize("host", [HOST, VERTEX])
@pytest.mark.parametrize(("body", "betas"), BETAS)
def test_betas_that_a_call_in_the_hubs_format_needs_are_named(
    host: ProviderSpec, body: dict[str, Any], betas: str
) -> None:
    assert render({"messages": HELLO, **body}, provider=host).headers["anthropic-beta"] == betas


@pytest.mark.parametrize("body", [{}, {"container": "c"}, {"context_management": None}, {"speed": None}])
def test_no_beta_is_named_where_none_is_needed(body: dict[str, Any]) -> None:
    assert "anthropic-beta" not in render({"messages": HELLO, **body}).headers


def test_betas_that_a_client_and_the_upstream_name_are_kept() -> None:
    body = {"messages": HELLO, "speed": "fast", "anthropic_beta": ["c-1", "a-1", "x\r\ny: z", 7, ""]}
    told = {"anthropic-beta": "a-1, b-1,fast-mode-2026-02-01", "openai-beta": "o-1"}
    call = make_call(body=body, endpoint=CHAT, forwarded_headers=told)
    at = replace(UPSTREAM, headers={"anthropic-beta": "admin-1"})
    request = DIALECT.render_request(call, Target(at, ADAPTIVE), HOST)
    assert request.headers["anthropic-beta"] == "admin-1,a-1,b-1,fast-mode-2026-02-01,c-1"
    assert "openai-beta" not in request.headers
    assert "anthropic_beta" not in json.loads(request.body)


def test_own_calls_to_vertex_and_with_a_limit() -> None:
    body = {"model": "smart", "max_tokens": 9, "messages": HELLO}
    headers = {"anthropic-version": "2026-10-21", "anthropic-beta": "x"}
    request = render(body, NEW, VERTEX, MESSAGES, output_limit=4, forwarded_headers=headers)
    assert request.headers["anthropic-beta"] == "x"
    assert "anthropic-version" not in request.headers
    assert json.loads(request.body) == {"max_tokens": 4, "messages": HELLO, "anthropic_version": "vertex-2023-10-16"}


def test_thinking_of_other_providers_is_left_out_of_what_is_forwarded() -> None:
    own = {"type": "thinking", "thinking": "hm", "signature": "EqQB"}
    foreign = [
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "redacted_thinking", "data": "tollway.e30="},
        {"type": "thinking", "thinking": "hm", "signature": "tollway.e30="},
    ]
    messages = [
        *HELLO,
        {"role": "assistant", "content": [own, *foreign, {"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": foreign},
    ]
    body = {"max_tokens": 9, "messages": messages}
    said = json.loads(render(body, endpoint=MESSAGES).body)
    assert said["messages"] == [*HELLO, {"role": "assistant", "content": [own, {"type": "text", "text": "hi"}]}]
    assert len(messages[1]["content"]) == 5


@pytest.mark.parametrize("endpoint", [CHAT, COUNT, MESSAGES])
@pytest.mark.parametrize("provider", [HOST, VERTEX])
@pytest.mark.parametrize("fallbacks", [[{"model": "claude-opus-4-1"}], "claude-opus-4-1", []])
def test_fallbacks_that_nothing_was_checked_for_are_refused(
    endpoint: Endpoint, provider: ProviderSpec, fallbacks: Any
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        render({"messages": HELLO, "fallbacks": fallbacks}, ADAPTIVE, provider, endpoint)
    assert (caught.value.error_code, caught.value.param) == ("unsupported_parameter", "fallbacks")
    assert "Route" in str(caught.value)


@pytest.mark.parametrize("endpoint", [CHAT, MESSAGES])
def test_tools_may_ask_the_model_that_is_called_and_no_other(endpoint: Endpoint) -> None:
    advisor = {"type": "advisor_20260301", "name": "advisor"}
    body = {"messages": HELLO, "max_tokens": 9, "tools": [advisor | {"model": ADAPTIVE}]}
    assert json.loads(render(body, endpoint=endpoint).body)["tools"] == body["tools"]
    with pytest.raises(InvalidRequest) as caught:
        render(body | {"tools": [advisor | {"model": "claude-opus-4-1"}]}, endpoint=endpoint)
    assert caught.value.param == "tools[0].model"
