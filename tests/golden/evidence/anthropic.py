"""What answers in Anthropic's format say; a stream is folded to the message that it builds first."""

import json
from dataclasses import astuple, replace
from typing import Any

from tests.golden.evidence.framing import read_sse_objects
from tests.golden.evidence.types import Chat, JsonObject, OpenChoice, Tokens, ToolCall, finishes_of, parse_arguments

_FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_FRAGMENTS = {
    "text_delta": "text",
    "connector_text_delta": "connector_text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
}


def read_anthropic_chat(body: bytes, *, is_stream: bool) -> Chat:
    if not is_stream:
        return _read_message(json.loads(body))
    message, is_over = fold_events(read_sse_objects(body))
    return replace(_read_message(message), is_broken=not is_over)


def fold_events(events: list[JsonObject]) -> tuple[JsonObject, bool]:
    """The message that the events of a stream build, and whether they came to its end, after which nothing counts."""
    message: JsonObject = {}
    is_over = False
    for event in events:
        match event.get("type"):
            case "message_start":
                begun = event["message"].get("content") or []
                message = {**event["message"], "content": [{**block, "json": "", "index": None} for block in begun]}
            case "content_block_start":
                message["content"].append({**event["content_block"], "json": "", "index": event["index"]})
            case "content_block_delta":
                _add(event["delta"], next(b for b in message["content"] if b["index"] == event["index"]))
            case "message_delta":
                told = {name: value for name, value in (event.get("usage") or {}).items() if value is not None}
                message = {**message, **event["delta"], "usage": {**(message.get("usage") or {}), **told}}
            case "message_stop":
                is_over = True
                break
    for block in message.get("content", []):
        if block["json"]:
            block["input"] = parse_arguments(block["json"])
    return message, is_over


def read_anthropic_tokens(usage: JsonObject) -> Tokens:
    cached, written = usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
    reasoning = (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    prompt = (usage.get("input_tokens") or 0) + cached + written
    return Tokens(prompt, usage.get("output_tokens") or 0, cached, written, reasoning)


def _add(delta: JsonObject, block: JsonObject) -> None:
    if delta["type"] == "input_json_delta":
        block["json"] += delta["partial_json"]
    elif delta["type"] in _FRAGMENTS:
        name = _FRAGMENTS[delta["type"]]
        block[name] = (block.get(name) or "") + delta[name]


def _read_message(message: JsonObject) -> Chat:
    read = OpenChoice()
    for block in message.get("content") or []:
        _read_block(block, read)
    stop: Any = message.get("stop_reason")
    finishes = finishes_of(_FINISHES.get(stop, ""), read.calls) if stop else frozenset[str]()
    choice = replace(read.close(finishes), is_refusal=stop == "refusal")
    usage = message.get("usage")
    if not usage:
        return Chat((choice,), None, message.get("id") or "")
    told = read_anthropic_tokens(usage)
    return Chat((choice,), told, message.get("id") or "", billed=_billed(told, usage))


def _billed(told: Tokens, usage: JsonObject) -> Tokens:
    """`told`, and what summing up and advice cost beside it."""
    beside = [part for part in usage.get("iterations") or [] if part.get("type") in ("compaction", "advisor_message")]
    parts = [told, *map(read_anthropic_tokens, beside)]
    return Tokens(*(sum(counts) for counts in zip(*map(astuple, parts), strict=True)))


def _read_block(block: JsonObject, read: OpenChoice) -> None:
    match block.get("type"):
        case "text" | "connector_text" as kind:
            read.text.append(block.get(kind) or "")
        case "thinking":
            read.reasoning.append(block.get("thinking") or "")
            read.signatures.append(block.get("signature") or "")
        case "redacted_thinking":
            read.signatures.append(block.get("data") or "")
        case "tool_use":
            read.calls.append(ToolCall(block["name"], block.get("input") or {}, block.get("id") or ""))
        case _:
            read.text.append(None)
