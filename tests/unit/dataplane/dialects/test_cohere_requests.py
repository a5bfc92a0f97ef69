"""Chats as Cohere is sent them: every message, tool and setting in its own words, and nothing changed in the call."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.dialects.base import ProviderSpec
from dataplane.dialects.cohere import CohereDialect
from dataplane.errors import InvalidRequest
from dataplane.ingress.openai import ENDPOINTS
from dataplane.snapshot import Target
from tests.fakes.outcomes import UPSTREAM, make_call

DIALECT = CohereDialect()
PROVIDER = ProviderSpec("cohere", "cohere", {"chat_completions": "/v2/chat"}, base_url="https://api.cohere.com")
TARGET = Target(UPSTREAM, "command-a-03-2025")
COMPLETIONS = next(endpoint for endpoint in ENDPOINTS if endpoint.name == "completions")
HELLO = [{"role": "user", "content": "hello"}]
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"x":1}'}}
ADD = {"type": "function", "function": {"name": "add", "description": "Adds", "parameters": {"type": "object"}}}
SUBTRACT = {"type": "function", "function": {"name": "subtract"}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}


def render(stream: bool = False, output_limit: int | None = None, **body: Any) -> dict[str, Any]:
    body = {"model": "smart", "messages": HELLO} | body
    before = copy.deepcopy(body)
    call = make_call(body=body, stream=stream, output_limit=output_limit)
    sent: dict[str, Any] = json.loads(DIALECT.render_request(call, TARGET, PROVIDER).body)
    assert call.body == before
    return sent


def render_messages(*messages: dict[str, Any]) -> Any:
    return render(messages=list(messages))["messages"]


def refuse(**body: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        render(**body)
    return caught.value


def test_goes_to_the_providers_path_with_its_credential() -> None:
    request = DIALECT.render_request(make_call(body={"messages": HELLO}), TARGET, PROVIDER)
    assert request.url == "https://api.example.com/v1/v2/chat"
    assert request.headers["authorization"] == "Bearer sk-canary"
    assert json.loads(request.body) == {"model": "command-a-03-2025", "messages": HELLO, "stream": False}


def test_endpoints_that_it_does_not_offer_are_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        DIALECT.render_request(make_call(endpoint=COMPLETIONS, body={"prompt": "a"}), TARGET, PROVIDER)
    assert caught.value.error_code == "unsupported_endpoint"


def test_settings_in_coheres_words() -> None:
    sent = render(
        stream=True,
        max_completion_tokens=50,
        temperature=0.2,
        top_p=0.8,
        top_k=20,
        frequency_penalty=0.1,
        presence_penalty=0,
        seed=11,
        stop="END",
        logprobs=True,
    )
    assert sent == {
        "model": "command-a-03-2025",
        "messages": HELLO,
        "stream": True,
        "max_tokens": 50,
        "temperature": 0.2,
        "p": 0.8,
        "k": 20,
        "frequency_penalty": 0.1,
        "seed": 11,
        "stop_sequences": ["END"],
        "logprobs": True,
    }


@pytest.mark.parametrize(
    ("asked", "name", "sent"),
    [
        ({"temperature": 1.7}, "temperature", 1.0),
        ({"top_p": 1}, "p", 0.99),
        ({"top_p": 0}, "p", 0.01),
        ({"p": 0.5, "top_p": 0.7}, "p", 0.5),
        ({"presence_penalty": -1.5}, "presence_penalty", None),
        ({"presence_penalty": 1.5}, "presence_penalty", 1.0),
        ({"stop": ["a", "", "b", "c", "d", "e", "f"]}, "stop_sequences", ["a", "b", "c", "d", "e"]),
        ({"stop_sequences": ["x"]}, "stop_sequences", ["x"]),
        ({"max_tokens": 7}, "max_tokens", 7),
        ({"seed": None}, "seed", None),
    ],
)
def test_settings_keep_to_coheres_bounds(asked: dict[str, Any], name: str, sent: Any) -> None:
    assert render(**asked).get(name) == sent


def test_limit_that_admission_counts_on_is_sent() -> None:
    assert render(output_limit=99)["max_tokens"] == 99


def test_settings_that_cohere_has_no_word_for_are_left_out() -> None:
    sent = render(n=2, logit_bias={"1": 1}, user="u", metadata={"a": "b"}, parallel_tool_calls=False, service_tier="x")
    assert sent.keys() == {"model", "messages", "stream"}


def test_coheres_own_settings_pass() -> None:
    own: dict[str, Any] = {
        "documents": [{"data": {"text": "a"}}, "b"],
        "citation_options": {"mode": "FAST"},
        "safety_mode": "OFF",
    }
    assert own.items() <= render(**own, priority=3).items()


def test_messages_of_every_role() -> None:
    assert render_messages(
        {"role": "system", "content": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]},
        {"role": "developer", "content": "d"},
        {"role": "user", "content": [{"type": "text", "text": "u"}, IMAGE], "name": "ada"},
        {"role": "assistant", "content": None, "tool_calls": [CALL, CALL | {"id": "c2"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "2"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "no"}]},
    ) == [
        {"role": "system", "content": [{"type": "text", "text": "s"}]},
        {"role": "system", "content": "d"},
        {"role": "user", "content": [{"type": "text", "text": "u"}, IMAGE]},
        {"role": "assistant", "tool_calls": [CALL, CALL | {"id": "c2"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "2"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "no"}]},
    ]


def test_image_by_url_alone_and_documents_of_a_tool() -> None:
    document = {"type": "document", "document": {"id": "d", "data": {"a": "b"}}}
    user, tool = render_messages(
        {"role": "user", "content": [{"type": "image_url", "image_url": "https://a/b.png"}, "plain"]},
        {"role": "tool", "tool_call_id": "c", "content": [document]},
    )
    assert user["content"] == [
        {"type": "image_url", "image_url": {"url": "https://a/b.png"}},
        {"type": "text", "text": "plain"},
    ]
    assert tool["content"] == [document]


@pytest.mark.parametrize(
    "kept",
    [
        {"reasoning_content": "because"},
        {"reasoning": "because"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "because"}]},
        {"thinking_blocks": [{"type": "thinking", "thinking": "because", "signature": "s"}, {"type": "redacted"}]},
    ],
)
def test_reasoning_of_an_earlier_turn_is_the_plan_of_its_calls_or_thinking(kept: dict[str, Any]) -> None:
    with_calls, without = render_messages(
        {"role": "assistant", "content": "", "tool_calls": [CALL], **kept},
        {"role": "assistant", "content": "so", **kept},
    )
    assert with_calls == {"role": "assistant", "tool_calls": [CALL], "tool_plan": "because"}
    assert without["content"] == [{"type": "thinking", "thinking": "because"}, {"type": "text", "text": "so"}]


def test_calls_told_oddly_are_sent_well_formed() -> None:
    odd = [{"id": "c", "function": {"name": "f"}}, {"id": "d", "function": {"name": "f", "arguments": {"a": 1}}}]
    (message,) = render_messages({"role": "assistant", "content": "text", "tool_calls": odd})
    assert message["content"] == "text"
    assert [call["function"]["arguments"] for call in message["tool_calls"]] == ["{}", '{"a":1}']


@pytest.mark.parametrize(
    ("choice", "names", "sent"),
    [
        (None, ["add", "subtract"], None),
        ("auto", ["add", "subtract"], None),
        ("none", ["add", "subtract"], "NONE"),
        ("required", ["add", "subtract"], "REQUIRED"),
        ({"type": "function", "function": {"name": "subtract"}}, ["subtract"], "REQUIRED"),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"function": {"name": "add"}}]}},
            ["add"],
            None,
        ),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "add"}]},
            ["add"],
            "REQUIRED",
        ),
    ],
)
def test_choice_among_tools(choice: Any, names: list[str], sent: str | None) -> None:
    body = render(tools=[ADD, SUBTRACT], tool_choice=choice)
    assert [tool["function"]["name"] for tool in body["tools"]] == names
    assert body.get("tool_choice") == sent


def test_tools_have_what_cohere_asks_of_them() -> None:
    strict = {"type": "function", "cache_control": {}, "function": ADD["function"] | {"strict": True}}  # type: ignore[operator]
    sent = render(tools=[strict])
    assert sent["tools"] == [ADD]
    assert sent["strict_tools"] is True
    sent = render(tools=[strict, SUBTRACT])
    assert sent["tools"][1]["function"]["parameters"] == {"type": "object", "properties": {}}
    assert "strict_tools" not in sent
    assert render(tools=[strict], strict_tools=False)["strict_tools"] is False
    assert "tool_choice" not in render(tool_choice="required")


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "json_object"}),
        ({"type": "json_object", "schema": {"a": 1}}, {"type": "json_object", "json_schema": {"a": 1}}),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {"type": "object"}}},
            {"type": "json_object", "json_schema": {"type": "object"}},
        ),
        ({"type": "json_schema", "json_schema": 3}, {"type": "json_object"}),
    ],
)
def test_form_of_the_answer(asked: Any, sent: Any) -> None:
    assert render(response_format=asked).get("response_format") == sent


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({}, None),
        ({"reasoning_effort": "none"}, {"type": "disabled"}),
        ({"reasoning_effort": "low"}, {"type": "enabled", "token_budget": 2048}),
        ({"reasoning_effort": "low", "max_tokens": 1000}, {"type": "enabled", "token_budget": 500}),
        ({"reasoning_effort": "high"}, {"type": "enabled"}),
        ({"reasoning": {"max_tokens": 300}}, {"type": "enabled", "token_budget": 300}),
        ({"reasoning": {"enabled": False}}, {"type": "disabled"}),
        ({"reasoning": {"enabled": True}}, {"type": "enabled"}),
        ({"thinking": {"type": "disabled"}, "reasoning_effort": "high"}, {"type": "disabled"}),
        ({"thinking": {"type": "enabled", "token_budget": 9}}, {"type": "enabled", "token_budget": 9}),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, {"type": "enabled", "token_budget": 9}),
        ({"thinking": {"type": "adaptive"}}, {"type": "enabled"}),
    ],
)
def test_thinking(asked: dict[str, Any], sent: Any) -> None:
    assert render(**asked).get("thinking") == sent


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ([{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}], "unsupported_content"),
        ([{"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}}], "unsupported_content"),
        ([{"type": "image_url", "image_url": {}}], "invalid_value"),
        ([{"type": "text"}], "invalid_value"),
        ([3], "invalid_value"),
        (3, "invalid_value"),
    ],
)
def test_content_that_cohere_cannot_be_told_is_refused(content: Any, code: str) -> None:
    error = refuse(messages=[{"role": "user", "content": content}])
    assert error.error_code == code
    assert (error.param or "").startswith("messages[0].content")


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"messages": None}, "invalid_value", "messages"),
        ({"messages": [3]}, "invalid_value", "messages[0]"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "unsupported_content", "messages[0].role"),
        ({"messages": [{"role": "function", "content": "a"}]}, "invalid_value", "messages[0]"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "invalid_value", "messages[0].tool_call_id"),
        (
            {"messages": [{"role": "system", "content": [IMAGE]}]},
            "unsupported_content",
            "messages[0].content[0]",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "type": "custom"}]}]},
            "unsupported_content",
            "messages[0].tool_calls[0].type",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [CALL | {"id": None}]}]},
            "invalid_value",
            "messages[0].tool_calls[0].id",
        ),
        (
            {"messages": [{"role": "assistant", "function_call": {"name": ""}}]},
            "invalid_value",
            "messages[0].function_call",
        ),
        ({"tools": [{"type": "web_search"}]}, "unsupported_content", "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "invalid_value", "tools[0].function.name"),
        ({"tools": {"a": 1}}, "invalid_value", "tools"),
        ({"functions": [{"name": 5}]}, "invalid_value", "functions[0].name"),
        ({"tools": [ADD], "tool_choice": {"function": {"name": "no"}}}, "invalid_value", "tool_choice"),
        ({"tools": [ADD], "tool_choice": "maybe"}, "invalid_value", "tool_choice"),
        ({"tools": [ADD], "tool_choice": 3}, "invalid_value", "tool_choice"),
    ],
)
def test_requests_that_are_refused_name_the_place(body: dict[str, Any], code: str, param: str) -> None:
    error = refuse(**body)
    assert (error.error_code, error.param) == (code, param)


NAMES = st.sampled_from(
    [
        *("role", "content", "type", "text", "image_url", "url", "tool_calls", "id", "function", "name", "arguments"),
        *("tool_call_id", "reasoning_content", "thinking_blocks", "thinking", "schema", "json_schema", "mode", "tools"),
        *("user", "assistant", "tool", "system", "effort", "max_tokens", "refusal", "document", "parameters"),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | NAMES,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(NAMES, children, max_size=4),
    max_leaves=10,
)
MEMBERS = st.sampled_from(
    [
        *("tools", "tool_choice", "response_format", "stop", "reasoning", "reasoning_effort", "thinking", "top_p"),
        *("temperature", "max_tokens", "documents", "presence_penalty", "seed", "top_k", "strict_tools", "functions"),
        "function_call",
    ]
)
MESSAGES = st.lists(
    st.builds(
        lambda role, fields: fields | {"role": role},
        st.sampled_from(["system", "user", "assistant", "tool", "function", "x"]),
        st.dictionaries(NAMES, JSON, max_size=5),
    ),
    max_size=3,
)


@settings(max_examples=100)
@given(MESSAGES | JSON, st.dictionaries(MEMBERS, JSON, max_size=5))
def test_any_body_is_sent_or_refused(messages: Any, fields: dict[str, Any]) -> None:
    try:
        sent = render(**fields, messages=messages)
    except InvalidRequest as error:
        assert error.param
        return
    assert sent["model"] == TARGET.model
