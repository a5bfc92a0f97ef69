"""The Messages API by the types of Anthropic's SDK, which says of each request whether it is a beta one."""

from dataclasses import replace
from typing import Final, Literal, NotRequired, get_args, get_origin

from anthropic.types import AnthropicBetaParam
from anthropic.types import message_count_tokens_params as count
from anthropic.types import message_create_params as create
from anthropic.types.beta import message_count_tokens_params as beta_count
from anthropic.types.beta import message_create_params as beta_create

from tests.golden.evidence.types import JsonObject
from tests.golden.sdk_types import Sent
from tests.golden.sdk_types.strict import Strict, partial

_WHOLE: Final = (Strict(create.MessageCreateParamsNonStreaming), Strict(beta_create.MessageCreateParamsNonStreaming))
_STREAMS: Final = (Strict(create.MessageCreateParamsStreaming), Strict(beta_create.MessageCreateParamsStreaming))
_COUNTS: Final = (Strict(count.MessageCountTokensParams), Strict(beta_count.MessageCountTokensParams))
_MEMBERS: Final = Strict(partial(beta_create.MessageCreateParamsBase, anthropic_beta=NotRequired[list[str]]))
_VERTEX_VERSION: Final = "vertex-2023-10-16"
_BETAS: Final = frozenset(
    name for kind in get_args(AnthropicBetaParam) if get_origin(kind) is Literal for name in get_args(kind)
)
_OF_MEMBERS: Final = {
    "context_management": "context-management-",
    "mcp_servers": "mcp-client-",
    "output_config.task_budget": "task-budgets-",
    "thinking.block_binding": "thinking-binding-controls-",
}
"""Beginnings of the names of betas by the members that only they have."""
_OF_TOOLS: Final = {
    "computer_20241022": "computer-use-2024-10-22",
    "bash_20241022": "computer-use-2024-10-22",
    "text_editor_20241022": "computer-use-2024-10-22",
    "computer_20250124": "computer-use-2025-01-24",
    "computer_20251124": "computer-use-2025-11-24",
    "advisor_20260301": "advisor-tool-",
    "mcp_toolset": "mcp-client-2025-11-20",
}
"""The same by the types of tools."""


def problems(sent: Sent) -> list[str]:
    """What is wrong with a request to Anthropic's own API: by the types of betas too, where it names them."""
    plain, beta = _COUNTS if sent.endpoint == "count_tokens" else _STREAMS if sent.is_stream else _WHOLE
    found = plain.problems(sent.body)
    if found and not beta.problems(sent.body):
        found = [problem for problem in found if not _is_named(problem, sent)]
    return found + _beta_problems(sent)


def _is_named(problem: str, sent: Sent) -> bool:
    """Whether `problem` is about what a beta has that `sent` names."""
    if sent.betas is None:
        return True
    path = problem.partition(":")[0]
    beginning = next((name for member, name in _OF_MEMBERS.items() if f"{path}.".startswith(f"{member}.")), None)
    if path.startswith("tools."):
        beginning = _OF_TOOLS.get(sent.body["tools"][int(path.split(".")[1])].get("type"))
    return beginning is not None and any(name.startswith(beginning) for name in sent.betas)


def _beta_problems(sent: Sent) -> list[str]:
    """Names of betas that there are none of, and fast mode without its own, which some models want."""
    named = sent.betas or ()
    found = [f"anthropic-beta: {name!r} is the name of no beta" for name in named if name not in _BETAS]
    is_named = sent.betas is None or any(name.startswith("fast-mode-") for name in named)
    return found if is_named or sent.body.get("speed") is None else [*found, "speed: its beta is not named"]


def vertex_problems(sent: Sent) -> list[str]:
    """The same of a request to Vertex AI, where the model is in the path, and the version in the body."""
    body = {**sent.body}
    version = body.pop("anthropic_version", None)
    found = [] if version == _VERTEX_VERSION else [f"anthropic_version: {version!r} is none of Vertex AI's"]
    if sent.endpoint != "count_tokens":
        found += ["model: stands in the path there"] if "model" in body else []
        body["model"] = sent.model
    return found + problems(replace(sent, body=body))


def member_problems(members: JsonObject) -> list[str]:
    """What is wrong with `members`, some of those that a request has: what Bedrock hands on to Claude models."""
    return _MEMBERS.problems(members)
