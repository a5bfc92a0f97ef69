"""Any body at all is a request that can be sent, or an InvalidRequest, and stays what it was."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.errors import InvalidRequest
from tests.fakes.outcomes import CHAT
from tests.unit.dataplane.dialects.test_anthropic_requests import ADAPTIVE, BUDGET, COUNT, NEWEST, OLD, render

WORDS = st.sampled_from(
    [
        *("system", "user", "assistant", "tool", "function", "text", "image_url", "file", "input_audio"),
        *("json_schema", "json_object", "object", "array", "required", "auto", "none", "high", "max", "enabled"),
        *("reasoning.text", "anthropic-claude-v1", "data:image/png;base64,QUJD", "data:text/plain;base64,QUJD"),
        *("thinking", "allowed_tools", "document", "{}", " ", ""),
    ]
)
NAMES = st.sampled_from(
    [
        *("role", "content", "type", "text", "tool_calls", "function_call", "tool_call_id", "id", "function", "name"),
        *("arguments", "parameters", "strict", "properties", "items", "anyOf", "url", "image_url", "file", "file_data"),
        *("schema", "json_schema", "reasoning_details", "thinking_blocks", "signature", "data", "format", "mode"),
        *("allowed_tools", "tools", "effort", "max_tokens", "enabled", "budget_tokens", "user_id", "filename"),
        *("cache_control", "input_schema"),
    ]
)
FIELDS = st.sampled_from(
    [
        *("tools", "functions", "tool_choice", "function_call", "response_format", "reasoning_effort", "reasoning"),
        *("thinking", "output_config", "temperature", "top_p", "top_k", "stop", "user", "metadata", "service_tier"),
        *("max_tokens", "max_completion_tokens", "parallel_tool_calls", "cache_control", "stop_sequences", "n"),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5000) | st.floats(0, 3) | WORDS,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(NAMES, children, max_size=4),
    max_leaves=10,
)
ROLES = st.sampled_from(["system", "user", "assistant", "tool", "function"])
SPOKEN = st.builds(lambda role, fields: fields | {"role": role}, ROLES, st.dictionaries(NAMES, JSON, max_size=4))
PARTS = st.lists(st.dictionaries(NAMES, JSON, max_size=4), max_size=2)
TURNS = st.builds(lambda message, parts: message | {"content": parts}, SPOKEN, PARTS)
MESSAGES = st.lists(TURNS | SPOKEN | JSON, max_size=3)
BODIES = st.builds(lambda fields, messages: fields | {"messages": messages}, st.dictionaries(FIELDS, JSON), MESSAGES)


@settings(max_examples=150)
@given(BODIES, st.sampled_from([OLD, BUDGET, ADAPTIVE, NEWEST, "other"]), st.sampled_from([CHAT, COUNT]))
def test_any_body_is_a_request_or_refused(body: dict[str, Any], model: str, endpoint: Any) -> None:
    try:
        assert render(body, model, endpoint=endpoint).body
    except InvalidRequest as error:
        assert error.param
        assert error.message
