"""What answers in Gemini's format say, whole or streamed."""

import json

from tests.golden.evidence.framing import read_sse_objects
from tests.golden.evidence.types import Chat, JsonObject, OpenChoice, Tokens, ToolCall, Vectors, finishes_of

_FINISHES = {"STOP": "stop", "1": "stop", "MAX_TOKENS": "length", "2": "length"} | dict.fromkeys(
    ("SAFETY", "3", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "MODEL_ARMOR"),
    "content_filter",
)
_PIECES = ("stringValue", "numberValue", "boolValue")
_BLOCKED = frozenset(("content_filter",))


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
    embeddings = answer.get("embeddings") or [answer.get("embedding") or {}]
    usage = answer.get("usageMetadata") or {}
    return Vectors(tuple(tuple(embedding["values"]) for embedding in embeddings), usage.get("promptTokenCount"))


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
    """Adds a piece of a streamed argument, whose path is that of a member of the arguments themselves."""
    name = piece["jsonPath"].removeprefix("$.")
    value = next((piece[kind] for kind in _PIECES if kind in piece), None)
    earlier = arguments.get(name)
    arguments[name] = earlier + value if isinstance(earlier, str) and isinstance(value, str) else value


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
