"""Why a candidate ended, in OpenAI's words."""

from typing import Any, Final

CONTENT_FILTER: Final = "content_filter"
LENGTH: Final = "length"
STOP: Final = "stop"
TOOL_CALLS: Final = "tool_calls"

_REASONS: Final = {
    "STOP": STOP,
    "MAX_TOKENS": LENGTH,
    "SAFETY": CONTENT_FILTER,
    "RECITATION": CONTENT_FILTER,
    "BLOCKLIST": CONTENT_FILTER,
    "PROHIBITED_CONTENT": CONTENT_FILTER,
    "SPII": CONTENT_FILTER,
    "MODEL_ARMOR": CONTENT_FILTER,
    "ESCALATION": CONTENT_FILTER,
    "IMAGE_SAFETY": CONTENT_FILTER,
    "IMAGE_PROHIBITED_CONTENT": CONTENT_FILTER,
    "IMAGE_RECITATION": CONTENT_FILTER,
}
_NUMBERED: Final = (
    "",
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "OTHER",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
    "MODEL_ARMOR",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
)
"""Vertex's numbers of the reasons, which answers carry that went through gRPC."""


def parse_finish(reason: Any) -> str:
    """The finish_reason that a finishReason means; "" where it says that there is none yet."""
    if type(reason) is int and reason >= 0:
        reason = _NUMBERED[reason] if reason < len(_NUMBERED) else "OTHER"
    if not isinstance(reason, str) or reason in ("", "FINISH_REASON_UNSPECIFIED"):
        return ""
    return _REASONS.get(reason, STOP)
