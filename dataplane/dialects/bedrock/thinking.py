"""How much a model reasons, and the settings that go with it."""

from typing import Final

from dataplane.call import Call, JsonObject
from dataplane.dialects.bedrock.models import ModelTraits, Reasoning
from dataplane.dialects.bedrock.reasoning import has_reasoning
from dataplane.dialects.claude import adaptive_thinking, own_thinking, thinking_effort
from dataplane.dialects.hub import malformed, number_of, wanted_reasoning

_LEAST_BUDGET: Final = 1024
_BUDGETS: Final = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16_384,
    "xhigh": 24_576,
    "max": 32_000,
}
_NO_LIMIT: Final = 64_000
_LEAST_TOP_P_THINKING: Final = 0.95
_THINKING: Final = ("enabled", "adaptive")


def output_limit(call: Call) -> int | None:
    """Tokens of the answer: what admission counts on, else what the client set; None for all that the model gives."""
    if call.output_limit is not None:
        return call.output_limit
    for name in ("max_completion_tokens", "max_tokens"):
        limit = call.body.get(name)
        if limit is None:
            continue
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise malformed(name, "a number of tokens: an integer above 0")
        return limit
    return None


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
    if effort not in _BUDGETS and budget is None:
        return {}
    level = _nearest(effort or "medium", traits)
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
    """Limit, sampling and stop texts; `fields` are the model's own, with those of reasoning.

    A temperature is 1 at most, OpenAI's are 2. Claude keeps its own while it thinks, and nearly all of `top_p`.
    """
    config: JsonObject = {} if limit is None else {"maxTokens": limit}
    temperature, top_p = number_of(body.get("temperature")), number_of(body.get("top_p"))
    thinks = _thinks(fields)
    if traits.takes_sampling and not _is_nova_high(fields):
        if temperature is not None and not thinks:
            config["temperature"] = min(max(temperature, 0), 1)
        is_alone = "temperature" not in config or traits.takes_both_sampling
        if top_p is not None and is_alone and (top_p >= _LEAST_TOP_P_THINKING or not thinks):
            config["topP"] = min(max(top_p, 0), 1)
    stop = body.get("stop") or body.get("stop_sequences")
    stops = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    sequences = [text for text in stops if isinstance(text, str) and text]
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
    fields: JsonObject = {}
    if effort in _BUDGETS and traits.efforts:
        fields["output_config"] = {"effort": _nearest(effort, traits)}
    elif effort == "none" and traits.off is None:
        fields["output_config"] = {"effort": "low"}
    own, is_adaptive = body.get("thinking"), traits.reasoning is Reasoning.ADAPTIVE if traits.is_claude else None
    thinking = own_thinking(own, traits.off, is_adaptive=is_adaptive)
    if thinking is None:
        thinking = _thinking(thinking_effort(own, effort), budget, rendered, traits, limit)
    is_forced = "toolChoice" in rendered.get("toolConfig", {})
    if thinking is not None and not (thinking["type"] in _THINKING and is_forced):
        fields["thinking"] = thinking
    return fields


def _thinking(
    effort: str | None, budget: int | None, rendered: JsonObject, traits: ModelTraits, limit: int | None
) -> JsonObject | None:
    if effort == "none":
        return {"type": traits.off} if traits.off else None
    if effort not in _BUDGETS and budget is None:
        return None
    if traits.reasoning is Reasoning.ADAPTIVE:
        return adaptive_thinking(hides=traits.hides_thinking)
    if traits.reasoning is Reasoning.NONE or _continues_unthinking(rendered["messages"]):
        return None
    most = (limit or _NO_LIMIT) * 3 // 4
    tokens = min(max(budget or _BUDGETS[effort or "medium"], _LEAST_BUDGET), most)
    return {"type": "enabled", "budget_tokens": tokens} if tokens >= _LEAST_BUDGET else None


def _nearest(effort: str | None, traits: ModelTraits) -> str:
    """The model's own level that is the nearest to `effort`, from below if there is one; "" where it has no levels."""
    levels = list(_BUDGETS)
    wanted = levels.index(effort) if effort in _BUDGETS else levels.index("medium")
    below = [level for level in traits.efforts if levels.index(level) <= wanted]
    return below[-1] if below else next(iter(traits.efforts), "")


def _continues_unthinking(messages: list[JsonObject]) -> bool:
    """Whether the last answer used tools without thinking, and goes on: with a budget it must have begun by thinking.

    What it thought is lost where a client does not send it back.
    """
    answers = [message["content"] for message in messages if message["role"] == "assistant"]
    if not answers or not any("toolUse" in block for block in answers[-1]):
        return False
    return not has_reasoning(answers[-1])


def _thinks(fields: JsonObject) -> bool:
    thinking = fields.get("thinking")
    return isinstance(thinking, dict) and thinking.get("type") in _THINKING


def _is_nova_high(fields: JsonObject) -> bool:
    """Whether a Nova model reasons as much as it can: it then refuses a limit and sampling."""
    config = fields.get("reasoningConfig")
    return isinstance(config, dict) and config.get("maxReasoningEffort") == "high"
