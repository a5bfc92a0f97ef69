"""Calls as Anthropic's Messages API takes them: in its own format forwarded, in the hub's translated."""

import re
from dataclasses import replace
from typing import Any, Final

from dataplane.call import HUB, Call, JsonObject, UpstreamRequest
from dataplane.dialects.anthropic.answer_tool import apply_response_format
from dataplane.dialects.anthropic.betas import apply_betas
from dataplane.dialects.anthropic.messages import Conversation
from dataplane.dialects.anthropic.models import ModelTraits, Thinking, model_traits
from dataplane.dialects.anthropic.reasoning import without_foreign_thinking
from dataplane.dialects.anthropic.thinking import apply_sampling, apply_thinking
from dataplane.dialects.anthropic.tools import render_tool_choice, render_tools, tools_of_history
from dataplane.dialects.base import ProviderSpec
from dataplane.dialects.claude import stop_sequences
from dataplane.dialects.hub import malformed, output_limit, stop_texts
from dataplane.dialects.openai.functions import with_tools
from dataplane.dialects.requests import upstream_request
from dataplane.errors import InvalidRequest
from dataplane.snapshot import Target

COUNT_TOKENS: Final = "count_tokens"
_VERTEX: Final = "vertex"
_VERTEX_VERSION: Final = "vertex-2023-10-16"
_VERSION_HEADER: Final = "anthropic-version"
_VERSION: Final = "2023-06-01"
_PASSING: Final = (
    *("cache_control", "container", "context_management", "diagnostics", "inference_geo", "mcp_servers"),
    *("output_config", "speed", "user_profile_id"),
)
_COUNTED: Final = ("messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control")
_TIERS: Final = {"auto": "auto", "priority": "auto", "default": "standard_only", "standard_only": "standard_only"}
_PERSONAL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|\+?[\d\s().-]{7,}")
_USER_LENGTH: Final = 256


def render_request(call: Call, target: Target, provider: ProviderSpec) -> UpstreamRequest:
    """`call` for `target`. Raises InvalidRequest for content that Claude models do not take, and for other models."""
    _check_models(call.body, target)
    if call.endpoint.format != HUB:
        return _request(call, target, provider, _forwarded(call))
    body = _translated(call, target, provider)
    request = _request(call, target, provider, body)
    apply_betas(request, body, call)
    return request


def _request(call: Call, target: Target, provider: ProviderSpec, body: JsonObject) -> UpstreamRequest:
    body["model"] = target.model
    if _VERTEX not in provider.traits:
        return upstream_request(call, target, provider, body, {_VERSION_HEADER: _VERSION})
    body["anthropic_version"] = _VERTEX_VERSION
    if call.endpoint.name != COUNT_TOKENS:
        del body["model"]
    forwarded = {name: value for name, value in call.forwarded_headers.items() if name != _VERSION_HEADER}
    return upstream_request(replace(call, forwarded_headers=forwarded), target, provider, body)


def _check_models(body: JsonObject, target: Target) -> None:
    """Raises InvalidRequest where a call would have other models run, for which neither key nor prices were checked."""
    if body.get("fallbacks") is not None:
        raise InvalidRequest(
            'The field "fallbacks" names models for which neither the key nor prices were checked. Leave it out: a '
            "Route has fallbacks instead.",
            code="unsupported_parameter",
            param="fallbacks",
        )
    tools = body.get("tools")
    for at, tool in enumerate(tools if isinstance(tools, list) else ()):
        if isinstance(tool, dict) and tool.get("model") not in (None, target.model) and tool.get("type") != "function":
            raise InvalidRequest(
                f'The tool at "tools[{at}]" names a model for which neither the key nor prices were checked. Leave it '
                f'out, or name "{target.model}", which is called.',
                code="unsupported_value",
                param=f"tools[{at}].model",
            )


def _forwarded(call: Call) -> JsonObject:
    """Every value of the client's body but thinking that is not Claude's; the limit that admission counts on."""
    body = without_foreign_thinking(call.body)
    if call.output_limit is None or call.endpoint.name == COUNT_TOKENS:
        return body
    return {**body, "max_tokens": call.output_limit}


def _translated(call: Call, target: Target, provider: ProviderSpec) -> JsonObject:
    body, traits = with_tools(call.body), model_traits(target.model)
    if isinstance(count := body.get("n"), int) and count > 1:
        raise InvalidRequest(
            'The field "n" must be 1: Claude models give one answer. Send the call as often as answers are needed.',
            code="unsupported_value",
            param="n",
        )
    rendered: JsonObject = {name: body[name] for name in _PASSING if body.get(name) is not None}
    if not isinstance(rendered.get("output_config", {}), dict):
        raise malformed("output_config", "an object")
    limit = output_limit(call)
    rendered["max_tokens"] = traits.max_tokens if limit is None else limit
    _apply_conversation(body, rendered, traits)
    apply_response_format(body, rendered, traits)
    apply_thinking(body, rendered, traits)
    if call.endpoint.name == COUNT_TOKENS:
        return {name: rendered[name] for name in _COUNTED if name in rendered}
    apply_sampling(body, rendered, traits)
    _apply_settings(body, rendered)
    if _VERTEX not in provider.traits and (tier := _tier(body.get("service_tier"))) is not None:
        rendered["service_tier"] = tier
    if call.stream:
        rendered["stream"] = True
    return rendered


def _apply_conversation(body: JsonObject, rendered: JsonObject, traits: ModelTraits) -> None:
    """Sets messages, `system` and tools."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise malformed("messages", "a list of messages")
    conversation = Conversation(thinks=traits.thinking is not Thinking.NONE)
    for at, message in enumerate(messages):
        conversation.add(message, f"messages[{at}]")
    system, turns = conversation.finish()
    rendered["messages"] = turns
    if system:
        rendered["system"] = system
    tools = render_tools(body, traits)
    choice = render_tool_choice(body, traits) if tools else None
    if not tools and (tools := tools_of_history(turns)):
        choice = {"type": "none"}
    if tools:
        rendered["tools"] = tools
    if choice is not None:
        rendered["tool_choice"] = choice


def _apply_settings(body: JsonObject, rendered: JsonObject) -> None:
    if sequences := stop_sequences(stop_texts(body)):
        rendered["stop_sequences"] = sequences
    metadata = body.get("metadata")
    user = body.get("user") or (metadata.get("user_id") if isinstance(metadata, dict) else None)
    if _is_taken_user(user):
        rendered["metadata"] = {"user_id": user}


def _is_taken_user(user: Any) -> bool:
    """Whether `user` is an id that is taken: mail addresses and telephone numbers are refused."""
    return isinstance(user, str) and 0 < len(user) <= _USER_LENGTH and _PERSONAL.fullmatch(user) is None


def _tier(tier: Any) -> str | None:
    return _TIERS.get(tier) if isinstance(tier, str) else None
