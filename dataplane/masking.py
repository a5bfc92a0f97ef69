"""What an upstream's words must not show to clients, masked in them. Pure."""

import re
from typing import Final

_MASK: Final = "***"
_ORGANISATION: Final = re.compile(r"\borg[-_]\w+")
_LIKE_A_CREDENTIAL: Final = re.compile(
    r"(?<![\w.*-])(?:(?:sk|gsk|hf|nvapi|pplx|xai)[-_](?=[\w.*-]{8})|(?=[\w.*-]{12})(?=[\w.*-]*[\d*]))[\w.*-]+[\w*]"
)
_ABOUT_A_CREDENTIAL: Final = re.compile(
    r"\bapi[ _-]?keys?\b|(?:access|auth|incorrect|invalid|provided|secret|wrong|your) key\b|\bg?sk[-_]"
    r"|credential|(?:access|api|auth|authentication|bearer|security|session)[ _-]token|unauthori[sz]ed|authenticat"
    r"|authori[sz]ation|\bbearer\b",
    re.IGNORECASE,
)
_TRACE: Final = re.compile(
    r"traceback \(most recent call|\bFile \"[^\"\n]{1,300}\", line \d|\bat [\w.$<>]{1,200} ?\([^()\s]{1,200}:\d{1,9}\)"
    r"|goroutine \d{1,9} \[|\bpanicked at ",
    re.IGNORECASE,
)
_SOURCE_PATH: Final = re.compile(
    r"(?<![\w./@+-])(?:/(?:[\w.@+-]+/)+|[A-Za-z]:\\(?:[\w.@+-]+\\)+)[\w.@+-]*\.[A-Za-z]\w*(?::\d+)*"
)
_PRIVATE_ADDRESS: Final = re.compile(
    r"(?<![\w.])(?:localhost(?=:\d)|(?:10|127)(?:\.\d{1,3}){3}"
    r"|(?:169\.254|172\.(?:1[6-9]|2\d|3[01])|192\.168|0\.0)(?:\.\d{1,3}){2}"
    r"|\[?(?:::1|(?:f[cd][0-9a-f]{2}|fe80):[0-9a-f:]{1,40})\]?)(?!\.?\d)(?::\d{1,5})?",
    re.IGNORECASE,
)


def mask_credentials(words: str, *, is_refused: bool = False) -> str:
    """`words` of an upstream without ids of organisations, nor what looks like a credential where they speak of one.

    Where `is_refused` they do in any case: refusals often repeat a part of what they refuse.
    """
    words = _ORGANISATION.sub(_MASK, words)
    if is_refused or _ABOUT_A_CREDENTIAL.search(words) is not None:
        words = _LIKE_A_CREDENTIAL.sub(_MASK, words)
    return words


def mask_internals(words: str) -> str:
    """`words` of an upstream without source paths and private addresses; "" for those that hold a trace."""
    return "" if _TRACE.search(words) else _PRIVATE_ADDRESS.sub(_MASK, _SOURCE_PATH.sub(_MASK, words))
