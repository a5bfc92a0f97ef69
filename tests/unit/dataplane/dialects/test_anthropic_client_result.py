"""The hub's whole answers as Messages answers, and what a client sends back of them in its next turn."""

import json
from typing import Any

import pytest

from dataplane.call import Endpoint
from dataplane.dialects.anthropic.client import AnthropicFormat
from dataplane.dialects.base import Frame
from dataplane.errors import (
    BodyTooLarge,
    BudgetExceeded,
    GatewayError,
    InvalidApiKey,
    InvalidRequest,
    ModelNotAllowed,
    ModelNotFound,
    Overloaded,
    RateLimitExceeded,
    UpstreamError,
    UpstreamErrorKind,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimeout,
)
from tests.fakes.outcomes import make_call
from tollway.kernel.usage import Usage

FORMAT = AnthropicFormat()
CALL = make_call(endpoint=Endpoint("messages", "/v1/messages", "chat", True, "anthropic"))
COUNT = make_call(endpoint=Endpoint("count_tokens", "/v1/messages/count_tokens", "count_tokens", False, "anthropic"))


def render(message: Any, finish: str = "stop", **frame: Any) -> dict[str, Any]:
    choices = [{"index": 0, "message": message, "finish_reason": finish}]
    payload = {"id": "chatcmpl-msg_01", "model": "gpt-x", "choices": choices}
    answer: dict[str, Any] = json.loads(FORMAT.render_result(CALL, Frame(json.dumps(payload).encode(), **frame)))
    return answer


def sent_back(content: list[Any]) -> Any:
    """What the hub gets of an answer with `content` in the turn after it."""
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": content}]
    return FORMAT.parse_request(make_call(endpoint=CALL.endpoint, body={"messages": messages})).body["messages"][1]


def test_whole_answer() -> None:
    usage = Usage(input=7, cache_read=20, output=11, input_audio=1, cache_read_audio=2, input_image=3, output_image=4)
    calls = [
        {"id": "c0", "type": "function", "function": {"name": "f", "arguments": '{"a": 1.50}'}},
        {"id": "c1", "type": "function", "function": {"name": "g", "arguments": ""}},
    ]
    message = {"role": "assistant", "content": "so", "reasoning_content": "hm", "tool_calls": calls}
    assert render(message, "tool_calls", usage=usage) == {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "gpt-x",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "text", "text": "so"},
            {"type": "tool_use", "id": "c0", "name": "f", "input": {"a": 1.5}},
            {"type": "tool_use", "id": "c1", "name": "g", "input": {}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 11,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 22,
            "output_tokens": 15,
        },
    }


def test_usage_is_what_openai_clients_are_told_whatever_is_billed() -> None:
    told = {
        "prompt_tokens": 30,
        "completion_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    payload = {"choices": [{"message": {"content": "so"}}], "usage": told}
    usages = [
        json.loads(FORMAT.render_result(CALL, Frame(json.dumps(payload).encode(), usage=billed)))["usage"]
        for billed in (None, Usage(input=3, output=1), Usage(cache_write_5m=1, cache_write_1h=4))
    ]
    assert [usage.pop("cache_creation")["ephemeral_1h_input_tokens"] for usage in usages] == [0, 0, 4]
    expected = {
        "input_tokens": 15,
        "cache_creation_input_tokens": 5,
        "cache_read_input_tokens": 10,
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 2},
    }
    assert usages == [expected] * 3


def test_input_keeps_its_digits() -> None:
    arguments = '{"n": 123456789012345678901234567890, "p": 1.50}'
    payload = {
        "choices": [{"message": {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": arguments}}]}}]
    }
    assert arguments.encode() in FORMAT.render_result(CALL, Frame(json.dumps(payload).encode()))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (None, {}),
        (" ", {}),
        ("null", {}),
        ({"a": 1}, {"a": 1}),
        ('{"a": ', {"arguments": '{"a": '}),
        ("[1]", {"arguments": "[1]"}),
    ],
)
def test_arguments_become_an_object(arguments: Any, told: Any) -> None:
    (block,) = render({"tool_calls": [{"function": {"name": "f", "arguments": arguments}}]})["content"]
    assert block == {"type": "tool_use", "id": "toolu_01_0", "name": "f", "input": told}


def test_content_in_parts() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "h"}, {"type": "text", "text": "m"}]},
        {"type": "text", "text": "a"},
        {"type": "refusal", "refusal": "b"},
        {"type": "image_url", "image_url": {}},
    ]
    assert render({"content": parts})["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "text", "text": "ab"},
    ]


def test_white_space_alone_is_no_block() -> None:
    calls = [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]
    assert [block["type"] for block in render({"content": "\n\n", "tool_calls": calls})["content"]] == ["tool_use"]


def test_reasoning_details_give_back_the_blocks() -> None:
    details = [
        {"type": "reasoning.text", "text": "a", "signature": "s1", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "d", "format": "anthropic-claude-v1", "index": 1},
        {"type": "reasoning.text", "text": "b", "signature": "s2", "format": "anthropic-claude-v1", "index": 2},
    ]
    content = render({"content": "so", "reasoning_content": "ab", "reasoning_details": details})["content"]
    assert content == [
        {"type": "thinking", "thinking": "a", "signature": "s1"},
        {"type": "redacted_thinking", "data": "d"},
        {"type": "thinking", "thinking": "b", "signature": "s2"},
        {"type": "text", "text": "so"},
    ]
    kept = [{name: value for name, value in detail.items() if name != "index"} for detail in details]
    assert sent_back(content)["reasoning_details"] == kept


@pytest.mark.parametrize(
    "detail",
    [
        {"type": "reasoning.encrypted", "data": "x", "format": "google-gemini-v1"},
        {"type": "reasoning.encrypted", "data": "x", "format": "openai-responses-v1", "id": "rs_1"},
        {"type": "reasoning.text", "text": "hm", "signature": "x", "format": "google-gemini-v1"},
        {"type": "reasoning.summary", "summary": "hm", "signature": "x", "format": "openai-responses-v1"},
    ],
)
def test_reasoning_of_other_providers_comes_back_as_it_was(detail: dict[str, Any]) -> None:
    content = render({"content": "so", "reasoning_details": [detail]})["content"]
    assert [block["type"] for block in content][-1] == "text"
    assert sent_back(content)["reasoning_details"] == [detail]


def test_what_a_call_was_signed_with_comes_back_with_it() -> None:
    function = {"name": "f", "arguments": "{}"}
    signed = {"extra_content": {"google": {"thought_signature": "x"}}}
    calls = [{"id": "c0", "type": "function", "function": function, **signed}, {"id": "c1", "function": function}]
    content = render({"tool_calls": calls}, "tool_calls")["content"]
    assert [block["type"] for block in content] == ["redacted_thinking", "tool_use", "tool_use"]
    message = sent_back(content)
    assert message["tool_calls"] == [calls[0], calls[1] | {"type": "function"}]
    assert "reasoning_details" not in message


@pytest.mark.parametrize("sealed", ["tollway.", "tollway.!", "tollway.e30", "tollway.W10=", "tollwayx"])
def test_broken_seal_is_a_signature_like_any_other(sealed: str) -> None:
    (detail,) = sent_back([{"type": "thinking", "thinking": "a", "signature": sealed}])["reasoning_details"]
    assert detail["signature"] == sealed


def test_count_of_tokens() -> None:
    assert FORMAT.render_result(COUNT, Frame(b'{"input_tokens": 12, "object": "x"}')) == b'{"input_tokens":12}'
    assert FORMAT.render_result(COUNT, Frame(b"{}", usage=Usage(input=3, cache_read=4))) == b'{"input_tokens":7}'


def test_answer_of_anthropics_own_passes_as_it_came() -> None:
    assert FORMAT.render_result(CALL, Frame(b'{ "a": 1.50 }', format="anthropic")) == b'{ "a": 1.50 }'


def test_answer_without_anything_is_a_message() -> None:
    answer = json.loads(FORMAT.render_result(CALL, Frame(b"{}", model="m2")))
    assert (answer["content"], answer["stop_reason"], answer["model"]) == ([], "end_turn", "m2")


def test_deep_input_is_written() -> None:
    arguments = '{"a":' * 400 + "1" + "}" * 400
    (block,) = render({"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": arguments}}]})["content"]
    assert json.dumps(block["input"], separators=(",", ":")) == arguments


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidRequest("x"), "invalid_request_error"),
        (InvalidApiKey("x"), "authentication_error"),
        (BudgetExceeded("x"), "billing_error"),
        (ModelNotAllowed("x"), "permission_error"),
        (ModelNotFound("x"), "not_found_error"),
        (BodyTooLarge("x"), "request_too_large"),
        (RateLimitExceeded("x"), "rate_limit_error"),
        (GatewayError("x"), "api_error"),
        (UpstreamFailed("x"), "api_error"),
        (Overloaded("x"), "overloaded_error"),
        (UpstreamTimeout("x"), "timeout_error"),
        (UpstreamRefused(UpstreamError(UpstreamErrorKind.INVALID, "x", status=422)), "invalid_request_error"),
        (UpstreamRefused(UpstreamError(UpstreamErrorKind.OVERLOADED, "x", status=529)), "overloaded_error"),
    ],
)
def test_type_of_an_error_is_by_its_status(error: GatewayError, kind: str) -> None:
    told = {"type": "error", "error": {"type": kind, "message": "x", "code": error.error_code}}
    assert FORMAT.render_error(error) == told
