"""Functions that a chat offers, and the form it wants of an answer."""

from collections.abc import Mapping
from typing import Any

from tollctl.sim.errors import reject_field
from tollctl.sim.fields import FieldReader

_RESPONSE_FORMATS = ("text", "json_object", "json_schema")


def choose_tool(reader: FieldReader) -> Mapping[str, Any] | None:
    """The function that a model is to call, the first one unless `tool_choice` names another; None is to call none."""
    tools = reader.array("tools")
    choice = reader.body.get("tool_choice")
    if tools is None:
        if choice not in (None, "none"):
            raise reject_field(
                "Invalid value for 'tool_choice': only allowed when 'tools' are specified.", "tool_choice"
            )
        return None
    if not tools:
        raise reject_field(
            "Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            "tools",
            "empty_array",
        )
    functions = {function["name"]: function for function in _read_functions(tools)}
    if choice == "none":
        return None
    wanted = _name_function(choice)
    if wanted is not None and wanted not in functions:
        raise reject_field("Invalid value for 'tool_choice': no such function in 'tools'.", "tool_choice")
    return next(iter(functions.values()), None) if wanted is None else functions[wanted]


def _name_function(choice: Any) -> Any:
    function = choice.get("function") if isinstance(choice, dict) else None
    return function.get("name") if isinstance(function, dict) else None


def _read_functions(tools: list[Any]) -> list[dict[str, Any]]:
    functions = []
    for index, tool in enumerate(tools):
        reader = FieldReader.of(tool, f"tools[{index}]")
        if reader.required("type") == "function":
            function = FieldReader.of(reader.required("function"), f"tools[{index}].function")
            function.required_text("name")
            functions.append(function.body)
    return functions


def read_schema(reader: FieldReader) -> Any:
    """The JSON schema of `response_format`; None where it names none."""
    wanted = reader.mapping("response_format")
    if wanted is None:
        return None
    formats = FieldReader(wanted, "response_format")
    formats.required("type")
    if formats.choice("type", _RESPONSE_FORMATS) != "json_schema":
        return None
    schema = FieldReader.of(formats.required("json_schema"), "response_format.json_schema")
    schema.required_text("name")
    return schema.body.get("schema", {})
