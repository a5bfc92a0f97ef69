"""What recordings say, read from the providers' own bytes and without any of the gateway's code."""

import json

from tests.golden.evidence.anthropic import read_anthropic_chat
from tests.golden.evidence.bedrock import read_bedrock_chat
from tests.golden.evidence.cohere import read_cohere_chat, read_cohere_vectors
from tests.golden.evidence.errors import read_failure, read_failure_in_answer
from tests.golden.evidence.gemini import read_gemini_chat, read_gemini_vectors
from tests.golden.evidence.openai import read_openai_chat, read_openai_vectors, read_ranking
from tests.golden.evidence.types import Count, Evidence, Failure, JsonObject
from tests.golden.recordings import Recording

_CHATS = {
    "chat": read_openai_chat,
    "inference_chat": read_openai_chat,
    "mantle_chat": read_openai_chat,
    "openai_chat": read_openai_chat,
    "completions": read_openai_chat,
    "messages": read_anthropic_chat,
    "anthropic_messages": read_anthropic_chat,
    "anthropic_rawPredict": read_anthropic_chat,
    "anthropic_streamRawPredict": read_anthropic_chat,
    "generateContent": read_gemini_chat,
    "streamGenerateContent": read_gemini_chat,
    "converse": read_bedrock_chat,
    "converse_stream": read_bedrock_chat,
    "chat_v2": read_cohere_chat,
}
_VECTORS = {
    "embeddings": read_openai_vectors,
    "batchEmbedContents": read_gemini_vectors,
    "embedContent": read_gemini_vectors,
    "predict": read_gemini_vectors,
    "embed_v1": read_cohere_vectors,
    "embed_v2": read_cohere_vectors,
}
_COUNTS = {"count_tokens": ("input_tokens", "inputTokens"), "countTokens": ("totalTokens",)}
_RANKINGS = frozenset(("rerank", "rerank_v1", "rerank_v2"))
OPENAI_CHATS = frozenset(kind for kind, read in _CHATS.items() if read is read_openai_chat)
ANTHROPIC_CHATS = frozenset(kind for kind, read in _CHATS.items() if read is read_anthropic_chat)
CHATS = frozenset(_CHATS)
VECTORS = frozenset(_VECTORS)
COUNTS = frozenset(_COUNTS)
KINDS = CHATS | VECTORS | COUNTS | _RANKINGS
"""Kinds of exchanges that can be read; a kind is what follows the provider in the name of an api."""


def kind_of(recording: Recording) -> str:
    return recording.api.rpartition(".")[2]


def read_evidence(recording: Recording) -> Evidence:
    """What `recording`, whose kind must be one of KINDS, says."""
    kind, body = kind_of(recording), recording.body
    if recording.status >= 400:
        return read_failure(recording.status, recording.headers, body)
    if not recording.is_stream:
        failure = _hidden_failure(json.loads(body))
        if failure is not None:
            return failure
    if kind in _CHATS:
        return _CHATS[kind](body, is_stream=recording.is_stream)
    answer = json.loads(body)
    if kind in _VECTORS:
        return _VECTORS[kind](answer)
    if kind in _COUNTS:
        return Count(next(answer[name] for name in _COUNTS[kind] if name in answer))
    return read_ranking(answer)


def _hidden_failure(answer: JsonObject) -> Failure | None:
    """The error that a good status hides; None for an answer."""
    return read_failure_in_answer(answer) if answer.get("error") and not answer.get("choices") else None
