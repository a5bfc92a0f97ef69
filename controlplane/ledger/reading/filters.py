"""Filters of the usage methods: `team = "growth" AND model = "sim/echo"`. Pure."""

import re
from dataclasses import dataclass

from controlplane.errors import InvalidArgument
from tollway.kernel.names import full_name
from tollway.resources.violations import Violation

USAGE_DIMENSIONS = ("team", "key", "model", "upstream", "upstream_model", "provider")
RECORD_DIMENSIONS = (*USAGE_DIMENSIONS, "end_user")
MAX_FILTER_CHARACTERS = 2_000
_COLLECTIONS = {"team": "teams", "upstream": "upstreams"}
_TERM = re.compile(
    r"""\s*(?P<dimension>[A-Za-z_][\w.]*)\s*(?P<operator>!=|<=|>=|[=<>:])\s*"""
    r"""(?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>(?:[^'\\]|\\.)*)'|(?P<bare>[^\s"'()=<>!]+))\s*""",
)
_AND = re.compile(r"AND(?=\s)")
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Condition:
    """Equality of a dimension; `value` is as entries carry it, but for a key that may be a bare id."""

    dimension: str
    value: str

    @property
    def is_bare_key(self) -> bool:
        return self.dimension == "key" and "/" not in self.value


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


def _condition(term: re.Match[str], dimensions: tuple[str, ...]) -> Condition:
    dimension = term["dimension"]
    if dimension not in dimensions:
        raise _invalid(f'does not know "{dimension}"; it takes {", ".join(dimensions)}')
    if term["operator"] != "=":
        raise _invalid(f'knows only = , not {term["operator"]} on "{dimension}"')
    quoted = term["double"] if term["double"] is not None else term["single"]
    value = term["bare"] if quoted is None else _ESCAPE.sub(r"\1", quoted)
    if "\0" in value:
        raise _invalid(f'has a NUL character in the value of "{dimension}"')
    collection = _COLLECTIONS.get(dimension)
    return Condition(dimension, full_name(collection, value) if collection and value else value)


def _invalid(description: str) -> InvalidArgument:
    return InvalidArgument([Violation("filter", description)])
