"""Thinking blocks, as they go out to clients of the hub and come back from them.

An entry of `reasoning_details` is {type: "reasoning.text", text, signature, format, index} for a signed thinking block,
or {type: "reasoning.encrypted", data, format, index} for a redacted one. A later turn must send them back unchanged.
"""

from typing import Any, Final

from dataplane.call import JsonObject

SEAL: Final = "tollway."
"""What a signature, or redacted data, begins with that holds another provider's reasoning for its next turn."""
_FORMAT: Final = "anthropic-claude-v1"
_TEXT, _ENCRYPTED = "reasoning.text", "reasoning.encrypted"


def signed_detail(text: str, signature: str, index: int) -> JsonObject:
    """The entry of a thinking block; `index` counts the entries of one message."""
    return {"type": _TEXT, "text": text, "signature": signature, "format": _FORMAT, "index": index}


def redacted_detail(data: str, index: int) -> JsonObject:
    """The entry of a redacted thinking block."""
    return {"type": _ENCRYPTED, "data": data, "format": _FORMAT, "index": index}


def thinking_blocks(message: JsonObject) -> list[JsonObject]:
    """The blocks that an assistant's message carries, in order; unsigned reasoning, which is refused, is none.

    `reasoning_details` count, else `thinking_blocks`. Entries of another provider's format are left out.
    """
    details = _objects(message.get("reasoning_details"))
    blocks = [block for block in map(_block_of_detail, details) if block is not None]
    if blocks:
        return blocks
    own = [_own_block(block) for block in _objects(message.get("thinking_blocks"))]
    return [block for block in own if block is not None]


def without_foreign_thinking(body: JsonObject) -> JsonObject:
    """A copy of a Messages body without thinking that other providers' answers became, which Anthropic refuses."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not any(map(_has_foreign, messages)):
        return dict(body)
    kept = [_without_foreign(message) if _has_foreign(message) else message for message in messages]
    return {**body, "messages": [message for message in kept if message is not None]}


def _has_foreign(message: Any) -> bool:
    content = message.get("content") if isinstance(message, dict) else None
    return isinstance(content, list) and any(map(_is_foreign, content))


def _without_foreign(message: JsonObject) -> JsonObject | None:
    """None where nothing is left."""
    content = [block for block in message["content"] if not _is_foreign(block)]
    return {**message, "content": content} if content else None


def _is_foreign(block: Any) -> bool:
    if not isinstance(block, dict) or not is_thinking(block):
        return False
    proof = block.get("signature" if block["type"] == "thinking" else "data")
    return not proof or (isinstance(proof, str) and proof.startswith(SEAL))


def is_thinking(block: JsonObject) -> bool:
    return block.get("type") in ("thinking", "redacted_thinking")


def _block_of_detail(detail: JsonObject) -> JsonObject | None:
    if detail.get("format") not in (None, _FORMAT):
        return None
    if detail.get("type") == _TEXT:
        return _own_block({"type": "thinking", "thinking": detail.get("text"), "signature": detail.get("signature")})
    if detail.get("type") == _ENCRYPTED and detail.get("format") == _FORMAT:
        return _own_block({"type": "redacted_thinking", "data": detail.get("data")})
    return _own_block(detail)


def _own_block(block: JsonObject) -> JsonObject | None:
    """`block` with its own members only; None when it is no thinking block that can be sent back."""
    if block.get("type") == "thinking":
        thinking, signature = block.get("thinking") or "", block.get("signature")
        if isinstance(thinking, str) and isinstance(signature, str) and signature:
            return {"type": "thinking", "thinking": thinking, "signature": signature}
    elif block.get("type") == "redacted_thinking":
        data = block.get("data")
        if isinstance(data, str) and data:
            return {"type": "redacted_thinking", "data": data}
    return None


def _objects(value: Any) -> list[JsonObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
