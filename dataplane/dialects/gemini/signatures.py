"""Thought signatures, and uses of Google's own tools, on their way through OpenAI's format and back.

The signature of a call travels in `extra_content.google.thought_signature` of the tool call, as Google's own OpenAI
surface has it; that of an image in the same place of the image; that of text in an entry of `reasoning_details`. Uses
of Google's own tools beside functions, and what came of them, must be sent back as they came
(https://ai.google.dev/gemini-api/docs/tool-combination): each of these parts is in such an entry too.
"""

from collections.abc import Mapping
from typing import Any, Final

from dataplane.call import JsonObject
from dataplane.dialects.gemini.fields import json_of, object_at, objects_at, text_at
from dataplane.dialects.openai.mending import encode

SKIPPED: Final = "skip_thought_signature_validator"
"""What Google documents for history that it did not sign itself."""

OWN_TOOL_PARTS: Final = ("toolCall", "toolResponse")
"""Members of parts that tell a use of a tool of Google's own, and what came of it."""

_FORMAT: Final = "google-gemini-v1"
_PART_FORMAT: Final = "google-gemini-part-v1"
_OWN_MEMBERS: Final = frozenset(("id", "toolType", "args", "response"))
_TYPE: Final = "reasoning.encrypted"


def extra_content(signature: str) -> JsonObject:
    """Members that carry `signature` on a tool call or an image; none without one."""
    return {"extra_content": {"google": {"thought_signature": signature}}} if signature else {}


def signature_of(item: JsonObject) -> str:
    """The signature that a tool call or an image of a message carries, "" without one."""
    return text_at(object_at(object_at(item, "extra_content"), "google"), "thought_signature")


def reasoning_detail(signature: str, index: int) -> JsonObject:
    """The entry of `reasoning_details` for a signature of text; `index` counts them in a choice."""
    return {"type": _TYPE, "format": _FORMAT, "data": signature, "index": index}


def own_tool_detail(part: JsonObject, index: int) -> JsonObject:
    """The entry of `reasoning_details` for a part of a tool of Google's own; `index` counts as in reasoning_detail.

    Raises UpstreamError when the part is nested too deep.
    """
    return {"type": _TYPE, "format": _PART_FORMAT, "data": encode(part).decode(), "index": index}


def own_tool_parts(message: JsonObject) -> list[JsonObject]:
    """The parts of tools of Google's own in the details of a message; what is no such part is none."""
    details = objects_at(message, "reasoning_details")
    told = [json_of(text_at(detail, "data")) for detail in details if detail.get("format") == _PART_FORMAT]
    return [part for part in told if _is_own_tool_part(part)]


def _is_own_tool_part(part: Any) -> bool:
    """Whether `part` tells a use or a result, and holds nothing beside that which Google would read for the gateway."""
    if not isinstance(part, dict):
        return False
    told = [member for name, member in part.items() if name != "thoughtSignature"]
    is_signed = isinstance(part.get("thoughtSignature", ""), str)
    return is_signed and len(told) == 1 and not part.keys().isdisjoint(OWN_TOOL_PARTS) and _is_own_use(told[0])


def _is_own_use(told: Any) -> bool:
    return isinstance(told, dict) and told.keys() <= _OWN_MEMBERS


def text_signature(detailed: Mapping[str, str]) -> str:
    """The last signature of text in what `detailed_signatures` found, "" without one."""
    return detailed.get("", "")


def call_signature(call: JsonObject, detailed: Mapping[str, str]) -> str:
    """The signature of a call: on the call, or in what `detailed_signatures` found; "" without one."""
    identity = text_at(call, "id")
    return signature_of(call) or (detailed.get(identity, "") if identity else "")


def detailed_signatures(message: JsonObject) -> dict[str, str]:
    """Signatures in the details of a message, by the id of a call, or "" for text; other providers' are none."""
    return {
        text_at(detail, "id"): signature
        for detail in objects_at(message, "reasoning_details")
        if detail.get("format") == _FORMAT and detail.get("type") == _TYPE and (signature := text_at(detail, "data"))
    }


def signed(part: JsonObject, signature: str) -> JsonObject:
    """`part` with `signature`, where there is one."""
    member: dict[str, Any] = {"thoughtSignature": signature} if signature else {}
    return part | member
