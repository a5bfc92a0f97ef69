"""Calls in the hub's format as Bedrock takes them."""

import json
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.call import Endpoint
from dataplane.dialects.base import ProviderSpec
from dataplane.dialects.bedrock import BedrockDialect
from dataplane.dialects.bedrock.content import Content
from dataplane.dialects.bedrock.models import model_traits
from dataplane.errors import InvalidRequest
from dataplane.snapshot import Target
from tests.fakes.outcomes import UPSTREAM, make_call
from tests.golden.recordings import read_recordings

DIALECT = BedrockDialect()
PROVIDER = ProviderSpec(
    "bedrock",
    "bedrock",
    {
        "chat_completions": "/model/{model}/converse",
        "chat_completions.stream": "/model/{model}/converse-stream",
        "embeddings": "/model/{model}/invoke",
        "count_tokens": "/model/{model}/count-tokens",
        "rerank": "/model/{model}/invoke",
    },
    base_url="https://bedrock-runtime.{region}.amazonaws.com",
    credentials="aws",
)
PLACE = replace(UPSTREAM, id="aws", provider="bedrock", base_url="", region="eu-west-1")
COUNT_TOKENS = Endpoint("count_tokens", "/v1/messages/count_tokens", "count_tokens", False)
RERANK = Endpoint("rerank", "/v1/rerank", "rerank", False)
EMBEDDINGS = Endpoint("embeddings", "/v1/embeddings", "embeddings", False)
RECORDED = {r.id: r.request for r in read_recordings("bedrock")}
SONNET_45, SONNET_37 = "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "us.anthropic.claude-3-7-sonnet-20250219-v1:0"
OPUS_46, OPUS_48 = "us.anthropic.claude-opus-4-6-v1", "us.anthropic.claude-opus-4-8"
NOVA, NOVA_2, LLAMA = "amazon.nova-lite-v1:0", "us.amazon.nova-2-lite-v1:0", "meta.llama3-8b-instruct-v1:0"
TITAN, V2 = "amazon.titan-embed-text-v2:0", {"dimensions": 256, "normalize": False}
GPT_OSS, QWEN = "openai.gpt-oss-120b-1:0", "qwen.qwen3-32b-v1:0"
GPT, OPUS_5, SONNET_5 = "us.openai.gpt-5.6-sol", "anthropic.claude-opus-5", "us.anthropic.claude-sonnet-5"
NOVA_EMBED, RERANKER = "amazon.nova-2-multimodal-embeddings-v1:0", "cohere.rerank-v3-5:0"
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
PNG = "data:image/png;base64,iVBORw0KGgo="
ASK = [{"role": "user", "content": "hi"}]
MARK = {"cache_control": {"type": "ephemeral"}}
POINT = {"cachePoint": {"type": "default"}}
OPEN_SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
CLOSED_SCHEMA = {**OPEN_SCHEMA, "required": ["a"], "additionalProperties": False}


def render(body: dict[str, Any], model: str = SONNET_45, **fields: Any) -> dict[str, Any]:
    """The body that is sent for an OpenAI chat body."""
    before = deepcopy(body)
    call = make_call(body={"messages": ASK, **body}, **fields)
    request = DIALECT.render_request(call, Target(PLACE, model), PROVIDER)
    assert body == before
    rendered: dict[str, Any] = json.loads(request.body)
    return rendered


def refusal(body: dict[str, Any], model: str = SONNET_45, **fields: Any) -> tuple[str, str | None]:
    with pytest.raises(InvalidRequest) as caught:
        render(body, model, **fields)
    return caught.value.error_code, caught.value.param


def tool(name: str = "f", **function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **function}}


def used(*names: str, **message: Any) -> list[dict[str, Any]]:
    """A turn that used tools, and their results."""
    calls = [
        {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": "{}"}} for name in names
    ]
    results = [{"role": "tool", "tool_call_id": f"call_{name}", "content": "r"} for name in names]
    return [*ASK, {"role": "assistant", "content": None, "tool_calls": calls, **message}, *results]


def asks(schema: dict[str, Any] | None = None) -> dict[str, Any]:
    if schema is None:
        return {"response_format": {"type": "json_object"}}
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "N", "schema": schema}}}


def budget(tokens: int) -> dict[str, Any]:
    return {"thinking": {"type": "enabled", "budget_tokens": tokens}}


def recorded(recording: str, *empty: str) -> dict[str, Any]:
    """A recorded request, without members that say nothing."""
    request = RECORDED[recording]
    assert request is not None
    return {name: value for name, value in request.items() if value not in ([], {}) and name not in empty}


@pytest.mark.parametrize(
    ("stream", "path", "accept"),
    [(False, "converse", "application/json"), (True, "converse-stream", "application/vnd.amazon.eventstream")],
)
def test_request_goes_to_the_models_path(stream: bool, path: str, accept: str) -> None:
    call = make_call(body={"messages": ASK, "stream": stream, "stream_options": {}}, stream=stream)
    request = DIALECT.render_request(call, Target(PLACE, PROFILE), PROVIDER)
    model = "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc"
    assert request.url == f"https://bedrock-runtime.eu-west-1.amazonaws.com/model/{model}/{path}"
    assert request.headers["accept"] == accept
    assert json.loads(request.body) == {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}


def test_document_is_sent_as_recorded() -> None:
    expected = recorded("bedrock-converse-7a07db5dc8a7")
    text, document = expected["messages"][0]["content"]
    uri = "data:application/pdf;base64," + document["document"]["source"]["bytes"]
    parts = [{"type": "text", "text": text["text"]}, {"type": "file", "file": {"file_data": uri}}]
    assert render({"messages": [{"role": "user", "content": parts}]}) == expected


def test_image_is_sent_as_recorded() -> None:
    expected = recorded("bedrock-converse_stream-7bdbace5e531")
    text, image = expected["messages"][0]["content"]
    uri = "data:image/png;base64," + image["image"]["source"]["bytes"]
    parts = [{"type": "text", "text": text["text"]}, {"type": "image_url", "image_url": {"url": uri}}]
    assert render({"messages": [{"role": "user", "content": parts}]}) == expected


def test_tools_history_and_schema_are_sent_as_recorded() -> None:
    expected = recorded("bedrock-converse-8b660893610d")
    ask, use, result = (message["content"][0] for message in expected["messages"])
    function = {"name": use["toolUse"]["name"], "arguments": json.dumps(use["toolUse"]["input"])}
    spec = expected["toolConfig"]["tools"][0]["toolSpec"]
    described = expected["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    schema = json.loads(described["schema"])
    body = {
        "messages": [
            {"role": "user", "content": ask["text"]},
            {"role": "assistant", "tool_calls": [{"id": use["toolUse"]["toolUseId"], "function": function}]},
            {"role": "tool", "tool_call_id": use["toolUse"]["toolUseId"], "content": "2161000"},
        ],
        "tools": [tool(spec["name"], parameters=spec["inputSchema"]["json"], strict=True)],
        "response_format": {"type": "json_schema", "json_schema": {**described, "schema": schema, "strict": True}},
    }
    rendered = render(body)
    # What says nothing is left out: that a tool has succeeded, and that the model may choose.
    del result["toolResult"]["status"], expected["toolConfig"]["toolChoice"]
    sent = rendered["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert json.loads(sent.pop("schema")) == json.loads(described.pop("schema"))
    assert rendered == expected


def test_named_tool_thinking_and_cache_point_are_sent_as_recorded() -> None:
    choice = {"type": "function", "function": {"name": "lookup_harbor_label"}}
    config = recorded("bedrock-converse_stream-63a3c88f6692")["toolConfig"]
    spec = config["tools"][0]["toolSpec"]
    tools = [tool(spec["name"], description=spec["description"], parameters=spec["inputSchema"]["json"])]
    assert render({"tools": tools, "tool_choice": choice}, NOVA)["toolConfig"] == config

    expected = recorded("bedrock-converse-ed50869a84d3", "inferenceConfig")
    part = {"type": "text", "text": expected["messages"][0]["content"][0]["text"], **MARK}
    thinking = expected["additionalModelRequestFields"]["thinking"]
    assert render({"messages": [{"role": "user", "content": [part]}], "thinking": thinking}) == expected


def test_roles_alternate_and_begin_with_the_user() -> None:
    messages = [
        {"role": "system", "content": "s"},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": ["u", {"type": "text", "text": " "}]},
        {"role": "developer", "content": [{"type": "text", "text": "d"}]},
        {"role": "user", "content": "v"},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no  "}]},
    ]
    rendered = render({"messages": messages})
    assert rendered["system"] == [{"text": "s"}, {"text": "d"}]
    assert rendered["messages"] == [
        {"role": "user", "content": [{"text": "(The conversation begins here.)"}]},
        {"role": "assistant", "content": [{"text": "a"}]},
        {"role": "user", "content": [{"text": "u"}, {"text": "v"}]},
        {"role": "assistant", "content": [{"text": "no"}]},
    ]


def test_system_alone_is_the_users_turn() -> None:
    rendered = render({"messages": [{"role": "system", "content": "s"}]})
    assert rendered == {"messages": [{"role": "user", "content": [{"text": "s"}]}]}


def test_results_of_tools_come_first_in_one_turn() -> None:
    messages = [*used("f", "g"), {"role": "user", "content": "go on"}]
    messages.insert(2, {"role": "user", "content": "wait"})
    messages[4]["content"] = [{"type": "image_url", "image_url": {"url": PNG}}]
    blocks = render({"messages": messages})["messages"][2]["content"]
    assert [next(iter(block)) for block in blocks] == ["toolResult", "toolResult", "text", "text"]
    image = {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}}
    assert blocks[1]["toolResult"] == {"toolUseId": "call_g", "content": [image]}


@pytest.mark.parametrize("body", [{}, {"tools": []}, {"tools": [tool("h")], "tool_choice": "none"}])
def test_tools_are_listed_wherever_history_uses_some(body: dict[str, Any]) -> None:
    config = render({"messages": used("f", "g"), **body})["toolConfig"]
    names = ["h"] if body.get("tools") else ["f", "g"]
    assert [one["toolSpec"]["name"] for one in config["tools"]] == names
    assert "toolChoice" not in config


def test_result_without_its_call_has_a_tool_too() -> None:
    messages = [*ASK, {"role": "tool", "tool_call_id": "a/b" + "c" * 80, "content": None}]
    rendered = render({"messages": messages})
    result = rendered["messages"][0]["content"][0]["toolResult"]
    assert (len(result["toolUseId"]), result["content"]) == (64, [{"text": "(no output)"}])
    assert rendered["toolConfig"]["tools"][0]["toolSpec"]["name"] == "tool"


@pytest.mark.parametrize(
    ("choice", "model", "expected"),
    [
        (None, SONNET_45, None),
        ("auto", SONNET_45, None),
        ("required", SONNET_45, {"any": {}}),
        ({"type": "function", "function": {"name": "f"}}, SONNET_45, {"tool": {"name": "f"}}),
        ("required", LLAMA, None),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [tool("g")]}}, NOVA, None),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [tool("g")]}}, NOVA, {"any": {}}),
    ],
)
def test_choice_of_tools(choice: Any, model: str, expected: Any) -> None:
    config = render({"tools": [tool("f"), tool("g")], "tool_choice": choice}, model)["toolConfig"]
    assert config.get("toolChoice") == expected
    is_allowed = isinstance(choice, dict) and choice["type"] == "allowed_tools"
    assert [one["toolSpec"]["name"] for one in config["tools"]] == (["g"] if is_allowed else ["f", "g"])


def test_no_tools_where_none_may_be_used() -> None:
    assert "toolConfig" not in render({"tools": [tool()], "tool_choice": "none"})


def test_tools_are_specified() -> None:
    tools = [
        tool("f", description=" ", strict=True, parameters=OPEN_SCHEMA),
        tool("g", description="d", strict=True, parameters=CLOSED_SCHEMA) | MARK,
        {"systemTool": {"name": "nova_grounding"}},
    ]
    assert render({"tools": tools})["toolConfig"]["tools"] == [
        {"toolSpec": {"name": "f", "inputSchema": {"json": OPEN_SCHEMA}}},
        {"toolSpec": {"name": "g", "description": "d", "strict": True, "inputSchema": {"json": CLOSED_SCHEMA}}},
        POINT,
        {"systemTool": {"name": "nova_grounding"}},
    ]
    without_points = render({"tools": tools}, NOVA)["toolConfig"]["tools"]
    assert [next(iter(one)) for one in without_points] == ["toolSpec", "toolSpec", "systemTool"]
    for model in (NOVA, SONNET_5, "anthropic.claude-opus-5-5"):
        assert "strict" not in render({"tools": tools}, model)["toolConfig"]["tools"][1].get("toolSpec", {})


def test_one_call_at_a_time_is_asked_of_claude() -> None:
    body = {"tools": [tool()], "parallel_tool_calls": False}
    fields = render(body)["additionalModelRequestFields"]
    assert fields == {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}
    assert "additionalModelRequestFields" not in render(body, NOVA)
    assert "additionalModelRequestFields" not in render({**body, "tool_choice": "required"})
    assert render(body, OPUS_5)["additionalModelRequestFields"] == fields


@pytest.mark.parametrize(
    ("name", "sent"),
    [("json<|channel|>commentary", "json"), ("a.b c", "a_b_c"), ("f" * 65, "f" * 64), ("<|x|>", "tool")],
)
def test_tools_that_a_model_misnamed_go_back_under_names_that_are_taken(name: str, sent: str) -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": name, "arguments": "{}"}}]
    rendered = render({"messages": used("f", tool_calls=calls)})
    assert rendered["messages"][1]["content"][0]["toolUse"]["name"] == sent
    assert rendered["toolConfig"]["tools"][0]["toolSpec"]["name"] == sent


def test_cache_points_follow_what_is_marked() -> None:
    messages = [
        {"role": "system", "content": [{"type": "text", "text": "s", "cache_control": {"type": "e", "ttl": "1h"}}]},
        *used("f", **MARK),
        {"role": "user", "content": "u", **MARK},
    ]
    messages[-2] |= MARK
    rendered = render({"messages": messages})
    assert rendered["system"] == [{"text": "s"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]
    assert [next(iter(block)) for block in rendered["messages"][1]["content"]] == ["toolUse", "cachePoint"]
    last = rendered["messages"][2]["content"]
    assert [next(iter(block)) for block in last] == ["toolResult", "cachePoint", "text", "cachePoint"]
    assert b"cachePoint" not in json.dumps(render({"messages": messages}, LLAMA)).encode()


def test_reasoning_goes_back_signed_or_redacted() -> None:
    details = [
        {"type": "reasoning.text", "text": "t", "signature": "s", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.text", "text": "unsigned"},
        {"type": "reasoning.text", "text": "t", "signature": "s", "format": "google-gemini-v1"},
        {"type": "reasoning.encrypted", "data": "EtkECkgIBxAB", "format": "anthropic-claude-v1"},
        {"type": "reasoning.encrypted", "data": "AP8=", "format": "bedrock-v1"},
    ]
    blocks = [
        {"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}},
        {"reasoningContent": {"redactedContent": "RXRrRUNrZ0lCeEFC"}},
    ]
    message = {"role": "assistant", "content": "c", "reasoning_details": details, "reasoning_content": "t"}
    content = render({"messages": [*ASK, message, *ASK]})["messages"][1]["content"]
    assert content == [*blocks, {"reasoningContent": {"redactedContent": "AP8="}}, {"text": "c"}]
    thoughts = [
        {"type": "thinking", "thinking": "t", "signature": "s"},
        {"type": "redacted_thinking", "data": "RXRrRUNrZ0lCeEFC"},
    ]
    message = {"role": "assistant", "content": "c", "thinking_blocks": thoughts}
    assert render({"messages": [*ASK, message, *ASK]})["messages"][1]["content"] == [*blocks, {"text": "c"}]
    assert render({"messages": [*ASK, message, *ASK]}, NOVA)["messages"][1]["content"] == [{"text": "c"}]


@pytest.mark.parametrize(
    ("model", "body", "fields"),
    [
        (SONNET_45, {"reasoning_effort": "low"}, budget(2048)),
        (SONNET_45, {"reasoning": {"max_tokens": 3000}}, budget(3000)),
        (SONNET_45, {"reasoning_effort": "high", "max_tokens": 2000}, budget(1500)),
        (SONNET_45, {"reasoning_effort": "high", "max_tokens": 1000}, None),
        (SONNET_45, {"reasoning_effort": "none"}, None),
        (SONNET_45, {"thinking": {"type": "enabled", "clear_thinking": False}}, budget(8192)),
        (SONNET_45, {"thinking": {"type": "enabled", "budget_tokens": 2000, "x": 1}}, budget(2000)),
        (SONNET_45, {"thinking": {"type": "adaptive"}, "reasoning_effort": "low"}, budget(2048)),
        (SONNET_45, {"thinking": {"type": "sometimes"}}, None),
        (PROFILE, {"thinking": {"type": "adaptive", "x": 1}}, {"thinking": {"type": "adaptive"}}),
        (PROFILE, budget(2000), budget(2000)),
        (OPUS_46, {"thinking": {"type": "enabled"}}, {"thinking": {"type": "adaptive"}}),
        (SONNET_45, {"reasoning_effort": "low", "tools": [tool()], "tool_choice": "required"}, None),
        (SONNET_45, {"reasoning_effort": "low", "messages": used("f")}, None),
        (
            OPUS_46,
            {"reasoning_effort": "xhigh"},
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
        ),
        (
            OPUS_48,
            {"reasoning_effort": "xhigh"},
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "xhigh"}},
        ),
        ("anthropic.claude-sonnet-5", {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
        ("anthropic.claude-3-haiku-20240307-v1:0", {"reasoning_effort": "high"}, None),
        (NOVA, {"reasoning_effort": "high"}, None),
        (NOVA_2, {"reasoning_effort": "high"}, {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}),
        (
            NOVA_2,
            {"reasoning_effort": "high", "max_tokens": 5},
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}},
        ),
        (GPT_OSS, {"reasoning_effort": "minimal"}, {"reasoning_effort": "low"}),
        (QWEN, {"reasoning_effort": "xhigh"}, {"reasoning_config": "high"}),
        (GPT, {"reasoning_effort": "minimal"}, {"reasoning": {"effort": "low"}}),
        (GPT, {"reasoning_effort": "max"}, {"reasoning": {"effort": "xhigh"}}),
        (GPT, {"reasoning_effort": "none"}, {"reasoning": {"effort": "none"}}),
        (GPT, {"top_k": 5}, None),
        (GPT_OSS, {"reasoning_effort": "none"}, None),
        (LLAMA, {"reasoning_effort": "high"}, None),
        (PROFILE, {"reasoning_effort": "high"}, None),
        (PROFILE, budget(1024), budget(1024)),
        (SONNET_45, {"top_k": 5}, {"top_k": 5}),
        (NOVA, {"top_k": 5}, {"inferenceConfig": {"topK": 5}}),
        (OPUS_48, {"top_k": 5}, None),
        (SONNET_45, {"anthropic_beta": ["x"], "top_k": 5}, {"anthropic_beta": ["x"], "top_k": 5}),
        (
            NOVA,
            {"top_k": 5, "additional_model_request_fields": {"inferenceConfig": {"a": 1}, "b": 2}},
            {"inferenceConfig": {"topK": 5, "a": 1}, "b": 2},
        ),
    ],
)
def test_fields_of_the_model_itself(model: str, body: dict[str, Any], fields: Any) -> None:
    assert render(body, model).get("additionalModelRequestFields") == fields


@pytest.mark.parametrize(
    ("model", "body", "config"),
    [
        (
            NOVA,
            {"temperature": 1.5, "top_p": 0.5, "stop": "a"},
            {"temperature": 1, "topP": 0.5, "stopSequences": ["a"]},
        ),
        (SONNET_45, {"temperature": 0, "top_p": 0.5, "stop": ["a", "", 5]}, {"temperature": 0, "stopSequences": ["a"]}),
        (SONNET_45, {"top_p": 0.5}, {"topP": 0.5}),
        (SONNET_45, {"temperature": 0, "top_p": 0.96, "reasoning_effort": "low"}, {"topP": 0.96}),
        (SONNET_37, {"temperature": 1, "top_p": 0.9}, {"temperature": 1, "topP": 0.9}),
        (OPUS_48, {"temperature": 1, "top_p": 0.9}, None),
        (NOVA_2, {"temperature": 1, "top_k": 3, "reasoning_effort": "high"}, None),
        (GPT, {"temperature": 1, "top_p": 0.9, "stop": "a", "max_tokens": 7}, {"maxTokens": 7}),
        (NOVA, {"max_tokens": 7, "max_completion_tokens": 8}, {"maxTokens": 8}),
        (NOVA, {"seed": 1, "logit_bias": {}, "user": "u", "logprobs": True, "frequency_penalty": 1}, None),
    ],
)
def test_inference_config(model: str, body: dict[str, Any], config: Any) -> None:
    assert render(body, model).get("inferenceConfig") == config


def test_limit_of_admission_is_sent() -> None:
    assert render({"max_tokens": 7}, output_limit=5)["inferenceConfig"] == {"maxTokens": 5}


def test_fields_of_converse_pass_in_both_spellings() -> None:
    guardrail = {"guardrailIdentifier": "g", "guardrailVersion": "1", "trace": "enabled"}
    expected = {
        "guardrailConfig": guardrail,
        "performanceConfig": {"latency": "optimized"},
        "requestMetadata": {"a_b": "c"},
        "promptVariables": {"a_b": {"text": "c"}},
        "additionalModelResponseFieldPaths": ["/stop_sequence"],
    }
    snake = {
        "guardrail_config": {"guardrail_identifier": "g", "guardrail_version": "1", "trace": "enabled"},
        "performance_config": {"latency": "optimized"},
        "request_metadata": {"a_b": "c"},
        "prompt_variables": {"a_b": {"text": "c"}},
        "additional_model_response_field_paths": ["/stop_sequence"],
    }
    for body in (snake, expected):
        assert {name: value for name, value in render(body).items() if name != "messages"} == expected


def test_of_converses_own_fields_only_what_is_known_passes() -> None:
    body = {
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1", "roleArn": "arn:aws:iam::1:role/r"},
        "performanceConfig": {"latency": "instant", "roleArn": "r"},
        "requestMetadata": {"a": "b", "c": {"d": "e"}},
        "promptVariables": {"a": {"text": "b", "s3Location": "s3://b/k"}, "c": {"s3Location": "s3://b/k"}, "d": 5},
        "additionalModelResponseFieldPaths": ["/a", 5],
    }
    assert {name: value for name, value in render(body).items() if name != "messages"} == {
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
        "requestMetadata": {"a": "b"},
        "promptVariables": {"a": {"text": "b"}},
        "additionalModelResponseFieldPaths": ["/a"],
    }


@pytest.mark.parametrize(
    "guardrail",
    [
        {},
        5,
        "g",
        [],
        {"guardrailIdentifier": "g"},
        {"guardrailIdentifier": "", "guardrailVersion": "1"},
        {"guardrailIdentifier": "g", "guardrailVersion": 1},
        {"guardrailIdentifier": "g", "guardrailVersion": "1", "trace": True},
    ],
)
def test_guardrail_that_cannot_be_read_is_refused_and_not_left_out(guardrail: Any) -> None:
    assert refusal({"guardrail_config": guardrail}) == ("invalid_value", "guardrailConfig")


@pytest.mark.parametrize("name", ["additionalModelRequestFields", "additional_model_request_fields"])
def test_fields_of_the_model_lift_no_limit_and_name_nothing_dearer_nor_other_models_and_tools(name: str) -> None:
    limits = dict.fromkeys(("max_tokens", "maxTokens", "max_new_tokens", "max_completion_tokens", "n", "numResults"), 9)
    named = ("fallbacks", "tools", "mcp_servers", "context_management", "container")
    others = {member: [{"model": "x"}] for member in named}
    given = {**limits, **others, "speed": "fast", "service_tier": "priority", "seed": 1}
    nested = {"inferenceConfig": {**limits, "topK": 5}, "textGenerationConfig": {"maxTokenCount": 9, "x": 1}}
    rendered = render({name: {**given, **nested}, "max_tokens": 7}, NOVA)
    assert rendered["inferenceConfig"] == {"maxTokens": 7}
    assert rendered["additionalModelRequestFields"] == {
        "seed": 1,
        "inferenceConfig": {"topK": 5},
        "textGenerationConfig": {"x": 1},
    }


@pytest.mark.parametrize(("tier", "sent"), [("flex", {"type": "flex"}), ("auto", None), ("scale", None), (5, None)])
def test_class_of_service(tier: Any, sent: Any) -> None:
    assert render({"service_tier": tier}).get("serviceTier") == sent


@pytest.mark.parametrize("model", [SONNET_45, OPUS_46, GPT_OSS, QWEN, "minimax.minimax-m2"])
def test_schema_is_held_to_where_the_model_can_be(model: str) -> None:
    rendered = render(asks(CLOSED_SCHEMA), model)
    text_format = rendered["outputConfig"]["textFormat"]
    assert text_format["type"] == "json_schema"
    assert json.loads(text_format["structure"]["jsonSchema"]["schema"]) == CLOSED_SCHEMA
    assert "toolConfig" not in rendered


@pytest.mark.parametrize(
    ("model", "schema"),
    [
        (SONNET_45, OPEN_SCHEMA),
        (SONNET_45, None),
        (SONNET_37, CLOSED_SCHEMA),
        (OPUS_48, CLOSED_SCHEMA),
        (SONNET_5, CLOSED_SCHEMA),
        (OPUS_5, CLOSED_SCHEMA),
        (GPT, CLOSED_SCHEMA),
        (NOVA, CLOSED_SCHEMA),
    ],
)
def test_answer_is_asked_for_by_a_tool_elsewhere(model: str, schema: dict[str, Any] | None) -> None:
    config = render({**asks(schema), "reasoning_effort": "low"}, model)["toolConfig"]
    assert config["toolChoice"] == {"tool": {"name": "json_answer"}}
    assert config["tools"][0]["toolSpec"]["inputSchema"]["json"] == (schema or {"type": "object"})


def test_answers_tool_stands_beside_the_calls_own() -> None:
    config = render({**asks(), "tools": [tool("f"), tool("json_answer")]}, NOVA)["toolConfig"]
    assert [one["toolSpec"]["name"] for one in config["tools"]] == ["f", "json_answer", "json_answer_"]
    assert config["toolChoice"] == {"any": {}}


@pytest.mark.parametrize(
    ("model", "schema"), [(LLAMA, CLOSED_SCHEMA), (LLAMA, None), ("anthropic.claude-opus-5-5", CLOSED_SCHEMA)]
)
def test_json_is_asked_for_in_words_where_no_tool_can_be_forced(model: str, schema: dict[str, Any] | None) -> None:
    rendered = render(asks(schema), model)
    assert not {"toolConfig", "outputConfig"}.intersection(rendered)
    words = rendered["system"][0]["text"]
    assert words.startswith("Answer with one JSON object only")
    assert ("schema" in words) == (schema is not None)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "object"}}, "additionalProperties": False},
        {**CLOSED_SCHEMA, "properties": {"a": {"anyOf": [{"type": "integer", "minimum": 1}]}}},
        {**CLOSED_SCHEMA, "properties": {"a": {"type": "array", "items": {"type": "string", "maxLength": 1}}}},
        {**CLOSED_SCHEMA, "patternProperties": {}},
        {**CLOSED_SCHEMA, "$defs": {"d": {"type": ["object", "null"]}}},
        {**CLOSED_SCHEMA, "properties": {"a": True}},
    ],
)
def test_schema_that_would_be_refused_is_given_to_a_tool(schema: dict[str, Any]) -> None:
    assert "outputConfig" not in render(asks(schema))


FILE_PARTS = [
    ({"filename": "a_b  c.v2!.pdf", "file_data": "JVBERi0"}, "pdf", "a b c v2", "JVBERi0="),
    (
        {"filename": "a b c v2.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
        "pdf",
        "a b c v2 (2)",
        "JVBERi0=",
    ),
    ({"filename": "t.md", "file_data": "data:text/plain,a%20b"}, "md", "t", "YSBi"),
    ({"file_data": "data:application/json;base64,e30="}, "txt", "document", "e30="),
    ({"filename": "x.xlsx", "file_data": "data:application/octet-stream;base64,AAAA"}, "xlsx", "x", "AAAA"),
    ({"filename": "漢字.csv", "file_data": "data:text/csv;base64,YSxi"}, "csv", "document (2)", "YSxi"),
]


def test_documents_have_names_of_their_own() -> None:
    parts = [{"type": "file", "file": file} for file, _, _, _ in FILE_PARTS]
    blocks = render({"messages": [{"role": "user", "content": parts}]})["messages"][0]["content"]
    assert blocks == [
        {"document": {"format": form, "name": name, "source": {"bytes": data}}} for _, form, name, data in FILE_PARTS
    ]


def test_many_documents_of_one_name_are_named_in_little_time() -> None:
    count = 50_000
    named = ["a (3).txt", *["a.txt"] * count]
    parts = [{"type": "file", "file": {"filename": name, "file_data": "AAAA"}} for name in named]
    names = [block["document"]["name"] for block in Content(has_cache_points=False).blocks(parts, "content")]
    assert names[:4] == ["a (3)", "a", "a (2)", "a (4)"]
    assert len(set(names)) == count + 1


def test_files_may_be_images_and_sound_is_sound() -> None:
    parts = [
        {"type": "file", "file": {"filename": "a.PNG", "file_data": "iVBORw0KGgo="}},
        {"type": "file", "file": {"file_data": "data:image/jpg;base64,iVBORw0KGgo="}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"guardContent": {"text": {"text": "x"}}},
    ]
    blocks = render({"messages": [{"role": "user", "content": parts}]})["messages"][0]["content"]
    assert blocks == [
        {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}},
        {"image": {"format": "jpeg", "source": {"bytes": "iVBORw0KGgo="}}},
        {"audio": {"format": "wav", "source": {"bytes": "AAAA"}}},
        {"guardContent": {"text": {"text": "x"}}},
    ]


OWN_BLOCKS: list[dict[str, Any]] = [
    {"document": {"format": "pdf", "name": "d", "source": {"bytes": "JVBE"}}},
    {"document": {"format": "txt", "name": "d", "source": {"text": "words"}}},
    {"image": {"format": "png", "source": {"bytes": "AAAA"}}},
    {"video": {"format": "mp4", "source": {"bytes": "AAAA"}}},
]
STORED = {"s3Location": {"uri": "s3://bucket/key", "bucketOwner": "123456789012"}}


@pytest.mark.parametrize("block", OWN_BLOCKS)
def test_files_in_bedrocks_own_form_pass_with_what_they_hold(block: dict[str, Any]) -> None:
    assert render({"messages": [{"role": "user", "content": [block]}]})["messages"][0]["content"] == [block]
    turns = [*used("f")[:-1], {"role": "tool", "tool_call_id": "call_f", "content": [block]}]
    content = render({"messages": turns, "tools": [tool()]})["messages"][-1]["content"]
    assert content[0]["toolResult"]["content"] == [block]


@pytest.mark.parametrize("kind", ["document", "image", "video"])
@pytest.mark.parametrize(
    "held",
    [{"source": source} for source in (STORED, {"bytes": "AAAA", **STORED}, {"uri": "x"}, {}, None, "s3://b/k")]
    + [{}, None, "s3://b/k"],
)
def test_files_that_the_gateway_would_read_are_refused(kind: str, held: Any) -> None:
    body = {"messages": [{"role": "user", "content": ["a", {kind: held}]}]}
    assert refusal(body) == ("unsupported_content", f"messages[0].content[1].{kind}.source")
    returned = {"role": "tool", "tool_call_id": "call_f", "content": [{kind: held}]}
    assert refusal({"messages": [*used("f")[:-1], returned]})[0] == "unsupported_content"


@pytest.mark.parametrize(
    ("part", "code", "param"),
    [
        ({"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}, "unsupported_content", "image_url"),
        ({"type": "image_url", "image_url": {"url": "data:image/bmp;base64,AAAA"}}, "unsupported_content", "image_url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,!!"}}, "invalid_value", "image_url"),
        ({"type": "image_url", "image_url": {}}, "invalid_value", "image_url"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "unsupported_content", "file"),
        ({"type": "file", "file": {"file_data": "https://a.example/b.pdf"}}, "unsupported_content", "file.file_data"),
        (
            {"type": "file", "file": {"file_data": "data:video/mp4;base64,AAAA"}},
            "unsupported_content",
            "file.file_data",
        ),
        ({"type": "file", "file": 5}, "invalid_value", "file"),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "x"}}, "unsupported_content", "input_audio"),
        ({"type": "input_audio", "input_audio": {}}, "invalid_value", "input_audio"),
        ({"type": "text", "text": 5}, "invalid_value", "text"),
    ],
)
def test_content_that_cannot_be_said_is_refused(part: dict[str, Any], code: str, param: str) -> None:
    body = {"messages": [{"role": "user", "content": ["a", part]}]}
    assert refusal(body) == (code, f"messages[0].content[1].{param}")


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"n": 2}, "unsupported_value", "n"),
        ({"messages": None}, "invalid_value", "messages"),
        ({"messages": [5]}, "invalid_value", "messages[0]"),
        ({"messages": [{"role": ["user"]}]}, "invalid_value", "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "invalid_value", "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "video"}]}]},
            "unsupported_content",
            "messages[0].content[0]",
        ),
        (
            {"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}]},
            "unsupported_content",
            "messages[0].content",
        ),
        ({"messages": [{"role": "tool", "content": "r"}]}, "invalid_value", "messages[0].tool_call_id"),
        ({"messages": used("f", tool_calls=[{"type": "custom"}])}, "unsupported_content", "messages[1].tool_calls[0]"),
        (
            {"messages": used("f", tool_calls=[{"id": "c", "function": {"name": "f", "arguments": "[]"}}])},
            "invalid_value",
            "messages[1].tool_calls[0].function.arguments",
        ),
        ({"tools": [{"type": "custom"}]}, "unsupported_content", "tools[0]"),
        ({"tools": [tool() | {"function": {}}]}, "invalid_value", "tools[0].function"),
        ({"tools": 5}, "invalid_value", "tools"),
        ({"tools": [tool()], "tool_choice": "maybe"}, "invalid_value", "tool_choice"),
        ({"response_format": {"type": "json_schema"}}, "invalid_value", "response_format"),
        ({"max_tokens": "many"}, "invalid_value", "max_tokens"),
        ({"additionalModelRequestFields": 5}, "invalid_value", "additionalModelRequestFields"),
    ],
)
def test_malformed_calls_are_refused(body: dict[str, Any], code: str, param: str) -> None:
    assert refusal(body) == (code, param)


def test_other_endpoints_are_not_offered() -> None:
    completions = Endpoint("completions", "/v1/completions", "text_completion", True)
    assert refusal({"prompt": "a"}, endpoint=completions) == ("unsupported_endpoint", "model")


def test_arguments_that_are_nested_too_deep_are_refused() -> None:
    deep = '{"a":' * 300 + "1" + "}" * 300
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": deep}}]
    assert refusal({"messages": used("f", tool_calls=calls)})[0] == "invalid_value"


def test_functions_of_old_are_tools() -> None:
    messages = [
        *ASK,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "r"},
    ]
    body = {"messages": messages, "functions": [{"name": "f"}], "function_call": {"name": "f"}}
    rendered = render(body)
    identity = rendered["messages"][1]["content"][0]["toolUse"]["toolUseId"]
    assert rendered["messages"][2]["content"][0]["toolResult"]["toolUseId"] == identity
    assert rendered["toolConfig"]["toolChoice"] == {"tool": {"name": "f"}}


def test_tokens_are_counted_by_the_foundation_model() -> None:
    body = {"messages": [{"role": "system", "content": "s"}, *ASK], "max_tokens": 5, "tools": [tool()]}
    request = DIALECT.render_request(make_call(body=body, endpoint=COUNT_TOKENS), Target(PLACE, SONNET_45), PROVIDER)
    assert request.url.endswith("/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens")
    counted = json.loads(request.body)["input"]["converse"]
    assert set(counted) == {"messages", "system", "toolConfig"}


@pytest.mark.parametrize(
    ("model", "body", "sent"),
    [
        (TITAN, {"input": "a", **V2}, {"inputText": "a", **V2}),
        ("amazon.titan-embed-text-v1", {"input": ["a"], **V2}, {"inputText": "a"}),
        (
            "amazon.titan-embed-image-v1",
            {"input": "a", "dimensions": 256},
            {"inputText": "a", "embeddingConfig": {"outputEmbeddingLength": 256}},
        ),
        ("cohere.embed-english-v3", {"input": ["a", "b"]}, {"texts": ["a", "b"], "input_type": "search_document"}),
        (PROFILE, {"input": "a", "dimensions": 256}, {"inputText": "a", "dimensions": 256}),
        (PROFILE, {"input": ["a", "b"]}, {"texts": ["a", "b"], "input_type": "search_document"}),
        (PROFILE, {"input": "a", "input_type": "search_query"}, {"texts": ["a"], "input_type": "search_query"}),
        (PROFILE, {"input": "a", "input_type": "query"}, {"texts": ["a"], "input_type": "search_query"}),
        (
            NOVA_EMBED,
            {"input": "a", "dimensions": 256, "input_type": "search_query", "truncate": "END"},
            {
                "taskType": "SINGLE_EMBEDDING",
                "singleEmbeddingParams": {
                    "embeddingPurpose": "GENERIC_RETRIEVAL",
                    "embeddingDimension": 256,
                    "text": {"truncationMode": "END", "value": "a"},
                },
            },
        ),
        (
            NOVA_EMBED,
            {"input": ["a"], "input_type": ["x"], "truncate": 5},
            {
                "taskType": "SINGLE_EMBEDDING",
                "singleEmbeddingParams": {
                    "embeddingPurpose": "GENERIC_INDEX",
                    "text": {"truncationMode": "NONE", "value": "a"},
                },
            },
        ),
        (
            "us.cohere.embed-v4:0",
            {"input": "a", "dimensions": 256, "input_type": "search_query", "embedding_types": ["float"]},
            {"texts": ["a"], "input_type": "search_query", "output_dimension": 256, "embedding_types": ["float"]},
        ),
    ],
)
def test_embeddings(model: str, body: dict[str, Any], sent: dict[str, Any]) -> None:
    call = make_call(body={"model": "x", "encoding_format": "base64", **body}, endpoint=EMBEDDINGS)
    request = DIALECT.render_request(call, Target(PLACE, model), PROVIDER)
    assert request.url.endswith("/invoke")
    assert json.loads(request.body) == sent


@pytest.mark.parametrize(
    ("model", "texts", "code"),
    [
        (TITAN, ["a", "b"], "unsupported_content"),
        (NOVA_EMBED, ["a", "b"], "unsupported_content"),
        (TITAN, [[1, 2]], "unsupported_content"),
        ("cohere.embed-english-v3", ["a"] * 97, "invalid_value"),
        ("cohere.embed-english-v3", [], "invalid_value"),
        (NOVA, "a", "unsupported_endpoint"),
    ],
)
def test_embeddings_that_cannot_be_made_are_refused(model: str, texts: Any, code: str) -> None:
    assert refusal({"input": texts}, model, endpoint=EMBEDDINGS)[0] == code


RANKED = {"query": "q", "documents": ["a", {"text": "b"}], "top_n": 1, "return_documents": True, "model": "x"}


@pytest.mark.parametrize(
    ("model", "body", "extras"),
    [
        (RERANKER, {"max_tokens_per_doc": 9}, {"api_version": 2, "max_tokens_per_doc": 9}),
        ("amazon.rerank-v1:0", {"max_tokens_per_doc": 9}, {}),
        (PROFILE, {}, {"api_version": 2}),
    ],
)
def test_ranking(model: str, body: dict[str, Any], extras: dict[str, Any]) -> None:
    call = make_call(body={**RANKED, **body}, endpoint=RERANK)
    request = DIALECT.render_request(call, Target(PLACE, model), PROVIDER)
    assert request.url.endswith("/invoke")
    assert json.loads(request.body) == {"query": "q", "documents": ["a", "b"], "top_n": 1, **extras}


@pytest.mark.parametrize(
    ("body", "model", "code", "param"),
    [
        ({"documents": ["a", {"title": "b"}]}, RERANKER, "unsupported_content", "documents[1]"),
        ({"documents": []}, RERANKER, "invalid_value", "documents"),
        ({"documents": "a"}, RERANKER, "invalid_value", "documents"),
        ({"query": 5}, RERANKER, "invalid_value", "query"),
        ({}, NOVA, "unsupported_endpoint", "model"),
    ],
)
def test_rankings_that_cannot_be_made_are_refused(body: dict[str, Any], model: str, code: str, param: str) -> None:
    assert refusal({**RANKED, **body}, model, endpoint=RERANK) == (code, param)


MEMBERS = st.sampled_from(
    [
        *(
            "role",
            "content",
            "type",
            "text",
            "tool_calls",
            "tool_call_id",
            "function",
            "name",
            "arguments",
            "id",
            "mode",
        ),
        *(
            "image_url",
            "url",
            "file",
            "file_data",
            "filename",
            "cache_control",
            "ttl",
            "reasoning_details",
            "signature",
        ),
        *("thinking_blocks", "data", "schema", "json_schema", "parameters", "strict", "tools", "allowed_tools"),
    ]
)
WORDS = st.sampled_from(
    [
        *("user", "assistant", "system", "tool", "function", "text", "image_url", "file", "input_audio", "thinking"),
        *("reasoning.text", "allowed_tools", "json_schema", "required", "object", PNG, "{}", "low", "enabled"),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**6) | st.floats(-2, 2) | WORDS | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(MEMBERS, children, max_size=4),
    max_leaves=12,
)
SETTINGS = (
    *("tools", "functions", "tool_choice", "response_format", "reasoning_effort", "reasoning", "thinking", "n"),
    *("stop", "top_k", "temperature", "top_p", "max_tokens", "service_tier", "guardrail_config", "input"),
    *("additionalModelRequestFields", "requestMetadata", "prompt_variables", "performanceConfig", "query", "documents"),
    *("parallel_tool_calls", "output_config", "dimensions"),
)
BODIES = st.fixed_dictionaries(
    {"messages": st.lists(st.dictionaries(MEMBERS, VALUES, max_size=5), max_size=3)},
    optional=dict.fromkeys(SETTINGS, VALUES),
)


@given(BODIES, st.sampled_from([SONNET_45, SONNET_37, OPUS_48, NOVA_2, LLAMA, GPT_OSS, PROFILE]), st.booleans())
def test_any_body_is_rendered_or_refused(body: dict[str, Any], model: str, is_count: bool) -> None:
    try:
        rendered = render(body, model, **({"endpoint": COUNT_TOKENS} if is_count else {}))
    except InvalidRequest as error:
        assert error.error_code in ("invalid_value", "unsupported_content", "unsupported_value")
        return
    messages = (rendered["input"]["converse"] if is_count else rendered)["messages"]
    roles = [message["role"] for message in messages]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"] * (len(roles) % 2)


@pytest.mark.parametrize(
    ("model", "vendor", "reasoning", "takes_sampling", "has_json_schema"),
    [
        ("anthropic.claude-instant-v1", "anthropic", "none", True, False),
        ("anthropic.claude-v2:1", "anthropic", "none", True, False),
        ("anthropic.claude-3-5-sonnet-20240620-v1:0", "anthropic", "none", True, False),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", "anthropic", "budget", True, False),
        ("eu.anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic", "budget", True, True),
        ("anthropic.claude-mythos-preview", "anthropic", "adaptive", False, False),
        (GPT, "openai", "gpt", False, False),
        ("openai.gpt-oss-safeguard-20b", "openai", "effort", True, True),
        (
            "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-4-8",
            "anthropic",
            "adaptive",
            False,
            False,
        ),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-2-lite-v1:0", "amazon", "nova", True, False),
        ("mistral.mistral-large-3-675b-instruct", "mistral", "none", True, True),
        ("moonshot.kimi-k2-thinking", "moonshot", "none", True, True),
        (PROFILE, "", "none", True, False),
    ],
)
def test_ids_tell_what_models_take(
    model: str, vendor: str, reasoning: str, takes_sampling: bool, has_json_schema: bool
) -> None:
    traits = model_traits(model)
    assert (traits.vendor, traits.reasoning.value) == (vendor, reasoning)
    assert (traits.takes_sampling, traits.has_json_schema) == (takes_sampling, has_json_schema)
