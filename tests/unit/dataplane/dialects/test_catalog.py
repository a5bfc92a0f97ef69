"""The catalog: where calls of each provider go, and a provider that is added with nothing but a row."""

import json
import re

import pytest

from dataplane.call import Endpoint
from dataplane.dialects.base import Catalog, ProviderSpec, SseEvent
from dataplane.dialects.catalog import CATALOG, DIALECTS, PROVIDERS
from dataplane.dialects.requests import upstream_request
from dataplane.errors import InvalidRequest
from dataplane.snapshot import Secret, Target, Upstream
from dataplane.upstream.sse import SseDecoder
from tests.fakes.outcomes import CHAT, make_call
from tollway.resources.catalog.row import Case

MESSAGES = Endpoint("messages", "/v1/messages", "chat", True, "anthropic")
EMBEDDINGS = Endpoint("embeddings", "/v1/embeddings", "embeddings", False)
RERANK = Endpoint("rerank", "/v1/rerank", "rerank", False)


def target(provider: str, model: str = "m", base_url: str = "", region: str = "", **options: str) -> Target:
    return Target(Upstream("upstreams/u", "u", provider, base_url, region, {}, (), None, options, Secret("key")), model)


def placed(sent_to: Target, endpoint: Endpoint = CHAT, *, stream: bool = False) -> tuple[str, dict[str, str]]:
    """URL and headers of a call to a target, as any dialect makes them."""
    row = PROVIDERS[sent_to.upstream.provider].at(sent_to.model, sent_to.upstream.options)
    request = upstream_request(make_call(endpoint=endpoint, stream=stream), sent_to, row, {})
    return request.url, request.headers


@pytest.mark.parametrize(
    ("sent_to", "url"),
    [
        (target("openai"), "https://api.openai.com/v1/chat/completions"),
        (target("mistral"), "https://api.mistral.ai/v1/chat/completions"),
        (target("together"), "https://api.together.xyz/v1/chat/completions"),
        (target("groq"), "https://api.groq.com/openai/v1/chat/completions"),
        (target("deepseek"), "https://api.deepseek.com/chat/completions"),
        (target("xai"), "https://api.x.ai/v1/chat/completions"),
        (target("fireworks"), "https://api.fireworks.ai/inference/v1/chat/completions"),
        (target("perplexity"), "https://api.perplexity.ai/chat/completions"),
        (target("openrouter"), "https://openrouter.ai/api/v1/chat/completions"),
        (target("huggingface"), "https://router.huggingface.co/v1/chat/completions"),
        (target("nvidia-nim"), "https://integrate.api.nvidia.com/v1/chat/completions"),
        (target("cerebras"), "https://api.cerebras.ai/v1/chat/completions"),
        (target("cohere"), "https://api.cohere.com/v2/chat"),
        (target("anthropic"), "https://api.anthropic.com/v1/messages"),
        (target("ollama", base_url="http://o:11434/v1"), "http://o:11434/v1/chat/completions"),
        (target("google-ai-studio"), "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent"),
        (
            target("bedrock", "us.anthropic.claude-v1:0", region="eu-west-1"),
            "https://bedrock-runtime.eu-west-1.amazonaws.com/model/us.anthropic.claude-v1%3A0/converse",
        ),
        (
            target("vertex-ai", "gemini-x", project="p", location="europe-west4"),
            "https://europe-west4-aiplatform.googleapis.com/v1/projects/p/locations/europe-west4"
            "/publishers/google/models/gemini-x:generateContent",
        ),
        (
            target("vertex-ai", "gemini-x", project="p", location="global"),
            "https://aiplatform.googleapis.com/v1/projects/p/locations/global"
            "/publishers/google/models/gemini-x:generateContent",
        ),
        (
            target("vertex-ai", "claude-x", project="p", location="global"),
            "https://aiplatform.googleapis.com/v1/projects/p/locations/global"
            "/publishers/anthropic/models/claude-x:rawPredict",
        ),
        (
            target("azure-openai", base_url="https://r.openai.azure.com"),
            "https://r.openai.azure.com/openai/v1/chat/completions",
        ),
        (
            target("azure-openai", "my gpt", "https://r.openai.azure.com", api_version="2024-10-21"),
            "https://r.openai.azure.com/openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21",
        ),
    ],
)
def test_where_calls_go(sent_to: Target, url: str) -> None:
    assert placed(sent_to)[0] == url


@pytest.mark.parametrize(
    ("sent_to", "endpoint", "end"),
    [
        (target("google-ai-studio"), CHAT, "/models/m:streamGenerateContent?alt=sse"),
        (target("bedrock", region="eu-west-1"), CHAT, "/model/m/converse-stream"),
        (target("vertex-ai", "claude-x", project="p", location="global"), MESSAGES, "/claude-x:streamRawPredict"),
        (target("anthropic"), MESSAGES, "/v1/messages"),
    ],
)
def test_where_streams_go(sent_to: Target, endpoint: Endpoint, end: str) -> None:
    assert placed(sent_to, endpoint, stream=True)[0].endswith(end)


@pytest.mark.parametrize("provider", ["cohere", "together", "fireworks", "voyage", "jina"])
def test_where_rankings_go(provider: str) -> None:
    assert placed(target(provider), RERANK)[0].endswith("/rerank")
    assert "embed" in placed(target(provider), EMBEDDINGS)[0]


@pytest.mark.parametrize(
    ("sent_to", "endpoint", "end"),
    [
        (target("bedrock", "cohere.rerank-v3-5:0", region="eu-west-1"), RERANK, "/model/cohere.rerank-v3-5%3A0/invoke"),
        *(
            (target("vertex-ai", model, project="p", location="global"), EMBEDDINGS, f"/{model}:{method}")
            for model, method in (
                ("text-embedding-005", "predict"),
                ("gemini-embedding-001", "predict"),
                ("gemini-embedding-2", "embedContent"),
                ("gemini-embedding-001-next", "embedContent"),
            )
        ),
    ],
)
def test_where_other_calls_go(sent_to: Target, endpoint: Endpoint, end: str) -> None:
    assert placed(sent_to, endpoint)[0].endswith(end)


@pytest.mark.parametrize(
    ("sent_to", "header", "value"),
    [
        (target("openai"), "authorization", "Bearer key"),
        (target("azure-openai", base_url="https://r"), "api-key", "key"),
        (target("anthropic"), "x-api-key", "key"),
        (target("google-ai-studio"), "x-goog-api-key", "key"),
    ],
)
def test_how_the_credential_goes(sent_to: Target, header: str, value: str) -> None:
    headers = placed(sent_to)[1]
    assert headers[header] == value
    assert sum("key" in value for value in headers.values()) == 1


def test_what_is_signed_carries_no_secret() -> None:
    for sent_to in (target("bedrock", region="r"), target("vertex-ai", project="p", location="l")):
        assert PROVIDERS[sent_to.upstream.provider].credentials
        assert "key" not in "".join(placed(sent_to)[1].values())


def test_one_provider_may_speak_two_dialects() -> None:
    vertex = PROVIDERS["vertex-ai"]
    assert [vertex.at(model, {}).dialect for model in ("gemini-x", "claude-sonnet-4-5@20250929")] == [
        "gemini",
        "anthropic",
    ]
    assert vertex.at("claude-x", {}).traits == {"vertex"}
    assert vertex.at("claude-x", {}) is vertex.at("claude-y", {})
    assert not vertex.at("claude-x", {}).cases


def test_every_dialect_of_a_row_is_spoken() -> None:
    named = {named for row in PROVIDERS.values() for named in (row.dialect, *(case.dialect for case in row.cases))}
    assert named - {""} == CATALOG.dialects.keys()
    assert CATALOG.formats.keys() <= CATALOG.dialects.keys()


def test_azure_may_take_tokens_of_entra_for_its_key() -> None:
    entra = target("azure-openai", base_url="https://r", auth="entra")
    assert PROVIDERS["azure-openai"].at("m", entra.upstream.options).credentials == "azure"
    assert "api-key" not in placed(entra)[1]


ACME = ProviderSpec(
    "acme",
    base_url="https://api.acme.example/v9",
    auth=("x-acme", "Token "),
    options={"zone": "z1"},
    paths={"chat_completions": "/{zone}/chat"},
    drop=frozenset({"logit_bias"}),
    rename={"seed": "luck"},
    values={"tool_choice": {"required": "must"}},
    traits=frozenset({"system_role"}),
    cases=(Case(models=re.compile("acme-think.*"), drop=frozenset({"temperature"})),),
)


def test_provider_that_is_one_row_is_spoken_to_and_understood() -> None:
    catalog = Catalog({**PROVIDERS, "acme": ACME}, DIALECTS, {})
    there = target("acme", "acme-think-1")
    row = catalog.providers["acme"].at(there.model, there.upstream.options)
    dialect = catalog.dialects[row.dialect]
    body = {
        "model": "smart",
        "messages": [{"role": "developer", "content": "x"}],
        "seed": 1,
        "temperature": 1,
        "logit_bias": {},
        "tool_choice": "required",
        "unknown": 5,
    }
    call = make_call(body=body, stream=True)
    request = dialect.render_request(call, there, row)
    assert request.url == "https://api.acme.example/v9/z1/chat"
    assert request.headers["x-acme"] == "Token key"
    assert json.loads(request.body) == {
        "model": "acme-think-1",
        "messages": [{"role": "system", "content": "x"}],
        "luck": 1,
        "tool_choice": "must",
        "unknown": 5,
        "stream_options": {"include_usage": True},
    }
    parser, decoder = dialect.stream_parser(call), SseDecoder()
    stream = (
        b'data: {"id":"a","choices":[{"index":0,"delta":{"reasoning":"hm"}}]}\n\n'
        b'data: {"id":"a","choices":[{"index":0,"delta":{"content":"42"},"finish_reason":"eos"}],'
        b'"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n'
    )
    events: list[SseEvent] = list(decoder.feed(stream))
    frames = [frame for event in events for frame in parser.feed(event)]
    assert list(parser.finish()) == []
    first, last = (json.loads(frame.data)["choices"][0] for frame in frames)
    assert first["delta"] == {"role": "assistant", "reasoning": "hm", "reasoning_content": "hm"}
    assert (last["delta"], last["finish_reason"]) == ({"content": "42"}, "stop")
    assert frames[-1].usage is not None
    assert (frames[-1].usage.input, frames[-1].usage.output) == (3, 2)


@pytest.mark.parametrize("model", [".", ".."])
@pytest.mark.parametrize(
    ("provider", "base_url"), [("google-ai-studio", ""), ("openai", "https://h.example/a/{model}/v1")]
)
def test_models_that_would_change_the_address_are_refused(model: str, provider: str, base_url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        placed(target(provider, model, base_url))
    assert (caught.value.error_code, caught.value.param) == ("invalid_value", "model")
    assert placed(target(provider, f"{model}a", base_url))[0]
    assert placed(target("openai", model))[0] == "https://api.openai.com/v1/chat/completions"
