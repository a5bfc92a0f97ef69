"""What answers of Cohere's second API say, whole or streamed."""

import json
from typing import Any

from tests.golden.evidence.framing import read_sse_objects
from tests.golden.evidence.types import Chat, JsonObject, OpenCall, OpenChoice, Tokens, Vectors, finishes_of

_FINISHES = {"COMPLETE": "stop", "STOP_SEQUENCE": "stop", "MAX_TOKENS": "length", "TOOL_CALL": "tool_calls"}


def read_cohere_chat(body: bytes, *, is_stream: bool) -> Chat:
    return _streamed(body) if is_stream else _whole(json.loads(body))


def read_cohere_vectors(answer: JsonObject) -> Vectors:
    """Embeddings told in numbers of one type; `tokens` are those billed, the only ones that it tells."""
    embeddings = answer["embeddings"]
    vectors = next((told for told in embeddings.values() if told), []) if isinstance(embeddings, dict) else embeddings
    billed = ((answer.get("meta") or {}).get("billed_units") or {}).get("input_tokens")
    return Vectors(tuple(tuple(vector) for vector in vectors), billed)


def _whole(answer: JsonObject) -> Chat:
    message = answer["message"]
    read = OpenChoice(plan=message.get("tool_plan") or "")
    for part in message.get("content") or []:
        read.text.append(part.get("text") or "")
        read.reasoning.append(part.get("thinking") or "")
    for call in message.get("tool_calls") or []:
        function = call["function"]
        read.calls.append(OpenCall(function["name"], call.get("id") or "", [function.get("arguments") or ""]).close())
    return _chat(read, answer.get("finish_reason"), answer.get("usage"), answer.get("id") or "")


def _streamed(body: bytes) -> Chat:
    read = OpenChoice()
    calls: list[OpenCall] = []
    finish: Any = None
    usage: Any = None
    identity = ""
    for event in read_sse_objects(body):
        delta = event.get("delta") or {}
        message = delta.get("message") or {}
        match event.get("type"):
            case "message-start":
                identity = event.get("id") or ""
            case "content-start":
                read.text.append("")
                read.reasoning.append("")
                _add(message["content"], read)
            case "content-delta":
                _add(message["content"], read)
            case "tool-plan-delta":
                read.plan += message["tool_plan"]
            case "tool-call-start":
                call = message["tool_calls"]
                calls.append(OpenCall(call["function"]["name"], call["id"], [call["function"].get("arguments") or ""]))
            case "tool-call-delta":
                calls[-1].pieces.append(message["tool_calls"]["function"]["arguments"])
            case "message-end":
                finish, usage = delta.get("finish_reason"), delta.get("usage")
    read.calls = [call.close() for call in calls]
    return _chat(read, finish, usage, identity)


def _add(content: JsonObject, read: OpenChoice) -> None:
    read.text[-1] = (read.text[-1] or "") + (content.get("text") or "")
    read.reasoning[-1] += content.get("thinking") or ""


def _chat(read: OpenChoice, finish: Any, usage: Any, identity: str) -> Chat:
    known = _FINISHES.get(finish, "")
    finishes = finishes_of(known, read.calls) if finish else frozenset[str]()
    choice = read.close(finishes)
    told = usage or {}
    return Chat((choice,), _tokens(told), identity, is_broken=not finish, may_fail=not known, billed=_billed(told))


def _billed(usage: JsonObject) -> Tokens | None:
    billed, tokens = usage.get("billed_units") or {}, usage.get("tokens") or {}
    if "input_tokens" not in billed or "output_tokens" not in billed:
        return None
    output = int(billed["output_tokens"])
    return Tokens(int(billed["input_tokens"]), output, reasoning=min(output, int(tokens.get("reasoning_tokens") or 0)))


def _tokens(usage: JsonObject) -> Tokens | None:
    tokens = usage.get("tokens")
    if not tokens:
        return None
    cached, reasoning = usage.get("cached_tokens") or 0, tokens.get("reasoning_tokens") or 0
    return Tokens(int(tokens["input_tokens"]), int(tokens["output_tokens"]), int(cached), 0, int(reasoning))
