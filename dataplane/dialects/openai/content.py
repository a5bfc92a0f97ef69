"""What was generated, in messages and in deltas of them: whether there is any, and how much text it is."""

from typing import Any

_REASONING = frozenset(("reasoning_content", "reasoning", "reasoning_details"))
_WRITTEN = _REASONING | {"content", "refusal", "tool_calls", "function_call", "audio"}
"""What a model writes."""
_ASIDE = frozenset(("role", "annotations", "executed_tools", "images", "provider_metadata"))
"""What comes with an answer and is no text that the model wrote."""


def has_content(message: dict[str, Any]) -> bool:
    """Whether any member but the role holds something."""
    return any(value and name != "role" and isinstance(value, str | list | dict) for name, value in message.items())


def is_written(message: dict[str, Any]) -> bool:
    """Whether any member that is known to be the model's own holds something."""
    return any(message.get(name) for name in _WRITTEN)


def message_bytes(message: dict[str, Any]) -> int:
    """UTF-8 bytes of what the model wrote, recorded sound apart; of reasoning told in several ways, the longest."""
    size = reasoning = 0
    for name, value in message.items():
        if not value or name in _ASIDE:
            continue
        if isinstance(value, str):
            length = len(value) if value.isascii() else len(value.encode())
        else:
            length = _strings_bytes(value)
        if name in _REASONING:
            reasoning = max(reasoning, length)
        else:
            size += length
    return size + reasoning


def text_bytes(text: Any) -> int:
    """UTF-8 bytes of `text`; 0 when it is not a string."""
    if isinstance(text, str):
        return len(text) if text.isascii() else len(text.encode())
    return 0


def _strings_bytes(value: Any) -> int:
    """UTF-8 bytes of all strings in a JSON value; sound, which is base64 under "data", is not text."""
    pending, size = [value], 0
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            size += text_bytes(item)
        elif isinstance(item, dict):
            pending.extend(child for name, child in item.items() if name != "data")
        elif isinstance(item, list):
            pending.extend(item)
    return size
