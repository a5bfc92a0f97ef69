"""Reasoning blocks, as they go out to clients of the hub and come back from them.

An entry of `reasoning_details` is {type: "reasoning.text", text, signature, format, index} for a signed block, or
{type: "reasoning.encrypted", data, format, index} for a redacted one. A later turn must send them back unchanged.
Claude's blocks are told as Anthropic's own API tells them, since all of its hosts take them back. What it tells as
base64 is a blob to Bedrock, which is base64 once more.
"""

import re
from base64 import b64decode, b64encode
from typing import Final

from dataplane.call import JsonObject

_CLAUDE_FORMAT: Final = "anthropic-claude-v1"
_OTHER_FORMAT: Final = "bedrock-v1"
_TEXT, _ENCRYPTED = "reasoning.text", "reasoning.encrypted"
_BASE64_TEXT: Final = re.compile(rb"(?!rsn_)[A-Za-z0-9+/_-]{8,}={0,2}")
"""What Claude hides; what GPT models hide, which begins with a mark of its own, no other host takes back."""


def signed_detail(text: str, signature: str, index: int) -> JsonObject:
    """The entry of a signed block; `index` counts the entries of one message."""
    return {"type": _TEXT, "text": text, "signature": signature, "format": _CLAUDE_FORMAT, "index": index}


def redacted_detail(blob: str, index: int) -> JsonObject:
    """The entry of a redacted block, whose content is `blob`."""
    data = _claude_data(blob)
    if data is None:
        return {"type": _ENCRYPTED, "data": blob, "format": _OTHER_FORMAT, "index": index}
    return {"type": _ENCRYPTED, "data": data, "format": _CLAUDE_FORMAT, "index": index}


def reasoning_blocks(message: JsonObject) -> list[JsonObject]:
    """The blocks that an assistant's message carries, in order; unsigned reasoning, which is refused, is none.

    `reasoning_details` count, else `thinking_blocks`. Entries of another provider's format are left out.
    """
    for name in ("reasoning_details", "thinking_blocks"):
        listed = message.get(name)
        entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
        blocks = [block for block in map(_block, entries) if block is not None]
        if blocks:
            return blocks
    return []


def _block(entry: JsonObject) -> JsonObject | None:
    kind, form = entry.get("type"), entry.get("format")
    if form not in (None, _CLAUDE_FORMAT, _OTHER_FORMAT):
        return None
    if kind in (_TEXT, "thinking"):
        text, signature = entry.get("text", entry.get("thinking")) or "", entry.get("signature")
        if isinstance(text, str) and isinstance(signature, str) and signature:
            return {"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}}
    elif kind == "redacted_thinking" or (kind == _ENCRYPTED and form is not None):
        data = entry.get("data")
        if isinstance(data, str) and data:
            return {"reasoningContent": {"redactedContent": data if form == _OTHER_FORMAT else _blob(data)}}
    return None


def _blob(data: str) -> str:
    """`data` as Bedrock takes it; what comes from a client that keeps Bedrock's own form is that already."""
    return data if _claude_data(data) is not None else b64encode(data.encode()).decode()


def _claude_data(blob: str) -> str | None:
    """The base64 text that `blob` is made of; None when it is made of anything else."""
    try:
        inner = b64decode(blob, validate=True)
    except ValueError:
        return None
    return inner.decode() if _BASE64_TEXT.fullmatch(inner) else None


def is_reasoning(block: JsonObject) -> bool:
    return "reasoningContent" in block
