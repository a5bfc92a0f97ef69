"""Every request that goes to a provider is one that the provider's own SDK could send, by the types of that SDK."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeAlias

import pytest

from dataplane.errors import InvalidRequest
from tests.golden.cases import Case, read_cases
from tests.golden.evidence.types import JsonObject
from tests.golden.recordings import FOLDER
from tests.golden.sdk_types import Sent
from tests.golden.sdk_types.extras import COMPLETIONS, EMBEDDINGS, EXTRAS, RERANKS
from tests.golden.sdk_types.features import BEYOND, OPENAI
from tests.golden.sdk_types.messages import ANTHROPIC
from tests.golden.sdk_types.places import PLACES, Place
from tests.golden.sdk_types.refusals import (
    CHAT,
    CLAUDE_HOSTS,
    COUNT,
    GEMINI_HOSTS,
    MESSAGES,
    REFUSED,
    refused_recordings,
)

TEXT, EMBED, RERANK = "/v1/completions", "/v1/embeddings", "/v1/rerank"
PATHS: Final = (CHAT, MESSAGES, COUNT, TEXT, EMBED, RERANK)
COUNTED: Final = ("messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control")
IN_OPENAIS_WORDS: Final = {CHAT: "chat_completions", TEXT: "completions", EMBED: "embeddings"}
OWN: Final = {
    "OpenAI": ("openai.", "azure_openai."),
    "Anthropic": ("anthropic.",),
    "Claude on Vertex AI": ("anthropic.",),
}
"""Beginnings of the apis whose recorded requests are in a place's own words."""
CLAUDE: Final = (*CLAUDE_HOSTS, "Bedrock")
SAMPLING: Final = r"(additionalModelRequestFields\.)?(temperature|top_p|top_k): Extra inputs .*"
DRAWING_CLAUDES: Final = r".*claude-(?:3-[57]-|sonnet-4-5|opus-4-6).*"
"""Models that can be told how to draw tokens; later ones refuse it."""
BY_NAME: Final = {place.name: place for place in PLACES}
OFFERED: Final = [
    pytest.param(place, path, id=f"{place.name}-{path}") for place in PLACES for path in PATHS if place.models_of(path)
]


@dataclass(frozen=True, slots=True)
class Deviation:
    """Problems that `form` matches, at some places, of calls of some of the gateway's endpoints to some models."""

    places: tuple[str, ...]
    paths: tuple[str, ...]
    models: str
    form: str
    reason: str


MEANT: Final = (
    Deviation(
        CLAUDE,
        (CHAT,),
        DRAWING_CLAUDES,
        SAMPLING,
        "the types are those of the newest models, and earlier ones are still told how to draw tokens",
    ),
    Deviation(("Bedrock",), (MESSAGES,), DRAWING_CLAUDES, SAMPLING, "the same of what is translated"),
    Deviation(
        CLAUDE_HOSTS, (MESSAGES,), r".*", SAMPLING, "what a client says in Claude's own format passes value for value"
    ),
    Deviation(
        ("OpenAI",),
        (CHAT,),
        r".*",
        r"(thinking|reasoning|top_k): Extra inputs .*"
        r"|messages\.\d+\.(annotations|name|tool_calls\.\d+\.extra_content): Extra inputs .*"
        r"|messages\.\d+\.content: Input should be a valid string",
        "what a client says to OpenAI in OpenAI's own format is passed on",
    ),
    Deviation(
        GEMINI_HOSTS,
        (CHAT, MESSAGES, COUNT),
        r"gemini-3-pro-preview",
        r"(generateContentRequest\.)?generationConfig\.thinkingConfig\.thinkingLevel: Input should be .*"
        r", not '(?:minimal|low|medium|high)'",
        "levels of thinking are told in lower case, as they are documented and recorded",
    ),
)
"""What the types do not say, and is to be sent."""


def features(place: Place, path: str) -> dict[str, JsonObject]:
    """What clients may ask of `place` at the gateway's endpoint at `path`, by names."""
    match path:
        case "/v1/chat/completions":
            streamed = {**OPENAI["parallel calls and results"], "stream": True}
            return {**OPENAI, **BEYOND, **EXTRAS.get(place.name, {}), "stream": streamed}
        case "/v1/messages":
            return {**ANTHROPIC, "stream": {**ANTHROPIC["results"], "stream": True}}
        case "/v1/messages/count_tokens":
            return {name: {n: v for n, v in body.items() if n in COUNTED} for name, body in ANTHROPIC.items()}
        case "/v1/completions":
            return dict(COMPLETIONS)
    return dict(EMBEDDINGS if path == EMBED else RERANKS)


@cache
def asked() -> Mapping[str, Mapping[str, Case]]:
    """The recordings, by the path of the gateway's endpoint and, once for every different request there, by it."""
    by_path: dict[str, dict[str, Case]] = defaultdict(dict)
    for case in read_cases(FOLDER):
        ask = case.ask()
        by_path[ask.path].setdefault(json.dumps(ask.body), case)
    return by_path


def is_said_to(place: Place, case: Case) -> bool:
    """Whether what a client says is meant for `place`, where it is not translated: in its own words, or OpenAI's."""
    ask = case.ask()
    if not place.speaks(ask.path):
        return True
    if place.name in OWN:
        return case.recording.status < 400 and case.recording.api.startswith(OWN[place.name])
    return not BY_NAME["OpenAI"].judge(Sent(IN_OPENAIS_WORDS[ask.path], case.model, ask.is_stream, ask.body))


Found: TypeAlias = Mapping[tuple[str, str], list[str]]
"""What is wrong with what was sent, by the name of what was asked for, and by the model."""


def problems_of(place: Place, path: str, models: Sequence[str], bodies: Mapping[str, JsonObject]) -> Found:
    """What is wrong with what `models` are sent for `bodies`; what they are not sent is left out."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, body in bodies.items():
        for model in models:
            with suppress(InvalidRequest):
                found[name, model] = place.problems(path, body, model)
    return found


@cache
def problems_of_features(place: Place, path: str) -> Found:
    return problems_of(place, path, place.models_of(path), features(place, path))


@cache
def said_to(place: Place, path: str) -> dict[str, JsonObject]:
    """The recorded bodies that are meant for `place`, by the ids of their recordings."""
    return {case.recording.id: case.ask().body for case in asked()[path].values() if is_said_to(place, case)}


@cache
def problems_of_recordings(place: Place, path: str) -> Found:
    return problems_of(place, path, place.models_of(path)[:1], said_to(place, path))


def explains(deviation: Deviation, place: Place, path: str, model: str, problem: str) -> bool:
    is_there = place.name in deviation.places and path in deviation.paths
    is_there = is_there and re.fullmatch(deviation.models, model) is not None
    return is_there and re.fullmatch(deviation.form, problem) is not None


def unexplained(place: Place, path: str, found: Found) -> Found:
    """Those problems that no deviation explains."""
    left = {
        (name, model): [p for p in problems if not any(explains(d, place, path, model, p) for d in MEANT)]
        for (name, model), problems in found.items()
    }
    return {asked_of: problems for asked_of, problems in left.items() if problems}


def is_refused(place: Place, path: str, body: JsonObject) -> bool:
    """Whether any model of `place` is not sent `body`."""
    try:
        for model in place.models_of(path):
            place.render(path, body, model)
    except InvalidRequest:
        return True
    return False


@pytest.mark.parametrize(("place", "path"), OFFERED)
def test_features_are_sent_as_the_sdk_could_send_them(place: Place, path: str) -> None:
    assert unexplained(place, path, problems_of_features(place, path)) == {}


@pytest.mark.parametrize(("place", "path"), OFFERED)
def test_recorded_requests_are_sent_as_the_sdk_could_send_them(place: Place, path: str) -> None:
    found = problems_of_recordings(place, path)
    assert said_to(place, path).keys() - {name for name, _ in found} == refused_recordings(place.name, path)
    assert unexplained(place, path, found) == {}


@pytest.mark.parametrize("deviation", [pytest.param(d, id=d.reason) for d in MEANT])
def test_deviations_that_are_written_down_are_there(deviation: Deviation) -> None:
    for name in deviation.places:
        place = BY_NAME[name]
        found = [
            problem
            for path in deviation.paths
            for by_name in (problems_of_features(place, path), problems_of_recordings(place, path))
            for (_, model), problems in by_name.items()
            for problem in problems
            if explains(deviation, place, path, model, problem)
        ]
        assert found, f"{name} is not sent this any more: take it out of the table"


@pytest.mark.parametrize("place", [pytest.param(place, id=place.name) for place in PLACES])
def test_only_what_a_place_has_nothing_for_is_refused(place: Place) -> None:
    paths = [path for path in PATHS if place.models_of(path)]
    refused = {n for path in paths for n, body in features(place, path).items() if is_refused(place, path, body)}
    assert refused == REFUSED[place.name]
