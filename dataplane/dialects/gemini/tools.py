"""OpenAI's tools and the choice among them as function declarations and their calling mode."""

from typing import Any, Final

from dataplane.call import JsonObject
from dataplane.dialects.gemini.fields import object_at, objects_at, text_at
from dataplane.dialects.gemini.models import GeminiModel
from dataplane.dialects.gemini.schema import render_schema
from dataplane.errors import InvalidRequest

_OWN_TOOLS = frozenset(
    ("googleSearch", "google_search", "codeExecution", "code_execution", "urlContext", "url_context")
)
"""Tools of Google's own that read nothing with the identity of the gateway, as a `retrieval` would."""
_ASKED: Final = "includeServerSideToolInvocations"
_NAME_LENGTH = 64
_FREE: Final = "AUTO"
_FORCED: Final = "ANY"
_MODES = {"none": "NONE", "auto": _FREE, "required": _FORCED, "any": _FORCED}


def render_tools(body: JsonObject, model: GeminiModel, is_vertex: bool) -> JsonObject:
    """The members `tools` and `toolConfig` of a request, as far as `body` says something of them.

    Tools of Google's own, objects without a type such as {"googleSearch": {}}, pass as they are where they search the
    web, read addresses or run code. Raises InvalidRequest for tools of other kinds.
    """
    declarations, others = _split(body)
    declarations = _allowed(declarations, object_at(body, "tool_choice"))
    if body.get("web_search_options") is not None and not declarations and not others:
        others = [{"googleSearch": {}}]
    tools = [*others, *([{"functionDeclarations": declarations}] if declarations else [])]
    rendered: JsonObject = {"tools": tools} if tools else {}
    is_mixed = bool(declarations and others) and model.is_third and not is_vertex
    if declarations and (config := _tool_config(body, is_mixed)):
        rendered["toolConfig"] = config
    return rendered


def is_forced(tools: JsonObject) -> bool:
    """Whether rendered `tools` have the model call a function, whatever it would say."""
    return object_at(object_at(tools, "toolConfig"), "functionCallingConfig").get("mode") == _FORCED


def tells_own_tools(tools: JsonObject) -> bool:
    """Whether rendered `tools` have the provider tell what it does with tools of its own, and take that back."""
    return object_at(tools, "toolConfig").get(_ASKED) is True


def _split(body: JsonObject) -> tuple[list[JsonObject], list[JsonObject]]:
    """Function declarations, and tools of Google's own."""
    declarations, others = [], []
    for at, tool in enumerate(_objects(body, "tools")):
        if isinstance(tool.get("function"), dict):
            declarations.append(_declaration(tool["function"], f"tools[{at}].function"))
        elif tool and tool.keys() <= _OWN_TOOLS:
            others.append(tool)
        else:
            raise _refused(tool, f"tools[{at}]")
    return declarations, others


def _objects(body: JsonObject, name: str) -> list[JsonObject]:
    """The objects in the list under `name`, none where it is missing. Raises InvalidRequest for any other thing."""
    listed = body.get(name)
    if listed is None:
        return []
    if not isinstance(listed, list):
        raise InvalidRequest(f'The field "{name}" must be a list.', code="invalid_value", param=name)
    for at, item in enumerate(listed):
        if not isinstance(item, dict):
            raise InvalidRequest(f'"{name}[{at}]" must be an object.', code="invalid_value", param=f"{name}[{at}]")
    return listed


def _refused(tool: JsonObject, param: str) -> InvalidRequest:
    kind = tool["type"] if isinstance(tool.get("type"), str) else ", ".join(sorted(tool.keys() - _OWN_TOOLS))
    return InvalidRequest(
        f'"{param}" is of kind {kind[:_NAME_LENGTH]!r}, which is not sent to Gemini models. Send functions, or '
        "googleSearch, urlContext or codeExecution.",
        code="unsupported_content",
        param=param,
    )


def _declaration(function: JsonObject, param: str) -> JsonObject:
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidRequest(f'"{param}.name" must be text.', code="invalid_value", param=f"{param}.name")
    declaration: JsonObject = {"name": name}
    if description := text_at(function, "description"):
        declaration["description"] = description
    if parameters := object_at(function, "parameters"):
        declaration["parametersJsonSchema"] = render_schema(parameters)
    return declaration


def _allowed(declarations: list[JsonObject], choice: JsonObject) -> list[JsonObject]:
    """The declarations that a choice of allowed tools leaves: Gemini limits names only where it forces a call."""
    if choice.get("type") != "allowed_tools":
        return declarations
    named = {_function_name(tool) for tool in objects_at(object_at(choice, "allowed_tools"), "tools")}
    return [declaration for declaration in declarations if declaration["name"] in named]


def _tool_config(body: JsonObject, is_mixed: bool) -> JsonObject:
    """The toolConfig, {} for none. Functions beside tools of Google's own must be asked for, and have no mode AUTO."""
    calling = _calling_config(body.get("tool_choice"))
    if is_mixed and calling.get("mode") == _FREE:
        calling = {}
    asked: JsonObject = {_ASKED: True} if is_mixed else {}
    return asked | ({"functionCallingConfig": calling} if calling else {})


def _calling_config(choice: Any) -> JsonObject:
    """The functionCallingConfig for a tool_choice; {} where it says nothing that Gemini knows."""
    if isinstance(choice, str):
        return {"mode": _MODES[choice]} if choice in _MODES else {}
    if not isinstance(choice, dict):
        return {}
    if choice.get("type") == "allowed_tools":
        return _calling_config(text_at(object_at(choice, "allowed_tools"), "mode"))
    name = _function_name(choice)
    return {"mode": _FORCED, "allowedFunctionNames": [name]} if name else {}


def _function_name(tool: JsonObject) -> str:
    return text_at(object_at(tool, "function"), "name") or text_at(tool, "name")
