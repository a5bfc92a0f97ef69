"""JSON answers of models that Bedrock cannot hold to a schema: a tool that must be used, whose input is the answer."""

from typing import Any, Final

import orjson

from dataplane.call import JsonObject
from dataplane.dialects.bedrock.models import ModelTraits
from dataplane.dialects.bedrock.schema import is_constrainable
from dataplane.dialects.bedrock.tools import tool_spec
from dataplane.dialects.claude import ANSWER_TOOL_DESCRIPTION, JSON_INSTRUCTION, answer_tool_name
from dataplane.dialects.hub import malformed

_JSON_BEGINS: Final = ("{", "[")
_MARKUP: Final = "<|"
"""What begins the markup that gpt-oss models leave in names of tools."""


class AnswerText:
    """Text of an answer on its way to the client: all of it at once, but where a call asks for JSON.

    There the answer may come as the input of a tool. Text before it that is no JSON is kept until it is known that it
    does not; only the first of two answers counts.
    """

    def __init__(self, wants_json: bool) -> None:
        self._is_open = not wants_json
        self._kept = ""
        self._is_answered = False

    def add(self, text: str) -> str:
        """What of the text so far goes out now."""
        if self._is_answered:
            return ""
        if self._is_open:
            return text
        self._kept += text
        if not self._kept.lstrip().startswith(_JSON_BEGINS):
            return ""
        self._is_open = True
        return self._take()

    def answer(self) -> bool:
        """Notes that the tool is used; whether its input is the answer."""
        if self._is_open or self._is_answered:
            return False
        self._is_answered = True
        return True

    def rest(self) -> str:
        """What is left once the answer is over."""
        return "" if self._is_answered else self._take()

    def _take(self) -> str:
        text, self._kept = self._kept, ""
        return text


def is_answer_tool(name: str, answer_tool: str | None) -> bool:
    """Whether `name`, which a model gives, is that of the tool `answer_tool`."""
    return answer_tool is not None and name.partition(_MARKUP)[0] == answer_tool


def apply_response_format(body: JsonObject, rendered: JsonObject, traits: ModelTraits) -> None:
    """Asks for JSON in `rendered`, whose tools are set, as `body` does: by a schema, by the tool, or else in words.

    Raises InvalidRequest for a malformed `response_format`.
    """
    name = answer_tool_name(body)
    if name is None:
        return
    described = _described(body["response_format"])
    schema = None if described is None else _object_schema(described["schema"])
    if described is not None and traits.has_json_schema and is_constrainable(schema):
        rendered["outputConfig"] = {"textFormat": _text_format(described, schema)}
    elif traits.takes_forced_tools and "tool" not in rendered.get("toolConfig", {}).get("toolChoice", {}):
        _force_tool(body, rendered, tool_spec(name, schema or {"type": "object"}, ANSWER_TOOL_DESCRIPTION))
    else:
        matched = "" if schema is None else f" It must match this JSON schema: {_json(schema)}"
        rendered["system"] = [*rendered.get("system", ()), {"text": JSON_INSTRUCTION + matched}]


def _text_format(described: JsonObject, schema: Any) -> JsonObject:
    definition = {"schema": _json(schema)}
    definition |= {name: described[name] for name in ("name", "description") if isinstance(described.get(name), str)}
    return {"type": "json_schema", "structure": {"jsonSchema": definition}}


def _force_tool(body: JsonObject, rendered: JsonObject, tool: JsonObject) -> None:
    """Leaves the model only the tools that it had a choice of, and `tool`."""
    own = rendered.get("toolConfig", {}).get("tools", [])
    is_alone = body.get("tool_choice") == "none" or not body.get("tools")
    choice = {"tool": {"name": tool["toolSpec"]["name"]}} if is_alone else {"any": {}}
    rendered["toolConfig"] = {"tools": [*own, tool], "toolChoice": choice}


def _described(response_format: JsonObject) -> JsonObject | None:
    """The object with the schema that is asked for; None where any JSON object will do."""
    kind = response_format.get("type")
    if kind == "json_object":
        return None
    described = response_format.get("json_schema")
    if kind != "json_schema" or not isinstance(described, dict) or not isinstance(described.get("schema"), dict):
        raise malformed("response_format", "text, json_object, or json_schema with a schema")
    if described["schema"].get("type", "object") != "object":
        raise malformed("response_format.json_schema.schema", 'a JSON schema of type "object"')
    return described


def _object_schema(schema: JsonObject) -> JsonObject:
    return schema if "$ref" in schema else {**schema, "type": "object"}


def _json(schema: Any) -> str:
    try:
        return orjson.dumps(schema).decode()
    except orjson.JSONEncodeError as error:
        raise malformed("response_format.json_schema.schema", "a JSON schema of less depth") from error
