"""The types of SDKs find it when the body of a request is changed so that no SDK could send it."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any, Final, TypeAlias

import pytest

from tests.golden.evidence.types import JsonObject
from tests.golden.sdk_types.extras import EMBEDDINGS, EXTRAS, RERANKS
from tests.golden.sdk_types.features import OPENAI
from tests.golden.sdk_types.messages import ANTHROPIC
from tests.golden.sdk_types.places import PLACES, Place

Steps: TypeAlias = tuple[str | int, ...]
CHAT, COUNT, EMBED, RERANK = "/v1/chat/completions", "/v1/messages/count_tokens", "/v1/embeddings", "/v1/rerank"
USED: Final = OPENAI["parallel calls and results"]
GOOD: Final[Mapping[str, JsonObject]] = {
    CHAT: {**USED, "tools": USED["tools"][:1]},
    COUNT: {name: value for name, value in ANTHROPIC["tools"].items() if name != "max_tokens"},
    EMBED: EMBEDDINGS["one text of a list"],
    RERANK: RERANKS["texts"],
}
"""By path: what a client asks, for which every place is sent a good body."""
BY_NAME: Final = {place.name: place for place in PLACES}
COLOUR: Final = ("colour",)
TOOL: Final = ("tools", 0, "function")
MISSING: Final = object()
CHANGES: Final[Mapping[tuple[str, str], tuple[tuple[Steps, object], ...]]] = {
    ("OpenAI", CHAT): (
        (COLOUR, "red"),
        (("messages", 1, "colour"), "red"),
        (("messages", 0, "role"), "boss"),
        ((*TOOL, "name"), MISSING),
        (("tool_choice",), "perhaps"),
        (("seed",), "7"),
    ),
    ("Anthropic", CHAT): (
        (COLOUR, "red"),
        (("messages", 1, "content", 1, "colour"), "red"),
        (("messages", 1, "content", 1, "type"), "tool_abuse"),
        (("tools", 0, "input_schema"), MISSING),
        (("max_tokens",), "7"),
        (("service_tier",), "gold"),
    ),
    ("Claude on Vertex AI", CHAT): (
        (("anthropic_version",), "2023-06-01"),
        (("model",), "claude-sonnet-4-5"),
        (("messages", 1, "content", 1, "colour"), "red"),
    ),
    ("Google AI Studio", CHAT): (
        (COLOUR, "red"),
        (("contents", 1, "parts", 1, "functionCall", "colour"), "red"),
        (("contents", 0, "parts", 0, "text"), 7),
        (("contents",), MISSING),
        (("toolConfig",), {"functionCallingConfig": {"mode": "PERHAPS"}}),
        (("modelArmorConfig",), {"promptTemplateName": "t"}),
    ),
    ("Vertex AI", CHAT): (
        (("tools", 0, "functionDeclarations", 0, "colour"), "red"),
        (("generationConfig",), {"maxOutputTokens": "7"}),
        (("contents", 1, "parts", 1, "functionCall", "partialArgs"), {}),
        (("contents", 2, "parts", 0, "functionResponse", "response"), "12"),
    ),
    ("Bedrock", CHAT): (
        (COLOUR, "red"),
        (("messages", 1, "content", 1, "toolUse", "colour"), "red"),
        (("messages", 1, "content", 1, "toolUse", "name"), "not a name"),
        (("messages", 0, "content", 0), {"image": {"format": "png", "source": {"bytes": "no base64"}}}),
        (("toolConfig", "tools"), MISSING),
        (("inferenceConfig",), {"maxTokens": "7"}),
        (("serviceTier",), {"type": "gold"}),
        (("modelId",), "m"),
        (("additionalModelRequestFields",), {"thinking": {"type": "perhaps"}}),
    ),
    ("Cohere", CHAT): (
        (COLOUR, "red"),
        (("messages", 1, "colour"), "red"),
        ((*TOOL, "colour"), "red"),
        (("stream",), MISSING),
        (("tool_choice",), "PERHAPS"),
        (("temperature",), "0.5"),
    ),
    ("Mistral", CHAT): (
        (COLOUR, "red"),
        (("messages", 1, "colour"), "red"),
        (("messages", 0, "role"), "boss"),
        (("tool_choice",), "perhaps"),
        (("random_seed",), "7"),
    ),
    ("OpenAI", EMBED): ((COLOUR, "red"), (("input",), MISSING), (("dimensions",), "256")),
    ("Mistral", EMBED): ((COLOUR, "red"), (("input",), MISSING)),
    ("Cohere", EMBED): ((COLOUR, "red"), (("input_type",), "poem"), (("embedding_types",), "float")),
    ("Bedrock", EMBED): ((COLOUR, "red"), (("texts",), "a")),
    ("Google AI Studio", EMBED): (
        (("requests", 0, "colour"), "red"),
        (("requests", 0, "content"), "a"),
        (("requests", 0, "model"), "embedder"),
    ),
    ("Vertex AI", EMBED): ((("instances", 0, "content"), {"parts": []}), (("parameters", "colour"), "red")),
    ("Cohere", RERANK): ((COLOUR, "red"), (("documents", 0), {"text": "a"}), (("top_n",), "1")),
    ("Bedrock", RERANK): ((COLOUR, "red"), (("api_version",), MISSING)),
    ("Anthropic", COUNT): ((("max_tokens",), 7), (("messages",), MISSING)),
    ("Claude on Vertex AI", COUNT): ((("model",), MISSING),),
    ("Google AI Studio", COUNT): (
        (("contents",), []),
        (("generateContentRequest", "model"), MISSING),
        (("generateContentRequest", "contents", 0, "colour"), "red"),
    ),
    ("Vertex AI", COUNT): ((("toolConfig",), {}), (("contents", 0, "colour"), "red")),
    ("Bedrock", COUNT): (
        (("input", "converse", "inferenceConfig"), {"maxTokens": 7}),
        (("input", "invokeModel"), {"body": "e30="}),
    ),
}
"""By place and path: where a good body is changed, and what then stands there."""


def changed(body: JsonObject, steps: Steps, value: object) -> JsonObject:
    """`body` with `value` at the end of `steps`."""
    copied = deepcopy(body)
    inner: Any = copied
    for step in steps[:-1]:
        inner = inner[step]
    if value is MISSING:
        del inner[steps[-1]]
    else:
        inner[steps[-1]] = value
    return copied


@pytest.mark.filterwarnings("ignore:PERHAPS is not a valid")
@pytest.mark.parametrize(
    ("place", "path", "steps", "value"),
    [
        pytest.param(BY_NAME[name], path, steps, value, id=f"{name}-{path}-{'.'.join(map(str, steps))}")
        for (name, path), changes in CHANGES.items()
        for steps, value in changes
        if BY_NAME[name].models_of(path)
    ],
)
def test_changed_bodies_are_found(place: Place, path: str, steps: Steps, value: object) -> None:
    sent = place.render(path, GOOD[path], place.models_of(path)[0])
    assert place.judge(sent) == []
    assert place.judge(replace(sent, body=changed(sent.body, steps, value))) != []


def test_every_place_and_endpoint_has_changes_that_are_found() -> None:
    assert {(place.name, path) for place in PLACES for path in GOOD if place.models_of(path)} <= CHANGES.keys()


NAMING_BETAS: Final = (
    *("container and editing", "place and speed", "MCP", "MCP as tools", "compaction", "budget of a task", "computer"),
)


@pytest.mark.parametrize("name", ["Anthropic", "Claude on Vertex AI"])
@pytest.mark.parametrize("feature", NAMING_BETAS)
def test_betas_that_are_not_named_are_found_missing(name: str, feature: str) -> None:
    sent = BY_NAME[name].render(CHAT, EXTRAS[name][feature], "claude-opus-4-6")
    assert BY_NAME[name].judge(sent) == []
    assert BY_NAME[name].judge(replace(sent, betas=())) != []
    assert BY_NAME[name].judge(replace(sent, betas=(*(sent.betas or ()), "made-up-2026-01-01"))) != []
