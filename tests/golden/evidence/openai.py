"""What answers in OpenAI's format say, whole or streamed, also with the words that compatible providers have."""

import base64
import json
import struct
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from tests.golden.evidence.framing import read_sse
from tests.golden.evidence.types import (
    OPENAI_FINISHES,
    Chat,
    Choice,
    JsonObject,
    OpenCall,
    OpenChoice,
    Ranking,
    Tokens,
    ToolCall,
    Vectors,
)

_FINISHES = {"eos": "stop", "model_length": "length"}
_FLOAT = struct.Struct("<f")


def read_openai_chat(body: bytes, *, is_stream: bool) -> Chat:
    """An answer in the words of any provider of this format."""
    return _streamed(body) if is_stream else read_whole_chat(json.loads(body))


def read_whole_chat(answer: JsonObject) -> Chat:
    choices = [_choice(choice) for choice in answer.get("choices") or []]
    usage = answer.get("usage")
    return Chat(tuple(choices), read_tokens(usage), answer.get("id") or "", billed=_billed(usage))


def read_tokens(usage: Any) -> Tokens | None:
    """What a usage object says; None when it tells no counts.

    Reasoning is added where the total says that it comes on top of the completion.
    """
    if not isinstance(usage, dict) or usage.get("prompt_tokens") is None:
        return None
    prompt, completion = usage["prompt_tokens"], usage.get("completion_tokens") or 0
    went_in, came_out = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    reasoning = came_out.get("reasoning_tokens") or 0
    if reasoning and usage.get("total_tokens") == prompt + completion + reasoning:
        completion += reasoning
    cached = went_in.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or usage.get("cached_tokens")
    cached = cached or usage.get("num_cached_tokens") or usage.get("cache_read_input_tokens") or 0
    return Tokens(prompt, completion, cached, went_in.get("cache_write_tokens") or 0, reasoning)


def _billed(usage: Any) -> Tokens | None:
    """What is billed where the total says that more comes on top: sound of the prompt, or thoughts of the answer."""
    told = read_tokens(usage)
    on_top = told and (usage.get("total_tokens") or 0) - told.prompt - told.completion
    if not told or not on_top or on_top < 0 or usage.get("cache_read_input_tokens"):
        return None
    if on_top == (usage.get("prompt_tokens_details") or {}).get("audio_tokens"):
        return replace(told, prompt=told.prompt + on_top)
    return replace(told, completion=told.completion + on_top, reasoning=told.reasoning + on_top)


def read_openai_vectors(answer: JsonObject) -> Vectors:
    """Embeddings, as lists of numbers or as little-endian floats in base64."""
    usage = answer.get("usage") or {}
    tokens = usage.get("prompt_tokens", usage.get("total_tokens"))
    return Vectors(tuple(_vector(item.get("embedding")) for item in answer.get("data") or []), tokens)


def read_ranking(answer: JsonObject) -> Ranking:
    """Results of a rerank, under the names that providers give them."""
    results = answer.get("results") or answer.get("data") or []
    return Ranking(tuple((r["index"], r.get("relevance_score", r.get("relevanceScore"))) for r in results))


def read_reasoning(message: JsonObject) -> str:
    """Reasoning text of a message or a delta, wherever it stands."""
    for name in ("reasoning_content", "reasoning"):
        if isinstance(message.get(name), str) and message[name]:
            return str(message[name])
    details = message.get("reasoning_details")
    told = [d.get("text") or d.get("summary") or "" for d in details if isinstance(d, dict)] if details else []
    if any(told):
        return "".join(told)
    return "".join(_thoughts(message.get("content")))


def _choice(choice: JsonObject) -> Choice:
    message = choice.get("message")
    if not isinstance(message, dict):
        read = OpenChoice(text=[choice.get("text") or ""])
    else:
        read = OpenChoice(
            [_text(message.get("content"))], [read_reasoning(message)], message.get("refusal") or "", _calls(message)
        )
    is_json = isinstance(message, dict) and isinstance(message.get("content"), dict)
    return replace(read.close(_finishes(choice.get("finish_reason"))), is_json=is_json)


def _streamed(body: bytes) -> Chat:
    parts: dict[int, OpenChoice] = {}
    calls: dict[int, dict[int, OpenCall]] = {}
    finishes: dict[int, frozenset[str]] = {}
    usage: Any = None
    identity, is_done, is_failed = "", False, False
    for event in read_sse(body):
        if event.data.strip() == "[DONE]":
            is_done = True
            continue
        chunk = json.loads(event.data)
        is_failed = is_failed or event.name == "error" or bool(chunk.get("error"))
        identity = identity or chunk.get("id") or ""
        told = chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage")
        usage = told if read_tokens(told) else usage
        for choice in chunk.get("choices") or []:
            index = choice.get("index") or 0
            _add(choice, parts.setdefault(index, OpenChoice()), calls.setdefault(index, {}))
            if choice.get("finish_reason"):
                finishes[index] = _finishes(choice["finish_reason"])
    for index, part in parts.items():
        part.calls += [call.close() for call in calls[index].values()]
        part.text, part.reasoning = _joined(part.text), ["".join(part.reasoning)]
    choices = tuple(part.close(finishes.get(index, frozenset())) for index, part in sorted(parts.items()))
    is_broken = is_failed or not (is_done or (finishes and set(finishes) == set(parts)))
    return Chat(choices, read_tokens(usage), identity, is_broken, billed=_billed(usage))


def _add(choice: JsonObject, part: OpenChoice, calls: dict[int, OpenCall]) -> None:
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        part.text.append(choice.get("text") or "")
        return
    part.text.append(_text(delta.get("content")))
    part.reasoning.append(read_reasoning(delta))
    part.refusal += delta.get("refusal") or ""
    for position, piece in enumerate(delta.get("tool_calls") or []):
        index = piece.get("index")
        call = calls.setdefault(position if index is None else index, OpenCall())
        function = piece.get("function") or {}
        call.id, call.name = call.id or piece.get("id") or "", call.name or function.get("name") or ""
        call.pieces.append(function.get("arguments") or "")


def _joined(pieces: Iterable[str | None]) -> list[str | None]:
    return ["".join(piece or "" for piece in pieces)]


def _calls(message: JsonObject) -> list[ToolCall]:
    calls: list[ToolCall] = []
    for call in message.get("tool_calls") or []:
        function = call.get("function") or {}
        arguments = function.get("arguments")
        pieces = [arguments] if isinstance(arguments, str) else []
        calls.append(OpenCall(function.get("name") or "", call.get("id") or "", pieces).close(arguments))
    return calls


def _text(content: Any) -> str:
    """Text of a message's content, which some providers give as a list of parts, or as a value."""
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content if isinstance(part, dict) and "thinking" not in part)
    return json.dumps(content)


def _thoughts(content: Any) -> list[str]:
    """Texts of the parts of a content that hold thinking."""
    parts = content if isinstance(content, list) else []
    thoughts = [part["thinking"] for part in parts if isinstance(part, dict) and part.get("thinking")]
    return [_text(thought) for thought in thoughts]


def _finishes(word: Any) -> frozenset[str]:
    if word == "function_call":
        return frozenset(("function_call", "tool_calls"))
    known = _FINISHES.get(word, word)
    if known is None:
        return frozenset()
    return frozenset((known,)) if known in OPENAI_FINISHES else OPENAI_FINISHES


def _vector(embedding: Any) -> tuple[float, ...] | None:
    if isinstance(embedding, str):
        raw = base64.b64decode(embedding)
        return tuple(value for (value,) in _FLOAT.iter_unpack(raw)) if len(raw) % _FLOAT.size == 0 else None
    return tuple(float(value) for value in embedding) if isinstance(embedding, list) else None
