"""Path templates of google.api.http, e.g. "/v1/{name=teams/*/keys/*}:rotate". Pure."""

import re
from dataclasses import dataclass

_VARIABLE = re.compile(r"\{(?P<field>[a-z_][a-z0-9_.]*)(?:=(?P<pattern>[^{}]+))?\}")
_SEGMENT = re.compile(r"\*|[A-Za-z][A-Za-z0-9_.-]*")
# A colon ends a path variable: it begins a custom verb.
_ANY_ID = "[^/:]+"


@dataclass(frozen=True, slots=True)
class PathVariable:
    """Part of a path that is a field of the request; `field` may be dotted, `pattern` is like "teams/*/keys/*"."""

    field: str
    pattern: str

    def expression(self) -> str:
        return "/".join(_ANY_ID if part == "*" else re.escape(part) for part in self.pattern.split("/"))

    def is_match(self, value: str) -> bool:
        return re.fullmatch(self.expression(), value) is not None

    def id_names(self) -> list[str]:
        """A name for each `*`: "teams/*/keys/*" has team and key."""
        parts = self.pattern.split("/")
        names = (_singular(before) for before, part in zip(["", *parts], parts, strict=False) if part == "*")
        return [name or self.field.rpartition(".")[2] for name in names]


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """A parsed template; `pieces` are literal texts and variables in order."""

    text: str
    pieces: tuple[str | PathVariable, ...]

    @property
    def variables(self) -> tuple[PathVariable, ...]:
        return tuple(piece for piece in self.pieces if isinstance(piece, PathVariable))

    def route_path(self) -> str:
        """As aiohttp's router takes it; the variables are named v0, v1, ... in order."""
        numbers = iter(range(len(self.pieces)))
        return "".join(
            piece if isinstance(piece, str) else f"{{v{next(numbers)}:{piece.expression()}}}" for piece in self.pieces
        )

    def documented_path(self) -> str:
        """As OpenAPI has it: "/v1/teams/{team}/keys/{key}:rotate"."""
        return "".join(piece if isinstance(piece, str) else _documented(piece) for piece in self.pieces)


def parse_template(text: str) -> PathTemplate:
    """Raises ValueError for a template that the admin API does not use: `**`, nested or malformed variables."""
    pieces: list[str | PathVariable] = []
    position = 0
    for match in _VARIABLE.finditer(text):
        pieces.append(text[position : match.start()])
        pattern = match["pattern"] or "*"
        if not all(_SEGMENT.fullmatch(part) for part in pattern.split("/")):
            raise ValueError(f'path template "{text}": "{pattern}" is not made of * and plain words')
        pieces.append(PathVariable(match["field"], pattern))
        position = match.end()
    pieces.append(text[position:])
    literals = "".join(piece for piece in pieces if isinstance(piece, str))
    if not text.startswith("/") or set(literals) & set("{}*"):
        raise ValueError(f'path template "{text}" cannot be read')
    return PathTemplate(text, tuple(piece for piece in pieces if piece))


def _documented(variable: PathVariable) -> str:
    names = iter(variable.id_names())
    return "/".join(f"{{{next(names)}}}" if part == "*" else part for part in variable.pattern.split("/"))


def _singular(collection: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", collection).lower().removesuffix("s")
