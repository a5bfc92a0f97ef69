"""What answers in Gemini's format say, whole or streamed."""

import json
import re
from itertools import pairwise
from typing import Any

from tests.golden.evidence.framing import read_sse_objects
from tests.golden.evidence.types import Chat, JsonObject, OpenChoice, Tokens, ToolCall, Vectors, finishes_of

_FINISHES = {"STOP": "stop", "1": "stop", "MAX_TOKENS": "length", "2": "length"} | dict.fromkeys(
    ("SAFETY", "3", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "MODEL_ARMOR"),
    "content_filter",
)
_PIECES = ("stringValue", "numberValue", "boolValue")
_BLOCKED = frozenset(("content_filter",))
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


def read_gemini_chat(body: bytes, *, is_stream: bool) -> Chat:
    """Texts that follow one another are blocks apart in a whole answer, and pieces of one in a stream.

    A stream is one of events, or a JSON array.
    """
    answers = _answers(body)
    parts: dict[int, OpenChoice] = {}
    ends: dict[int, str] = {}
    usage: Tokens | None = None
    is_blocked = False
    for answer in answers:
        for candidate in answer.get("candidates") or []:
            index = candidate.get("index") or 0
            read = parts.setdefault(index, OpenChoice())
            for part in (candidate.get("content") or {}).get("parts") or []:
                _read_part(part, read, joins=is_stream)
            if candidate.get("finishReason"):
                ends[index] = _FINISHES.get(str(candidate["finishReason"]), "")
        is_blocked = is_blocked or bool((answer.get("promptFeedback") or {}).get("blockReason"))
        usage = _tokens(answer.get("usageMetadata") or {}) or usage
    identity = answers[0].get("responseId") or "" if answers else ""
    if not parts:
        return Chat((OpenChoice().close(_BLOCKED),) if is_blocked else (), usage, identity, is_broken=not is_blocked)
    choices = tuple(
        read.close(finishes_of(ends[index], read.calls) if index in ends else frozenset())
        for index, read in sorted(parts.items())
    )
    return Chat(choices, usage, identity, is_broken=is_stream and set(ends) != set(parts))


def read_gemini_vectors(answer: JsonObject) -> Vectors:
    """Vectors of either place; Vertex may count the tokens of each text apart."""
    predicted = [prediction["embeddings"] for prediction in answer.get("predictions") or []]
    embeddings = answer.get("embeddings") or predicted or [answer.get("embedding") or {}]
    counted = [embedding["statistics"]["token_count"] for embedding in predicted if "statistics" in embedding]
    tokens = sum(counted) if counted else (answer.get("usageMetadata") or {}).get("promptTokenCount")
    return Vectors(tuple(tuple(embedding["values"]) for embedding in embeddings), tokens)


def _answers(body: bytes) -> list[JsonObject]:
    if not body.lstrip().startswith((b"{", b"[")):
        return read_sse_objects(body)
    answers = json.loads(body)
    return answers if isinstance(answers, list) else [answers]


def _read_part(part: JsonObject, read: OpenChoice, *, joins: bool) -> None:
    call = part.get("functionCall")
    if call is not None or "text" in part:
        read.signatures.append(part.get("thoughtSignature") or "")
    if call is not None and "name" in call:
        read.calls.append(ToolCall(call["name"], dict(call.get("args") or {}), call.get("id") or ""))
    if call is not None:
        for piece in call.get("partialArgs") or []:
            _extend(read.calls[-1].arguments, piece)
    elif part.get("thought"):
        _append(read.reasoning, part.get("text") or "", joins=joins)
    elif "text" in part:
        if joins and read.text and read.text[-1] is not None:
            read.text[-1] += part["text"]
        else:
            read.text.append(part["text"])
    else:
        read.text.append(None)


def _extend(arguments: JsonObject, piece: JsonObject) -> None:
    """Adds a piece of a streamed argument where its path goes to from the arguments; text goes on."""
    path = [name or int(index) for name, index in _STEP.findall(piece["jsonPath"])]
    value = next((piece[kind] for kind in _PIECES if kind in piece), None)
    parent: Any = arguments
    for step, following in pairwise(path):
        parent = _at(parent, step, {} if isinstance(following, str) else [])
    earlier = _at(parent, path[-1], None)
    parent[path[-1]] = earlier + value if isinstance(earlier, str) and isinstance(value, str) else value


def _at(parent: Any, step: str | int, missing: Any) -> Any:
    """What is at `step` of an object or a list, in which `missing` is put where it ends."""
    if isinstance(parent, dict):
        return parent.setdefault(step, missing)
    if step == len(parent):
        parent.append(missing)
    return parent[step]


def _append(blocks: list[str], text: str, *, joins: bool) -> None:
    if joins and blocks:
        blocks[-1] += text
    else:
        blocks.append(text)


def _tokens(usage: JsonObject) -> Tokens | None:
    if "promptTokenCount" not in usage:
        return None
    reasoning = usage.get("thoughtsTokenCount") or 0
    prompt = usage["promptTokenCount"] + (usage.get("toolUsePromptTokenCount") or 0)
    completion = (usage.get("candidatesTokenCount") or 0) + reasoning
    return Tokens(prompt, completion, usage.get("cachedContentTokenCount") or 0, 0, reasoning)
