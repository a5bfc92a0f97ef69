"""What data planes speak: the providers that both planes know, and the dialects and client formats by name."""

from collections.abc import Mapping
from types import MappingProxyType

from dataplane.dialects.anthropic import AnthropicDialect
from dataplane.dialects.anthropic.client import AnthropicFormat
from dataplane.dialects.base import Catalog, ClientFormat, Dialect, ProviderSpec
from dataplane.dialects.bedrock import BedrockDialect
from dataplane.dialects.cohere import CohereDialect
from dataplane.dialects.gemini import GeminiDialect
from dataplane.dialects.openai import OpenAIDialect
from tollway.resources.providers import PROVIDERS as ROWS

PROVIDERS: Mapping[str, ProviderSpec] = ROWS

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        "openai": OpenAIDialect(),
        "anthropic": AnthropicDialect(),
        "gemini": GeminiDialect(),
        "bedrock": BedrockDialect(),
        "cohere": CohereDialect(),
    }
)

FORMATS: Mapping[str, ClientFormat] = MappingProxyType({"anthropic": AnthropicFormat()})

CATALOG = Catalog(PROVIDERS, DIALECTS, FORMATS)
