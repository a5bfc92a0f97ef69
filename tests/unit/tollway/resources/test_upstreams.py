"""Upstreams that could not work are refused, with the field and the next step."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tollway.admin.v1.upstreams_pb2 import Upstream, UpstreamSecret
from tollway.resources.catalog import ROWS
from tollway.resources.kinds import UPSTREAM
from tollway.resources.manifests import read_closed_set, read_manifests

GUIDE = Path("docs/credentials.md").read_text()
SECRET = UpstreamSecret(ref="env:KEY")
AZURE = "https://my-resource.openai.azure.com"
ROLE = "arn:aws:iam::123456789012:role/tollway"
DATABRICKS = "https://adb-1.4.azuredatabricks.net/serving-endpoints"
KEYS = "AKIA1:abc/d+e"
GUID = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"
ENTRA = {"auth": "entra", "tenant_id": "contoso.onmicrosoft.com", "client_id": GUID}
IDENTITY = {"role_arn": ROLE, "web_identity_token_file": "/var/run/token"}
CANARY = "canary-7f3a"


def wrong(provider: str, secret: UpstreamSecret | None = None, **fields: object) -> dict[str, str]:
    """What is said of each field of an upstream."""
    upstream = Upstream(name="upstreams/a", provider=provider, **fields)  # type: ignore[arg-type]
    if secret is not None:
        upstream.secret.CopyFrom(secret)
    UPSTREAM.normalize(upstream)
    return {violation.field: violation.description for violation in UPSTREAM.validate(upstream)}


def wrong_option(provider: str, option: str, value: str) -> bool:
    return f"options.{option}" in wrong(provider, options={option: value})


@pytest.mark.parametrize(
    ("provider", "secret", "fields"),
    [
        ("azure-openai", SECRET, {"base_url": AZURE}),
        ("azure-openai", None, {"base_url": "http://127.0.0.1:8080"}),
        (
            "azure-openai",
            None,
            {"base_url": "https://apim.acme.com", "headers": {"Ocp-Apim-Subscription-Key": "x"}},
        ),
        ("azure-openai", None, {"base_url": "https://apim.azure-api.net/team"}),
        ("azure-openai", None, {"base_url": "https://notazure.com"}),
        ("databricks", None, {"base_url": "https://gateway.acme.com/serving-endpoints"}),
        ("databricks", SECRET, {"base_url": DATABRICKS}),
        ("databricks", SECRET, {"base_url": "https://adb-1.4.azuredatabricks.net/ai-gateway/mlflow/v1"}),
        ("azure-openai", None, {"base_url": AZURE, "options": {"auth": "entra"}}),
        ("azure-openai", None, {"base_url": AZURE, "options": {"auth": "entra", "client_id": GUID}}),
        ("azure-openai", SECRET, {"base_url": AZURE, "options": ENTRA}),
        ("azure-openai", SECRET, {"base_url": AZURE, "options": {"api_version": "2025-04-01-preview"}}),
        ("bedrock", None, {"region": "us-gov-west-1"}),
        ("bedrock", None, {"region": "eu-central-1", "options": IDENTITY | {"role_session_name": "gw"}}),
        ("bedrock", SECRET, {"region": "eu-central-1", "options": {"role_arn": ROLE, "external_id": "tollway-7f3a"}}),
        ("bedrock", None, {"region": "eu-central-1", "options": {"profile": "gateway", "auth": "sigv4"}}),
        ("bedrock", None, {"base_url": "https://proxy.example", "options": {"auth": "bearer"}}),
        ("bedrock", UpstreamSecret(value="ABSKabc="), {"region": "us-east-1"}),
        ("bedrock", UpstreamSecret(value="ABSKabc="), {"base_url": "https://proxy.example"}),
        ("bedrock", UpstreamSecret(fingerprint="f"), {"base_url": "https://proxy.example"}),
        ("bedrock", SECRET, {"base_url": "https://bedrock-runtime.us-east-1.amazonaws.com"}),
        ("bedrock", None, {"base_url": "http://bedrock-mock.test-env:4566", "region": "us-east-1"}),
        ("bedrock", UpstreamSecret(value=KEYS), {"region": "us-east-1", "options": {"auth": "sigv4"}}),
        (
            "bedrock",
            UpstreamSecret(value='{"access_key_id": "AKIA1", "secret_access_key": "s"}\n'),
            {"region": "us-east-1"},
        ),
        ("bedrock", UpstreamSecret(value="with space\n"), {"region": "us-east-1", "options": {"auth": "bearer"}}),
        ("bedrock", UpstreamSecret(value="anything"), {"region": "us-east-1", "options": {"auth": "bearer"}}),
        ("bedrock", UpstreamSecret(value="AKIA1:abc/d+e:tok=="), {"region": "us-east-1"}),
        ("vertex-ai", None, {"options": {"project": "my-project-42", "location": "europe-west4"}}),
        ("vertex-ai", None, {"options": {"project": "example.com:my-project", "location": "global"}}),
        ("vertex-ai", None, {"options": {"project": "123456789012", "location": "northamerica-northeast1"}}),
        (
            "vertex-ai",
            UpstreamSecret(value='{\n  "type": "service_account"\n}\n'),
            {"options": {"project": "p", "location": "us-central1"}},
        ),
        ("ollama", None, {"base_url": "http://host:11434/v1"}),
        ("vllm", SECRET, {"base_url": "http://vllm.models.svc:8000/behind/a/proxy"}),
        ("openai_compatible", SECRET, {"base_url": "http://gpu.example.com"}),
        ("openai_compatible", None, {"base_url": "https://gw.example/rerank"}),
        ("openai_compatible", None, {"base_url": "https://gw.example/team/embeddings"}),
        ("vllm", None, {"base_url": "http://gw.models/responses"}),
        ("openai", SECRET, {"base_url": "http://litellm.ai-platform:4000/v1"}),
        ("anthropic", SECRET, {"base_url": "http://claude-proxy.gateway:8080"}),
        ("openai", SECRET, {"base_url": "HTTPS://API.OpenAI.com/v1"}),
        ("deepseek", SECRET, {"base_url": "https://api.deepseek.com/v1"}),
        ("anthropic", SECRET, {"base_url": "https://openrouter.ai/api"}),
        ("cohere", SECRET, {"base_url": "https://proxy.example/v1"}),
        ("groq", SECRET, {"base_url": "https://api.groq.com.proxy.example/openai"}),
        ("openai", SECRET, {"base_url": "http://10.0.0.7/v1"}),
        ("openai", SECRET, {"base_url": "http://simulator/v1"}),
        ("deepseek", SECRET, {"base_url": "https://api.deepseek.com"}),
        ("sim", None, {"base_url": "http://sim.example", "region": "Our own cellar, left of the door"}),
    ],
)
def test_upstreams_that_can_work_are_accepted(
    provider: str, secret: UpstreamSecret | None, fields: dict[str, object]
) -> None:
    assert wrong(provider, secret, **fields) == {}


@pytest.mark.parametrize(
    ("provider", "secret", "fields", "field", "next_step"),
    [
        ("azure-openai", None, {"base_url": AZURE}, "secret", "options.auth to entra"),
        ("azure-openai", SECRET, {"base_url": AZURE, "options": {"auth": "Entra"}}, "options.auth", '"entra"'),
        ("azure-openai", SECRET, {"base_url": AZURE, "options": {"auth": "entra"}}, "secret", "options.tenant_id and"),
        ("azure-openai", SECRET, {"base_url": AZURE, "options": {"client_id": GUID}}, "options.client_id", "auth"),
        ("bedrock", None, {"options": {"auth": "basic"}, "region": "us-east-1"}, "options.auth", '"bearer" or "sigv4"'),
        ("bedrock", None, {"base_url": "https://proxy.example"}, "region", "unless options.auth is bearer or the"),
        ("bedrock", UpstreamSecret(value=KEYS), {"base_url": "https://proxy.example"}, "region", "or the secret is a"),
        ("bedrock", SECRET, {"base_url": "https://{region}.proxy.example"}, "region", "an address that names it"),
        (
            "bedrock",
            SECRET,
            {"base_url": "https://proxy.example", "options": {"auth": "sigv4"}},
            "region",
            "unless options.auth is bearer",
        ),
        (
            "bedrock",
            SECRET,
            {"base_url": "https://proxy.example", "options": {"role_arn": ROLE}},
            "region",
            "unless options.auth is bearer",
        ),
        ("bedrock", None, {"options": {"auth": "bearer"}}, "region", "is called at an address that names it"),
        (
            "bedrock",
            None,
            {"region": "us-east-1", "options": {"external_id": "x1"}},
            "options.external_id",
            "only with options.role_arn",
        ),
        (
            "bedrock",
            None,
            {"region": "us-east-1", "options": {"web_identity_token_file": "/t"}},
            "options.web_identity_token_file",
            "only with options.role_arn",
        ),
        (
            "bedrock",
            None,
            {"region": "us-east-1", "options": IDENTITY | {"external_id": "x1"}},
            "options.external_id",
            "together with options.web_identity_token_file",
        ),
        ("bedrock", SECRET, {"region": "us-east-1", "options": IDENTITY}, "secret", "together with"),
        ("bedrock", SECRET, {"region": "us-east-1", "options": {"profile": "p"}}, "secret", "together with"),
        ("bedrock", UpstreamSecret(value=CANARY), {"region": "us-east-1"}, "secret.value", "ACCESS_KEY_ID:"),
        (
            "bedrock",
            UpstreamSecret(value=f"ABSK{CANARY}"),
            {"region": "us-east-1", "options": {"auth": "sigv4"}},
            "secret.value",
            "ACCESS_KEY_ID:",
        ),
        (
            "bedrock",
            UpstreamSecret(value=f"a\r\n{CANARY}"),
            {"region": "us-east-1", "options": {"auth": "bearer"}},
            "secret.value",
            "without line breaks",
        ),
        ("bedrock", UpstreamSecret(value="{}"), {"region": "us-east-1"}, "secret.value", "JSON with access_key_id"),
        (
            "bedrock",
            UpstreamSecret(value=f'{{"access_key_id": 1, "secret_access_key": "{CANARY}"}}'),
            {"region": "us-east-1"},
            "secret.value",
            "JSON with access_key_id",
        ),
        ("vertex-ai", UpstreamSecret(value=CANARY), {}, "secret.value", "JSON of a service account"),
        ("vertex-ai", UpstreamSecret(value="{}"), {}, "secret.value", "with its type"),
        ("vertex-ai", UpstreamSecret(value=f'{{"type": "{CANARY}'), {}, "secret.value", "with its type"),
        ("vertex-ai", UpstreamSecret(value='{"a":' * 1600 + "}"), {}, "secret.value", "with its type"),
        ("azure-openai", None, {"base_url": "https://R.openai.azure.us"}, "secret", "takes no calls without one"),
        ("databricks", None, {"base_url": DATABRICKS}, "secret", "takes no calls without one"),
        ("databricks", None, {"base_url": "https://w.cloud.databricks.com/serving-endpoints"}, "secret", "is required"),
        ("openai", SECRET, {"base_url": "http://gw.prod/v1"}, "base_url", "or name it NAME.NAMESPACE.svc"),
        ("openai", SECRET, {"base_url": "http://eu.api.openai.com/v1"}, "base_url", "https://"),
        ("openai", SECRET, {"base_url": "http://proxy.example.com/v1"}, "base_url", "https://"),
        ("vertex-ai", None, {"base_url": "http://proxy.example.com/v1"}, "base_url", "https://"),
        ("openai", SECRET, {"options": {"region": "eu"}}, "options.region", "`region` beside `options`"),
        ("azure-openai", SECRET, {"options": {"apiVersion": "x"}}, "options.apiVersion", '"api_version"?'),
        ("bedrock", None, {"options": {"role": "x"}}, "options.role", '"role_arn"?'),
        ("sim", None, {"options": {"x": "y"}}, "options.x", "sim has none"),
        ("openia", SECRET, {}, "provider", 'did you mean "openai"? known are anthropic,'),
        ("vertex-ai", None, {"base_url": "https://{region}.h", "region": "a.b/c"}, "region", "in a host name"),
    ],
)
def test_upstreams_that_cannot_work_are_refused_with_the_next_step(
    provider: str, secret: UpstreamSecret | None, fields: dict[str, object], field: str, next_step: str
) -> None:
    said = wrong(provider, secret, **fields)
    assert next_step in said[field]
    assert CANARY not in str(said)


@pytest.mark.parametrize(
    ("provider", "base_url", "meant"),
    [
        ("openai", "https://proxy.example/v1/chat/completions", "https://proxy.example/v1"),
        ("openai", "https://proxy.example/v1/chat/completions/", "https://proxy.example/v1"),
        ("openai", "https://proxy.example/v1/embeddings", "https://proxy.example/v1"),
        ("openai", "https://proxy.example/v1/responses", "https://proxy.example/v1"),
        ("openai", "https://proxy.example/v1/messages", "https://proxy.example/v1"),
        ("openai", "https://eu.api.openai.com", "https://eu.api.openai.com/v1"),
        ("openai", "https://proxy.example/openai/v1/rerank", "https://proxy.example/openai/v1"),
        ("groq", "https://api.groq.com/openai/v1/embeddings", "https://api.groq.com/openai/v1"),
        ("groq", "https://api.groq.com/openai", "https://api.groq.com/openai/v1"),
        ("deepseek", "https://p.example/v1/embeddings", "https://p.example/v1"),
        ("openrouter", "https://openrouter.ai/api/v1/messages", "https://openrouter.ai/api/v1"),
        ("openrouter", "https://openrouter.ai/api", "https://openrouter.ai/api/v1"),
        ("mistral", "https://api.mistral.ai/v1/fim/completions", "https://api.mistral.ai/v1"),
        ("mistral", "https://codestral.mistral.ai", "https://codestral.mistral.ai/v1"),
        ("cohere", "https://api.cohere.com/v1", "https://api.cohere.com"),
        ("cohere", "https://api.cohere.com/compatibility/v1", "https://api.cohere.com"),
        ("perplexity", "https://api.perplexity.ai/v1", "https://api.perplexity.ai"),
        ("perplexity", "https://api.perplexity.ai/v1/embeddings", "https://api.perplexity.ai"),
        ("openai", "https://api.openai.com", "https://api.openai.com/v1"),
        ("openai", "https://api.openai.com/chat/completions", "https://api.openai.com/v1"),
        ("anthropic", "https://api.anthropic.com/v1/messages", "https://api.anthropic.com"),
        ("anthropic", "https://api.anthropic.com/v1", "https://api.anthropic.com"),
        ("anthropic", "https://proxy.example/v1/chat/completions", "https://proxy.example"),
        ("google-ai-studio", "https://proxy.example/x/models/g-1:generateContent", "https://proxy.example/x"),
        (
            "google-ai-studio",
            "https://generativelanguage.googleapis.com",
            "https://generativelanguage.googleapis.com/v1beta",
        ),
        (
            "vertex-ai",
            "https://europe-west4-aiplatform.googleapis.com",
            "https://europe-west4-aiplatform.googleapis.com/v1/projects/{project}/locations/{location}",
        ),
        (
            "vertex-ai",
            "https://europe-west4-aiplatform.googleapis.com/v1/projects/my-project",
            "https://europe-west4-aiplatform.googleapis.com/v1/projects/my-project/locations/{location}",
        ),
        (
            "vertex-ai",
            "https://aiplatform.eu.rep.googleapis.com/v1",
            "https://aiplatform.eu.rep.googleapis.com/v1/projects/{project}/locations/{location}",
        ),
        ("azure-openai", f"{AZURE}/openai", AZURE),
        ("azure-openai", f"{AZURE}/openai/deployments/gpt-4o", AZURE),
        ("azure-openai", f"{AZURE}/openai/deployments/gpt-4o/chat/completions", AZURE),
        ("bedrock", "https://proxy.example/model/m/converse", "https://proxy.example"),
        ("cohere", "https://api.cohere.com/v2/chat", "https://api.cohere.com"),
        (
            "databricks",
            "https://w.example/serving-endpoints/llm/invocations",
            "https://w.example/serving-endpoints",
        ),
        ("databricks", f"{DATABRICKS}/llm/invocations", DATABRICKS),
        ("databricks", f"{DATABRICKS}/llm", DATABRICKS),
        ("databricks", "https://w.cloud.databricks.com", "https://w.cloud.databricks.com/serving-endpoints"),
        ("ollama", "http://host:11434", "http://host:11434/v1"),
        ("ollama", "http://host:11434/", "http://host:11434/v1"),
        ("ollama", "http://host:11434/api", "http://host:11434/v1"),
        ("ollama", "http://host:11434/api/chat", "http://host:11434/v1"),
        ("vllm", "http://host:8000", "http://host:8000/v1"),
        ("sglang", "http://host:30000", "http://host:30000/v1"),
        ("llama.cpp", "http://host:8080/v1/chat/completions", "http://host:8080/v1"),
        ("sim", "http://host/v1/rerank", "http://host/v1"),
        ("vllm", "http://host/v1/messages", "http://host/v1"),
        ("openai_compatible", "https://gw.example/v1/embeddings", "https://gw.example/v1"),
        ("openai_compatible", "https://gw.example/chat/completions", "https://gw.example"),
    ],
)
def test_base_urls_copied_too_far_or_not_far_enough_are_told_with_what_was_meant(
    provider: str, base_url: str, meant: str
) -> None:
    options = {"project": "p", "location": "europe-west4"} if provider == "vertex-ai" else {}
    said = wrong(provider, SECRET, base_url=base_url, region="eu-central-1", options=options)
    assert said.keys() == {"base_url"}
    assert said["base_url"].endswith(f'; did you mean "{meant}"?')
    assert wrong(provider, SECRET, base_url=meant, region="eu-central-1", options=options) == {}


def test_schemes_and_hosts_are_kept_in_lower_case() -> None:
    upstream = Upstream(name="upstreams/a", provider="openai", base_url="HTTPS://Proxy.Example/V1/")
    UPSTREAM.normalize(upstream)
    assert upstream.base_url == "https://proxy.example/V1"


@pytest.mark.parametrize(
    ("provider", "option", "bad"),
    [
        ("azure-openai", "api_version", ["1", "2024", "2024-10-21&x=y", "2024-10-21/..", "v1"]),
        ("azure-openai", "tenant_id", ["a/b", "a b", "-", "a" * 129]),
        ("azure-openai", "client_id", ["me", f"{GUID}0"]),
        ("azure-openai", "scope", ["https://cognitiveservices.azure.com", "a b/.default", "x" * 300 + "/.default"]),
        ("vertex-ai", "project", ["..", "a/b", "My_Project", "a" * 64, "a b", "p?x"]),
        ("vertex-ai", "location", ["evil.example/", "us-central1.", "US", "europe_west4", "a-b-c-d-e", "u"]),
        ("bedrock", "profile", ["a\nb", " a", "x" * 129]),
        ("bedrock", "role_arn", ["tollway", "arn:aws:iam::12:role/x", f"{ROLE} ", ROLE + "x" * 600]),
        ("bedrock", "role_session_name", ["a", "a b", "x" * 65]),
        ("bedrock", "external_id", ["x", "a b", "x" * 1225]),
        ("bedrock", "web_identity_token_file", ["token", "./token", "/a\0", "/" + "x" * 1024]),
    ],
)
def test_values_of_options_have_a_form(provider: str, option: str, bad: list[str]) -> None:
    assert [value for value in bad if not wrong_option(provider, option, value)] == []


@pytest.mark.parametrize("region", ["eu central 1", "eu-central-1.evil.example", "eu-central-1/", "EU-CENTRAL-1", "eu"])
def test_regions_of_bedrock_have_a_form(region: str) -> None:
    assert "such as" in wrong("bedrock", region=region)["region"]


@given(
    st.sampled_from([(row.name, option) for row in ROWS for option in sorted(row.options)]),
    st.text(max_size=40) | st.text("abc019-.:/@ {}?#%", max_size=40),
)
def test_no_accepted_value_of_an_option_leaves_its_place_in_an_address(place: tuple[str, str], value: str) -> None:
    provider, option = place
    if not wrong_option(provider, option, value) and option in ("project", "location", "api_version"):
        assert re.fullmatch(r"[A-Za-z0-9.:-]*", value)
        assert not value.startswith(".")


def test_everything_that_is_wrong_is_told_at_once() -> None:
    spec = {
        "provider": "bedrock",
        "base_url": "ftp://x",
        "region": "a b",
        "options": {"auth": "x", "external_id": "y z"},
    }
    document = {"apiVersion": "tollway/v1", "kind": "Upstream", "metadata": {"name": "aws"}, "spec": spec}
    _, violations = read_manifests([document])
    assert [violation.field.removeprefix("manifests[0].spec.") for violation in violations] == [
        "base_url",
        "region",
        "options.auth",
        "options.external_id",
        "options.external_id",
    ]
    assert all(violation.description.startswith('Upstream "aws": ') for violation in violations)


def test_a_stored_secret_counts_though_its_value_is_not_shown() -> None:
    assert wrong("azure-openai", UpstreamSecret(fingerprint="f"), base_url=AZURE) == {}
    assert "secret" in wrong("bedrock", UpstreamSecret(fingerprint="f"), region="us-east-1", options={"profile": "p"})


def test_manifests_of_the_guide_to_credentials_are_valid() -> None:
    blocks = [block for block in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL) if "apiVersion" in block]
    assert blocks
    for block in blocks:
        assert read_closed_set(list(yaml.safe_load_all(block)))[1] == []
