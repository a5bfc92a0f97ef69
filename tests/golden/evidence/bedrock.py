"""What answers of Bedrock's Converse say, whole or streamed; a stream is folded to the answer that it builds first."""

import json
from dataclasses import replace
from typing import Any

from tests.golden.evidence.framing import read_aws_events
from tests.golden.evidence.types import (
    Chat,
    JsonObject,
    OpenChoice,
    Tokens,
    ToolCall,
    Vectors,
    finishes_of,
    parse_arguments,
)

_FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
_SERVED = "server_tool_use"


def read_bedrock_chat(body: bytes, *, is_stream: bool) -> Chat:
    if not is_stream:
        return _read_answer(json.loads(body))
    answer, is_over = _fold(body)
    return replace(_read_answer(answer), is_broken=not is_over)


def read_bedrock_vectors(answer: JsonObject) -> Vectors:
    """Embeddings of a model of Amazon's, which takes one text a call, or of Cohere's."""
    if "embedding" in answer:
        return Vectors((tuple(answer["embedding"]),), answer.get("inputTextTokenCount"))
    embeddings = answer["embeddings"]
    if embeddings and isinstance(embeddings, list) and isinstance(embeddings[0], dict):
        embeddings = [item["embedding"] for item in embeddings]
    vectors = embeddings["float"] if isinstance(embeddings, dict) else embeddings
    return Vectors(tuple(tuple(vector) for vector in vectors))


def _fold(body: bytes) -> tuple[JsonObject, bool]:
    blocks: dict[int, JsonObject] = {}
    answer: JsonObject = {"output": {"message": {"content": []}}}
    for headers, payload in read_aws_events(body):
        match headers.get(":event-type"):
            case "contentBlockStart":
                blocks[payload["contentBlockIndex"]] = _begun(payload["start"])
            case "contentBlockDelta":
                _add(payload["delta"], blocks.setdefault(payload["contentBlockIndex"], {}))
            case "messageStop":
                answer["stopReason"] = payload["stopReason"]
            case "metadata":
                answer["usage"] = payload.get("usage")
    answer["output"]["message"]["content"] = [block for _, block in sorted(blocks.items())]
    return answer, "stopReason" in answer


def _begun(start: JsonObject) -> JsonObject:
    return {"toolUse": {**start["toolUse"], "json": ""}} if "toolUse" in start else start


def _add(delta: JsonObject, block: JsonObject) -> None:
    if "toolUse" in delta and "toolUse" in block:
        block["toolUse"]["json"] += delta["toolUse"]["input"]
    elif "text" in delta:
        block["text"] = block.get("text", "") + delta["text"]
    elif "reasoningContent" in delta:
        reasoning = block.setdefault("reasoningContent", {})
        for name, value in delta["reasoningContent"].items():
            reasoning[name] = reasoning.get(name, "") + value


def _read_answer(answer: JsonObject) -> Chat:
    read = OpenChoice()
    for block in answer["output"]["message"].get("content") or []:
        _read_block(block, read)
    stop: Any = answer.get("stopReason")
    finishes = finishes_of(_FINISHES.get(stop, ""), read.calls) if stop else frozenset[str]()
    usage = answer.get("usage")
    return Chat((read.close(finishes),), _tokens(usage) if usage else None)


def _read_block(block: JsonObject, read: OpenChoice) -> None:
    if block.get("toolUse", {}).get("type") == _SERVED or "toolResult" in block:
        return
    if "toolUse" in block:
        use = block["toolUse"]
        arguments = use.get("input") if "input" in use else parse_arguments(use.get("json"))
        read.calls.append(ToolCall(use["name"], arguments or {}, use.get("toolUseId") or ""))
    elif "reasoningContent" in block:
        reasoning = block["reasoningContent"]
        told = reasoning.get("reasoningText", reasoning)
        read.reasoning.append(told.get("text") or "")
        read.signatures += [told.get("signature") or "", reasoning.get("redactedContent") or ""]
    elif "text" in block:
        read.text.append(block["text"])
    elif "citationsContent" in block:
        read.text += [part.get("text") or "" for part in block["citationsContent"].get("content") or []]
    else:
        read.text.append(None)


def _tokens(usage: JsonObject) -> Tokens:
    cached = usage.get("cacheReadInputTokens") or usage.get("cacheReadInputTokenCount") or 0
    written = usage.get("cacheWriteInputTokens") or usage.get("cacheWriteInputTokenCount") or 0
    return Tokens(usage.get("inputTokens", 0) + cached + written, usage.get("outputTokens", 0), cached, written)
