"""How much a model shall think: OpenAI's efforts and Anthropic's budgets as Gemini's budgets and levels."""

from typing import Final

from dataplane.call import JsonObject
from dataplane.dialects.gemini.fields import object_at
from dataplane.dialects.gemini.models import GeminiModel

_NONE: Final = "none"
_LOW_BUDGET, _MEDIUM_BUDGET, _HIGH_BUDGET = 1024, 8192, 24576
_SMALLEST_PRO_BUDGET = 128
_BUDGETS = {
    _NONE: 0,
    "minimal": _LOW_BUDGET,
    "low": _LOW_BUDGET,
    "medium": _MEDIUM_BUDGET,
    "high": _HIGH_BUDGET,
    "xhigh": _HIGH_BUDGET,
    "max": _HIGH_BUDGET,
}
_LEVELS = {_NONE: "minimal", "minimal": "minimal", "low": "low", "medium": "medium"}


def render_thinking(body: JsonObject, model: GeminiModel) -> JsonObject:
    """The thinkingConfig of an OpenAI body; {} where it says nothing of reasoning, or `model` does not know it.

    Thoughts are asked for whenever reasoning is. The third generation takes levels, the one before a budget in tokens.
    """
    thinking = object_at(body, "thinking")
    effort, budget = body.get("reasoning_effort"), thinking.get("budget_tokens")
    if thinking.get("type") == "disabled":
        effort, budget = _NONE, None
    if isinstance(budget, bool) or not isinstance(budget, int):
        budget = None
    if not isinstance(effort, str) or effort not in _BUDGETS:
        effort = None
    is_asked = effort is not None or budget is not None or thinking.get("type") in ("enabled", "adaptive")
    if not is_asked or not model.thinks:
        return {}
    amount = _level(effort, budget, model) if model.is_third else _budget(effort, budget, model)
    shown: JsonObject = {} if effort == _NONE or budget == 0 else {"includeThoughts": True}
    return amount | shown


def _budget(effort: str | None, budget: int | None, model: GeminiModel) -> JsonObject:
    if budget is None:
        if effort is None:
            return {}
        budget = _BUDGETS[effort]
    if budget == 0 and model.is_pro:
        budget = _SMALLEST_PRO_BUDGET
    return {"thinkingBudget": budget}


def _level(effort: str | None, budget: int | None, model: GeminiModel) -> JsonObject:
    """Models that draw have a level of their own."""
    if model.is_drawing:
        return {}
    if budget is not None:
        effort = _effort(budget)
    if effort is None:
        return {}
    level = _LEVELS.get(effort, "high")
    if level == "minimal" and not model.has_minimal_thought:
        level = "low"
    if level == "medium" and not model.has_medium_thought:
        level = "high"
    return {"thinkingLevel": level}


def _effort(budget: int) -> str | None:
    """The effort that `budget` tokens come to; None for a negative one, which leaves it to the model."""
    if budget < 0:
        return None
    for effort in (_NONE, "low", "medium"):
        if budget <= _BUDGETS[effort]:
            return effort
    return "high"
