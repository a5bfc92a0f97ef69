"""How what was given is compared with what came: values, texts and numbers."""

import base64
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

_SHOWN: Final = 160
_SINGLE: Final = 1e-6
"""Relative precision of the floats that embeddings in base64 have."""


def differs(name: str, given: Any, got: Any) -> Iterator[str]:
    """What to say where `got` is not `given`."""
    if given != got:
        yield f"{name}: given {shown(repr(given))}, got {shown(repr(got))}"


def shown(text: str) -> str:
    """`text`, or as much of it as a difference can show."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def is_made_of(blocks: Iterable[str | None], text: str) -> bool:
    """Whether `text` is `blocks` in order; only at their joints may white space differ, and None stands for any."""
    given = [block for block in blocks if block != ""]
    if None not in given and (text == joined(given) or not (text.strip() or joined(given).strip())):
        return True
    pattern, joint = "", ""
    for at, block in enumerate(given):
        if block is None:
            joint = r"[\s\S]*"
            continue
        begun = block if at == 0 else block.lstrip()
        pattern += joint + re.escape(begun if at == len(given) - 1 else begun.rstrip())
        joint = r"\s*"
    return re.fullmatch(pattern + (joint if given and given[-1] is None else ""), text) is not None


def joined(blocks: Iterable[str | None]) -> str:
    """The text that blocks are, without what a provider's own tools may add."""
    return "".join(block or "" for block in blocks)


def unpacked(signature: str) -> str:
    """The text that `signature` is in base64, "" where it is none: what one host gives as it is, another packs."""
    try:
        return base64.b64decode(signature, validate=True).decode()
    except ValueError:
        return ""


def are_close(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two vectors are one, but for how exactly their numbers are written."""
    return len(one) == len(other) and all(
        math.isclose(a, b, rel_tol=_SINGLE, abs_tol=_SINGLE) for a, b in zip(one, other, strict=True)
    )
