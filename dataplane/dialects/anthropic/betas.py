"""Betas that a request takes part in: Anthropic refuses its newest members and tools unless a header names them.

https://platform.claude.com/docs/en/api/beta-headers
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from dataplane.call import Call, JsonObject, UpstreamRequest
from dataplane.dialects.hub import list_of, object_of, text_of

BETA_HEADER: Final = "anthropic-beta"
_BETA_MEMBER: Final = "anthropic_beta"
_NAME: Final = re.compile(r"[a-zA-Z0-9._-]{1,64}")
_EDITING: Final = "context-management-2025-06-27"
_EDITS: Final = {"compact_20260112": "compact-2026-01-12"}
_FAST: Final = "fast-mode-2026-02-01"
_SKILLS: Final = "skills-2025-10-02"
_TASK_BUDGET: Final = "task-budgets-2026-03-13"
_BINDING: Final = "thinking-binding-controls-2026-08-01"
_MCP, _MCP_BY_TOOLSET = "mcp-client-2025-04-04", "mcp-client-2025-11-20"
_TOOLSET: Final = "mcp_toolset"
_TOOLS: Final = {
    **dict.fromkeys(("computer_20241022", "bash_20241022", "text_editor_20241022"), "computer-use-2024-10-22"),
    "computer_20250124": "computer-use-2025-01-24",
    "computer_20251124": "computer-use-2025-11-24",
    "advisor_20260301": "advisor-tool-2026-03-01",
    _TOOLSET: _MCP_BY_TOOLSET,
}


def apply_betas(request: UpstreamRequest, body: JsonObject, call: Call) -> None:
    """Names in the headers of `request`, whose body is `body`, the betas that it needs and those that `call` asks for.

    A client of the hub's format asks for them in the header of that name, or in `anthropic_beta`.
    """
    told = (request.headers.get(BETA_HEADER), call.forwarded_headers.get(BETA_HEADER), call.body.get(_BETA_MEMBER))
    given = [name for names in told if names is not None for name in _names(names)]
    if names := dict.fromkeys([*given, *needed_betas(body)]):
        request.headers[BETA_HEADER] = ",".join(names)


def needed_betas(body: JsonObject) -> Iterator[str]:
    """The betas whose members or tools stand in `body`, a request to the Messages API."""
    if (editing := object_of(body.get("context_management"))) != {}:
        yield _EDITING
        yield from _of_kinds(editing.get("edits"), _EDITS)
    if body.get("speed") is not None:
        yield _FAST
    if object_of(body.get("container")).get("skills"):
        yield _SKILLS
    if object_of(body.get("output_config")).get("task_budget") is not None:
        yield _TASK_BUDGET
    if object_of(body.get("thinking")).get("block_binding") is not None:
        yield _BINDING
    of_tools = list(_of_kinds(body.get("tools"), _TOOLS))
    if body.get("mcp_servers") and _MCP_BY_TOOLSET not in of_tools:
        yield _MCP
    yield from of_tools


def _of_kinds(items: Any, names: dict[str, str]) -> Iterator[str]:
    kinds = (text_of(object_of(item).get("type")) for item in list_of(items))
    return (names[kind] for kind in kinds if kind in names)


def _names(told: Any) -> list[str]:
    """Names that are told in one text or in a list, but for what cannot be one."""
    listed = told.split(",") if isinstance(told, str) else list_of(told)
    names = [name.strip() for name in listed if isinstance(name, str)]
    return [name for name in names if _NAME.fullmatch(name)]
