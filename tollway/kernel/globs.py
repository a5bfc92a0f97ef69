"""Globs as compiled patterns that must match a whole text: `*` stands for any characters, nothing else is special.

A glob compiles to atomic groups, so that matching takes linear time whatever a caller sends.
"""

import re
from collections.abc import Iterable

ANY_CHARACTERS = r"[\s\S]*"


def glob_expression(glob: str) -> str:
    """The regular expression of `glob`, in which `*` stands for any characters and nothing else is special."""
    head, *segments = [re.escape(segment) for segment in re.sub(r"\*+", "*", glob).split("*")]
    if not segments:
        return head
    *inner, tail = segments
    skips = "".join(rf"(?>[\s\S]*?{segment})" for segment in inner)
    return f"{head}{skips}{ANY_CHARACTERS}{tail}"


def compile_globs(globs: Iterable[str]) -> re.Pattern[str] | None:
    """What matches any of `globs`; None, which stands for everything, when there are none."""
    expressions = [f"(?:{glob_expression(glob)})" for glob in dict.fromkeys(globs)]
    return re.compile("|".join(expressions)) if expressions else None
