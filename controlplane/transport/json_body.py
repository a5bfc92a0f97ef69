"""JSON text into values, strictly: what Python's decoder would let pass or guess at is refused. Pure."""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, NoReturn

from controlplane.errors import InvalidArgument
from tollway.resources.violations import Violation

MAX_DEPTH = 64


class _Refused(ValueError):
    """A value that is well-formed for the decoder and not for us."""


def parse_json(body: bytes) -> Any:
    """The value of `body`, {} when it is empty; InvalidArgument says what is wrong and where.

    Refused are duplicate names, NaN and infinities, lone surrogates, and nesting deeper than MAX_DEPTH.
    """
    if not body.strip():
        return {}
    try:
        value = json.loads(
            body.decode(), object_pairs_hook=_unique_object, parse_constant=_refuse_constant, parse_float=_finite_float
        )
        _check(value)
    except json.JSONDecodeError as error:
        raise _invalid(f"{error.msg} at line {error.lineno}, column {error.colno}") from error
    except UnicodeDecodeError as error:
        raise _invalid(f"not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise _invalid(f"nested deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:
        raise _invalid(str(error) if isinstance(error, _Refused) else "a number has too many digits") from error
    return value


def _invalid(problem: str) -> InvalidArgument:
    return InvalidArgument([Violation("", f"the request body is not valid JSON: {problem}")])


def _unique_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise _Refused(f"{json.dumps(twice)} is given twice in one object")
    return found


def _refuse_constant(text: str) -> NoReturn:
    raise _Refused(f"{text} is no JSON number")


def _finite_float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _Refused("a number is too large")
    return value


def _check(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH + 1):
        if not level:
            return
        level = [child for node in level for child in _children(node)]
    raise _Refused(f"nested deeper than {MAX_DEPTH} levels")


def _children(node: Any) -> Iterable[Any]:
    if isinstance(node, dict):
        return [*node.keys(), *node.values()]
    if isinstance(node, list):
        return node
    if isinstance(node, str) and not node.isascii():
        _check_text(node)
    return ()


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _Refused("a string has a lone surrogate, which is no Unicode text") from error
