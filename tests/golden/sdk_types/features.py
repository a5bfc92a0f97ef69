"""What clients of OpenAI's format may ask of a chat: each feature by a name, as a body without a model."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from tests.golden.evidence.types import JsonObject

PNG: Final = "iVBORw0KGgo="
PDF: Final = "JVBERi0xLjQK"
_WAV: Final = "UklGRiQAAABXQVZF"
_SIGNATURE: Final = "RXJrQkNrWUlDeGdD"
ASK: Final[JsonObject] = {"role": "user", "content": "Which is the highest mountain?"}
MARK: Final[JsonObject] = {"cache_control": {"type": "ephemeral"}}
HOUR: Final[JsonObject] = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
SCHEMA: Final[JsonObject] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "Where", "minLength": 1},
        "unit": {"type": "string", "enum": ["C", "F"]},
        "days": {"type": ["integer", "null"]},
        "place": {"anyOf": [{"$ref": "#/$defs/place"}, {"type": "null"}]},
    },
    "required": ["city", "unit", "days", "place"],
    "additionalProperties": False,
    "$defs": {"place": {"type": "object", "properties": {}, "required": [], "additionalProperties": False}},
}


def _tool(name: str, **function: Any) -> JsonObject:
    return {"type": "function", "function": {"name": name, **function}}


WEATHER: Final = _tool("weather", description="Tells the weather", parameters=SCHEMA, strict=True)
_TIME: Final = _tool("time")
TOOLS: Final = [WEATHER, _TIME]
CITY: Final[JsonObject] = {"city": "Oslo", "unit": "C", "days": None, "place": None}


def _called(number: int, name: str, arguments: JsonObject) -> JsonObject:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": f"call_{number}", "type": "function", "function": function}


def _user(*parts: JsonObject) -> JsonObject:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, *parts]}]}


def _used(result: Any = "12 degrees", **message: Any) -> JsonObject:
    """A turn that called two tools at once, their results, and what the user says to them."""
    calls = [_called(1, "weather", CITY), _called(2, "time", {})]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": result} for call in calls]
    turn = {"role": "assistant", "content": "I look.", "tool_calls": calls, **message}
    return {"messages": [ASK, turn, *results, {"role": "user", "content": "And?"}], "tools": TOOLS}


def said(**message: Any) -> JsonObject:
    turn = {"role": "assistant", "content": "Galdhøpiggen", **message}
    return {"messages": [ASK, turn, {"role": "user", "content": "Why?"}]}


def asked(**settings: Any) -> JsonObject:
    return {"messages": [ASK], **settings}


def _named(name: str) -> JsonObject:
    return {"type": "function", "function": {"name": name}}


_THOUGHT: Final = [
    {"type": "reasoning.text", "text": "Let me see.", "signature": _SIGNATURE, "format": "anthropic-claude-v1"},
    {"type": "reasoning.encrypted", "data": _SIGNATURE, "format": "anthropic-claude-v1"},
]
BLOCKS: Final = [
    {"type": "thinking", "thinking": "Let me see.", "signature": _SIGNATURE},
    {"type": "redacted_thinking", "data": _SIGNATURE},
]
_SIGNED: Final = [
    {**_called(1, "weather", CITY), "extra_content": {"google": {"thought_signature": _SIGNATURE}}},
    _called(2, "time", {}),
]
_CITED: Final = {"type": "url_citation", "url_citation": {"start_index": 0, "end_index": 4, "title": "t", "url": "u"}}

OPENAI: Final[Mapping[str, JsonObject]] = MappingProxyType(
    {
        "plain": asked(),
        "system and developer": {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "developer", "content": [{"type": "text", "text": "Speak Norwegian."}]},
                ASK,
            ]
        },
        "turns": said(),
        "names": {"messages": [{**ASK, "name": "ada"}]},
        "instructions in the middle": {
            **said(),
            "messages": [*said()["messages"], {"role": "system", "content": "s"}],
        },
        "tools": asked(tools=TOOLS),
        "parallel calls and results": _used(),
        "results as parts": _used([{"type": "text", "text": "12"}, {"type": "text", "text": "degrees"}]),
        "calls without text": _used(content=None),
        "history of tools without tools": {"messages": _used()["messages"]},
        **{f"choice {word}": asked(tools=TOOLS, tool_choice=word) for word in ("auto", "none", "required")},
        "choice of a tool": asked(tools=TOOLS, tool_choice=_named("time")),
        "choice among tools": asked(
            tools=TOOLS,
            tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [_named("time")]}},
        ),
        "must choose among tools": asked(
            tools=TOOLS,
            tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [_named("time")]}},
        ),
        "one call at a time": asked(tools=TOOLS, tool_choice="auto", parallel_tool_calls=False),
        "custom tool": asked(tools=[{"type": "custom", "custom": {"name": "sql", "format": {"type": "text"}}}]),
        "functions": asked(functions=[{"name": "time", "parameters": {"type": "object"}}], function_call="auto"),
        "text": asked(response_format={"type": "text"}),
        "JSON": asked(response_format={"type": "json_object"}),
        "JSON by schema": asked(
            response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}
        ),
        "JSON by schema, with tools": asked(
            tools=TOOLS,
            response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
        ),
        "image by URL": _user({"type": "image_url", "image_url": {"url": "https://a.example/b.png", "detail": "low"}}),
        "image": _user({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}),
        "PDF": _user(
            {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a b.pdf"}}
        ),
        "file by id": _user({"type": "file", "file": {"file_id": "file-1"}}),
        "audio": _user({"type": "input_audio", "input_audio": {"data": _WAV, "format": "wav"}}),
        "several answers": asked(n=2),
        "stop": asked(stop="END"),
        "stops": asked(stop=["END", "STOP"]),
        "sampling": asked(temperature=0.5, top_p=0.9, presence_penalty=0.5, frequency_penalty=-0.5, seed=7),
        "biases": asked(logit_bias={"50256": -100}),
        "logprobs": asked(logprobs=True, top_logprobs=3),
        "limit": asked(max_tokens=500),
        "limit with reasoning": asked(max_completion_tokens=500),
        **{
            f"effort {word}": asked(reasoning_effort=word)
            for word in ("none", "minimal", "low", "medium", "high", "xhigh")
        },
        "effort with tools and limit": {**_used(), "reasoning_effort": "high", "max_completion_tokens": 9000},
        "user and metadata": asked(user="u1", metadata={"a": "b"}, safety_identifier="s", prompt_cache_key="k"),
        "verbosity": asked(verbosity="low"),
        "prediction": asked(prediction={"type": "content", "content": "The"}),
        "audio out": asked(modalities=["text", "audio"], audio={"voice": "alloy", "format": "wav"}),
        "refusal": said(content=None, refusal="I cannot."),
        "refusal as a part": said(content=[{"type": "refusal", "refusal": "I cannot."}]),
        **{f"tier {word}": asked(service_tier=word) for word in ("auto", "default", "flex", "priority")},
    }
)
"""Chats in OpenAI's own words."""

BEYOND: Final[Mapping[str, JsonObject]] = MappingProxyType(
    {
        "budget": asked(thinking={"type": "enabled", "budget_tokens": 2048}, max_tokens=8000),
        "adaptive": asked(thinking={"type": "adaptive"}, reasoning_effort="low"),
        "no thinking": asked(thinking={"type": "disabled"}),
        "reasoning object": asked(reasoning={"max_tokens": 2000}),
        "reasoning effort object": asked(reasoning={"effort": "high"}),
        "no reasoning": asked(reasoning={"enabled": False}),
        "reasoning in history": _used(reasoning_content="Let me see."),
        "signatures": {**_used(reasoning_details=_THOUGHT), "thinking": {"type": "enabled", "budget_tokens": 2048}},
        "thinking blocks": {**_used(thinking_blocks=BLOCKS), "reasoning_effort": "medium"},
        "thought signatures": _used(tool_calls=_SIGNED),
        "citations in history": said(annotations=[_CITED]),
        "cache markers": {
            "messages": [
                {"role": "system", "content": [{"type": "text", "text": "Be brief.", **HOUR}]},
                {"role": "user", "content": [{"type": "text", "text": "What is it?", **MARK}]},
                {**said()["messages"][1], **MARK},
                {"role": "user", "content": [{"type": "text", "text": "Why?"}], **MARK},
            ],
            "tools": [WEATHER, {**_TIME, **MARK}],
        },
        "top_k": asked(top_k=20),
        "image as a result": _used([{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]),
    }
)
"""Chats with what clients of OpenAI's format say to others than OpenAI."""
