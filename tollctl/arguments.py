"""What several commands take from the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from tollctl.render import Output

GLOBAL_OPTIONS = (
    "Before or after the verb: --server URL, --token TOKEN, --data-dir DIR, --ca-file FILE, -q (see tollctl --help)."
)
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="How to print.")]
TeamOption = Annotated[str | None, typer.Option("--team", help="The team that owns the key.", metavar="TEAM")]
FilesOption = Annotated[
    list[str], typer.Option("--file", "-f", help="Manifests: a file, a folder, or - for stdin.", metavar="FILE|DIR|-")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Let the server check everything and change nothing.")]


@contextmanager
def told_as_usage(argument: str) -> Iterator[None]:
    """Turns a ValueError into a usage error about `argument`."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=argument) from None
