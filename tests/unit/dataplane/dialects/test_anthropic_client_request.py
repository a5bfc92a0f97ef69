"""Anthropic's Messages requests in the hub's format: each kind of content and setting, and what is refused."""

import base64
import copy
import json
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.call import Call, Endpoint
from dataplane.dialects.anthropic.client import AnthropicFormat
from dataplane.errors import InvalidRequest
from tests.fakes.outcomes import make_call

FORMAT = AnthropicFormat()
MESSAGES = Endpoint("messages", "/v1/messages", "chat", True, "anthropic")
COUNT_TOKENS = Endpoint("count_tokens", "/v1/messages/count_tokens", "count_tokens", False, "anthropic")
HELLO = {"role": "user", "content": "hello"}
MARKER = {"type": "ephemeral", "ttl": "1h"}
PNG = {"type": "base64", "media_type": "image/png", "data": "aGk="}
TOOL = {"name": "weather", "description": "Tells it.", "input_schema": {"type": "object"}}


def parse(body: dict[str, Any], endpoint: Endpoint = MESSAGES) -> Call:
    before = copy.deepcopy(body)
    call = FORMAT.parse_request(make_call(endpoint=endpoint, body=body))
    assert body == before
    return call


def hub(**fields: Any) -> dict[str, Any]:
    return parse({"model": "m", "max_tokens": 9, "messages": [HELLO], **fields}).body


def turns(*messages: Any) -> list[Any]:
    found = hub(messages=list(messages))["messages"]
    assert isinstance(found, list)
    return found


def user(*blocks: Any) -> list[Any]:
    return turns({"role": "user", "content": list(blocks)})


def assistant(*blocks: Any) -> Any:
    return turns(HELLO, {"role": "assistant", "content": list(blocks)})[1]


def refused(body: dict[str, Any]) -> tuple[str, str | None]:
    with pytest.raises(InvalidRequest) as caught:
        parse(body)
    assert caught.value.param is not None
    assert caught.value.param in caught.value.message
    return caught.value.error_code, caught.value.param


def test_call_becomes_one_in_the_hubs_format() -> None:
    call = parse({"model": "m", "max_tokens": 9, "messages": [HELLO], "stream": True})
    assert call.endpoint == Endpoint("chat_completions", "/v1/messages", "chat", True)
    assert call.body == {"model": "m", "max_tokens": 9, "messages": [HELLO], "stream": True}


def test_count_of_tokens_is_asked_of_the_same_body() -> None:
    call = parse({"model": "m", "system": "s", "messages": [HELLO]}, COUNT_TOKENS)
    assert call.endpoint == Endpoint("count_tokens", "/v1/messages/count_tokens", "count_tokens", False)
    assert call.body == {"model": "m", "messages": [{"role": "system", "content": "s"}, HELLO]}


@pytest.mark.parametrize(
    ("system", "content"),
    [
        ("be kind", "be kind"),
        ([{"type": "text", "text": "be kind"}], "be kind"),
        (
            [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": MARKER}],
            [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": MARKER}],
        ),
    ],
)
def test_system_is_the_first_message(system: Any, content: Any) -> None:
    assert hub(system=system)["messages"] == [{"role": "system", "content": content}, HELLO]


@pytest.mark.parametrize("system", ["", [], None])
def test_no_system_is_no_message(system: Any) -> None:
    assert hub(system=system)["messages"] == [HELLO]


def test_system_may_stand_in_the_conversation() -> None:
    assert turns(HELLO, {"role": "system", "content": "now"})[1] == {"role": "system", "content": "now"}


def test_user_content() -> None:
    text, marked = {"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": MARKER}
    image = {"type": "image", "source": PNG, "cache_control": MARKER}
    by_url = {"type": "image", "source": {"type": "url", "url": "https://x.example/i.png"}}
    assert user(text) == [{"role": "user", "content": "a"}]
    assert user(text, marked, image, by_url)[0]["content"] == [
        text,
        marked,
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}, "cache_control": MARKER},
        {"type": "image_url", "image_url": {"url": "https://x.example/i.png"}},
    ]


@pytest.mark.parametrize(
    ("document", "parts"),
    [
        (
            {"source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}},
            [
                {
                    "type": "file",
                    "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
                }
            ],
        ),
        (
            {"source": {"type": "url", "url": "https://x.example/d.pdf"}, "title": "d.pdf", "context": "of May"},
            [
                {"type": "text", "text": "of May"},
                {"type": "file", "file": {"filename": "d.pdf", "file_data": "https://x.example/d.pdf"}},
            ],
        ),
        (
            {"source": {"type": "text", "media_type": "text/plain", "data": "words"}, "title": "T", "context": "C"},
            [{"type": "text", "text": "T\n\nC\n\nwords"}],
        ),
        (
            {
                "source": {
                    "type": "content",
                    "content": [{"type": "text", "text": "a"}, {"type": "image", "source": PNG}],
                }
            },
            [
                {"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
            ],
        ),
        ({"source": {"type": "content", "content": "whole"}}, [{"type": "text", "text": "whole"}]),
    ],
)
def test_documents(document: dict[str, Any], parts: list[Any]) -> None:
    first = {"type": "text", "text": "read"}
    found = user(first, {"type": "document", "citations": {"enabled": True}, "cache_control": MARKER, **document})
    assert found[0]["content"] == [first, *parts[:-1], parts[-1] | {"cache_control": MARKER}]


def test_search_result_is_text() -> None:
    found = {"type": "search_result", "title": "T", "source": "S", "content": [{"type": "text", "text": "a"}]}
    assert user(found) == [{"role": "user", "content": "T\n\nS\n\na"}]


def test_tool_use_becomes_tool_calls() -> None:
    uses = [
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": [1, "ä"]}},
        {"type": "tool_use", "id": "t2", "name": "g", "input": {}, "cache_control": MARKER},
    ]
    calls = [
        {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a":[1,"ä"]}'}},
        {"id": "t2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
    message = {"role": "assistant", "tool_calls": calls, "cache_control": MARKER}
    assert assistant(*uses) == message | {"content": None}
    for kind in ("text", "connector_text"):
        assert assistant({"type": kind, kind: "Let me see."}, *uses) == message | {"content": "Let me see."}


def test_tool_results_come_before_the_rest_of_their_message() -> None:
    found = user(
        {"type": "text", "text": "and now?"},
        {"type": "tool_result", "tool_use_id": "t1", "content": "sunny", "cache_control": MARKER},
        {
            "type": "tool_result",
            "tool_use_id": "t2",
            "content": [{"type": "text", "text": "a"}, {"type": "image", "source": PNG}],
        },
        {"type": "tool_result", "tool_use_id": "t3"},
    )
    assert found == [
        {"role": "tool", "tool_call_id": "t1", "content": "sunny", "cache_control": MARKER},
        {"role": "tool", "tool_call_id": "t2", "content": "a"},
        {"role": "tool", "tool_call_id": "t3", "content": ""},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "and now?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
            ],
        },
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("no such file", "Error: no such file"),
        ("ERROR 5", "ERROR 5"),
        (None, "Error"),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], ["Error: a", "b"]),
    ],
)
def test_failed_tool_says_so(content: Any, told: Any) -> None:
    (message,) = user({"type": "tool_result", "tool_use_id": "t", "content": content, "is_error": True})
    parts = [{"type": "text", "text": text} for text in told] if isinstance(told, list) else told
    assert message == {"role": "tool", "tool_call_id": "t", "content": parts}


def test_thinking_keeps_its_signatures_and_its_order() -> None:
    message = assistant(
        {"type": "thinking", "thinking": "a", "signature": "s1"},
        {"type": "redacted_thinking", "data": "d"},
        {"type": "thinking", "thinking": "b", "signature": ""},
        {"type": "text", "text": "so"},
    )
    assert message == {
        "role": "assistant",
        "content": "so",
        "reasoning_content": "ab",
        "reasoning_details": [
            {"type": "reasoning.text", "text": "a", "signature": "s1", "format": "anthropic-claude-v1"},
            {"type": "reasoning.encrypted", "data": "d", "format": "anthropic-claude-v1"},
            {"type": "reasoning.text", "text": "b", "format": "anthropic-claude-v1"},
        ],
    }


def test_tools() -> None:
    strict = TOOL | {"type": "custom", "strict": True, "cache_control": MARKER, "defer_loading": True}
    assert hub(tools=[TOOL, strict])["tools"] == [
        {
            "type": "function",
            "function": {"name": "weather", "description": "Tells it.", "parameters": {"type": "object"}},
        },
        {
            "type": "function",
            "function": {
                "name": "weather",
                "description": "Tells it.",
                "parameters": {"type": "object"},
                "strict": True,
            },
            "cache_control": MARKER,
        },
    ]


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any"}, {"tool_choice": "required"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        ({"type": "tool", "name": "f"}, {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
        ({"type": "auto", "disable_parallel_tool_use": False}, {"tool_choice": "auto"}),
        (
            {"type": "any", "disable_parallel_tool_use": True},
            {"tool_choice": "required", "parallel_tool_calls": False},
        ),
    ],
)
def test_tool_choice(choice: Any, told: Any) -> None:
    body = hub(tools=[TOOL], tool_choice=choice)
    assert {name: body[name] for name in ("tool_choice", "parallel_tool_calls") if name in body} == told
    assert "tool_choice" not in hub(tool_choice=choice)


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4097}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 16384}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 16385}}, "high"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}, "output_config": {"effort": "high"}}, "high"),
        ({"thinking": {"type": "adaptive", "display": "summarized"}}, "medium"),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, "low"),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}}, "none"),
        ({"output_config": {"effort": "high"}}, "high"),
        ({"output_config": {"effort": "max"}}, "xhigh"),
        ({"thinking": {"type": "between_tools"}}, None),
        ({}, None),
    ],
)
def test_reasoning(fields: dict[str, Any], effort: str | None) -> None:
    body = hub(**fields)
    assert body.get("reasoning_effort") == effort
    assert body.get("thinking") == fields.get("thinking")
    assert "output_config" not in body


def test_structured_output_is_strict_where_the_hub_can_be() -> None:
    closed = {"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False}
    loose = {"title": "My Dog!", "type": "object", "properties": {"a": {}}, "additionalProperties": False}
    form = {"type": "json_schema", "schema": closed}
    told = {"type": "json_schema", "json_schema": {"name": "answer", "schema": closed, "strict": True}}
    assert hub(output_config={"format": form})["response_format"] == told
    assert hub(output_format=form)["response_format"] == told
    told = {"type": "json_schema", "json_schema": {"name": "My_Dog_", "schema": loose, "strict": False}}
    assert hub(output_format=form | {"schema": loose})["response_format"] == told


class Name(str):
    """A name that counts how often any is compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Name.compared += 1
        return super().__eq__(other)

    __hash__ = str.__hash__


def test_required_members_are_looked_up_not_searched() -> None:
    names = [Name(f"m{at}") for at in range(500)]
    schema = {"type": "object", "properties": {name: {} for name in names}, "additionalProperties": False}
    call = make_call(
        endpoint=MESSAGES,
        body={
            "messages": [HELLO],
            "output_format": {"type": "json_schema", "schema": schema | {"required": [*reversed(names), [], {}, None]}},
        },
    )
    Name.compared = 0
    assert FORMAT.parse_request(call).body["response_format"]["json_schema"]["strict"] is True
    assert Name.compared <= 2 * len(names)


def test_other_settings() -> None:
    body = hub(
        stop_sequences=["a", "b"],
        temperature=0.5,
        top_p=1,
        top_k=40,
        metadata={"user_id": "u-1"},
        service_tier="standard_only",
        cache_control=MARKER,
        container="c",
        inference_geo="eu",
        context_management={},
    )
    del body["messages"], body["model"], body["max_tokens"]
    assert body == {
        "stop": ["a", "b"],
        "temperature": 0.5,
        "top_p": 1,
        "top_k": 40,
        "user": "u-1",
        "service_tier": "default",
        "cache_control": MARKER,
    }


@pytest.mark.parametrize("user_id", ["x" * 65, "ada@x.example", '{"device_id":"1"}'])
def test_user_that_some_provider_refuses_is_told_by_its_digest(user_id: str) -> None:
    told = hub(metadata={"user_id": user_id})["user"]
    assert len(told) == 64
    assert told == hub(metadata={"user_id": user_id})["user"] != hub(metadata={"user_id": user_id + "y"})["user"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [TOOL, {"type": "web_search_20250305", "name": "web_search"}]}, "tools.1"),
        ({"mcp_servers": [{"name": "x"}]}, "mcp_servers"),
        (
            {"messages": [HELLO, {"role": "assistant", "content": [{"type": "server_tool_use"}]}]},
            "messages.1.content.0",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "container_upload"}]}]}, "messages.0.content.0"),
        ({"messages": [{"role": "system", "content": [{"type": "tool_addition"}]}]}, "messages.0.content.0"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}
                ]
            },
            "messages.0.content.0.source",
        ),
        ({"system": [{"type": "image", "source": PNG}]}, "system.0"),
    ],
)
def test_what_only_anthropic_takes_is_refused(fields: dict[str, Any], param: str) -> None:
    assert refused({"messages": [HELLO], **fields}) == ("unsupported_content", param)


def test_refused_tool_is_named() -> None:
    with pytest.raises(InvalidRequest, match=r"search, web_search_20250305"):
        hub(tools=[{"type": "web_search_20250305", "name": "search"}])


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["hi"]}, "messages.0"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages.0.content.0"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages.0.content.0.type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0.text"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages.0.content.0.source"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "messages.0.content.0.tool_use_id"),
        (
            {
                "messages": [
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": "{}"}]}
                ]
            },
            "messages.0.content.0.input",
        ),
        ({"messages": [{"role": "assistant", "content": [{"type": "thinking"}]}]}, "messages.0.content.0.thinking"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"stop_sequences": [1]}, "stop_sequences.0"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_k": True}, "top_k"),
        ({"stream": 1}, "stream"),
        ({"metadata": "x"}, "metadata"),
        ({"metadata": {"user_id": 5}}, "metadata.user_id"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"thinking": {"budget_tokens": 5}}, "thinking.type"),
        ({"output_config": {"effort": 3}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format"),
        ({"output_format": {"type": "json_schema"}}, "output_format"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"name": "f"}]}, "tools.0.input_schema"),
        ({"tools": [TOOL], "tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
    ],
)
def test_malformed_field_is_named(fields: dict[str, Any], param: str) -> None:
    assert refused({"messages": [HELLO], **fields}) == ("invalid_value", param)


WORDS = [
    *("messages", "role", "content", "type", "text", "source", "data", "media_type", "url", "input", "id", "name"),
    *("tool_use_id", "is_error", "thinking", "signature", "system", "tools", "input_schema", "tool_choice", "metadata"),
    *("user_id", "output_config", "format", "schema", "effort", "budget_tokens", "cache_control", "title", "context"),
]
VALUES = [
    *("user", "assistant", "system", "text", "image", "document", "tool_use", "tool_result", "thinking"),
    *("redacted_thinking", "search_result", "base64", "url", "content", "json_schema", "enabled", "tool", "auto"),
    *("tollway.", "tollway.e30=", "tollway.eyJ0b29sX2NhbGxfaWQiOjF9", "tollway.W10="),
]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(VALUES)
    | st.text(max_size=4)
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=16,
)
BLOCKS = st.fixed_dictionaries({"type": st.sampled_from(VALUES)}, optional=dict.fromkeys(WORDS[4:15], JSON))
TURNS = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"]), "content": st.lists(BLOCKS | JSON, max_size=3) | JSON}
)
BODIES = st.dictionaries(st.sampled_from(WORDS), JSON, max_size=6) | st.builds(
    lambda fields, messages: {**fields, "messages": messages},
    st.dictionaries(st.sampled_from(WORDS[10:]), JSON, max_size=3),
    st.lists(TURNS | JSON, max_size=3),
)


@given(BODIES, st.sampled_from([MESSAGES, COUNT_TOKENS]))
@settings(max_examples=100)
def test_any_body_is_a_call_or_an_invalid_request(body: dict[str, Any], endpoint: Endpoint) -> None:
    try:
        call = parse(body, endpoint)
    except InvalidRequest as error:
        assert error.param
        return
    assert call.body["messages"]
    assert all(message["role"] in ("system", "user", "assistant", "tool") for message in call.body["messages"])


def test_input_that_cannot_be_written_is_refused() -> None:
    deep: Any = {}
    for _ in range(400):
        deep = {"a": deep}
    use = {"type": "tool_use", "id": "t", "name": "f", "input": deep}
    assert refused({"messages": [{"role": "assistant", "content": [use]}]})[1] == "messages.0.content.0.input"


@pytest.mark.parametrize("depth", [250, 300, 1_000, 1_020, 100_000])
@pytest.mark.parametrize(
    "members", ['"text": %s', '"tool_call_id": %s', '"tool_call_id": "t", "extra_content": %s', '"type": %s', '"a": %s']
)
@pytest.mark.parametrize("kind", ["thinking", "redacted_thinking"])
def test_sealed_reasoning_of_any_depth_is_taken_or_refused(depth: int, members: str, kind: str) -> None:
    deep = "[" * depth + "]" * depth
    sealed = "tollway." + base64.b64encode(f"{{{members % deep}}}".encode()).decode()
    use = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    block = {"type": kind, "thinking": "hm", "signature": sealed, "data": sealed}
    content = [block, use]
    call = make_call(endpoint=MESSAGES, body={"messages": [{"role": "assistant", "content": content}]})
    with suppress(InvalidRequest):
        FORMAT.parse_request(call)


def test_body_of_a_coding_agent_is_sendable() -> None:
    body = parse(json.loads(AGENT)).body
    orjson.dumps(body)
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "tool", "tool", "user"]


AGENT = """{
 "model": "m", "max_tokens": 32000, "stream": true, "temperature": 1,
 "metadata": {"user_id": "user_1_account__session_2"},
 "system": [{"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}}],
 "tools": [{"name": "Read", "description": "Reads.",
  "input_schema": {"type": "object", "properties": {"p": {"type": "string"}}}}],
 "thinking": {"type": "enabled", "budget_tokens": 31999},
 "messages": [
  {"role": "user", "content": [{"type": "text", "text": "<reminder/>"}, {"type": "text", "text": "Read both."}]},
  {"role": "assistant", "content": [{"type": "thinking", "thinking": "Both.", "signature": "c2ln"},
   {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"p": "a"}},
   {"type": "tool_use", "id": "toolu_2", "name": "Read", "input": {"p": "b"}}]},
  {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "A"},
   {"type": "tool_result", "tool_use_id": "toolu_2", "content": [{"type": "text", "text": "<e>no</e>"}],
    "is_error": true, "cache_control": {"type": "ephemeral"}},
   {"type": "text", "text": "Go on."}]}]}"""
