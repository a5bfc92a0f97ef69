"""Calls as Bedrock takes them: chats through Converse, all others through paths of their own."""

from dataclasses import replace
from typing import Final

from dataplane.call import COUNT_TOKENS, Call, JsonObject, UpstreamRequest
from dataplane.dialects.base import ProviderSpec
from dataplane.dialects.bedrock.answer_tool import apply_response_format
from dataplane.dialects.bedrock.content import Content
from dataplane.dialects.bedrock.embeddings import EMBEDDINGS, render_embeddings
from dataplane.dialects.bedrock.messages import Conversation
from dataplane.dialects.bedrock.models import ModelTraits, base_model, model_traits
from dataplane.dialects.bedrock.own_fields import own_fields, own_model_fields
from dataplane.dialects.bedrock.rerank import RERANK, render_rerank
from dataplane.dialects.bedrock.thinking import inference_config, reasoning_fields, sampling_fields
from dataplane.dialects.bedrock.tools import parallel_choice, render_tool_config
from dataplane.dialects.hub import malformed, output_limit
from dataplane.dialects.openai.functions import with_tools
from dataplane.dialects.requests import upstream_request
from dataplane.errors import InvalidRequest
from dataplane.snapshot import Target

_EVENT_STREAM: Final = "application/vnd.amazon.eventstream"
_FIELDS: Final = "additionalModelRequestFields"
_CLAUDE_FIELDS: Final = ("anthropic_beta", "output_config")
_COUNTED: Final = ("messages", "system", "toolConfig", _FIELDS)
_TIERS: Final = frozenset(("default", "priority", "flex", "reserved"))


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
    if call.endpoint.name == RERANK:
        return render_rerank(call.body, target.model)
    rendered = render_converse(call, model_traits(target.model))
    if call.endpoint.name != COUNT_TOKENS:
        return rendered
    return {"input": {"converse": {name: rendered[name] for name in _COUNTED if name in rendered}}}


def render_converse(call: Call, traits: ModelTraits) -> JsonObject:
    """The body of Converse, which is ConverseStream's too, of an OpenAI chat body."""
    body = with_tools(call.body)
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
    rendered |= own_fields(body)
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
    return _merged(fields, own_model_fields(body))


def _merged(fields: JsonObject, more: JsonObject) -> JsonObject:
    """`fields` with `more`, which counts where both say something; objects in them are put together."""
    merged = dict(fields)
    for name, value in more.items():
        before = merged.get(name)
        if isinstance(before, dict) and isinstance(value, dict) and name != "thinking":
            value = {**before, **value}
        merged[name] = value
    return merged
