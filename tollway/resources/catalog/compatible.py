"""Providers that speak OpenAI's format: to add one, add a row here, and its recordings to the tests."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from tollway.resources.catalog.native import NOT_OPENAI, NOT_OPENAI_SETTINGS
from tollway.resources.catalog.row import OPENAI_PATHS, Case, ProviderRow

_CHAT: Mapping[str, str] = MappingProxyType({"chat_completions": "/chat/completions"})
_RERANK: Mapping[str, str] = MappingProxyType({"rerank": "/rerank"})
_EMBEDDINGS: Mapping[str, str] = MappingProxyType({"embeddings": "/embeddings"})
_CHAT_AND_EMBEDDINGS: Mapping[str, str] = MappingProxyType({**_CHAT, **_EMBEDDINGS})
_EVERYTHING: Mapping[str, str] = MappingProxyType({**OPENAI_PATHS, **_RERANK})

_MAX_TOKENS: Mapping[str, str] = MappingProxyType({"max_completion_tokens": "max_tokens"})
_OPENAI_ALONE: frozenset[str] = frozenset(
    {
        *("audio", "moderation", "modalities", "prediction", "prompt_cache_key", "prompt_cache_options"),
        *("prompt_cache_retention", "safety_identifier", "service_tier", "store", "user", "verbosity"),
    }
)
"""Settings of OpenAI's that places which refuse what they do not know refuse."""

_CLAUDES_ALONE: frozenset[str] = frozenset({"cache_control", "thinking"})
"""Settings that the hub's format has for Claude models, and that most other places do not know."""

_SYSTEM_ROLE = frozenset({"system_role"})
_NO_FUNCTIONS = frozenset({"no_functions"})
"""What clients say that know no tools is said as tools."""
_FETCHES_MEDIA = frozenset({"fetches_media"})
"""Servers in the operator's own network: what callers have them fetch must be public."""

_DATABRICKS = (
    *("databricks.com", "databricks.us", "databricks.mil"),
    *("azuredatabricks.net", "databricks.azure.us", "databricks.azure.cn"),
)

COMPATIBLE: tuple[ProviderRow, ...] = (
    ProviderRow(
        "mistral",
        paths=_CHAT_AND_EMBEDDINGS,
        base_url="https://api.mistral.ai/v1",
        needs_secret=True,
        catalog_id="mistral",
        drop=_OPENAI_ALONE - {"prompt_cache_key"}
        | _CLAUDES_ALONE
        | {"stream_options", "logit_bias", "logprobs", "top_logprobs", "web_search_options", "reasoning"},
        drop_inside=NOT_OPENAI | {"annotations", "audio", "extra_content", "images", "reasoning"},
        rename={**_MAX_TOKENS, "seed": "random_seed", "dimensions": "output_dimension"},
        values={
            "tool_choice": {"required": "any"},
            "reasoning_effort": {"minimal": "none", "low": "high", "medium": "high", "xhigh": "high"},
        },
        traits=_SYSTEM_ROLE | _NO_FUNCTIONS | {"mistral", "short_tool_ids", "answer_prefix"},
        ends=("/fim/completions",),
    ),
    ProviderRow(
        "together",
        paths=_EVERYTHING,
        base_url="https://api.together.xyz/v1",
        needs_secret=True,
        catalog_id="together",
        drop=_CLAUDES_ALONE | {"safety_model"},
        keep={"safety_model": None},
        drop_inside=frozenset({"cache_control", "reasoning_details", "thinking_blocks"}),
        rename=_MAX_TOKENS,
        traits=_SYSTEM_ROLE,
    ),
    ProviderRow(
        "groq",
        paths=_CHAT,
        base_url="https://api.groq.com/openai/v1",
        needs_secret=True,
        catalog_id="groq",
        output_limit={"chat_completions": "max_completion_tokens"},
        drop=NOT_OPENAI_SETTINGS | {"logprobs", "top_logprobs", "logit_bias", "n", "compound_custom"},
        keep={"n": 1},
        drop_inside=NOT_OPENAI | {"name"},
    ),
    ProviderRow(
        "deepseek",
        paths=_CHAT,
        base_url="https://api.deepseek.com",
        needs_secret=True,
        catalog_id="deepseek",
        drop=NOT_OPENAI_SETTINGS - {"thinking"},
        drop_inside=frozenset({"cache_control", "reasoning_details", "thinking_blocks"}),
        rename=_MAX_TOKENS,
        traits=_SYSTEM_ROLE | _NO_FUNCTIONS | {"json_object_only", "thinking_switch"},
        cases=(
            Case(
                models=re.compile("deepseek-reasoner.*"),
                drop=frozenset({"logprobs", "top_logprobs"}),
                traits=frozenset({"free_tool_choice"}),
            ),
        ),
    ),
    ProviderRow(
        "xai",
        paths=_CHAT,
        base_url="https://api.x.ai/v1",
        needs_secret=True,
        catalog_id="x-ai",
        output_limit={"chat_completions": "max_completion_tokens"},
        drop=NOT_OPENAI_SETTINGS | {"deferred"},
        drop_inside=frozenset({"cache_control", "reasoning_details", "thinking_blocks"}),
        cases=(
            Case(
                models=re.compile("grok-(3-mini|4|code).*"),
                drop=frozenset({"presence_penalty", "frequency_penalty", "stop"}),
            ),
            Case(
                models=re.compile(r"grok-4(-0709|-latest)?|grok-4-(1-)?fast.*|grok-code.*"),
                drop=frozenset({"reasoning_effort"}),
            ),
        ),
    ),
    ProviderRow(
        "fireworks",
        paths=_EVERYTHING,
        base_url="https://api.fireworks.ai/inference/v1",
        needs_secret=True,
        catalog_id="fireworks",
        drop=frozenset({"cache_control"}),
        drop_inside=frozenset({"cache_control", "reasoning_details", "thinking_blocks"}),
        rename=_MAX_TOKENS,
        traits=_SYSTEM_ROLE,
    ),
    ProviderRow(
        "perplexity",
        paths={**_CHAT, "embeddings": "/v1/embeddings"},
        base_url="https://api.perplexity.ai",
        needs_secret=True,
        catalog_id="perplexity",
        drop=_OPENAI_ALONE
        | _CLAUDES_ALONE
        | {"reasoning", "stream_options", "logit_bias", "logprobs", "top_logprobs", "n", "seed"}
        | {"tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"},
        drop_inside=NOT_OPENAI,
        rename=_MAX_TOKENS,
        traits=_SYSTEM_ROLE | {"alternating_roles"},
    ),
    ProviderRow(
        "openrouter",
        base_url="https://openrouter.ai/api/v1",
        needs_secret=True,
        catalog_id="openrouter",
        drop=frozenset({"models", "route", "preset"}),
        drop_inside=frozenset({"thinking_blocks"}),
        traits=frozenset({"one_model"}),
    ),
    ProviderRow(
        "huggingface",
        paths=_CHAT,
        base_url="https://router.huggingface.co/v1",
        needs_secret=True,
        drop=_CLAUDES_ALONE,
        drop_inside=frozenset({"cache_control", "reasoning_details", "thinking_blocks"}),
        rename=_MAX_TOKENS,
        traits=_SYSTEM_ROLE,
    ),
    ProviderRow(
        "cerebras",
        paths={**_CHAT, "completions": "/completions"},
        base_url="https://api.cerebras.ai/v1",
        needs_secret=True,
        catalog_id="cerebras",
        output_limit={"chat_completions": "max_completion_tokens"},
        drop=NOT_OPENAI_SETTINGS | {"logit_bias", "service_tier"},
        drop_inside=NOT_OPENAI,
        traits=_SYSTEM_ROLE | _NO_FUNCTIONS,
    ),
    ProviderRow(
        "nvidia-nim",
        base_url="https://integrate.api.nvidia.com/v1",
        needs_secret=True,
        drop=_OPENAI_ALONE | _CLAUDES_ALONE | {"reasoning"},
        drop_inside=frozenset({"cache_control", "reasoning_details", "thinking_blocks"}),
        rename=_MAX_TOKENS,
        traits=_SYSTEM_ROLE | _FETCHES_MEDIA,
    ),
    ProviderRow(
        "databricks",
        homes=tuple(f"https://{domain}/serving-endpoints" for domain in _DATABRICKS),
        ends=("/{model}/invocations",),
        catalog_id="databricks",
        needs_secret=True,
        drop=_OPENAI_ALONE
        | {"cache_control", "reasoning"}
        | {"stream_options", "metadata", "parallel_tool_calls", "seed", "web_search_options"},
        drop_inside=frozenset({"reasoning_content", "reasoning_details", "thinking_blocks"}),
        rename=_MAX_TOKENS,
        traits=_SYSTEM_ROLE,
    ),
    ProviderRow("ollama", rename=_MAX_TOKENS, traits=_SYSTEM_ROLE | _FETCHES_MEDIA),
    ProviderRow("vllm", paths=_EVERYTHING, traits=_SYSTEM_ROLE | _FETCHES_MEDIA),
    ProviderRow("sglang", paths=_EVERYTHING, traits=_SYSTEM_ROLE | _FETCHES_MEDIA),
    ProviderRow("llama-cpp", paths=_EVERYTHING, double=_MAX_TOKENS, traits=_SYSTEM_ROLE | _FETCHES_MEDIA),
    ProviderRow(
        "voyage",
        paths={**_EMBEDDINGS, **_RERANK},
        base_url="https://api.voyageai.com/v1",
        needs_secret=True,
        catalog_id="voyageai",
        drop=frozenset({"user"}),
        rename={"dimensions": "output_dimension"},
        values={"encoding_format": {"float": None}},
        traits=frozenset({"voyage"}),
    ),
    ProviderRow(
        "jina",
        paths={**_EMBEDDINGS, **_RERANK},
        base_url="https://api.jina.ai/v1",
        needs_secret=True,
        drop=frozenset({"user"}),
        rename={"encoding_format": "embedding_type"},
    ),
    ProviderRow("openai_compatible", paths=_EVERYTHING, traits=_FETCHES_MEDIA),
    ProviderRow("sim"),
)
