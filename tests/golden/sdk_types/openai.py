"""Chats, text completions and embeddings by the types of OpenAI's SDK."""

from collections.abc import Mapping
from typing import Final

from openai.types import EmbeddingCreateParams
from openai.types import completion_create_params as completion
from openai.types.chat import completion_create_params as chat

from tests.golden.sdk_types import Sent
from tests.golden.sdk_types.strict import Strict

_WHOLE: Final[Mapping[str, Strict]] = {
    "chat_completions": Strict(chat.CompletionCreateParamsNonStreaming),
    "completions": Strict(completion.CompletionCreateParamsNonStreaming),
    "embeddings": Strict(EmbeddingCreateParams),
}
_STREAMS: Final[Mapping[str, Strict]] = {
    "chat_completions": Strict(chat.CompletionCreateParamsStreaming),
    "completions": Strict(completion.CompletionCreateParamsStreaming),
}


def problems(sent: Sent) -> list[str]:
    """What is wrong with a request to OpenAI."""
    return (_STREAMS if sent.is_stream else _WHOLE)[sent.endpoint].problems(sent.body)
