"""Generations of Claude models, read off a name wherever they are served: no list of models has to be kept. Pure."""

import re
from typing import Any, Final, TypeAlias

from dataplane.call import JsonObject

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
