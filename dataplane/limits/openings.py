"""Members and tools of a call by which a provider reads, runs or charges more than what the call says. Pure."""

from typing import Any, Final

from dataplane.call import JsonObject
from dataplane.limits.content import SHOWN_CHARACTERS

_OPEN_MEMBERS: Final = frozenset(
    (
        *("cached_content", "cachedContent", "container", "context_management", "fallbacks", "mcp_servers"),
        *("web_search_options", "performanceConfig", "performance_config", "speed"),
        *("models", "route", "preset", "provider", "plugins", "safety_model", "compound_custom"),
        *("data_sources", "dataSources", "deferred", "search_parameters", "enable_search", "n_predict"),
        "chat_template",
    )
)
_MODEL_FIELDS: Final = ("additionalModelRequestFields", "additional_model_request_fields")
_OPEN_MODEL_FIELDS: Final = _OPEN_MEMBERS | {"tools", "toolConfig", "tool_config", "mcpServers", "contextManagement"}
_JUDGED_MEMBERS: Final = _OPEN_MEMBERS.union(_MODEL_FIELDS)
_NOTHING: Final[tuple[object, ...]] = (None, False, "", [])
_UNTYPED: Final = "tools"
_CLIENTS_TYPES: Final = (None, "function", "custom")
_CLIENTS_TOOLS: Final = ("bash_", "text_editor_", "computer_", "memory_")
_CLIENTS_MEMBERS: Final = frozenset(("function", "name", "parameters", "input_schema", "toolSpec"))
_PROVIDERS_TOOLS: Final = frozenset(
    (
        *("googleSearch", "google_search", "googleSearchRetrieval", "google_search_retrieval", "googleMaps"),
        *("google_maps", "enterpriseWebSearch", "enterprise_web_search", "computer_use", "file_search"),
        *("codeExecution", "code_execution", "urlContext", "url_context", "fileSearch", "retrieval", "computerUse"),
        *("systemTool", "mcp_server_name"),
    )
)


def open_member(body: JsonObject) -> str:
    """The first member of `body`, or in it, that leaves open what the call costs; "" where there is none."""
    if _JUDGED_MEMBERS.isdisjoint(body):
        return ""
    for name in body:
        if name in _OPEN_MEMBERS and body[name] not in _NOTHING:
            return name
    for name in _MODEL_FIELDS:
        fields = body.get(name)
        for inner, value in fields.items() if isinstance(fields, dict) else ():
            if inner in _OPEN_MODEL_FIELDS and value not in _NOTHING:
                return f"{name}.{inner}"
    return ""


def defined_tools(tools: Any) -> int:
    """How many tools are the client's to run, but defined by the provider: a model reads more than the call says."""
    listed = tools if isinstance(tools, list) else ()
    kinds = [tool.get("type") for tool in listed if isinstance(tool, dict)]
    return sum(isinstance(kind, str) and kind.startswith(_CLIENTS_TOOLS) for kind in kinds)


def providers_tool(tools: Any) -> str:
    """The type of a tool that the provider runs itself, and charges for; "" where there is none."""
    if not isinstance(tools, list):
        return _UNTYPED if tools else ""
    for tool in tools:
        if not isinstance(tool, dict):
            continue
        kind = tool.get("type")
        if not _PROVIDERS_TOOLS.isdisjoint(tool) or (kind is None and _CLIENTS_MEMBERS.isdisjoint(tool)):
            return _UNTYPED
        if kind not in _CLIENTS_TYPES and not (isinstance(kind, str) and kind.startswith(_CLIENTS_TOOLS)):
            return kind[:SHOWN_CHARACTERS] if isinstance(kind, str) and kind else _UNTYPED
    return ""
