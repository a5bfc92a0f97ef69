"""What is not sent to a place, as it has nothing for it: by names of features, and by ids of recordings."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

CHAT, MESSAGES, COUNT = "/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens"
CLAUDE_HOSTS: Final = ("Anthropic", "Claude on Vertex AI")
GEMINI_HOSTS: Final = ("Google AI Studio", "Vertex AI")
OTHERS: Final = ("OpenAI", *GEMINI_HOSTS, "Bedrock", "Cohere", "Mistral")
"""Places that Anthropic's format is translated for."""

REFUSED: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "OpenAI": frozenset(),
        "Anthropic": frozenset(("audio", "custom tool", "file by id", "several answers")),
        "Claude on Vertex AI": frozenset(("audio", "custom tool", "file by id", "several answers")),
        "Google AI Studio": frozenset(("custom tool", "file by id", "tokens")),
        "Vertex AI": frozenset(("custom tool", "file by id", "texts", "tokens")),
        "Bedrock": frozenset(("custom tool", "file by id", "several answers", "image by URL", "PDF by URL", "tokens")),
        "Cohere": frozenset(("audio", "custom tool", "file by id", "image as a result", "PDF", "PDF by URL", "tokens")),
        "Mistral": frozenset(("custom tool", "file by id", "tokens")),
    }
)
"""Features by place, which some model there is not sent; anything else must be."""


@dataclass(frozen=True, slots=True)
class RefusedRecordings:
    """Recordings that have `what`, for which `places` have nothing, of calls of the endpoint at `path`."""

    what: str
    places: tuple[str, ...]
    path: str
    ids: tuple[str, ...]


RECORDINGS: Final = (
    RefusedRecordings(
        "several answers",
        (*CLAUDE_HOSTS, "Bedrock"),
        CHAT,
        (
            *("gemini-generateContent-c6dfe1e48263", "litellm_proxy-chat-82a04739727b"),
            *("litellm_proxy-chat-fa49a780277c", "llamacpp-chat-5859571023b3", "mistral-chat-43b711acd7fa"),
            "openai-chat-f7bba95e1bce",
        ),
    ),
    RefusedRecordings(
        "an image by URL",
        ("Bedrock",),
        CHAT,
        (
            *("groq-chat-c6be7f9d204b", "huggingface-chat-7e9968370400", "llamacpp-chat-797ef5869bd2"),
            *("mistral-chat-91b99bc0d8d5", "mistral-chat-bf550ef51bb7", "openai-chat-14d47e143d36"),
            *("openai-chat-2125b11616bd", "openai-chat-fbd308df698a"),
        ),
    ),
    RefusedRecordings(
        "an image by URL",
        ("Bedrock",),
        MESSAGES,
        ("anthropic-messages-a44dbaa1b06c", "anthropic-messages-ab65ab89eac6"),
    ),
    RefusedRecordings(
        "audio by address, which OpenAI's format does not have",
        (*CLAUDE_HOSTS, *GEMINI_HOSTS, "Bedrock", "Cohere"),
        CHAT,
        ("mistral-chat-051a5244675c",),
    ),
    RefusedRecordings(
        "audio", (*CLAUDE_HOSTS, "Cohere"), CHAT, ("openai-chat-9e2ffac0a878", "openai-chat-e964120f7c4a")
    ),
    RefusedRecordings(
        "a PDF",
        ("Cohere",),
        CHAT,
        ("deepseek-chat-f3736ba1fd7a", "openai-chat-74baf39738a4", "openrouter-chat-12244df326b6"),
    ),
    RefusedRecordings("a PDF", ("Cohere",), MESSAGES, ("anthropic-messages-b673f3091283",)),
    RefusedRecordings("an image as a result", ("Cohere",), CHAT, ("ollama-chat-2a82395a2c3b",)),
    RefusedRecordings(
        "what Claude alone has, or what is malformed",
        OTHERS,
        MESSAGES,
        (
            *("anthropic-messages-0f9775965208", "anthropic-messages-10a1f37f5290", "anthropic-messages-177a4dfef06e"),
            *("anthropic-messages-24e73fad67cd", "anthropic-messages-7c817d6d1619", "anthropic-messages-915b64a3771c"),
            *("anthropic-messages-9370889adfec", "anthropic-messages-9a54fc401471", "anthropic-messages-b20b72064ca9"),
            "anthropic-messages-b23f605d76c9",
        ),
    ),
    RefusedRecordings(
        "references to tools",
        (*GEMINI_HOSTS, "Bedrock"),
        COUNT,
        ("anthropic-count_tokens-f6da25e2c3f2",),
    ),
)


def refused_recordings(place: str, path: str) -> set[str]:
    """Ids of the recordings that `place` is not sent as calls of the endpoint at `path`."""
    return {name for refused in RECORDINGS if place in refused.places and path == refused.path for name in refused.ids}
