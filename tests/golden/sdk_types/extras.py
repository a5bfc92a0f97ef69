"""What clients may ask of one place alone, and of endpoints that do not chat: by names, as bodies without a model."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tests.golden.evidence.types import JsonObject
from tests.golden.sdk_types.features import ASK, TOOLS, WEATHER, asked, said

EMBEDDINGS: Final[Mapping[str, JsonObject]] = MappingProxyType(
    {
        "text": {"input": "a"},
        "one text of a list": {"input": ["a"], "dimensions": 256},
        "texts": {"input": ["a", "b"], "encoding_format": "float"},
        "base64": {"input": "a", "encoding_format": "base64", "user": "u1"},
        "tokens": {"input": [1, 2]},
    }
)

COMPLETIONS: Final[Mapping[str, JsonObject]] = MappingProxyType(
    {
        "text": {"prompt": "a", "max_tokens": 5, "stop": ["b"], "logprobs": 2, "suffix": "c"},
        "texts": {"prompt": ["a", "b"], "n": 2, "best_of": 3, "echo": True, "stream": True},
    }
)

RERANKS: Final[Mapping[str, JsonObject]] = MappingProxyType(
    {
        "texts": {"query": "q", "documents": ["a", "b"], "top_n": 1},
        "objects": {"query": "q", "documents": [{"text": "a"}, {"text": "b"}]},
    }
)

_THOUGHT: Final = {"type": "text", "text": "Let me see."}
_ANSWER: Final = {"type": "text", "text": "Galdhøpiggen"}
_GUARDRAIL: Final = {"guardrailIdentifier": "abc123", "guardrailVersion": "1", "trace": "enabled"}
_SNAKE_GUARDRAIL: Final = {"guardrail_identifier": "abc123", "guardrail_version": "DRAFT"}
_ARMOR: Final = {"promptTemplateName": "projects/p/locations/l/templates/t"}
_SAFETY: Final = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
_GEMINI: Final[Mapping[str, JsonObject]] = MappingProxyType(
    {
        "safety settings": asked(safety_settings=_SAFETY),
        "image": asked(modalities=["text", "image"], image_config={"aspectRatio": "16:9"}),
        "speech": asked(
            modalities=["audio"],
            speech_config={"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
        ),
        "resolution": asked(media_resolution="MEDIA_RESOLUTION_LOW"),
        "search": asked(tools=[{"googleSearch": {}}, {"urlContext": {}}, {"codeExecution": {}}]),
        "search and functions": asked(tools=[{"googleSearch": {}}, WEATHER]),
        "web search": asked(web_search_options={}),
    }
)

_MCP_SERVER: Final = {"type": "url", "url": "https://a.example", "name": "n"}
_COMPUTER: Final = {"name": "computer", "display_width_px": 1024, "display_height_px": 768}
_CLAUDE: Final[Mapping[str, JsonObject]] = MappingProxyType(
    {
        "container and editing": asked(
            container="container_1", context_management={"edits": [{"type": "clear_tool_uses_20250919"}]}
        ),
        "place and speed": asked(inference_geo="us", speed="fast", user_profile_id="up_1"),
        "MCP": asked(mcp_servers=[_MCP_SERVER]),
        "MCP as tools": asked(mcp_servers=[_MCP_SERVER], tools=[{"type": "mcp_toolset", "mcp_server_name": "n"}]),
        "compaction": asked(context_management={"edits": [{"type": "compact_20260112"}]}),
        "skills": asked(container={"skills": [{"type": "anthropic", "skill_id": "xlsx", "version": "latest"}]}),
        "budget of a task": asked(output_config={"task_budget": {"type": "tokens", "total": 20_000}}),
        "computer": asked(tools=[_COMPUTER | {"type": kind} for kind in ("computer_20250124", "computer_20251124")]),
        "effort of the output": asked(output_config={"effort": "low"}),
        "diagnostics": asked(diagnostics={"previous_message_id": None}),
    }
)

EXTRAS: Final[Mapping[str, Mapping[str, JsonObject]]] = MappingProxyType(
    {
        "OpenAI": {
            "caching": asked(prompt_cache_retention="24h", store=True),
            "web search": asked(web_search_options={"search_context_size": "low"}),
            "moderation": asked(moderation={"model": "omni-moderation-latest"}),
        },
        "Anthropic": _CLAUDE,
        "Claude on Vertex AI": _CLAUDE,
        "Google AI Studio": _GEMINI,
        "Vertex AI": {**_GEMINI, "labels": asked(labels={"a": "b"}), "armor": asked(model_armor_config=_ARMOR)},
        "Bedrock": {
            "guardrail": asked(guardrailConfig=_GUARDRAIL),
            "guardrail in snake case": asked(guardrail_config=_SNAKE_GUARDRAIL),
            "performance": asked(performanceConfig={"latency": "optimized"}, requestMetadata={"a": "b"}),
            "fields": asked(additionalModelRequestFields={"metadata": {"user_id": "u"}}, anthropic_beta=["b"]),
            "paths": asked(additionalModelResponseFieldPaths=["/stop_sequence"], promptVariables={"a": {"text": "b"}}),
            "tier": asked(service_tier="reserved"),
        },
        "Cohere": {
            "documents": asked(documents=["a", {"data": {"text": "b"}, "id": "d1"}], citation_options={"mode": "FAST"}),
            "modes": asked(safety_mode="STRICT", priority=1, k=5, p=0.5),
            "strict tools": asked(tools=TOOLS, strict_tools=True),
        },
        "Mistral": {
            "own settings": asked(safe_prompt=True, prompt_mode="reasoning", random_seed=3),
            "begun answer": {"messages": [ASK, {"role": "assistant", "content": "The", "prefix": True}]},
            "thinking in history": said(content=[{"type": "thinking", "thinking": [_THOUGHT]}, _ANSWER]),
        },
    }
)
"""Chats with what one place alone knows, by its name."""
