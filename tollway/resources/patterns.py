"""Pure: tests of model names, compiled; all of them must match a whole name."""

import re
from collections.abc import Iterable, Sequence

from tollway.config.v1 import resources_pb2 as machine
from tollway.kernel.globs import ANY_CHARACTERS, glob_expression
from tollway.kernel.plain_tests import PlainTests, TextTest

_PLAIN = frozenset(("exact", "prefix", "suffix", "contains"))
_GLOBAL_FLAGS = re.compile(r"(?:\(\?[aimsux]+\))+")
_BACK_REFERENCE = re.compile(r"(?<!\\)(?:\\\\)*\\[1-9]|\(\?P=|\(\?\(")


def compile_model_matches(matches: Sequence[machine.ModelMatch]) -> TextTest:
    """What matches any of `matches`. Raises ValueError for a test that is empty, unknown or no regular expression."""
    plain = _plain_tests(matches)
    if plain is not None:
        return plain
    expression = _any_expression(matches)
    try:
        return re.compile(expression)
    except re.error as error:
        raise ValueError(f"the tests of models make no regular expression: {error}") from None


def _plain_tests(matches: Iterable[machine.ModelMatch]) -> PlainTests | None:
    """`matches` without a regular expression; None when there are none, or when one of them needs it."""
    texts: dict[str, list[str]] = {}
    for match in matches:
        test = match.WhichOneof("test")
        if test not in _PLAIN:
            return None
        texts.setdefault(test, []).append(getattr(match, test))
    if not texts:
        return None
    prefixes, suffixes, parts = (tuple(texts.get(test, ())) for test in ("prefix", "suffix", "contains"))
    return PlainTests(frozenset(texts.get("exact", ())), prefixes, suffixes, parts)


def _any_expression(matches: Iterable[machine.ModelMatch]) -> str:
    expressions = [_expression(match) for match in matches]
    if not expressions:
        raise ValueError("has no test of models, so that it would match none")
    return "|".join(f"(?:{expression})" for expression in expressions)


def _expression(match: machine.ModelMatch) -> str:
    match match.WhichOneof("test"):
        case "exact":
            return re.escape(match.exact)
        case "prefix":
            return f"{re.escape(match.prefix)}{ANY_CHARACTERS}"
        case "suffix":
            return f"{ANY_CHARACTERS}{re.escape(match.suffix)}"
        case "contains":
            return f"{ANY_CHARACTERS}{re.escape(match.contains)}{ANY_CHARACTERS}"
        case "glob":
            return glob_expression(match.glob)
        case "regex":
            return rf"[\s\S]*?{_scoped(match.regex)}{ANY_CHARACTERS}"
        case "all":
            return _all_expression(match.all)
        case _:
            raise ValueError("has a test of models that this release does not know")


def _all_expression(conjunction: machine.ModelMatchAll) -> str:
    if not conjunction.alternatives:
        raise ValueError("has a conjunction without tests")
    tests = "".join(rf"(?=(?:{_any_expression(any_of.models)})\Z)" for any_of in conjunction.alternatives)
    return f"{tests}{ANY_CHARACTERS}"


def _scoped(regex: str) -> str:
    """`regex` as a group that stays itself inside a longer expression. Raises ValueError when it cannot."""
    try:
        re.compile(regex)
    except re.error as error:
        raise ValueError(f'"{regex}" is not a regular expression: {error}') from None
    if _BACK_REFERENCE.search(regex):
        raise ValueError(f'"{regex}" refers back to a group, which tests of models may not')
    scope = _GLOBAL_FLAGS.match(regex)
    flags = "".join(dict.fromkeys(c for c in scope[0] if c.isalpha())) if scope else ""
    # A comment of a verbose expression ends at the line.
    end = "\n)" if "x" in flags else ")"
    return f"(?{flags}:{regex[scope.end() if scope else 0 :]}{end}"
