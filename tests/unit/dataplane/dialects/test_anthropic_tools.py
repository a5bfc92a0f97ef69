"""Tools, choices among them, and answers in JSON, as the Messages API takes them."""

from typing import Any

import pytest

from dataplane.dialects.anthropic.models import model_traits
from dataplane.dialects.anthropic.schema import closed_schema, is_closable
from dataplane.dialects.anthropic.tools import render_tools
from dataplane.dialects.claude import answer_tool_name
from tests.unit.dataplane.dialects.test_anthropic_requests import (
    ADAPTIVE,
    BUDGET,
    HELLO,
    NEW,
    NEWEST,
    OLD,
    WEATHER,
    refused,
    sent,
)

CLOCK = {"type": "function", "function": {"name": "clock"}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}, "required": ["a"]}
CLOSED = {
    "type": "object",
    "properties": {"a": {"type": "integer", "description": '{"minimum":1}'}},
    "required": ["a"],
    "additionalProperties": False,
}
AS_SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}
AS_OBJECT = {"type": "json_object"}


def test_tools() -> None:
    function = {"name": "f", "description": "d", "parameters": {"properties": {}}, "strict": False}
    own = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
    tools = [
        {"type": "function", "function": function, "cache_control": {"type": "ephemeral"}},
        CLOCK,
        own,
        {"type": "custom", "name": "c", "input_schema": {"type": "object"}},
    ]
    assert sent({"tools": tools})["tools"] == [
        {
            "name": "f",
            "description": "d",
            "input_schema": {"type": "object", "properties": {}},
            "cache_control": {"type": "ephemeral"},
        },
        {"name": "clock", "input_schema": {"type": "object", "properties": {}}},
        own,
        {"type": "custom", "name": "c", "input_schema": {"type": "object"}},
    ]


def test_strict_tools_as_far_as_they_are_taken() -> None:
    strict = {"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": True}}
    assert sent({"tools": [strict]})["tools"] == [{"name": "f", "input_schema": CLOSED, "strict": True}]
    assert sent({"tools": [strict]}, BUDGET)["tools"] == [{"name": "f", "input_schema": SCHEMA}]
    assert not any("strict" in tool for tool in sent({"tools": [strict] * 21})["tools"])
    open_ended = {"name": "f", "parameters": {"type": "object"}, "strict": True}
    assert "strict" not in sent({"tools": [{"type": "function", "function": open_ended}]})["tools"][0]


@pytest.mark.parametrize(
    ("choice", "rendered"),
    [
        (None, None),
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "clock"}}, {"type": "tool", "name": "clock"}),
        ({"type": "any"}, {"type": "any"}),
        ({"type": "tool", "name": "clock"}, {"type": "tool", "name": "clock"}),
    ],
)
def test_choices(choice: Any, rendered: Any) -> None:
    body = {"tools": [WEATHER, CLOCK], "tool_choice": choice}
    assert sent(body).get("tool_choice") == rendered
    alone = sent({**body, "parallel_tool_calls": False})["tool_choice"]
    if rendered == {"type": "none"}:
        assert alone == rendered
    else:
        assert alone == {**(rendered or {"type": "auto"}), "disable_parallel_tool_use": True}


def test_choices_without_tools_are_dropped() -> None:
    assert {"tools", "tool_choice"}.isdisjoint(sent({"tools": [], "tool_choice": "auto"}))


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "clock"}}])
def test_newest_models_are_not_forced(choice: Any) -> None:
    said = sent({"tools": [WEATHER, CLOCK], "tool_choice": choice}, NEWEST)
    assert said["tool_choice"] == {"type": "auto"}


@pytest.mark.parametrize(("mode", "type_"), [("auto", "auto"), ("required", "any")])
def test_allowed_tools_are_the_only_ones(mode: str, type_: str) -> None:
    allowed = {"mode": mode, "tools": [{"type": "function", "function": {"name": "clock"}}]}
    said = sent({"tools": [WEATHER, CLOCK], "tool_choice": {"type": "allowed_tools", "allowed_tools": allowed}})
    assert [tool["name"] for tool in said["tools"]] == ["clock"]
    assert said["tool_choice"] == {"type": type_}


class Name(str):
    """A name that counts how often any is compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Name.compared += 1
        return super().__eq__(other)

    __hash__ = str.__hash__


def test_allowed_tools_are_looked_up_not_searched() -> None:
    names = [Name(f"f{at}") for at in range(500)]
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    allowed = {"mode": "auto", "tools": [*reversed(tools), {"name": []}]}
    body = {"tools": tools, "tool_choice": {"type": "allowed_tools", "allowed_tools": allowed}}
    Name.compared = 0
    assert len(render_tools(body, model_traits(NEW))) == len(names)
    assert Name.compared <= 2 * len(names)


def test_allowed_tools_leave_out_those_without_a_proper_name() -> None:
    odd = {"type": "mcp_toolset", "mcp_server_name": "s", "name": []}
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [CLOCK]}
    assert [tool["name"] for tool in sent({"tools": [odd, CLOCK], "tool_choice": choice})["tools"]] == ["clock"]


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"tools": 5}, "invalid_value", "tools"),
        ({"tools": [5]}, "invalid_value", "tools[0]"),
        ({"tools": [{"type": "function"}]}, "invalid_value", "tools[0].function"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "unsupported_content", "tools[0]"),
        ({"tools": [WEATHER], "tool_choice": "sometimes"}, "invalid_value", "tool_choice"),
        ({"response_format": {"type": "grammar"}}, "invalid_value", "response_format"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "array"}}}},
            "invalid_value",
            "response_format.json_schema.schema",
        ),
    ],
)
def test_malformed_tools_and_formats(body: dict[str, Any], code: str, param: str) -> None:
    error = refused(body)
    assert (error.error_code, error.param) == (code, param)


@pytest.mark.parametrize("model", ["claude-haiku-4-5", ADAPTIVE, NEW, NEWEST])
def test_schema_is_native_from_4_5_on(model: str) -> None:
    said = sent({"response_format": AS_SCHEMA, "tools": [WEATHER]}, model)
    assert said["output_config"] == {"format": {"type": "json_schema", "schema": CLOSED}}
    assert [tool["name"] for tool in said["tools"]] == ["weather"]


def test_schema_goes_with_effort() -> None:
    said = sent({"response_format": AS_SCHEMA, "reasoning_effort": "low"}, NEW)
    assert set(said["output_config"]) == {"format", "effort"}
    assert said["thinking"]["type"] == "adaptive"


def test_schema_of_older_models_is_a_forced_tool() -> None:
    said = sent({"response_format": AS_SCHEMA, "reasoning_effort": "low"}, BUDGET)
    (tool,) = said["tools"]
    assert (tool["name"], tool["input_schema"]) == ("json_answer", SCHEMA)
    assert said["tool_choice"] == {"type": "tool", "name": "json_answer", "disable_parallel_tool_use": True}
    assert "thinking" not in said


@pytest.mark.parametrize(
    ("choice", "rendered"),
    [
        (None, {"type": "any"}),
        ("required", {"type": "any"}),
        ("none", {"type": "tool", "name": "json_answer", "disable_parallel_tool_use": True}),
    ],
)
def test_forced_tool_beside_others(choice: Any, rendered: Any) -> None:
    said = sent({"response_format": AS_OBJECT, "tools": [WEATHER], "tool_choice": choice}, OLD)
    assert [tool["name"] for tool in said["tools"]] == ["weather", "json_answer"]
    assert said["tool_choice"] == rendered


def test_json_in_words_where_no_tool_can_be_forced() -> None:
    named = {"type": "function", "function": {"name": "weather"}}
    for body, model in (
        ({"response_format": AS_OBJECT}, NEWEST),
        ({"response_format": AS_OBJECT, "tools": [WEATHER], "tool_choice": named}, OLD),
    ):
        said = sent(body, model)
        assert "JSON" in said["system"][-1]["text"]
        assert [tool["name"] for tool in said.get("tools", [])] == (["weather"] if "tools" in body else [])


def test_open_ended_schema_is_no_closed_one() -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": {"type": "string"}}
    as_schema = {"type": "json_schema", "json_schema": {"schema": schema}}
    assert sent({"response_format": as_schema})["tools"][0]["input_schema"] == schema
    assert sent({"response_format": {"type": "text"}}).keys() == sent({}).keys()


def test_answer_tool_has_a_name_of_its_own() -> None:
    tool = {"type": "function", "function": {"name": "json_answer"}}
    body = {"messages": HELLO, "response_format": AS_OBJECT, "tools": [tool]}
    assert answer_tool_name(body) == "json_answer_"
    assert [tool["name"] for tool in sent(body)["tools"]] == ["json_answer", "json_answer_"]
    assert answer_tool_name({"tools": [tool]}) is None


def test_schemas_are_closed_all_the_way_down() -> None:
    inner = {"properties": {"b": {"type": "string", "format": "email"}}}
    schema = {
        "$defs": {"inner": inner},
        "type": ["object", "null"],
        "description": "d",
        "properties": {
            "list": {"type": "array", "items": inner, "minItems": 3},
            "one": {"oneOf": [{"$ref": "#/$defs/inner"}, {"type": "null"}]},
            "host": {"type": "string", "format": "regex", "pattern": "a+"},
            "properties": {"type": "string", "enum": ["a"], "default": "a"},
        },
        "maxProperties": 3,
        "additionalProperties": False,
    }
    closed_inner = {**inner, "additionalProperties": False}
    assert is_closable(schema)
    assert closed_schema(schema) == {
        "$defs": {"inner": closed_inner},
        "type": ["object", "null"],
        "description": 'd\n\n{"maxProperties":3}',
        "properties": {
            "list": {"type": "array", "items": closed_inner, "description": '{"minItems":3}'},
            "one": {"anyOf": [{"$ref": "#/$defs/inner"}, {"type": "null"}]},
            "host": {"type": "string", "description": '{"format":"regex","pattern":"a+"}'},
            "properties": {"type": "string", "enum": ["a"], "default": "a"},
        },
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {}, "additionalProperties": True},
        {"type": "object", "patternProperties": {}, "properties": {}},
        {"anyOf": [{"type": "object"}]},
        {"type": "array", "items": {"type": "object"}},
        {"$defs": {"a": {"type": "object"}}},
    ],
)
def test_open_ended_schemas(schema: dict[str, Any]) -> None:
    assert not is_closable(schema)
