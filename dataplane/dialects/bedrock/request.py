"""Calls as Bedrock takes them: chats through Converse, embeddings and token counts through paths of their own."""

import re
from dataclasses import replace
from typing import Any, Final

from dataplane.call import COUNT_TOKENS, Call, JsonObject, UpstreamRequest
from dataplane.dialects.base import ProviderSpec
from dataplane.dialects.bedrock.answer_tool import apply_response_format
from dataplane.dialects.bedrock.content import Content
from dataplane.dialects.bedrock.embeddings import EMBEDDINGS, render_embeddings
from dataplane.dialects.bedrock.messages import Conversation
from dataplane.dialects.bedrock.models import ModelTraits, base_model, model_traits
from dataplane.dialects.bedrock.thinking import inference_config, output_limit, reasoning_fields, sampling_fields
from dataplane.dialects.bedrock.tools import parallel_choice, render_tool_config
from dataplane.dialects.hub import malformed
from dataplane.dialects.requests import upstream_request
from dataplane.errors import InvalidRequest
from dataplane.snapshot import Target

_EVENT_STREAM: Final = "application/vnd.amazon.eventstream"
_FIELDS: Final = "additionalModelRequestFields"
_LIMITS: Final = frozenset(("max_tokens", "maxTokens", "max_gen_len", "maxTokenCount", "max_new_tokens"))
"""Members of those that would bound the answer otherwise than the call does."""
_OBJECTS: Final = ("guardrailConfig", "performanceConfig")
_PASSING: Final = (*_OBJECTS, "requestMetadata", "additionalModelResponseFieldPaths", "promptVariables")
_CLAUDE_FIELDS: Final = ("anthropic_beta", "output_config")
_COUNTED: Final = ("messages", "system", "toolConfig", _FIELDS)
_TIERS: Final = frozenset(("default", "priority", "flex", "reserved"))
_LETTER_AFTER: Final = re.compile(r"_([a-z])")
_CAPITAL: Final = re.compile(r"([A-Z])")


def render_request(call: Call, target: Target, provider: ProviderSpec) -> UpstreamRequest:
    """`call` for `target`. Raises InvalidRequest for content that the model does not take."""
    if call.endpoint.name == COUNT_TOKENS:
        # Tokens are counted by foundation models alone, which have no geography.
        target = replace(target, model=base_model(target.model))
    body = _body(call, target) if call.endpoint.name in provider.paths else {}
    request = upstream_request(call, target, provider, body)
    if call.stream:
        request.headers["accept"] = _EVENT_STREAM
    return request


def _body(call: Call, target: Target) -> JsonObject:
    if call.endpoint.name == EMBEDDINGS:
        return render_embeddings(call.body, target.model)
    rendered = render_converse(call, model_traits(target.model))
    if call.endpoint.name != COUNT_TOKENS:
        return rendered
    return {"input": {"converse": {name: rendered[name] for name in _COUNTED if name in rendered}}}


def render_converse(call: Call, traits: ModelTraits) -> JsonObject:
    """The body of Converse, which is ConverseStream's too, of an OpenAI chat body."""
    body = call.body
    if isinstance(count := body.get("n"), int) and count > 1:
        raise InvalidRequest(
            'The field "n" must be 1: Bedrock gives one answer. Send the call as often as answers are needed.',
            code="unsupported_value",
            param="n",
        )
    rendered = _conversation(body, traits)
    apply_response_format(body, rendered, traits)
    limit = output_limit(call)
    fields = _model_fields(body, rendered, traits, limit)
    if fields:
        rendered[_FIELDS] = fields
    config = inference_config(body, fields, traits, limit)
    if config:
        rendered["inferenceConfig"] = config
    rendered |= {name: value for name in _PASSING if (value := _passing(body, name)) is not None}
    tier = body.get("service_tier")
    if isinstance(tier, str) and tier in _TIERS:
        rendered["serviceTier"] = {"type": tier}
    return rendered


def _conversation(body: JsonObject, traits: ModelTraits) -> JsonObject:
    """Messages, `system` and tools."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise malformed("messages", "a list of messages")
    content = Content(traits.has_cache_points)
    conversation = Conversation(content, takes_reasoning=traits.is_claude or not traits.vendor)
    for at, message in enumerate(messages):
        conversation.add(message, f"messages[{at}]")
    system, turns = conversation.finish()
    rendered: JsonObject = {"messages": turns}
    if system:
        rendered["system"] = system
    tools = render_tool_config(body, turns, content, traits)
    if tools is not None:
        rendered["toolConfig"] = tools
    return rendered


def _model_fields(body: JsonObject, rendered: JsonObject, traits: ModelTraits, limit: int | None) -> JsonObject:
    """What Converse hands on to the model as it is; what the client itself puts there counts."""
    fields = reasoning_fields(body, rendered, traits, limit)
    fields |= sampling_fields(body, fields, traits)
    choice = parallel_choice(body, rendered.get("toolConfig"), traits)
    if choice is not None:
        fields["tool_choice"] = choice
    if traits.is_claude:
        own = {name: body[name] for name in _CLAUDE_FIELDS if body.get(name) is not None}
        fields = _merged(fields, own)
    given = _passing(body, _FIELDS)
    if given is None:
        return fields
    if not isinstance(given, dict):
        raise malformed(_FIELDS, "an object")
    return _merged(fields, _without_limits(given))


def _without_limits(given: JsonObject) -> JsonObject:
    kept = {name: value for name, value in given.items() if name not in _LIMITS}
    config = kept.get("inferenceConfig")
    if isinstance(config, dict) and not _LIMITS.isdisjoint(config):
        kept["inferenceConfig"] = {name: value for name, value in config.items() if name not in _LIMITS}
    return kept


def _merged(fields: JsonObject, more: JsonObject) -> JsonObject:
    """`fields` with `more`, which counts where both say something; objects in them are put together."""
    merged = dict(fields)
    for name, value in more.items():
        before = merged.get(name)
        if isinstance(before, dict) and isinstance(value, dict) and name != "thinking":
            value = {**before, **value}
        merged[name] = value
    return merged


def _passing(body: JsonObject, name: str) -> Any:
    """The body's value of Converse's field `name`, which may be written in snake case too; None for none."""
    value = body.get(name)
    if value is None:
        value = body.get(_CAPITAL.sub(lambda found: f"_{found[1].lower()}", name))
    if name in _OBJECTS and isinstance(value, dict):
        return {_camel(key): member for key, member in value.items()}
    return value


def _camel(name: str) -> str:
    return _LETTER_AFTER.sub(lambda found: found[1].upper(), name)
