"""How much a model thinks, and the settings that go with it."""

from typing import Final

from dataplane.call import JsonObject
from dataplane.dialects.anthropic.models import ModelTraits, Thinking
from dataplane.dialects.anthropic.reasoning import is_thinking
from dataplane.dialects.claude import (
    asked_thinking,
    continues_unthinking,
    drawing,
    own_thinking,
    taken_effort,
    thinking_effort,
)
from dataplane.dialects.hub import number_of, wanted_reasoning

_FORCED: Final = ("any", "tool")


def apply_thinking(body: JsonObject, rendered: JsonObject, traits: ModelTraits) -> None:
    """Sets `thinking` and `output_config.effort` of `rendered`, whose `max_tokens`, messages and tools are set.

    `reasoning_effort` says how much, or `reasoning` with an effort or max_tokens; Anthropic's own `thinking` overrules
    both, but for an amount that it does not say. A model that is forced to use a tool does not think.
    """
    effort, budget = wanted_reasoning(body)
    taken = taken_effort(effort, traits.efforts, is_always_on=traits.off is None)
    if taken is not None:
        rendered["output_config"] = {"effort": taken, **(rendered.get("output_config") or {})}
    own = body.get("thinking")
    thinking = own_thinking(own, traits.off, is_adaptive=traits.thinking is Thinking.ADAPTIVE)
    if thinking is None:
        thinking = asked_thinking(
            thinking_effort(own, effort),
            budget,
            off=traits.off,
            is_adaptive=traits.thinking is Thinking.ADAPTIVE,
            hides=traits.hides_thinking,
            most=_room(rendered, traits),
        )
    if thinking is not None and not (thinking["type"] in ("enabled", "adaptive") and _is_forced(rendered)):
        rendered["thinking"] = thinking


def apply_sampling(body: JsonObject, rendered: JsonObject, traits: ModelTraits) -> None:
    """Sets `temperature`, `top_p` and `top_k` of `rendered`, whose `thinking` is set, where the model takes them."""
    if not traits.takes_sampling:
        return
    thinks = (rendered.get("thinking") or {}).get("type") in ("enabled", "adaptive")
    temperature, top_p, top_k = (number_of(body.get(name)) for name in ("temperature", "top_p", "top_k"))
    rendered |= drawing(temperature, top_p, thinks=thinks, takes_both=traits.takes_both_sampling)
    if top_k is not None and not thinks:
        rendered["top_k"] = top_k


def _room(rendered: JsonObject, traits: ModelTraits) -> int:
    """Tokens that there are for a budget; 0 where the model can be given none."""
    if traits.thinking is Thinking.NONE or continues_unthinking(rendered["messages"], _is_use, is_thinking):
        return 0
    return int(rendered["max_tokens"] * 3 // 4)


def _is_use(block: JsonObject) -> bool:
    return block.get("type") == "tool_use"


def _is_forced(rendered: JsonObject) -> bool:
    return (rendered.get("tool_choice") or {}).get("type") in _FORCED
