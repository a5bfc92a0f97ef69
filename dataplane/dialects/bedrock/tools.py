"""Tools of an OpenAI chat body as Converse's tool configuration, and which of them the model must use."""

from typing import Any, Final

from dataplane.call import JsonObject
from dataplane.dialects.bedrock.content import Content, unsupported
from dataplane.dialects.bedrock.messages import tool_names
from dataplane.dialects.bedrock.models import ModelTraits
from dataplane.dialects.bedrock.schema import is_constrainable
from dataplane.dialects.claude import CHOICE_OF_MODE
from dataplane.dialects.hub import allowed_mode, allowed_tool_names, malformed, object_of

_OWN_TOOLS: Final = frozenset(("toolSpec", "systemTool", "cachePoint"))


def render_tool_config(
    body: JsonObject, turns: list[JsonObject], content: Content, traits: ModelTraits
) -> JsonObject | None:
    """The tool configuration; None for no tools.

    Bedrock wants one wherever `turns` use tools: what they use is listed where the call lists none. It cannot be told
    to use none: then there are no tools, or where there must be, there is no choice. Raises InvalidRequest for tools
    that cannot be said.
    """
    names, choice = tool_names(turns), _choice(body)
    tools = _tools(body, content, traits)
    if choice == {"none": {}} and not names:
        return None
    if not tools:
        tools, choice = [tool_spec(name, {"type": "object"}) for name in names], {}
    if not tools:
        return None
    config: JsonObject = {"tools": tools}
    if is_forced(choice) and traits.takes_forced_tools:
        config["toolChoice"] = choice
    return config


def parallel_choice(body: JsonObject, config: JsonObject | None, traits: ModelTraits) -> JsonObject | None:
    """Claude's own tool choice, by which it makes one call at a time; None where that is not asked for.

    Only beside tools that it may choose from freely: Converse says the other choices itself.
    """
    if body.get("parallel_tool_calls") is not False or config is None or "toolChoice" in config:
        return None
    return {"type": "auto", "disable_parallel_tool_use": True} if traits.takes_one_call else None


def tool_spec(name: str, schema: JsonObject, description: str = "", strict: bool = False) -> JsonObject:
    """A tool of Converse's; an empty description, which is refused, is left out."""
    spec: JsonObject = {"name": name, "inputSchema": {"json": schema}}
    if description.strip():
        spec["description"] = description
    if strict:
        spec["strict"] = True
    return {"toolSpec": spec}


def is_forced(choice: JsonObject) -> bool:
    """Whether `choice` leaves the model no way to answer without a tool."""
    return "any" in choice or "tool" in choice


def _tools(body: JsonObject, content: Content, traits: ModelTraits) -> list[JsonObject]:
    """The tools of `body`, those that `tool_choice` allows; Converse's own kinds pass as they are."""
    listed = body.get("tools")
    if listed is None:
        return []
    if not isinstance(listed, list):
        raise malformed("tools", "a list of tools")
    allowed = allowed_tool_names(body.get("tool_choice"))
    tools: list[JsonObject] = []
    for at, tool in enumerate(listed):
        rendered = _tool(tool, f"tools[{at}]", traits)
        if allowed is None or object_of(rendered.get("toolSpec")).get("name") in allowed:
            tools += [rendered, *(content.cache_point(tool) if traits.vendor != "amazon" else ())]
    return tools


def _tool(tool: Any, where: str, traits: ModelTraits) -> JsonObject:
    if not isinstance(tool, dict):
        raise malformed(where, "an object with a type")
    if "type" not in tool and not _OWN_TOOLS.isdisjoint(tool):
        return tool
    if tool.get("type", "function") != "function":
        raise unsupported(where, f"a tool of type {str(tool.get('type'))[:64]!r}", "Use function tools.")
    function = tool.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise malformed(f"{where}.function", "an object with a name")
    schema = function.get("parameters")
    if schema is None:
        schema = {"properties": {}}
    if not isinstance(schema, dict):
        raise malformed(f"{where}.function.parameters", "a JSON schema")
    schema = schema if schema.get("type") == "object" else {**schema, "type": "object"}
    strict = function.get("strict") is True and traits.has_json_schema and is_constrainable(schema)
    description = function.get("description")
    return tool_spec(function["name"], schema, description if isinstance(description, str) else "", strict)


def _choice(body: JsonObject) -> JsonObject:
    """The choice that `body` makes, as Converse says it; {} for the model's own."""
    choice = body.get("tool_choice")
    if choice is None:
        return {}
    if isinstance(choice, str) and choice in CHOICE_OF_MODE:
        return {CHOICE_OF_MODE[choice]: {}}
    if isinstance(choice, dict):
        if choice.get("type") == "allowed_tools":
            return {"any": {}} if allowed_mode(choice) == "required" else {}
        name = object_of(choice.get("function")).get("name") or choice.get("name")
        if isinstance(name, str) and name:
            return {"tool": {"name": name}}
    raise malformed("tool_choice", "none, auto, required or the name of a tool")
