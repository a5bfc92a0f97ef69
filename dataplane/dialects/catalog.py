"""The provider catalog: one row per provider, keyed as tollway.resources.providers names them, and the dialects."""

from collections.abc import Mapping
from types import MappingProxyType

from dataplane.dialects.base import Catalog, Dialect, ProviderSpec
from dataplane.dialects.openai import OpenAIDialect

_OPENAI_PATHS: Mapping[str, str] = MappingProxyType(
    {
        "chat_completions": "/chat/completions",
        "completions": "/completions",
        "embeddings": "/embeddings",
    }
)

_OPENAI_OUTPUT_LIMIT: Mapping[str, str] = MappingProxyType({"chat_completions": "max_completion_tokens"})

PROVIDERS: Mapping[str, ProviderSpec] = MappingProxyType(
    {
        spec.name: spec
        for spec in (
            ProviderSpec(
                "openai",
                "openai",
                _OPENAI_PATHS,
                base_url="https://api.openai.com/v1",
                output_limit=_OPENAI_OUTPUT_LIMIT,
            ),
            ProviderSpec("openai_compatible", "openai", _OPENAI_PATHS),
            ProviderSpec("sim", "openai", _OPENAI_PATHS),
        )
    }
)

DIALECTS: Mapping[str, Dialect] = MappingProxyType({"openai": OpenAIDialect()})

CATALOG = Catalog(PROVIDERS, DIALECTS, MappingProxyType({}))
