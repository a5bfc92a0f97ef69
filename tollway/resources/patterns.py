"""Pure: tests of model names as compiled patterns, all of which must match a whole name."""

import re
from collections.abc import Iterable, Sequence

from tollway.config.v1 import resources_pb2 as machine
from tollway.kernel.globs import ANY_CHARACTERS, glob_expression

_GLOBAL_FLAGS = re.compile(r"(?:\(\?[aimsux]+\))+")
_BACK_REFERENCE = re.compile(r"(?<!\\)(?:\\\\)*\\[1-9]|\(\?P=|\(\?\(")


def compile_model_matches(matches: Iterable[machine.ModelMatch]) -> re.Pattern[str]:
    """What matches any of `matches`. Raises ValueError for a test that is empty, unknown or no regular expression."""
    expression = _any_expression(matches)
    try:
        return re.compile(expression)
    except re.error as error:
        raise ValueError(f"the tests of models make no regular expression: {error}") from None


def check_model_matches(matches: Sequence[machine.ModelMatch]) -> None:
    """Raises ValueError as compile_model_matches does, without the work where that cannot fail."""
    if any(map(_may_fail, matches)):
        compile_model_matches(matches)
    else:
        _any_expression(matches)


def _may_fail(match: machine.ModelMatch) -> bool:
    """Whether `match` holds something that may be no regular expression; what is plain text is escaped."""
    return match.WhichOneof("test") not in ("exact", "prefix", "suffix", "contains")


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
