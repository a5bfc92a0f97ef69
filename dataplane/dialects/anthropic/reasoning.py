"""Thinking blocks, as they go out to clients of the hub and come back from them.

An entry of `reasoning_details` is {type: "reasoning.text", text, signature, format, index} for a signed thinking block,
or {type: "reasoning.encrypted", data, format, index} for a redacted one. A later turn must send them back unchanged.
"""

from typing import Any, Final

from dataplane.call import JsonObject

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
