"""A Claude model is told the same whoever serves it, as far as both hosts have words for it."""

from typing import Any

import pytest

from tests.golden.sdk_types.places import PLACES

BY_NAME = {place.name: place for place in PLACES}
CHAT = "/v1/chat/completions"
MODELS = [
    ("claude-3-5-haiku-20241022", "us.anthropic.claude-3-5-haiku-20241022-v1:0"),
    ("claude-3-7-sonnet-20250219", "us.anthropic.claude-3-7-sonnet-20250219-v1:0"),
    ("claude-sonnet-4-5", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ("claude-opus-4-6", "us.anthropic.claude-opus-4-6-v1"),
    ("claude-opus-4-8", "us.anthropic.claude-opus-4-8"),
    ("claude-sonnet-5", "us.anthropic.claude-sonnet-5"),
    ("claude-opus-5-5", "us.anthropic.claude-opus-5-5"),
]
TOOLS = [{"type": "function", "function": {"name": "t", "parameters": {"type": "object", "properties": {}}}}]
EFFORTS: list[dict[str, Any]] = [
    {},
    *({"reasoning_effort": effort} for effort in ("none", "minimal", "low", "xhigh", "max", "weird")),
    *({"thinking": {"type": kind}} for kind in ("enabled", "adaptive", "disabled", "between_tools")),
    {"thinking": {"type": "enabled", "budget_tokens": 2048}},
    {"reasoning": {"max_tokens": 2000}},
    {"reasoning": {"effort": "low", "max_tokens": 9000}},
    {"reasoning_effort": "high", "output_config": {"effort": "low"}},
]
SETTINGS: list[dict[str, Any]] = [
    {},
    {"max_tokens": 1500},
    {"max_tokens": 900},
    {"temperature": 2, "top_p": 0.97, "top_k": 5},
    {"top_p": 1.5},
    {"top_p": 0.5, "top_k": 5},
    {"stop": ["a", " \n", "", 5]},
    {"stop": "\n"},
    {"tools": TOOLS, "tool_choice": "required"},
]


def told_by_anthropic(body: dict[str, Any], model: str) -> dict[str, Any]:
    sent = BY_NAME["Anthropic"].render(CHAT, body, model).body
    names = ("thinking", "output_config", "temperature", "top_p", "top_k", "stop_sequences")
    choice = (sent.get("tool_choice") or {}).get("type")
    return {name: sent.get(name) for name in names} | {"is_forced": choice == "any"}


def told_by_bedrock(body: dict[str, Any], model: str) -> dict[str, Any]:
    sent = BY_NAME["Bedrock"].render(CHAT, body, model).body
    fields, config = sent.get("additionalModelRequestFields", {}), sent.get("inferenceConfig", {})
    return {
        **{name: fields.get(name) for name in ("thinking", "output_config", "top_k")},
        "temperature": config.get("temperature"),
        "top_p": config.get("topP"),
        "stop_sequences": config.get("stopSequences"),
        "is_forced": "any" in sent.get("toolConfig", {}).get("toolChoice", {}),
    }


@pytest.mark.parametrize(("model", "on_bedrock"), MODELS)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_settings_come_to_the_same(model: str, on_bedrock: str, settings: dict[str, Any]) -> None:
    for effort in EFFORTS:
        body = {"messages": [{"role": "user", "content": "hi"}], **effort, **settings}
        assert told_by_bedrock(body, on_bedrock) == told_by_anthropic(body, model), effort


@pytest.mark.parametrize(("model", "on_bedrock"), MODELS)
def test_white_space_alone_is_nothing_to_stop_at(model: str, on_bedrock: str) -> None:
    body = {"messages": [{"role": "user", "content": "hi"}], "stop": ["\n\n", "END"]}
    assert told_by_anthropic(body, model)["stop_sequences"] == ["END"]
    assert told_by_bedrock(body, on_bedrock)["stop_sequences"] == ["END"]
    nova = BY_NAME["Bedrock"].render(CHAT, body, "amazon.nova-pro-v1:0").body
    assert nova["inferenceConfig"]["stopSequences"] == ["\n\n", "END"]
