"""Chats and embeddings by the models of Mistral's SDK."""

from mistralai.client.models import ChatCompletionRequest, ChatCompletionStreamRequest, EmbeddingRequest

from tests.golden.sdk_types import Sent
from tests.golden.sdk_types.strict import Strict

_CHAT, _STREAM, _EMBEDDINGS = (
    Strict(ChatCompletionRequest),
    Strict(ChatCompletionStreamRequest),
    Strict(EmbeddingRequest),
)


def problems(sent: Sent) -> list[str]:
    """What is wrong with a request to Mistral."""
    if sent.endpoint == "embeddings":
        return _EMBEDDINGS.problems(sent.body)
    return (_STREAM if sent.is_stream else _CHAT).problems(sent.body)
