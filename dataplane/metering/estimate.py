"""Token counts where the upstream reported none: from bytes, and never zero for what was generated."""

from typing import Any

from dataplane.call import JsonObject

BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
TOKENS_PER_INLINE_FILE = 1000
_TEXT_KEYS = ("messages", "prompt", "input", "tools", "functions")


def input_tokens(body: JsonObject) -> int:
    """Estimated tokens of a request: a token per four bytes of its text, and four per message."""
    messages = body.get("messages")
    per_message = TOKENS_PER_MESSAGE * len(messages) if isinstance(messages, list) else 0
    size = sum(_text_bytes(body[key]) for key in _TEXT_KEYS if key in body)
    return max(1, -(-size // BYTES_PER_TOKEN) + per_message)


def output_tokens(text_bytes: int, deltas: int) -> int:
    """Estimated tokens of what was generated: no fewer than its pieces, and one piece more that was under way."""
    return max(deltas, -(-text_bytes // BYTES_PER_TOKEN)) + 1


def _text_bytes(value: Any) -> int:
    """UTF-8 bytes of all strings in a JSON value; a number counts as a token, a data URL as a file."""
    pending, size = [value], 0
    while pending:
        item = pending.pop()
        if isinstance(item, str) and item.startswith("data:"):
            size += TOKENS_PER_INLINE_FILE * BYTES_PER_TOKEN
        elif isinstance(item, str):
            size += len(item) if item.isascii() else len(item.encode())
        elif isinstance(item, dict):
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, int) and not isinstance(item, bool):
            size += BYTES_PER_TOKEN
    return size
