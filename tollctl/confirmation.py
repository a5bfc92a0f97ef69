"""Asking before something that cannot be taken back."""

import sys
from typing import Annotated

import typer

from tollctl.errors import CommandError
from tollctl.session import Session

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]


def confirm(session: Session, question: str, is_given: bool, retry: str) -> None:
    """Returns when it may be done: as --yes says, or as the person at the terminal does.

    Raises CommandError with the command `retry` where nobody can be asked, or who was asked said no.
    """
    if is_given:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"nothing was done: confirm it with --yes\n  {retry} --yes")
    session.tell("")
    if not typer.confirm(question, err=True):
        raise CommandError(f"nothing was done; do it later with\n  {retry}")
