"""JSON answers of models that cannot be held to a schema: a tool that the model must use, whose input is the answer."""

from typing import Any

from dataplane.call import JsonObject
from dataplane.dialects.anthropic.models import ModelTraits
from dataplane.dialects.anthropic.schema import closed_schema, is_closable
from dataplane.dialects.claude import ANSWER_TOOL_DESCRIPTION, JSON_INSTRUCTION, answer_tool_name
from dataplane.dialects.hub import malformed


def apply_response_format(body: JsonObject, rendered: JsonObject, traits: ModelTraits) -> None:
    """Asks for JSON in `rendered` as `body` does: by a schema, by the tool, or else in words.

    Raises InvalidRequest for a malformed `response_format`.
    """
    name = answer_tool_name(body)
    if name is None:
        return
    schema = _schema(body["response_format"])
    if schema is not None and traits.has_json_schema and (is_closable(schema) or not traits.takes_forced_tools):
        form = {"type": "json_schema", "schema": closed_schema(schema)}
        rendered["output_config"] = {**(rendered.get("output_config") or {}), "format": form}
    elif traits.takes_forced_tools and (rendered.get("tool_choice") or {}).get("type") != "tool":
        _force_tool(
            rendered,
            {"name": name, "description": ANSWER_TOOL_DESCRIPTION, "input_schema": schema or {"type": "object"}},
        )
    else:
        rendered["system"] = [*rendered.get("system", ()), {"type": "text", "text": JSON_INSTRUCTION}]


def _force_tool(rendered: JsonObject, tool: JsonObject) -> None:
    """Leaves the model only the tools that it had a choice of, and `tool`."""
    choice = rendered.get("tool_choice") or {}
    tools = rendered.get("tools") or []
    rendered["tools"] = [*tools, tool]
    if tools and choice.get("type") != "none":
        rendered["tool_choice"] = {**choice, "type": "any"}
    else:
        rendered["tool_choice"] = {"type": "tool", "name": tool["name"], "disable_parallel_tool_use": True}


def _schema(response_format: JsonObject) -> JsonObject | None:
    """The schema that is asked for; None where any object will do."""
    kind = response_format.get("type")
    if kind == "json_object":
        return None
    described: Any = response_format.get("json_schema")
    schema = described.get("schema") if isinstance(described, dict) else None
    if kind != "json_schema" or not isinstance(schema, dict):
        raise malformed("response_format", "text, json_object, or json_schema with a schema")
    if schema.get("type", "object") != "object":
        raise malformed("response_format.json_schema.schema", 'a JSON schema of type "object"')
    return {**schema, "type": "object"} if "$ref" not in schema else schema
