"""A chat in the hub's format as Cohere takes it: messages, tools, and the settings that it knows."""

from typing import Any

from dataplane.call import Call, JsonObject
from dataplane.dialects.cohere.content import invalid, render_messages, unsupported
from dataplane.dialects.openai.functions import with_tools
from dataplane.snapshot import Target

_SAME_NAME = ("seed", "logprobs", "documents", "citation_options", "safety_mode", "priority", "p", "k")
_MAX_STOPS = 5
_P_BOUNDS = (0.01, 0.99)
_UNIT_BOUNDS = (0.0, 1.0)
_BUDGET_OF_EFFORT = {"minimal": 1024, "low": 2048, "medium": 8192}
"""Tokens of thinking, by the effort asked for; a greater one has no bound of its own."""
_NO_PARAMETERS: JsonObject = {"type": "object", "properties": {}}


def render_chat(call: Call, target: Target) -> JsonObject:
    """The body of a chat. Settings that Cohere has no word for are left out; those of its own pass.

    Raises InvalidRequest for content or tools that it cannot say.
    """
    body = with_tools(call.body)
    rendered: JsonObject = {
        "model": target.model,
        "messages": render_messages(body.get("messages")),
        "stream": call.stream,
        **_sampling(body),
        **_tools(body),
        **_response_format(body.get("response_format")),
        **{name: body[name] for name in _SAME_NAME if body.get(name) is not None},
    }
    limit = call.output_limit or body.get("max_completion_tokens") or body.get("max_tokens")
    if limit is not None:
        rendered["max_tokens"] = limit
    thinking = _thinking(body, limit if isinstance(limit, int) else None)
    if thinking is not None:
        rendered["thinking"] = thinking
    return rendered


def _sampling(body: JsonObject) -> JsonObject:
    """Settings of sampling, within the bounds that Cohere has for them."""
    settings: JsonObject = {}
    if _is_number(body.get("temperature")):
        settings["temperature"] = _within(body["temperature"], _UNIT_BOUNDS)
    if _is_number(body.get("top_p")):
        settings["p"] = _within(body["top_p"], _P_BOUNDS)
    if body.get("top_k") is not None:
        settings["k"] = body["top_k"]
    for name in ("frequency_penalty", "presence_penalty"):
        penalty = _within(body[name], _UNIT_BOUNDS) if _is_number(body.get(name)) else 0
        if penalty:
            settings[name] = penalty
    stop = body.get("stop") or body.get("stop_sequences")
    stops = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    stops = [text for text in stops if isinstance(text, str) and text]
    if stops:
        settings["stop_sequences"] = stops[:_MAX_STOPS]
    return settings


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _within(value: float, bounds: tuple[float, float]) -> float:
    return min(max(value, bounds[0]), bounds[1])


def _thinking(body: JsonObject, limit: int | None) -> JsonObject | None:
    """Cohere's `thinking`, from its own form, from Anthropic's, or from an effort; None leaves it to the model."""
    asked = body.get("thinking")
    if isinstance(asked, dict) and isinstance(asked.get("type"), str):
        if asked["type"] == "disabled":
            return {"type": "disabled"}
        return _enabled(asked.get("token_budget") or asked.get("budget_tokens"), limit)
    reasoning = body.get("reasoning")
    wishes = reasoning if isinstance(reasoning, dict) else {}
    effort = wishes.get("effort") or body.get("reasoning_effort")
    if wishes.get("enabled") is False or effort == "none":
        return {"type": "disabled"}
    if wishes.get("max_tokens"):
        return _enabled(wishes["max_tokens"], limit)
    if isinstance(effort, str):
        return _enabled(_BUDGET_OF_EFFORT.get(effort), limit)
    return {"type": "enabled"} if wishes.get("enabled") is True else None


def _enabled(budget: Any, limit: int | None) -> JsonObject:
    """Thinking, bounded by `budget`, which leaves half of the answer's own bound to what is said."""
    if type(budget) is not int or budget < 1:
        return {"type": "enabled"}
    bounded = budget if limit is None or budget < limit else max(1, limit // 2)
    return {"type": "enabled", "token_budget": bounded}


def _response_format(asked: Any) -> JsonObject:
    """JSON by a schema or without one; ordinary text needs no word."""
    if not isinstance(asked, dict) or asked.get("type") not in ("json_object", "json_schema"):
        return {}
    rendered: JsonObject = {"type": "json_object"}
    schema = asked.get("json_schema") or asked.get("schema")
    if asked["type"] == "json_schema" and isinstance(schema, dict):
        schema = schema.get("schema")
    if isinstance(schema, dict):
        rendered["json_schema"] = schema
    return {"response_format": rendered}


def _tools(body: JsonObject) -> JsonObject:
    """Tools and the choice among them. Cohere knows no choice of one tool: it is then the only one that is offered."""
    tools = body.get("tools")
    if not tools:
        return {}
    if not isinstance(tools, list):
        raise invalid('The field "tools" must be a list.', "tools")
    rendered = [_tool(tool, f"tools[{at}]") for at, tool in enumerate(tools)]
    names, choice = _choice(body.get("tool_choice"))
    if names is not None:
        rendered = [tool for tool in rendered if tool["function"]["name"] in names]
        if not rendered:
            raise invalid('The field "tool_choice" names no tool of "tools".', "tool_choice")
    said: JsonObject = {"tools": rendered}
    if choice:
        said["tool_choice"] = choice
    is_strict = body.get("strict_tools")
    if is_strict is None and all(tool["function"].get("strict") is True for tool in tools):
        is_strict = True
    return said if is_strict is None else said | {"strict_tools": is_strict}


def _tool(tool: Any, param: str) -> JsonObject:
    if not isinstance(tool, dict):
        raise invalid(f'The field "{param}" must be an object.', param)
    if tool.get("type", "function") != "function":
        raise unsupported(f'The upstream takes no tool of type "{tool.get("type")}".', f"{param}.type")
    function = tool.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise invalid(f'The field "{param}.function.name" must be a string.', f"{param}.function.name")
    rendered: JsonObject = {"name": function["name"]}
    if isinstance(function.get("description"), str):
        rendered["description"] = function["description"]
    parameters = function.get("parameters")
    rendered["parameters"] = parameters if isinstance(parameters, dict) and parameters else _NO_PARAMETERS
    return {"type": "function", "function": rendered}


def _choice(asked: Any) -> tuple[set[str] | None, str]:
    """Names of the only tools to offer, None for all, and Cohere's word for the choice, "" where it is the model's."""
    if asked is None:
        return None, ""
    if isinstance(asked, str):
        word = {"required": "REQUIRED", "any": "REQUIRED", "none": "NONE", "auto": ""}.get(asked.lower())
        if word is None:
            raise invalid(f'The field "tool_choice" cannot be "{asked[:40]}".', "tool_choice")
        return None, word
    if not isinstance(asked, dict):
        raise invalid('The field "tool_choice" must be a string or an object.', "tool_choice")
    if asked.get("type") == "allowed_tools":
        allowed = asked.get("allowed_tools")
        fields = allowed if isinstance(allowed, dict) else asked
        listed = fields.get("tools")
        names = {_name(tool) for tool in listed} if isinstance(listed, list) else set()
        return names - {""}, "REQUIRED" if fields.get("mode") == "required" else ""
    return {_name(asked)} - {""}, "REQUIRED"


def _name(choice: Any) -> str:
    """The function that `choice` names; "" where it names none."""
    fields = choice if isinstance(choice, dict) else {}
    function = fields.get("function")
    name = function.get("name") if isinstance(function, dict) else fields.get("name")
    return name if isinstance(name, str) else ""
