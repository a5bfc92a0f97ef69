"""Chats, embeddings and rankings by what Cohere's SDK takes for the second version of its API."""

from collections.abc import Mapping
from typing import Final, Literal

from cohere.v2.client import V2Client

from tests.golden.sdk_types import Sent
from tests.golden.sdk_types.strict import Strict, arguments_of

_STREAM: Final = Strict(arguments_of(V2Client.chat_stream, stream=Literal[True]))
_BY_ENDPOINT: Final[Mapping[str, Strict]] = {
    "chat_completions": Strict(arguments_of(V2Client.chat, stream=Literal[False])),
    "embeddings": Strict(arguments_of(V2Client.embed)),
    "rerank": Strict(arguments_of(V2Client.rerank)),
}


def problems(sent: Sent) -> list[str]:
    """What is wrong with a request to Cohere."""
    return (_STREAM if sent.is_stream else _BY_ENDPOINT[sent.endpoint]).problems(sent.body)
