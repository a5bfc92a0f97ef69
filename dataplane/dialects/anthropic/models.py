"""What the generations of Claude models take, read off a model's name: no list of models has to be kept.

generation                     answer's limit    thinking                          sampling    forced tool  JSON schema
2, 3.0                         4,096             none                              yes         yes          forced tool
3.5                            8,192             none                              yes         yes          forced tool
3.7, Sonnet 4                  64,000            budget                            yes         yes          forced tool
Opus 4, 4.1                    32,000            budget                            yes         yes          forced tool
4.5                            64,000            budget                            yes         yes          native
4.6                            128,000           adaptive, off by default          yes         yes          native
4.7, 4.8                       128,000           adaptive, off by default          no          yes          native
5                              128,000           adaptive, on by default           no          yes          native
5.1 and later                  128,000           adaptive, on by default           no          no           native
any other model                8,192             budget                            yes         yes          forced tool

From 4.1 on, `temperature` and `top_p` exclude one another. Fable, Mythos, and Opus from 5.5 on always think; Sonnet
from 5.5 on thinks between tools at least.
"""

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

_VERSION_AFTER: Final = re.compile(r"claude-([a-z]+)-(\d{1,2})(?!\d)(?:[-.](\d{1,2})(?!\d))?")
_VERSION_BEFORE: Final = re.compile(r"claude-(\d{1,2})(?:[-.](\d))?(?:-([a-z]+))?(?![\d.])")
_ALWAYS_THINKING: Final = frozenset(("fable", "mythos"))
_NEWEST: Final = (5, 5)
_PREVIEW: Final = (5, 0)
_OTHER_LIMIT: Final = 8192


class Thinking(Enum):
    """How a model is told to think."""

    NONE = "none"
    BUDGET = "budget"
    ADAPTIVE = "adaptive"


@dataclass(frozen=True, slots=True)
class ModelTraits:
    """What one model takes; `max_tokens` is the most that it generates, and what is asked for where a call says none.

    `efforts` are the levels of `output_config.effort`, none where it takes none. `off` is the `thinking.type` that
    stops a model from thinking that does by default: "" where none is needed, None where nothing does.
    """

    max_tokens: int
    thinking: Thinking
    efforts: tuple[str, ...] = ()
    off: str | None = ""
    hides_thinking: bool = False
    takes_sampling: bool = True
    takes_both_sampling: bool = True
    takes_forced_tools: bool = True
    has_json_schema: bool = False


@lru_cache(1024)
def model_traits(model: str) -> ModelTraits:
    """What `model` takes, whatever host's name for it this is."""
    found = _generation(model.lower())
    if found is None:
        return ModelTraits(_OTHER_LIMIT, Thinking.BUDGET)
    family, version = found
    if version < (4, 6):
        return ModelTraits(
            _early_limit(family, version),
            Thinking.NONE if version < (3, 7) else Thinking.BUDGET,
            takes_both_sampling=version < (4, 1),
            has_json_schema=version >= (4, 5),
        )
    return ModelTraits(
        128_000,
        Thinking.ADAPTIVE,
        efforts=("low", "medium", "high", "max") if version == (4, 6) else ("low", "medium", "high", "xhigh", "max"),
        off=_off(family, version),
        hides_thinking=version > (4, 6),
        takes_sampling=version == (4, 6),
        takes_both_sampling=False,
        takes_forced_tools=version <= (5, 0),
        has_json_schema=True,
    )


def _generation(model: str) -> tuple[str, tuple[int, int]] | None:
    """Family and version of a Claude model; None of any other. One without a version is the newest."""
    start = model.find("claude")
    if start < 0:
        return None
    name = model[start:]
    if match := _VERSION_AFTER.match(name):
        return match[1], (int(match[2]), int(match[3] or 0))
    if match := _VERSION_BEFORE.match(name):
        return match[3] or "", (int(match[1]), int(match[2] or 0))
    return name.split("-")[1] if "-" in name else "", _PREVIEW if "preview" in name else _NEWEST


def _early_limit(family: str, version: tuple[int, int]) -> int:
    if version < (3, 5):
        return 4096
    if version < (3, 7):
        return 8192
    return 32_000 if family == "opus" and version < (4, 5) else 64_000


def _off(family: str, version: tuple[int, int]) -> str | None:
    if family in _ALWAYS_THINKING or (family == "opus" and version >= (5, 5)):
        return None
    if version < (5, 0):
        return ""
    return "between_tools" if family == "sonnet" and version >= (5, 5) else "disabled"
