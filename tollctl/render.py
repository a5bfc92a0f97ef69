"""Tables, JSON and YAML on stdout."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TextIO

GREEN, RED, YELLOW = "32", "31", "33"


class Output(StrEnum):
    """How a command prints what it found."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def render_table(titles: Sequence[str], rows: Iterable[Sequence[str]], right: frozenset[int] = frozenset()) -> str:
    """Columns two spaces apart, with a line end after each row; an empty cell is "-". `right` columns end flush."""
    lines = [list(titles), *([_printable(cell) or "-" for cell in row] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(titles))]

    def pad(index: int, cell: str) -> str:
        return cell.rjust(widths[index]) if index in right else cell.ljust(widths[index])

    return "".join("  ".join(pad(index, cell) for index, cell in enumerate(line)).rstrip() + "\n" for line in lines)


def render_data(data: object, output: Output) -> str:
    """Data as JSON or YAML, with a line end at its end."""
    if output is Output.YAML:
        return render_yaml(data)
    import json

    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def render_yaml(*documents: object) -> str:
    """Documents in the order and the spelling that people write manifests in."""
    import yaml

    return yaml.safe_dump_all(
        documents, explicit_start=len(documents) > 1, sort_keys=False, allow_unicode=True, default_flow_style=False
    )


def paint(text: str, color: str, stream: TextIO, environ: Mapping[str, str] = os.environ) -> str:
    """Text in a color where stream is a terminal that shows colors and NO_COLOR is not set."""
    if not stream.isatty() or environ.get("NO_COLOR") or environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{color}m{text}\x1b[0m"


def write_out(text: str) -> None:
    """Write to stdout now."""
    sys.stdout.write(text)
    sys.stdout.flush()


def _printable(cell: str) -> str:
    """A cell without control characters, which could move the cursor of a terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in cell)
