"""Tools of an OpenAI chat body as Anthropic's, and which of them the model must or must not use."""

from typing import Any, Final

from dataplane.call import JsonObject
from dataplane.dialects.anthropic.content import unsupported
from dataplane.dialects.anthropic.models import ModelTraits
from dataplane.dialects.anthropic.schema import closed_schema, is_closable
from dataplane.dialects.claude import CHOICE_OF_MODE
from dataplane.dialects.hub import allowed_mode, allowed_tool_names, malformed, object_of

_MOST_STRICT: Final = 20


def render_tools(body: JsonObject, traits: ModelTraits) -> list[JsonObject]:
    """The tools of `body`, those that `tool_choice` allows; Anthropic's own kinds pass as they are.

    Raises InvalidRequest for tools that cannot be said. Where too many are strict, none is.
    """
    listed = body.get("tools")
    if listed is None:
        return []
    if not isinstance(listed, list):
        raise malformed("tools", "a list of tools")
    strict = sum(_is_strict(tool) for tool in listed)
    may_be_strict = traits.has_json_schema and strict <= _MOST_STRICT
    tools = [_tool(tool, may_be_strict, f"tools[{at}]") for at, tool in enumerate(listed)]
    allowed = allowed_tool_names(body.get("tool_choice"))
    if allowed is None:
        return tools
    return [tool for tool in tools if isinstance(tool.get("name"), str) and tool["name"] in allowed]


def render_tool_choice(body: JsonObject, traits: ModelTraits) -> JsonObject | None:
    """The choice that `body` makes among its tools; None for the model's own.

    Where the model refuses to be forced to use a tool, it is left free to. Raises InvalidRequest for a malformed one.
    """
    choice = _choice(body)
    if choice is not None and choice["type"] in ("any", "tool") and not traits.takes_forced_tools:
        choice = {"type": "auto"}
    if body.get("parallel_tool_calls") is False and (choice is None or choice["type"] != "none"):
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return choice


def tools_of_history(turns: list[JsonObject]) -> list[JsonObject]:
    """A tool for each name that `turns` use: where there are uses, tools must be listed."""
    blocks = [block for turn in turns for block in turn["content"]]
    names = dict.fromkeys(block["name"] for block in blocks if block.get("type") == "tool_use")
    return [{"name": name, "input_schema": {"type": "object"}} for name in names]


def _tool(tool: Any, may_be_strict: bool, where: str) -> JsonObject:
    if not isinstance(tool, dict):
        raise malformed(where, "an object with a type")
    function = tool.get("function")
    if tool.get("type", "function") != "function" or (function is None and "input_schema" in tool):
        if isinstance(tool.get("name"), str) or "input_schema" in tool or "mcp_server_name" in tool:
            return tool
        raise unsupported(where, f"a tool of type {str(tool.get('type'))[:64]!r}", "Use function tools.")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise malformed(f"{where}.function", "an object with a name")
    schema = _object_schema(function.get("parameters"), f"{where}.function.parameters")
    rendered: JsonObject = {"name": function["name"]}
    if isinstance(function.get("description"), str) and function["description"]:
        rendered["description"] = function["description"]
    if may_be_strict and _is_strict(tool) and is_closable(schema):
        rendered |= {"input_schema": closed_schema(schema), "strict": True}
    else:
        rendered["input_schema"] = schema
    marker = tool.get("cache_control") or function.get("cache_control")
    return rendered if marker is None else rendered | {"cache_control": marker}


def _object_schema(schema: Any, where: str) -> JsonObject:
    """`schema` with the type that it must have."""
    if schema is None:
        return {"type": "object", "properties": {}}
    if not isinstance(schema, dict):
        raise malformed(where, "a JSON schema")
    return schema if schema.get("type") == "object" else {**schema, "type": "object"}


def _is_strict(tool: Any) -> bool:
    function = tool.get("function") if isinstance(tool, dict) else None
    return isinstance(function, dict) and function.get("strict") is True


def _choice(body: JsonObject) -> JsonObject | None:
    choice = body.get("tool_choice")
    if choice is None:
        return None
    if isinstance(choice, str) and choice in CHOICE_OF_MODE:
        return {"type": CHOICE_OF_MODE[choice]}
    if isinstance(choice, dict):
        if choice.get("type") == "allowed_tools":
            return {"type": "any" if allowed_mode(choice) == "required" else "auto"}
        if choice.get("type") in ("auto", "any", "tool", "none") and "function" not in choice:
            return choice
        name = object_of(choice.get("function")).get("name") or choice.get("name")
        if isinstance(name, str) and name:
            return {"type": "tool", "name": name}
    raise malformed("tool_choice", "none, auto, required or the name of a tool")
