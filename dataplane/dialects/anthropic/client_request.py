"""Anthropic's Messages requests in the hub's format.

What Anthropic alone has a word for stays in the hub's body where another dialect may know it too: `thinking`, `top_k`
and the cache_control markers. Other settings of Anthropic's own are dropped; content that the hub has no form for is
refused, and so are tools that Anthropic itself runs or defines.
"""

import hashlib
import re
from dataclasses import replace
from typing import Any, Final

from dataplane.call import Call, Endpoint, JsonObject
from dataplane.dialects.anthropic.client_content import SHOWN_CHARACTERS
from dataplane.dialects.anthropic.client_errors import invalid, unsupported
from dataplane.dialects.anthropic.client_fields import items_at, marker_of, member, object_at, text_at
from dataplane.dialects.anthropic.client_messages import conversation, system_messages
from dataplane.dialects.hub import list_of

_CHAT: Final = Endpoint("chat_completions", "/v1/messages", "chat", True)
_COUNT_TOKENS: Final = Endpoint("count_tokens", "/v1/messages/count_tokens", "count_tokens", False)
_LOW_BUDGET, _MEDIUM_BUDGET = 4_096, 16_384
_EFFORTS: Final = {"max": "xhigh"}
_SERVICE_TIERS: Final = {"standard_only": "default"}
_TOOL_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}
_USER: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Users that every provider takes: OpenAI's are the shortest."""
_NO_NAME_CHARACTER: Final = re.compile(r"[^A-Za-z0-9_-]")
_NAME_LENGTH: Final = 64
_SCHEMA_FORM: Final = 'an object with the type "json_schema" and a schema'


def parse_request(call: Call) -> Call:
    """`call` in the hub's format. Raises InvalidRequest naming the field that has no form there, or none at all."""
    endpoint = _COUNT_TOKENS if call.endpoint.name == "count_tokens" else _CHAT
    return replace(call, body=_hub_body(call.body), endpoint=endpoint)


def _hub_body(body: JsonObject) -> JsonObject:
    if body.get("mcp_servers"):
        raise unsupported("mcp_servers", "MCP servers")
    return {
        **({"model": text_at(body["model"], "model")} if "model" in body else {}),
        "messages": [*system_messages(body), *conversation(body)],
        **_tools(body),
        **_limits(body),
        **_sampling(body),
        **_reasoning(body),
        **_response_format(body),
    }


def _limits(body: JsonObject) -> JsonObject:
    """What bounds the answer and how it is served. `max_tokens` keeps its name, which most providers take."""
    settings: JsonObject = {}
    limit, stops = body.get("max_tokens"), body.get("stop_sequences")
    if limit is not None:
        if type(limit) is not int or limit < 1:
            raise invalid("max_tokens", "a whole number above 0")
        settings["max_tokens"] = limit
    if stops is not None and items_at(stops, "stop_sequences"):
        settings["stop"] = [text_at(stop, f"stop_sequences.{at}") for at, stop in enumerate(stops)]
    if body.get("stream") is not None:
        if not isinstance(body["stream"], bool):
            raise invalid("stream", "true or false")
        settings["stream"] = body["stream"]
    if body.get("service_tier") is not None:
        tier = text_at(body["service_tier"], "service_tier")
        settings["service_tier"] = _SERVICE_TIERS.get(tier, tier)
    user = member(body, "metadata").get("user_id")
    if user is not None:
        settings["user"] = _user(text_at(user, "metadata.user_id"))
    return settings | marker_of(body)


def _sampling(body: JsonObject) -> JsonObject:
    settings = {name: body[name] for name in ("temperature", "top_p", "top_k") if body.get(name) is not None}
    for name, value in settings.items():
        if type(value) not in (int, float):
            raise invalid(name, "a number")
    return settings


def _user(user: str) -> str:
    """`user`, or what is as good to tell users apart by where some provider would refuse it."""
    return user if _USER.fullmatch(user) else hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()


def _reasoning(body: JsonObject) -> JsonObject:
    """How much to reason, in the hub's words, and `thinking` as it is for dialects that know it."""
    thinking, effort = member(body, "thinking"), member(body, "output_config").get("effort")
    said = None if effort is None else text_at(effort, "output_config.effort")
    if thinking:
        said = _thinking_effort(thinking, said)
    settings: JsonObject = {"thinking": thinking} if thinking else {}
    return settings if said is None else settings | {"reasoning_effort": _EFFORTS.get(said, said)}


def _thinking_effort(thinking: JsonObject, said: str | None) -> str | None:
    match text_at(thinking.get("type"), "thinking.type"):
        case "disabled":
            return "none"
        case "enabled":
            budget = thinking.get("budget_tokens")
            if type(budget) is not int or budget < 1:
                raise invalid("thinking.budget_tokens", "a whole number above 0")
            by_budget = "low" if budget <= _LOW_BUDGET else "medium" if budget <= _MEDIUM_BUDGET else "high"
            return said or by_budget
        case "adaptive":
            return said or "medium"
        case _:
            return said


def _response_format(body: JsonObject) -> JsonObject:
    param = "output_config.format"
    wanted = member(body, "output_config").get("format")
    if wanted is None:
        param, wanted = "output_format", body.get("output_format")
    match wanted:
        case None:
            return {}
        case {"type": "json_schema", "schema": dict(schema)}:
            title = schema.get("title")
            name = _NO_NAME_CHARACTER.sub("_", title if isinstance(title, str) else "")[:_NAME_LENGTH] or "answer"
            form = {"name": name, "schema": schema, "strict": _is_closed(schema)}
            return {"response_format": {"type": "json_schema", "json_schema": form}}
        case _:
            raise invalid(param, _SCHEMA_FORM)


def _is_closed(schema: JsonObject) -> bool:
    """Whether the hub's strict form takes `schema`: its objects have no members but those that they require."""
    pending: list[Any] = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            members = node.get("properties")
            if node.get("type") == "object" or isinstance(members, dict):
                required = {name for name in list_of(node.get("required")) if isinstance(name, str)}
                names = members if isinstance(members, dict) else {}
                if node.get("additionalProperties") is not False or not required.issuperset(names):
                    return False
            pending += node.values()
        elif isinstance(node, list):
            pending += node
    return True


def _tools(body: JsonObject) -> JsonObject:
    """Tools and how they may be used; a choice means nothing without any."""
    declared = body.get("tools")
    if declared is None or not items_at(declared, "tools"):
        return {}
    settings: JsonObject = {"tools": [_tool(tool, f"tools.{at}") for at, tool in enumerate(declared)]}
    choice = member(body, "tool_choice")
    if not choice:
        return settings
    kind = text_at(choice.get("type"), "tool_choice.type")
    if kind == "tool":
        function = {"name": text_at(choice.get("name"), "tool_choice.name")}
        settings["tool_choice"] = {"type": "function", "function": function}
    elif kind in _TOOL_CHOICES:
        settings["tool_choice"] = _TOOL_CHOICES[kind]
    else:
        raise invalid("tool_choice.type", '"auto", "any", "tool" or "none"')
    if choice.get("disable_parallel_tool_use") is True:
        settings["parallel_tool_calls"] = False
    return settings


def _tool(value: Any, param: str) -> JsonObject:
    tool = object_at(value, param)
    kind = tool.get("type")
    if kind not in (None, "custom"):
        shown = ", ".join(str(word)[:SHOWN_CHARACTERS] for word in (tool.get("name"), kind) if word is not None)
        raise unsupported(param, f"a tool of Anthropic's own ({shown})")
    function: JsonObject = {"name": text_at(tool.get("name"), f"{param}.name")}
    if tool.get("description") is not None:
        function["description"] = text_at(tool["description"], f"{param}.description")
    function["parameters"] = object_at(tool.get("input_schema"), f"{param}.input_schema")
    if isinstance(tool.get("strict"), bool):
        function["strict"] = tool["strict"]
    return {"type": "function", "function": function, **marker_of(tool)}
