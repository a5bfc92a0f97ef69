"""Claude models wherever they are served: what their generations take, and what they are told alike. Pure.

Generations are read off a name: no list of models has to be kept.
"""

import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from dataplane.call import JsonObject
from dataplane.dialects.hub import unused_tool_name

Version: TypeAlias = tuple[int, int]

NEWEST: Final[Version] = (5, 5)
_VERSION_AFTER: Final = re.compile(r"claude-([a-z]+)-(\d{1,2})(?!\d)(?:[-.](\d{1,2})(?!\d))?")
_VERSION_BEFORE: Final = re.compile(r"claude-v?(\d{1,2})(?!\d)(?:[-.:](\d{1,2})(?!\d))?(?:-([a-z]+))?")
_UNVERSIONED: Final[dict[str, Version]] = {"instant": (1, 0)}
_PREVIEW: Final[Version] = (5, 0)
_MEMBERS_OF_THINKING: Final = {
    "enabled": ("budget_tokens", "display", "block_binding"),
    "adaptive": ("display", "block_binding"),
    "disabled": (),
    "between_tools": (),
}
_ALWAYS_THINKING: Final = frozenset(("fable", "mythos"))
BUDGETS: Final = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16_384,
    "xhigh": 24_576,
    "max": 32_000,
}
"""Tokens to think for, by the hub's efforts, in rising order."""
_MEDIUM: Final = "medium"
_LEAST_BUDGET: Final = 1024
_LEAST_TOP_P_THINKING: Final = 0.95
CHOICE_OF_MODE: Final = {"auto": "auto", "required": "any", "any": "any", "none": "none"}
"""Claude's words for the hub's choices among tools; Converse's are the same."""
NAMED_SCHEMAS: Final = ("properties", "$defs", "definitions")
"""Members of a JSON schema that hold others by their names."""
OPENING: Final = "(The conversation begins here.)"
"""What the user says where a conversation begins with an answer."""
_ANSWER_TOOL: Final = "json_answer"
ANSWER_TOOL_DESCRIPTION: Final = (
    "Gives the answer. Its input is the whole answer: the JSON object that the conversation asks for, with every member"
    " filled in."
)
JSON_INSTRUCTION: Final = "Answer with one JSON object only: no text before or after it, and no code fence around it."


def generation_of(model: str) -> tuple[str, Version] | None:
    """Family and version of a Claude model, whatever host's name for it this is; None of any other model.

    One without a version is the newest, a preview that of which there were previews, an instant one the oldest.
    """
    start = model.find("claude")
    if start < 0:
        return None
    name = model[start:]
    if match := _VERSION_AFTER.match(name):
        return match[1], (int(match[2]), int(match[3] or 0))
    if match := _VERSION_BEFORE.match(name):
        return match[3] or "", (int(match[1]), int(match[2] or 0))
    family = name.split("-")[1] if "-" in name else ""
    return family, _UNVERSIONED.get(family, _PREVIEW if "preview" in name else NEWEST)


def efforts_of(version: Version) -> tuple[str, ...]:
    """The levels of `effort`, none where a model takes none."""
    if version < (4, 6):
        return ()
    return ("low", "medium", "high", "max") if version == (4, 6) else ("low", "medium", "high", "xhigh", "max")


def thinking_off(family: str, version: Version) -> str | None:
    """The `thinking.type` that stops a model from thinking: "" where none is needed, None where nothing does."""
    if family in _ALWAYS_THINKING or (family == "opus" and version >= (5, 5)):
        return None
    if version < (5, 0):
        return ""
    return "between_tools" if family == "sonnet" and version >= (5, 5) else "disabled"


def own_thinking(thinking: Any, off: str | None, *, is_adaptive: bool | None) -> JsonObject | None:
    """Claude's own `thinking` as a client says it, with those members that Claude knows.

    None where it is of no known form, lacks its amount, or is not in the form that the model takes: `off` stops it from
    thinking, as thinking_off says it, and one that `is_adaptive` takes no budget, any other one only that. None is of
    a model of which that is not known.
    """
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if not isinstance(kind, str) or kind not in _MEMBERS_OF_THINKING:
        return None
    own = {name: thinking[name] for name in _MEMBERS_OF_THINKING[kind] if thinking.get(name) is not None}
    match kind:
        case "disabled" if off != "":
            return None
        case "enabled" if is_adaptive or type(own.get("budget_tokens")) is not int:
            return None
        case "adaptive" if is_adaptive is False:
            return None
    return {"type": kind, **own}


def thinking_effort(thinking: Any, effort: str | None) -> str | None:
    """The effort that `thinking`, Claude's own, comes to, where a client wants `effort` as well."""
    match thinking:
        case {"type": "disabled"}:
            return "none"
        case {"type": "enabled" | "adaptive"} if effort in (None, "none"):
            return "medium"
    return effort


def adaptive_thinking(*, hides: bool) -> JsonObject:
    """Thinking whose text is told, also where the model `hides` it unless it is asked."""
    return {"type": "adaptive", "display": "summarized"} if hides else {"type": "adaptive"}


def asked_thinking(
    effort: str | None, budget: int | None, *, off: str | None, is_adaptive: bool, hides: bool, most: int
) -> JsonObject | None:
    """The `thinking` that the hub's `effort` and `budget` come to; None for none of it.

    `off` and `hides` are as for thinking_off and adaptive_thinking. A model that is not adaptive is given a budget of
    `most` tokens at most; where there is no room for the least one, it does not think.
    """
    if effort == "none":
        return {"type": off} if off else None
    if effort not in BUDGETS and budget is None:
        return None
    if is_adaptive:
        return adaptive_thinking(hides=hides)
    tokens = min(max(budget or BUDGETS[effort or _MEDIUM], _LEAST_BUDGET), most)
    return {"type": "enabled", "budget_tokens": tokens} if tokens >= _LEAST_BUDGET else None


def nearest_effort(effort: str | None, levels: tuple[str, ...]) -> str:
    """The one of a model's `levels` that is the nearest to `effort`, from below if there is one; "" of none.

    An effort that the hub does not know is a medium one.
    """
    known = list(BUDGETS)
    wanted = known.index(effort if effort in BUDGETS else _MEDIUM)
    below = [level for level in levels if known.index(level) <= wanted]
    return below[-1] if below else next(iter(levels), "")


def taken_effort(effort: str | None, levels: tuple[str, ...], *, is_always_on: bool) -> str | None:
    """What `effort` is where a model has `levels` of it; None where it is not said, or not taken.

    None at all is the least of a model whose thinking cannot be turned off.
    """
    if effort in BUDGETS and levels:
        return nearest_effort(effort, levels)
    return "low" if effort == "none" and is_always_on else None


def continues_unthinking(
    turns: list[JsonObject], is_use: Callable[[JsonObject], bool], is_thinking: Callable[[JsonObject], bool]
) -> bool:
    """Whether the last answer used tools without thinking, and goes on: with a budget it must have begun by thinking.

    What it thought is lost where a client does not send it back. `is_use` and `is_thinking` tell blocks apart.
    """
    answers = [turn["content"] for turn in turns if turn["role"] == "assistant"]
    if not answers or not any(map(is_use, answers[-1])):
        return False
    return not is_thinking(answers[-1][0])


def drawing(temperature: float | None, top_p: float | None, *, thinks: bool, takes_both: bool) -> dict[str, float]:
    """Those of `temperature` and `top_p` that a model is told which draws tokens as it is asked to.

    Both are 1 at most, OpenAI's temperatures are 2. A model that `thinks` keeps its own temperature, and nearly all of
    `top_p`; unless it `takes_both`, they exclude one another.
    """
    told: dict[str, float] = {}
    if temperature is not None and not thinks:
        told["temperature"] = min(max(temperature, 0), 1)
    is_alone = "temperature" not in told or takes_both
    if top_p is not None and is_alone and (top_p >= _LEAST_TOP_P_THINKING or not thinks):
        told["top_p"] = min(max(top_p, 0), 1)
    return told


def stop_sequences(texts: list[str]) -> list[str]:
    """Those of `texts` that Claude stops at: it refuses white space alone."""
    return [text for text in texts if text.strip()]


def add_to_turns(turns: list[JsonObject], role: str, blocks: list[JsonObject]) -> None:
    """Adds `blocks` to the turn of `role`, which is the last one of `turns` or a new one."""
    if not blocks:
        return
    if not turns or turns[-1]["role"] != role:
        turns.append({"role": role, "content": []})
    turns[-1]["content"] += blocks


def answer_tool_name(body: JsonObject) -> str | None:
    """The name of the tool by which a call for JSON may be answered, other than its own tools'; None for other calls.

    A model that is not given the tool uses none of this name.
    """
    wanted = body.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") in (None, "text"):
        return None
    return unused_tool_name(body, _ANSWER_TOOL)
