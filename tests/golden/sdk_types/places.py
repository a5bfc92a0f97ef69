"""Places that requests go to, what each is sent, and the types that say whether it is valid."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Final, TypeAlias

from dataplane.call import Call
from dataplane.dialects.catalog import CATALOG
from dataplane.ingress.openai import ENDPOINTS
from dataplane.snapshot import Target, Upstream
from tests.fakes.outcomes import UPSTREAM, make_call
from tests.golden.evidence.types import JsonObject
from tests.golden.sdk_types import Sent

Judge: TypeAlias = Callable[[Sent], list[str]]

_OPTIONS: Final = {"vertex-ai": {"project": "some-project", "location": "us-east5"}}
_REGION: Final = "us-east-1"
_BY_PATH: Final = {endpoint.path: endpoint for endpoint in ENDPOINTS}
_CHAT: Final = "chat_completions"
_BETA_HEADER: Final = "anthropic-beta"
_EMBEDDINGS, _COMPLETIONS, _COUNT = "/v1/embeddings", "/v1/completions", "/v1/messages/count_tokens"
_RERANKS: Final = ("/v1/rerank", "/v2/rerank")
_WITHOUT_CHAT: Final = frozenset((_EMBEDDINGS, _COMPLETIONS, *_RERANKS))
_CLAUDES: Final = ("claude-sonnet-4-5", "claude-opus-4-6")
_OLD_CLAUDES: Final = ("claude-3-5-haiku-20241022", "claude-3-7-sonnet-20250219")
_NEW_CLAUDES: Final = ("claude-opus-4-8", "claude-sonnet-5", "claude-opus-5-1")
_BEDROCK: Final = (
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "us.anthropic.claude-3-7-sonnet-20250219-v1:0",
    "us.anthropic.claude-opus-4-8",
    "us.amazon.nova-2-lite-v1:0",
    "openai.gpt-oss-120b-1:0",
    "meta.llama3-8b-instruct-v1:0",
)


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A provider as some models have it: those that chat, one of every kind, and `others` by path.

    `judge` says what is wrong with a request that was sent there.
    """

    name: str
    provider: str
    models: tuple[str, ...]
    judge: Judge = field(repr=False)
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def models_of(self, path: str) -> tuple[str, ...]:
        """Models that answer calls of the gateway's endpoint at `path`; none where it is not offered."""
        models = self.others.get(path, () if path in _WITHOUT_CHAT else self.models)
        name = _BY_PATH[path].name
        paths = CATALOG.providers[self.provider].at(models[0], {}).paths if models else {}
        return models if name in paths or (name == "messages" and _CHAT in paths) else ()

    def speaks(self, path: str) -> bool:
        """Whether calls of the gateway's endpoint at `path` are in the place's own format."""
        row = CATALOG.providers[self.provider].at(self.models[0], {})
        return _BY_PATH[path].format == row.dialect

    def problems(self, path: str, body: JsonObject, model: str) -> list[str]:
        """What is wrong with what the place is sent for a client's `body`. Raises InvalidRequest as the render does."""
        return self.judge(self.render(path, body, model))

    def render(self, path: str, body: JsonObject, model: str) -> Sent:
        """What the place is sent for a client's `body`, whatever model that names. Raises InvalidRequest."""
        endpoint, upstream = _BY_PATH[path], self._upstream()
        is_stream = endpoint.can_stream and body.get("stream") is True
        call = make_call(endpoint=endpoint, body={**body, "model": "some-route"}, stream=is_stream)
        row = CATALOG.providers[self.provider].at(model, upstream.options)
        if endpoint.format != row.dialect:
            call = _in_hub(call)
        request = CATALOG.dialects[row.dialect].render_request(call, Target(upstream, model), row)
        name = _CHAT if endpoint.name == "messages" else endpoint.name
        betas = tuple(filter(None, request.headers.get(_BETA_HEADER, "").split(",")))
        return Sent(name, model, is_stream, json.loads(request.body), None if self.speaks(path) else betas)

    def _upstream(self) -> Upstream:
        options = _OPTIONS.get(self.provider, {})
        return replace(UPSTREAM, provider=self.provider, base_url="", region=_REGION, options=options)


def _in_hub(call: Call) -> Call:
    spoken = CATALOG.formats.get(call.endpoint.format)
    return call if spoken is None else replace(spoken.parse_request(call), is_translated=True)


def _judge(sdk: str, name: str = "problems") -> Judge:
    """The function `name` of the module for `sdk`, which takes seconds to import: that waits for the first request."""

    def judge(sent: Sent) -> list[str]:
        chosen: Judge = getattr(import_module(f"tests.golden.sdk_types.{sdk}"), name)
        return chosen(sent)

    return judge


PLACES: Final = (
    Place(
        "OpenAI",
        "openai",
        ("gpt-4.1", "gpt-5", "gpt-5.4"),
        _judge("openai"),
        {_EMBEDDINGS: ("text-embedding-3-small",), _COMPLETIONS: ("gpt-3.5-turbo-instruct",)},
    ),
    Place("Anthropic", "anthropic", (*_CLAUDES, *_OLD_CLAUDES, *_NEW_CLAUDES), _judge("anthropic")),
    Place("Claude on Vertex AI", "vertex-ai", _CLAUDES, _judge("anthropic", "vertex_problems")),
    Place(
        "Google AI Studio",
        "google-ai-studio",
        ("gemini-2.5-flash", "gemini-3-pro-preview", "gemini-2.0-flash"),
        _judge("genai", "studio_problems"),
        {_EMBEDDINGS: ("gemini-embedding-001",)},
    ),
    Place(
        "Vertex AI",
        "vertex-ai",
        ("gemini-2.5-flash", "gemini-3-pro-preview"),
        _judge("genai", "vertex_problems"),
        {_EMBEDDINGS: ("text-embedding-005", "gemini-embedding-2")},
    ),
    Place(
        "Bedrock",
        "bedrock",
        _BEDROCK,
        _judge("bedrock"),
        {
            _EMBEDDINGS: ("cohere.embed-v4:0",),
            _COUNT: _BEDROCK[:1],
            **dict.fromkeys(_RERANKS, ("cohere.rerank-v3-5:0",)),
        },
    ),
    Place(
        "Cohere",
        "cohere",
        ("command-a-03-2025",),
        _judge("cohere"),
        {_EMBEDDINGS: ("embed-v4.0",), **dict.fromkeys(_RERANKS, ("rerank-v3.5",))},
    ),
    Place(
        "Mistral",
        "mistral",
        ("mistral-large-latest",),
        _judge("mistral"),
        {_EMBEDDINGS: ("mistral-embed",)},
    ),
)
