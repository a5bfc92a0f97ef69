"""A call in OpenAI's format as Gemini's API takes it."""

from dataplane.call import Call, JsonObject, UpstreamRequest
from dataplane.dialects.base import ProviderSpec
from dataplane.dialects.gemini.embeddings import render_embedding, render_embeddings
from dataplane.dialects.gemini.generation import json_instruction, render_generation
from dataplane.dialects.gemini.messages import render_conversation
from dataplane.dialects.gemini.models import parse_model
from dataplane.dialects.gemini.tools import is_forced, render_tools, tells_own_tools
from dataplane.dialects.openai.functions import with_tools
from dataplane.dialects.requests import path_of, upstream_request
from dataplane.errors import InvalidRequest
from dataplane.snapshot import Target

VERTEX = "vertex"
"""The trait of places that serve Gemini as Vertex AI does."""

_ONE_EMBEDDING = ":embedContent"
_FORMAT_FIELDS = ("responseMimeType", "responseJsonSchema")
_COUNTED_BY_VERTEX = ("contents", "systemInstruction", "tools", "generationConfig")
_SERVICE_TIERS = {"flex": "flex", "priority": "priority"}
_PASSED = (("safety_settings", "safetySettings"),)
_CACHES = ("cachedContent", "cached_content")
_PASSED_BY_VERTEX = (*_PASSED, ("labels", "labels"), ("model_armor_config", "modelArmorConfig"))


def render_request(call: Call, target: Target, provider: ProviderSpec) -> UpstreamRequest:
    """What `target` is sent. Raises InvalidRequest for content that Gemini cannot be sent."""
    is_vertex = VERTEX in provider.traits
    match call.endpoint.name:
        case "embeddings":
            body = _render_embeddings(call, target, provider, is_vertex)
        case "count_tokens":
            body = _render_count(call, target, is_vertex)
        case "chat_completions":
            body = render_chat(call, target, is_vertex)
        case _:
            body = {}
    return upstream_request(call, target, provider, body)


def render_chat(call: Call, target: Target, is_vertex: bool) -> JsonObject:
    """The GenerateContentRequest of a chat. Raises InvalidRequest as render_request does."""
    body, model = with_tools(call.body), parse_model(target.model)
    _check_caches(body)
    tools = render_tools(body, model, is_vertex)
    has_own_tools = tells_own_tools(tools)
    contents, system = render_conversation(
        body.get("messages"), model, has_ids=not is_vertex, has_own_tools=has_own_tools
    )
    config = render_generation(body, model, call.output_limit)
    is_told_in_words = is_forced(tools) or ("tools" in tools and not model.is_third)
    if "responseMimeType" in config and is_told_in_words:
        config = {name: value for name, value in config.items() if name not in _FORMAT_FIELDS}
        system = [*system, {"text": json_instruction(body)}]
    rendered: JsonObject = {"contents": contents}
    if system:
        rendered["systemInstruction"] = {"parts": system}
    rendered |= tools
    if config:
        rendered["generationConfig"] = config
    return rendered | _extras(body, is_vertex)


def _render_embeddings(call: Call, target: Target, provider: ProviderSpec, is_vertex: bool) -> JsonObject:
    """What asks for embeddings: Vertex has a method of one text for some models, and another for all others."""
    if path_of(call, target, provider).endswith(_ONE_EMBEDDING):
        return render_embedding(call.body)
    return render_embeddings(call.body, target.model, is_vertex)


def _check_caches(body: JsonObject) -> None:
    """Raises InvalidRequest where a cache is named: it would be read with the identity of the gateway."""
    for name in _CACHES:
        if body.get(name) is not None:
            raise InvalidRequest(
                f'The field "{name}" names content that is stored at Google, which would be read with an identity '
                "that is not yours. Send the content in messages.",
                code="unsupported_content",
                param=name,
            )


def _extras(body: JsonObject, is_vertex: bool) -> JsonObject:
    """What Gemini knows beside OpenAI's fields, under its own name or the same in snake case."""
    extras: JsonObject = {}
    for name, ours in _PASSED_BY_VERTEX if is_vertex else _PASSED:
        value = body.get(ours, body.get(name))
        if value is not None:
            extras[ours] = value
    tier = body.get("service_tier")
    if not is_vertex and isinstance(tier, str) and tier in _SERVICE_TIERS:
        extras["serviceTier"] = _SERVICE_TIERS[tier]
    return extras


def _render_count(call: Call, target: Target, is_vertex: bool) -> JsonObject:
    """A CountTokensRequest: Vertex takes the parts that count, the other the whole request, and so counts tools."""
    chat = render_chat(call, target, is_vertex)
    if is_vertex:
        return {name: chat[name] for name in _COUNTED_BY_VERTEX if name in chat}
    return {"generateContentRequest": {"model": f"models/{target.model}", **chat}}
