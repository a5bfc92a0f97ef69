"""The HTTP side of requests: what cannot be written as JSON is refused in the client's words."""

import base64
from typing import Any

import pytest

from dataplane.call import Endpoint
from dataplane.dialects.anthropic import AnthropicDialect
from dataplane.dialects.anthropic.client import AnthropicFormat
from dataplane.dialects.base import Dialect, ProviderSpec
from dataplane.dialects.gemini import GeminiDialect
from dataplane.dialects.openai import OpenAIDialect
from dataplane.dialects.requests import upstream_request
from dataplane.errors import InvalidRequest
from dataplane.snapshot import Target
from tests.fakes.outcomes import UPSTREAM, make_call

TARGET = Target(UPSTREAM, "m")
MESSAGES = Endpoint("messages", "/v1/messages", "chat", True, "anthropic")


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def text_of_depth(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


def provider(dialect: str) -> ProviderSpec:
    return ProviderSpec(dialect, dialect, {"chat_completions": "/chat"})


def assert_too_deep(error: InvalidRequest, param: str | None) -> None:
    assert (error.error_code, error.param, error.http_status) == ("invalid_value", param, 400)
    assert "nested too deep" in error.message


@pytest.mark.parametrize(("said", "param"), [({"messages": []}, "messages"), ({"prompt": "a"}, None)])
def test_body_that_is_nested_too_deep_is_refused(said: dict[str, Any], param: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        upstream_request(make_call(body=said), TARGET, provider("openai"), nested(300))
    assert_too_deep(caught.value, param)
    assert upstream_request(make_call(body=said), TARGET, provider("openai"), nested(250)).body


@pytest.mark.parametrize("depth", [245, 247, 249, 251, 252, 253, 254, 300, 900])
@pytest.mark.parametrize(("name", "dialect"), [("anthropic", AnthropicDialect()), ("gemini", GeminiDialect())])
def test_arguments_of_any_depth_are_sent_or_refused(name: str, dialect: Dialect, depth: int) -> None:
    function = {"name": "f", "arguments": text_of_depth(depth)}
    called = {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": function}]}
    body = {"messages": [{"role": "user", "content": "hi"}, called]}
    try:
        assert dialect.render_request(make_call(body=body), TARGET, provider(name)).body
    except InvalidRequest as error:
        assert error.error_code == "invalid_value"
        assert depth > 245
    else:
        assert depth < 252


@pytest.mark.parametrize("sealed", ['"extra_content": %s, "tool_call_id": "t"', '"type": "reasoning.text", "data": %s'])
def test_sealed_reasoning_that_is_nested_too_deep_is_refused(sealed: str) -> None:
    signature = "tollway." + base64.b64encode(f"{{{sealed % text_of_depth(300)}}}".encode()).decode()
    content = [
        {"type": "thinking", "thinking": "", "signature": signature},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    ]
    body = {"max_tokens": 9, "messages": [{"role": "assistant", "content": content}]}
    call = AnthropicFormat().parse_request(make_call(endpoint=MESSAGES, body=body))
    with pytest.raises(InvalidRequest) as caught:
        OpenAIDialect().render_request(call, TARGET, provider("openai"))
    assert_too_deep(caught.value, "messages")
