"""Providers that speak a format of their own, and those that Tollway's own format is that of."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from tollway.resources.catalog import forms
from tollway.resources.catalog.forms import Form
from tollway.resources.catalog.row import ALWAYS, OPENAI_PATHS, REGION, SIGNED, Case, ProviderRow

NOT_OPENAI: frozenset[str] = frozenset({"cache_control", "reasoning_content", "reasoning_details", "thinking_blocks"})
"""Members of messages that clients of other providers send, and that OpenAI refuses."""
NOT_OPENAI_SETTINGS: frozenset[str] = frozenset({"cache_control", "reasoning", "thinking", "top_k"})
"""Settings of the same kind."""

_SAMPLING = frozenset(
    {"temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs"}
)
_REASONING = (
    Case(models=re.compile(r"(o\d|gpt-[5-9]).*"), rename={"max_tokens": "max_completion_tokens"}),
    Case(models=re.compile(r"o\d(-(mini|preview|pro))?(-\d{4}.*)?|gpt-5(-(mini|nano))?(-\d{4}.*)?"), drop=_SAMPLING),
    Case(models=re.compile(r"(ft:)?(chatgpt|gpt-[34]).*"), drop=frozenset({"reasoning_effort"})),
)
"""Reasoning models take no `max_tokens`, and the earlier ones nothing that steers how tokens are drawn; others take no
effort.
"""

_OUTPUT_LIMIT: Mapping[str, str] = MappingProxyType({"chat_completions": "max_completion_tokens"})


def _azure_paths(before: str, after: str = "") -> dict[str, str]:
    return {name: f"/openai{before}{path}{after}" for name, path in OPENAI_PATHS.items()}


_AZURE_OPTIONS: Mapping[str, Form] = MappingProxyType(
    {
        "api_version": forms.AZURE_API_VERSION,
        "auth": forms.choice("entra"),
        "tenant_id": forms.ENTRA_TENANT,
        "client_id": forms.GUID,
        "scope": forms.ENTRA_SCOPE,
    }
)
_VERTEX_OPTIONS: Mapping[str, Form] = MappingProxyType(
    {"project": forms.GOOGLE_PROJECT, "location": forms.GOOGLE_LOCATION}
)
_BEDROCK_OPTIONS: Mapping[str, Form] = MappingProxyType(
    {
        "auth": forms.choice("bearer", "sigv4"),
        "profile": forms.AWS_PROFILE,
        "role_arn": forms.AWS_ROLE,
        "role_session_name": forms.AWS_SESSION_NAME,
        "external_id": forms.AWS_EXTERNAL_ID,
        "web_identity_token_file": forms.ABSOLUTE_PATH,
    }
)

_VERTEX_PATH = "/v1/projects/{project}/locations/{location}"
_VERTEX_SEVERAL_REGIONS = f"https://aiplatform.{{location}}.rep.googleapis.com{_VERTEX_PATH}"
_VERTEX_GEMINI = "/publishers/google/models/{model}:"
_VERTEX_CLAUDE = "/publishers/anthropic/models/"
_VERTEX_CLAUDE_PATHS: Mapping[str, str] = MappingProxyType(
    {
        "messages": _VERTEX_CLAUDE + "{model}:rawPredict",
        "messages.stream": _VERTEX_CLAUDE + "{model}:streamRawPredict",
        "chat_completions": _VERTEX_CLAUDE + "{model}:rawPredict",
        "chat_completions.stream": _VERTEX_CLAUDE + "{model}:streamRawPredict",
        "count_tokens": _VERTEX_CLAUDE + "count-tokens:rawPredict",
    }
)

NATIVE: tuple[ProviderRow, ...] = (
    ProviderRow(
        "openai",
        base_url="https://api.openai.com/v1",
        needs_secret=True,
        catalog_id="openai",
        output_limit=_OUTPUT_LIMIT,
        traits=frozenset({"own_format"}),
        drop=NOT_OPENAI_SETTINGS,
        drop_inside=NOT_OPENAI,
        own_domain="openai.com",
        cases=_REASONING,
    ),
    ProviderRow(
        "azure-openai",
        paths=_azure_paths("/v1"),
        homes=("https://azure.com", "https://azure.us", "https://azure.cn"),
        auth=("api-key", ""),
        options=dict.fromkeys(_AZURE_OPTIONS, ""),
        forms=_AZURE_OPTIONS,
        needs=dict.fromkeys(("tenant_id", "client_id", "scope"), ("auth",)),
        needs_secret=True,
        catalog_id="azure",
        output_limit=_OUTPUT_LIMIT,
        traits=frozenset({"own_format", "data_sources"}),
        drop=NOT_OPENAI_SETTINGS,
        drop_inside=NOT_OPENAI,
        cases=(
            Case(option="auth", value="entra", credentials="azure", needs={"secret": ("tenant_id", "client_id")}),
            Case(option="api_version", paths=_azure_paths("/deployments/{model}", "?api-version={api_version}")),
            *_REASONING,
        ),
    ),
    ProviderRow(
        "anthropic",
        "anthropic",
        {
            "messages": "/v1/messages",
            "chat_completions": "/v1/messages",
            "count_tokens": "/v1/messages/count_tokens",
        },
        base_url="https://api.anthropic.com",
        auth=("x-api-key", ""),
        needs_secret=True,
        catalog_id="anthropic",
    ),
    ProviderRow(
        "google-ai-studio",
        "gemini",
        {
            "chat_completions": "/models/{model}:generateContent",
            "chat_completions.stream": "/models/{model}:streamGenerateContent?alt=sse",
            "embeddings": "/models/{model}:batchEmbedContents",
            "count_tokens": "/models/{model}:countTokens",
        },
        base_url="https://generativelanguage.googleapis.com/v1beta",
        auth=("x-goog-api-key", ""),
        needs_secret=True,
        catalog_id="google",
    ),
    ProviderRow(
        "vertex-ai",
        "gemini",
        {
            "chat_completions": _VERTEX_GEMINI + "generateContent",
            "chat_completions.stream": _VERTEX_GEMINI + "streamGenerateContent?alt=sse",
            "embeddings": _VERTEX_GEMINI + "predict",
            "count_tokens": _VERTEX_GEMINI + "countTokens",
        },
        base_url=f"https://{{location}}-aiplatform.googleapis.com{_VERTEX_PATH}",
        options=dict.fromkeys(_VERTEX_OPTIONS, ""),
        forms={**_VERTEX_OPTIONS, "secret": forms.GOOGLE_SECRET},
        credentials="google",
        traits=frozenset({"vertex"}),
        catalog_id="google",
        cases=(
            Case(option="location", value="global", base_url=f"https://aiplatform.googleapis.com{_VERTEX_PATH}"),
            Case(option="location", value="us", base_url=_VERTEX_SEVERAL_REGIONS),
            Case(option="location", value="eu", base_url=_VERTEX_SEVERAL_REGIONS),
            Case(models=re.compile(r"claude.*"), dialect="anthropic", paths=_VERTEX_CLAUDE_PATHS),
            Case(
                models=re.compile(r"gemini-embedding-(?!001$).*"),
                paths={
                    "embeddings": _VERTEX_GEMINI + "embedContent",
                    "count_tokens": _VERTEX_GEMINI + "countTokens",
                },
            ),
        ),
    ),
    ProviderRow(
        "bedrock",
        "bedrock",
        {
            "chat_completions": "/model/{model}/converse",
            "chat_completions.stream": "/model/{model}/converse-stream",
            "embeddings": "/model/{model}/invoke",
            "rerank": "/model/{model}/invoke",
            "count_tokens": "/model/{model}/count-tokens",
        },
        base_url="https://bedrock-runtime.{region}.amazonaws.com",
        options=dict.fromkeys(_BEDROCK_OPTIONS, ""),
        forms={**_BEDROCK_OPTIONS, REGION: forms.AWS_REGION, "secret": forms.AWS_SECRET},
        needs={SIGNED: (REGION,)}
        | dict.fromkeys(("role_session_name", "external_id", "web_identity_token_file"), ("role_arn",)),
        apart=(
            ("secret", "profile"),
            ("secret", "web_identity_token_file"),
            ("external_id", "web_identity_token_file"),
        ),
        borne=forms.BEDROCK_KEY,
        credentials="aws",
        catalog_id="aws",
        cases=(
            Case(option="role_arn", needs={ALWAYS: (REGION,), SIGNED: ()}),
            Case(option="auth", value="sigv4", forms={"secret": forms.AWS_KEYS}, needs={ALWAYS: (REGION,), SIGNED: ()}),
            Case(option="auth", value="bearer", forms={"secret": forms.BEARER}, needs={ALWAYS: (), SIGNED: ()}),
        ),
    ),
    ProviderRow(
        "cohere",
        "cohere",
        {"chat_completions": "/v2/chat", "embeddings": "/v2/embed", "rerank": "/v2/rerank"},
        base_url="https://api.cohere.com",
        needs_secret=True,
        catalog_id="cohere",
    ),
)
