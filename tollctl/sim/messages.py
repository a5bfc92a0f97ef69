"""A chat's messages: what they say, and how many words that is."""

from dataclasses import dataclass
from typing import Any

from tollctl.sim.errors import reject_field
from tollctl.sim.fields import FieldReader, reject_type
from tollctl.sim.words import count_words

_ROLES = ("system", "assistant", "user", "function", "tool", "developer")
_PARTS = ("text", "image_url", "input_audio", "refusal", "file")


@dataclass(frozen=True, slots=True)
class Conversation:
    """text: the last message that a model would answer to. words: of all contents, strings and text parts."""

    text: str
    words: int
    ends_with_tool: bool


def read_messages(body: dict[str, Any]) -> Conversation:
    """Raises SimError 400 where the messages are not as OpenAI wants them."""
    messages = FieldReader(body).required("messages")
    if not isinstance(messages, list):
        raise reject_type("messages", "an array of objects", messages)
    if not messages:
        raise reject_field(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            "messages",
            "empty_array",
        )
    words, last, spoken = 0, "", None
    for index, message in enumerate(messages):
        last = _read_message(message, f"messages[{index}]")
        words += count_words(last)
        if message["role"] in ("user", "tool", "function"):
            spoken = last
    return Conversation(last if spoken is None else spoken, words, messages[-1]["role"] in ("tool", "function"))


def _read_message(message: Any, path: str) -> str:
    reader = FieldReader.of(message, path)
    role = reader.required_text("role")
    reader.choice("role", _ROLES)
    content = reader.body.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list) and content:
        return " ".join(_read_part(part, f"{path}.content[{index}]") for index, part in enumerate(content))
    if content is None and role in ("assistant", "function"):
        return ""
    raise reject_type(f"{path}.content", "one of a string or an array of objects", content)


def _read_part(part: Any, path: str) -> str:
    reader = FieldReader.of(part, path)
    reader.required("type")
    if reader.choice("type", _PARTS) != "text":
        return ""
    reader.required("text")
    return reader.text("text") or ""
