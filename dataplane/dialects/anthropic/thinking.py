"""How much a model thinks, and the settings that go with it."""

from typing import Final

from dataplane.call import JsonObject
from dataplane.dialects.anthropic.models import ModelTraits, Thinking
from dataplane.dialects.anthropic.reasoning import is_thinking
from dataplane.dialects.claude import adaptive_thinking, own_thinking, thinking_effort
from dataplane.dialects.hub import number_of, wanted_reasoning

_LEAST_BUDGET: Final = 1024
_BUDGETS: Final = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16_384,
    "xhigh": 24_576,
    "max": 32_000,
}
_LEAST_TOP_P_THINKING: Final = 0.95
_FORCED: Final = ("any", "tool")


def apply_thinking(body: JsonObject, rendered: JsonObject, traits: ModelTraits) -> None:
    """Sets `thinking` and `output_config.effort` of `rendered`, whose `max_tokens`, messages and tools are set.

    `reasoning_effort` says how much, or `reasoning` with an effort or max_tokens; Anthropic's own `thinking` overrules
    both, but for an amount that it does not say. A model that is forced to use a tool does not think.
    """
    effort, budget = wanted_reasoning(body)
    if effort in _BUDGETS and traits.efforts:
        rendered["output_config"] = {"effort": _nearest(effort, traits), **(rendered.get("output_config") or {})}
    elif effort == "none" and traits.off is None:
        rendered["output_config"] = {"effort": "low", **(rendered.get("output_config") or {})}
    own = body.get("thinking")
    thinking = own_thinking(own, traits.off, is_adaptive=traits.thinking is Thinking.ADAPTIVE)
    if thinking is None:
        thinking = _thinking(thinking_effort(own, effort), budget, rendered, traits)
    if thinking is not None and not (thinking["type"] in ("enabled", "adaptive") and _is_forced(rendered)):
        rendered["thinking"] = thinking


def apply_sampling(body: JsonObject, rendered: JsonObject, traits: ModelTraits) -> None:
    """Sets `temperature`, `top_p` and `top_k` of `rendered`, whose `thinking` is set, as far as the model takes them.

    A temperature is 1 at most, OpenAI's are 2; one that thinks keeps its own, and nearly all of `top_p`.
    """
    if not traits.takes_sampling:
        return
    is_set = (rendered.get("thinking") or {}).get("type") in ("enabled", "adaptive")
    temperature, top_p, top_k = (number_of(body.get(name)) for name in ("temperature", "top_p", "top_k"))
    if temperature is not None and not is_set:
        rendered["temperature"] = min(max(temperature, 0), 1)
    is_alone = "temperature" not in rendered or traits.takes_both_sampling
    if top_p is not None and is_alone and (top_p >= _LEAST_TOP_P_THINKING or not is_set):
        rendered["top_p"] = top_p
    if top_k is not None and not is_set:
        rendered["top_k"] = top_k


def _thinking(effort: str | None, budget: int | None, rendered: JsonObject, traits: ModelTraits) -> JsonObject | None:
    if effort == "none":
        return {"type": traits.off} if traits.off else None
    if effort not in _BUDGETS and budget is None:
        return None
    if traits.thinking is Thinking.ADAPTIVE:
        return adaptive_thinking(hides=traits.hides_thinking)
    if traits.thinking is Thinking.NONE or _continues_unthinking(rendered["messages"]):
        return None
    most = rendered["max_tokens"] * 3 // 4
    tokens = min(max(budget or _BUDGETS[effort or "medium"], _LEAST_BUDGET), most)
    return {"type": "enabled", "budget_tokens": tokens} if tokens >= _LEAST_BUDGET else None


def _nearest(effort: str, traits: ModelTraits) -> str:
    """The model's own level that is the nearest to `effort`, from below if there is one."""
    levels = list(_BUDGETS)
    below = [level for level in traits.efforts if levels.index(level) <= levels.index(effort)]
    return below[-1] if below else traits.efforts[0]


def _continues_unthinking(messages: list[JsonObject]) -> bool:
    """Whether the last answer used tools without thinking, and goes on: with a budget it must have begun by thinking.

    What it thought is lost where a client does not send it back.
    """
    answers = [message for message in messages if message["role"] == "assistant"]
    if not answers or not any(block.get("type") == "tool_use" for block in answers[-1]["content"]):
        return False
    return not is_thinking(answers[-1]["content"][0])


def _is_forced(rendered: JsonObject) -> bool:
    return (rendered.get("tool_choice") or {}).get("type") in _FORCED
