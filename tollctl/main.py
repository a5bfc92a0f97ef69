"""`tollctl`: the command line.

Exit codes: 0 fine, 1 failed or differences, 2 usage, 3 not authenticated, 4 unreachable.
"""

import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from tollctl.arguments import GLOBAL_OPTIONS
from tollctl.errors import CommandError
from tollctl.session import DEFAULT_DATA_DIR, Session

_GLOBAL_WITH_VALUE = frozenset({"--server", "--admin-url", "--token", "--data-dir", "--ca-file"})
_GLOBAL_FLAGS = frozenset({"-q", "--quiet"})
_VERBS = {
    "up": ("up", "up"),
    "apply": ("apply", "apply"),
    "diff": ("apply", "diff"),
    "get": ("get", "get"),
    "delete": ("delete", "delete"),
    "export": ("export", "export"),
    "key": ("key", "app"),
    "usage": ("usage", "usage"),
    "ledger": ("ledger", "app"),
    "chat": ("chat", "chat"),
    "status": ("status", "status"),
    "doctor": ("doctor", "doctor"),
}
"""The module and the name of each verb, in the order of the help."""

ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        "--admin-url",
        metavar="URL",
        help="The control plane; else TOLLWAY_ADMIN_URL, else a local stack.",
    ),
]
TokenOption = Annotated[
    str | None, typer.Option(metavar="TOKEN", help="The admin token; better given as TOLLWAY_ADMIN_TOKEN.")
]
DataDirOption = Annotated[Path, typer.Option(metavar="DIR", help="Where the local stack keeps its state.")]
CaFileOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The CA of the servers' certificates; else TOLLWAY_TLS_CA.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print results only, no notes.")]


def open_session(
    context: typer.Context,
    server: ServerOption = None,
    token: TokenOption = None,
    data_dir: DataDirOption = DEFAULT_DATA_DIR,
    ca_file: CaFileOption = None,
    quiet: QuietOption = False,
) -> None:
    """Run and operate Tollway, the AI gateway whose bills are right."""
    context.obj = Session(server, token, data_dir, ca_file, quiet)


def make_app(verbs: Iterable[str]) -> typer.Typer:
    """The command tree with these verbs only: each costs the import of its module."""
    app = typer.Typer(name="tollctl", no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback()(open_session)
    for verb in verbs:
        module, attribute = _VERBS[verb]
        found = getattr(import_module(f"tollctl.commands.{module}"), attribute)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=verb)
        else:
            app.command(verb, epilog=GLOBAL_OPTIONS)(found)
    return app


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The global options, which may stand before and after the verb, and the rest, which begins with the verb."""
    options: list[str] = []
    rest: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--":
            return options, [*rest, argument, *remaining]
        if argument in _GLOBAL_WITH_VALUE:
            options += [argument, *islice(remaining, 1)]
        elif argument in _GLOBAL_FLAGS or argument.partition("=")[0] in _GLOBAL_WITH_VALUE:
            options.append(argument)
        else:
            rest.append(argument)
    return options, rest


def main() -> None:
    """The console script: runs a command and exits with its code; an error is text on stderr, never a traceback."""
    options, rest = split_arguments(sys.argv[1:])
    verbs = rest[:1] if rest and rest[0] in _VERBS else _VERBS
    try:
        make_app(verbs)([*options, *rest], prog_name="tollctl")
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Exception as error:  # noqa: BLE001
        print(f"error: tollctl failed: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(CommandError.exit_code)


if __name__ == "__main__":
    main()
