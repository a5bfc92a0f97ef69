"""What the models that Bedrock serves take, read off a model's id: no list of models has to be kept.

models                        reasoning              sampling       forced tool  JSON schema         cache points
Claude to 3.6                 none                   yes            yes          forced tool         yes
Claude 3.7 to 4.1             budget                 yes            yes          forced tool         yes
Claude 4.5                    budget                 one of the two yes          native              yes
Claude 4.6                    adaptive, effort       one of the two yes          native              yes
Claude 4.7, 4.8               adaptive, effort       no             yes          forced tool         yes
Claude 5                      adaptive by default    no             yes          forced tool         yes
Claude 5.1 and later          adaptive by default    no             no           none                yes
Nova 1; Nova 2                none; effort           yes            yes          forced tool         not in tools
gpt-oss                       effort                 yes            yes          native              no
GPT 5 and later               effort, or none        nor stops      yes          forced tool         no
Qwen                          low or high            yes            yes          native from 3 on    no
Llama, Titan                  none                   yes            no           none                no
any other known vendor's      none                   yes            yes          some native         no
an id that tells no vendor    none                   yes            yes          forced tool         yes
"""

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

from dataplane.dialects.claude import NEWEST, Version, efforts_of, generation_of, thinking_off

_VENDOR: Final = re.compile(
    r"(?:^|[./])(ai21|amazon|anthropic|cohere|deepseek|google|meta|minimax|mistral|moonshot(?:ai)?|nvidia|openai|qwen"
    r"|twelvelabs|writer|zai)\."
)
_GEOGRAPHY: Final = re.compile(r"^(?:us|eu|apac|jp|au|ca|global|us-gov)\.")
_SCHEMA_MODELS: Final = re.compile(
    r"qwen3|deepseek\.v3|gemma-3|minimax-m2|magistral|ministral|mistral-large-3|voxtral|kimi-k2|nemotron|gpt-oss"
)
_OPEN_GPT: Final = "gpt-oss"
_UNFORCEABLE: Final = frozenset(("meta",))
_SCHEMA_CLAUDES: Final[tuple[Version, ...]] = ((4, 5), (4, 6))
"""Newer ones are behind a copy of their API that knows neither schemas of answers nor strict tools."""
_NO_LEVELS: Final[tuple[str, ...]] = ()


class Reasoning(Enum):
    """How a model is told to reason."""

    NONE = "none"
    BUDGET = "budget"
    ADAPTIVE = "adaptive"
    NOVA = "nova"
    EFFORT = "effort"
    GPT = "gpt"
    QWEN = "qwen"


@dataclass(frozen=True, slots=True)
class ModelTraits:
    """What one model takes; `vendor` is "" where its id tells none.

    `efforts` are its levels of reasoning, none where it has none. `off` is the `thinking.type` that stops a Claude
    model from thinking that does by default: "" where none is needed, None where nothing does. One that
    `takes_one_call` can be told to make one call at a time.
    """

    vendor: str
    reasoning: Reasoning = Reasoning.NONE
    efforts: tuple[str, ...] = ()
    off: str | None = ""
    hides_thinking: bool = False
    takes_sampling: bool = True
    takes_both_sampling: bool = True
    takes_stops: bool = True
    takes_forced_tools: bool = True
    takes_one_call: bool = False
    has_json_schema: bool = False
    has_cache_points: bool = False
    is_claude: bool = False


def base_model(model: str) -> str:
    """`model` without the geography of a cross-region profile."""
    return _GEOGRAPHY.sub("", model)


@lru_cache(1024)
def model_traits(model: str) -> ModelTraits:
    """What `model`, an id or an ARN of any kind, takes."""
    name = model.lower()
    claude = generation_of(name)
    if claude is not None:
        return _claude(*claude)
    found = _VENDOR.search(name)
    vendor = found[1] if found else ""
    if not vendor:
        return ModelTraits("", has_cache_points=True)
    if vendor == "amazon":
        return _amazon(name)
    if vendor == "anthropic":
        return _claude("", NEWEST)
    reasoning, efforts = Reasoning.NONE, _NO_LEVELS
    is_gpt = vendor == "openai" and _OPEN_GPT not in name
    if is_gpt:
        reasoning, efforts = Reasoning.GPT, ("low", "medium", "high", "xhigh")
    elif vendor == "openai":
        reasoning, efforts = Reasoning.EFFORT, ("low", "medium", "high")
    elif vendor == "qwen":
        reasoning, efforts = Reasoning.QWEN, ("low", "high")
    return ModelTraits(
        vendor,
        reasoning,
        efforts,
        takes_sampling=not is_gpt,
        takes_stops=not is_gpt,
        takes_forced_tools=vendor not in _UNFORCEABLE,
        has_json_schema=_SCHEMA_MODELS.search(name) is not None,
    )


def _amazon(name: str) -> ModelTraits:
    is_nova = "nova" in name
    reasons = "nova-2" in name
    return ModelTraits(
        "amazon",
        Reasoning.NOVA if reasons else Reasoning.NONE,
        ("low", "medium", "high") if reasons else _NO_LEVELS,
        takes_forced_tools=is_nova,
        has_cache_points=is_nova,
    )


def _claude(family: str, version: Version) -> ModelTraits:
    early = version < (4, 6)
    reasoning = Reasoning.ADAPTIVE
    if early:
        reasoning = Reasoning.NONE if version < (3, 7) else Reasoning.BUDGET
    return ModelTraits(
        "anthropic",
        reasoning,
        efforts_of(version),
        off=thinking_off(family, version),
        hides_thinking=version > (4, 6),
        takes_sampling=version <= (4, 6),
        takes_both_sampling=version < (4, 1),
        takes_forced_tools=version <= (5, 0),
        takes_one_call=version in _SCHEMA_CLAUDES or version >= (5, 0),
        has_json_schema=version in _SCHEMA_CLAUDES,
        has_cache_points=True,
        is_claude=True,
    )
