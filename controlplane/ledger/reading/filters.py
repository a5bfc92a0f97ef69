"""Filters of the usage methods: `team = "growth" AND model != "sim/echo" AND provider IN ("a", "b")`. Pure."""

import re
from dataclasses import dataclass

from controlplane.errors import InvalidArgument
from controlplane.ledger.reading.dimensions import NUMERIC_DIMENSIONS, collection_of, dimension_names, is_dimension
from tollway.kernel.names import full_name
from tollway.kernel.usage import SettlementState
from tollway.resources.violations import Violation

MAX_FILTER_CHARACTERS = 4_000
TEXT_OPERATORS = ("=", "!=", "IN")
NUMBER_OPERATORS = ("=", "!=", "IN", "<", "<=", ">", ">=")
_NAMED_BY_LAST_PART = frozenset({"key", "user"})
_VALUE = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s"'(),=<>!]+)"""
_TERM = re.compile(
    r"\s*(?P<dimension>[A-Za-z_][\w.-]*)\s*(?P<operator>!=|<=|>=|[=<>:]|\bIN\b)\s*"
    rf"(?:(?P<value>{_VALUE})|\(\s*(?P<values>{_VALUE}(?:\s*,\s*{_VALUE})*)\s*\))\s*",
)
_ONE_VALUE = re.compile(_VALUE)
_AND = re.compile(r"AND(?=\s)")
_NUMBER = re.compile(r"[0-9]{1,9}")
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Condition:
    """A dimension's value is one of `values`, or with "!=" is not, or compares with the only one as `operator` says.

    Values are as entries carry them, but for keys and users, which may be bare ids.
    """

    dimension: str
    operator: str
    values: tuple[str, ...]


def parse_filter(text: str, dimensions: tuple[str, ...]) -> tuple[Condition, ...]:
    """The conditions of `text`, all of which must hold; none for an empty text.

    Raises InvalidArgument that names what was not understood and lists `dimensions`.
    """
    if len(text) > MAX_FILTER_CHARACTERS:
        raise _invalid(f"is longer than {MAX_FILTER_CHARACTERS} characters")
    if not text.strip():
        return ()
    conditions = []
    position = 0
    while True:
        term = _TERM.match(text, position)
        if term is None:
            raise _invalid(f'cannot be read at "{text[position : position + 30]}"; write NAME = "VALUE" AND ...')
        conditions.append(_condition(term, dimensions))
        position = term.end()
        if position == len(text):
            return tuple(conditions)
        joint = _AND.match(text, position)
        if joint is None:
            raise _invalid(f'expects AND at "{text[position : position + 30]}"; nothing else joins conditions')
        position = joint.end()


def is_bare(condition: Condition, value: str) -> bool:
    """Whether `value` is only the last part of the names that it stands for."""
    return condition.dimension in _NAMED_BY_LAST_PART and bool(value) and "/" not in value


def _condition(term: re.Match[str], dimensions: tuple[str, ...]) -> Condition:
    dimension, operator = term["dimension"], term["operator"]
    if not is_dimension(dimension, dimensions):
        raise _invalid(f'does not know "{dimension}"; it takes {dimension_names(dimensions)}')
    operators = NUMBER_OPERATORS if dimension in NUMERIC_DIMENSIONS else TEXT_OPERATORS
    if operator not in operators:
        raise _invalid(f'knows only {" ".join(operators)}, not {operator} on "{dimension}"')
    if (operator == "IN") != (term["values"] is not None):
        raise _invalid(f'takes {dimension} IN ("A", "B") for several values, and {dimension} = "A" for one')
    given = _ONE_VALUE.findall(term["values"] or term["value"])
    return Condition(dimension, operator, tuple(_value(dimension, text) for text in given))


def _value(dimension: str, text: str) -> str:
    value = _ESCAPE.sub(r"\1", text[1:-1]) if text[0] in "\"'" else text
    if "\0" in value:
        raise _invalid(f'has a NUL character in the value of "{dimension}"')
    if dimension in NUMERIC_DIMENSIONS and not _NUMBER.fullmatch(value):
        raise _invalid(f'needs a whole number for "{dimension}", not "{value[:30]}"')
    if dimension == "state" and value not in {state.word for state in SettlementState}:
        raise _invalid(f'does not know state "{value[:30]}"; it takes {", ".join(s.word for s in SettlementState)}')
    collection = collection_of(dimension)
    return full_name(collection, value) if collection and value else value


def _invalid(description: str) -> InvalidArgument:
    return InvalidArgument([Violation("filter", description)])
