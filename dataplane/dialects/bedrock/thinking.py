"""How much a model reasons, and the settings that go with it."""

from typing import Final

from dataplane.call import JsonObject
from dataplane.dialects.bedrock.models import ModelTraits, Reasoning
from dataplane.dialects.bedrock.reasoning import is_reasoning
from dataplane.dialects.claude import (
    BUDGETS,
    asked_thinking,
    continues_unthinking,
    drawing,
    nearest_effort,
    own_thinking,
    stop_sequences,
    taken_effort,
    thinking_effort,
)
from dataplane.dialects.hub import number_of, stop_texts, wanted_reasoning

_NO_LIMIT: Final = 64_000
_THINKING: Final = ("enabled", "adaptive")
_DRAWING: Final = {"temperature": "temperature", "top_p": "topP"}


def reasoning_fields(body: JsonObject, rendered: JsonObject, traits: ModelTraits, limit: int | None) -> JsonObject:
    """What the model itself is told of reasoning; `rendered` has its messages and tools.

    `reasoning_effort` says how much, or `reasoning` with an effort or max_tokens. Claude's own `thinking` overrules
    both, but for an amount that it does not say. A Claude model that is forced to use a tool does not think.
    """
    effort, budget = wanted_reasoning(body)
    if traits.is_claude or not traits.vendor:
        return _claude_fields(body, rendered, traits, limit)
    if effort == "none" and traits.reasoning is Reasoning.GPT:
        return {"reasoning": {"effort": effort}}
    if effort not in BUDGETS and budget is None:
        return {}
    level = nearest_effort(effort, traits.efforts)
    match traits.reasoning:
        case Reasoning.EFFORT:
            return {"reasoning_effort": level}
        case Reasoning.GPT:
            return {"reasoning": {"effort": level}}
        case Reasoning.QWEN:
            return {"reasoning_config": level}
        case Reasoning.NOVA:
            level = "medium" if level == "high" and limit is not None else level
            return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": level}}
    return {}


def inference_config(body: JsonObject, fields: JsonObject, traits: ModelTraits, limit: int | None) -> JsonObject:
    """Limit, sampling and stop texts; `fields` are the model's own, with those of reasoning."""
    config: JsonObject = {} if limit is None else {"maxTokens": limit}
    temperature, top_p = number_of(body.get("temperature")), number_of(body.get("top_p"))
    if traits.takes_sampling and not _is_nova_high(fields):
        told = drawing(temperature, top_p, thinks=_thinks(fields), takes_both=traits.takes_both_sampling)
        config |= {_DRAWING[name]: value for name, value in told.items()}
    sequences = stop_sequences(stop_texts(body)) if traits.is_claude else stop_texts(body)
    if sequences and traits.takes_stops:
        config["stopSequences"] = sequences
    return config


def sampling_fields(body: JsonObject, fields: JsonObject, traits: ModelTraits) -> JsonObject:
    """`top_k`, which is the model's own setting, where the model has it; `fields` are those of reasoning."""
    top_k = body.get("top_k")
    if type(top_k) is not int or not traits.takes_sampling or _thinks(fields) or _is_nova_high(fields):
        return {}
    return {"inferenceConfig": {"topK": top_k}} if traits.vendor == "amazon" else {"top_k": top_k}


def _claude_fields(body: JsonObject, rendered: JsonObject, traits: ModelTraits, limit: int | None) -> JsonObject:
    effort, budget = wanted_reasoning(body)
    taken = taken_effort(effort, traits.efforts, is_always_on=traits.off is None)
    fields: JsonObject = {} if taken is None else {"output_config": {"effort": taken}}
    own, is_adaptive = body.get("thinking"), traits.reasoning is Reasoning.ADAPTIVE if traits.is_claude else None
    thinking = own_thinking(own, traits.off, is_adaptive=is_adaptive)
    if thinking is None:
        thinking = asked_thinking(
            thinking_effort(own, effort),
            budget,
            off=traits.off,
            is_adaptive=traits.reasoning is Reasoning.ADAPTIVE,
            hides=traits.hides_thinking,
            most=_room(rendered, traits, limit),
        )
    is_forced = "toolChoice" in rendered.get("toolConfig", {})
    if thinking is not None and not (thinking["type"] in _THINKING and is_forced):
        fields["thinking"] = thinking
    return fields


def _room(rendered: JsonObject, traits: ModelTraits, limit: int | None) -> int:
    """Tokens that there are for a budget; 0 where the model can be given none."""
    if traits.reasoning is Reasoning.NONE or continues_unthinking(rendered["messages"], _is_use, is_reasoning):
        return 0
    return (limit or _NO_LIMIT) * 3 // 4


def _is_use(block: JsonObject) -> bool:
    return "toolUse" in block


def _thinks(fields: JsonObject) -> bool:
    thinking = fields.get("thinking")
    return isinstance(thinking, dict) and thinking.get("type") in _THINKING


def _is_nova_high(fields: JsonObject) -> bool:
    """Whether a Nova model reasons as much as it can: it then refuses a limit and sampling."""
    config = fields.get("reasoningConfig")
    return isinstance(config, dict) and config.get("maxReasoningEffort") == "high"
