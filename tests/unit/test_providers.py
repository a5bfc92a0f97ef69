"""What admins may name and what data planes can speak is one list, and its rows are sound."""

import re
from pathlib import Path

import pytest
import yaml
from genai_prices.data import providers as catalog_providers

from dataplane.dialects import catalog
from tollway.admin.v1.upstreams_pb2 import Upstream
from tollway.resources.catalog import ROWS
from tollway.resources.catalog.row import placeholders
from tollway.resources.manifests import read_closed_set
from tollway.resources.providers import PROVIDERS, ProviderRow, canonical_provider, nearest_option, provider_names
from tollway.resources.validate import validate_upstream

GUIDE = Path("docs/providers.md").read_text()
NAMED = [
    *(
        "openai",
        "azure-openai",
        "anthropic",
        "google-ai-studio",
        "vertex-ai",
        "bedrock",
        "cohere",
        "mistral",
        "together",
    ),
    *("groq", "deepseek", "xai", "fireworks", "perplexity", "openrouter", "huggingface", "ollama", "vllm", "sglang"),
    *("llama-cpp", "nvidia-nim", "cerebras", "databricks", "openai-compatible", "sim", "voyage", "jina"),
]


def test_both_planes_know_the_same_providers() -> None:
    assert catalog.PROVIDERS is PROVIDERS
    assert len(PROVIDERS) == len(ROWS) == len(NAMED)
    assert {canonical_provider(name) for name in NAMED} == set(PROVIDERS)
    assert provider_names().split(", ") == sorted(PROVIDERS)


@pytest.mark.parametrize("name", NAMED)
def test_names_may_be_spelled_with_either_dash(name: str) -> None:
    row = PROVIDERS[name]
    for spelling in (name.replace("-", "_"), name.replace("_", "-"), name.replace("llama-cpp", "llama.cpp")):
        assert PROVIDERS[spelling] is row
        assert canonical_provider(spelling) == row.name


def test_names_that_are_none_stay_what_they_are() -> None:
    assert canonical_provider("acme_x") == "acme_x"
    assert "acme" not in PROVIDERS
    assert canonical_provider("openai-compatible") == "openai_compatible"


@pytest.mark.parametrize(
    ("name", "option"),
    [("project", "project"), ("projectId", "project"), ("apiVersion", "api_version"), ("region", ""), ("", "")],
)
def test_options_of_any_provider_are_known_by_names_like_theirs(name: str, option: str) -> None:
    assert nearest_option(name) == option


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_rows_are_sound(row: ProviderRow) -> None:
    """Every name in braces can be given, and a provider without an address takes one from its upstreams."""
    for case in (row, *(row.at("claude-x", {case.option: case.value or "x"}) for case in row.cases)):
        names = {name for path in (case.base_url, *case.paths.values()) for name in placeholders(path)}
        assert names <= {"model", "region", *row.options}
        assert all(path.startswith("/") for path in case.paths.values())
        assert not (case.needs_secret and case.credentials)
    assert not any(url.endswith("/") for url in (row.base_url, *row.homes))
    assert not (row.base_url and row.homes)
    assert row.base_url or row.homes or not row.needs_secret
    assert row.forms.keys() - {"region", "secret"} == row.options.keys()
    named = {*row.needs, *(name for names in (*row.needs.values(), *row.apart) for name in names)}
    assert named <= {"", "signed", "region", "secret", *row.options}


def test_prices_are_those_of_the_catalog() -> None:
    known = {provider.id for provider in catalog_providers}
    assert {row.catalog_id for row in ROWS if row.catalog_id} <= known
    assert {row.name for row in ROWS if not row.catalog_id} == {
        *("huggingface", "ollama", "vllm", "sglang", "llama-cpp", "nvidia-nim", "jina", "openai_compatible", "sim"),
    }


@pytest.mark.parametrize(
    ("name", "base_url", "region", "options", "missing"),
    [
        ("openai", "", "", {}, []),
        ("bedrock", "", "", {}, ["region"]),
        ("bedrock", "", "eu-west-1", {}, []),
        ("vertex-ai", "", "", {"project": "p"}, ["location"]),
        ("vertex-ai", "", "", {"project": "p", "location": "global"}, []),
        ("vertex-ai", "", "", {"location": "eu"}, ["project"]),
        ("vertex-ai", "https://proxy.example/v1", "", {}, []),
        ("azure-openai", "https://r", "", {}, []),
        ("azure-openai", "https://r", "", {"api_version": "2024-10-21"}, []),
    ],
)
def test_what_an_upstream_must_still_say(
    name: str, base_url: str, region: str, options: dict[str, str], missing: list[str]
) -> None:
    assert PROVIDERS[name].missing(base_url, region, options) == missing


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("europe-west4", "{location}-aiplatform.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
        ("us", "aiplatform.{location}.rep.googleapis.com"),
        ("eu", "aiplatform.{location}.rep.googleapis.com"),
    ],
)
def test_locations_of_vertex_have_hosts_of_their_own(location: str, host: str) -> None:
    for model in ("gemini-x", "claude-x"):
        row = PROVIDERS["vertex-ai"].at(model, {"project": "p", "location": location})
        assert row.base_url == f"https://{host}/v1/projects/{{project}}/locations/{{location}}"


@pytest.mark.parametrize(
    ("name", "base_url", "options", "repeated"),
    [
        ("azure-openai", "https://r/openai/v1", {}, "/openai/v1"),
        ("azure-openai", "https://r/openai/v1/", {}, "/openai/v1"),
        ("azure-openai", "https://r/openai", {}, "/openai"),
        ("azure-openai", "https://r/openai", {"api_version": "1"}, "/openai"),
        ("azure-openai", "https://r", {}, ""),
        ("azure-openai", "https://r/openai/deployments/gpt-4o", {}, "/openai/deployments/gpt-4o"),
        ("azure-openai", "https://r/openai/v1/embeddings", {"api_version": "1"}, "/openai/v1/embeddings"),
        ("google-ai-studio", "https://r/v1beta/models/g:countTokens", {}, "/models/g:countTokens"),
        (
            "vertex-ai",
            "https://r/publishers/anthropic/models/c:rawPredict",
            {},
            "/publishers/anthropic/models/c:rawPredict",
        ),
        ("openai", "https://r/chat", {}, ""),
        ("openai", "https://r/v1/chat/completions", {}, "/chat/completions"),
        ("anthropic", "https://proxy.example/v1", {}, "/v1"),
        ("anthropic", "https://api.anthropic.com", {}, ""),
        ("openai", "https://proxy.example/v1", {}, ""),
        ("databricks", "https://w.example/serving-endpoints/llm/invocations", {}, "/llm/invocations"),
        ("mistral", "https://proxy.example/v1/fim/completions", {}, "/fim/completions"),
    ],
)
def test_base_urls_must_not_end_as_paths_begin(
    name: str, base_url: str, options: dict[str, str], repeated: str
) -> None:
    assert PROVIDERS[name].repeated_path(base_url, options) == repeated


@pytest.mark.parametrize(
    ("upstream", "fields"),
    [
        (Upstream(provider="bedrock"), ["region"]),
        (Upstream(provider="vertex-ai", options={"project": "p"}), ["options.location"]),
        (Upstream(provider="vertex_ai", options={"project": "p", "location": "global"}), []),
        (Upstream(provider="azure-openai"), ["base_url", "secret"]),
        (Upstream(provider="databricks"), ["base_url", "secret"]),
        (Upstream(provider="azure-openai", base_url="https://r.svc/openai/v1"), ["base_url"]),
        (Upstream(provider="azure_openai", base_url="https://r.svc", options={"api_version": "2024-10-21"}), []),
        (Upstream(provider="llama.cpp", base_url="http://l.example/v1"), []),
        (Upstream(provider="groq"), ["secret"]),
        (Upstream(provider="ollama", base_url="http://o.example/v1", options={"project": "p"}), ["options.project"]),
    ],
)
def test_upstreams_say_what_their_provider_needs(upstream: Upstream, fields: list[str]) -> None:
    upstream.name = "upstreams/u"
    assert [violation.field for violation in validate_upstream(upstream)] == fields


def test_the_guide_lists_every_provider_and_what_it_serves() -> None:
    section = GUIDE.partition("\n## Which there are\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:] for line in section.splitlines() if re.match(r"\| `", line)]
    told = {name: cells for cells in rows for name in re.findall(r"`([^`]+)`", cells[0])}
    assert told.keys() == PROVIDERS.keys()
    for name, cells in told.items():
        row, needed = PROVIDERS[name], set(re.findall(r"`(\w+)`", cells[1]))
        assert ("secret" in needed) is row.needs_secret
        assert needed >= {*row.missing("", "", {}), *(() if row.base_url else ("base_url",))}
        offered = {"chat_completions": cells[2], "completions": cells[3], "embeddings": cells[4], "rerank": cells[5]}
        served = {endpoint for endpoint, cell in offered.items() if cell.strip() == "yes"}
        assert served == offered.keys() & row.paths.keys()


def test_manifests_of_the_guide_are_valid() -> None:
    for block in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL):
        objects, violations = read_closed_set(list(yaml.safe_load_all(block)))
        assert objects
        assert not violations
