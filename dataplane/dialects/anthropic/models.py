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

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

from dataplane.dialects.claude import Version, efforts_of, generation_of, thinking_off

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
    found = generation_of(model.lower())
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
        efforts=efforts_of(version),
        off=thinking_off(family, version),
        hides_thinking=version > (4, 6),
        takes_sampling=version == (4, 6),
        takes_both_sampling=False,
        takes_forced_tools=version <= (5, 0),
        has_json_schema=True,
    )


def _early_limit(family: str, version: Version) -> int:
    if version < (3, 5):
        return 4096
    if version < (3, 7):
        return 8192
    return 32_000 if family == "opus" and version < (4, 5) else 64_000
