"""`tollctl doctor`: what is wrong, and what to do about it."""

import sys

import typer

from tollctl.render import GREEN, RED, paint
from tollctl.session import session_of


def doctor(context: typer.Context) -> None:
    """Find what is wrong; exit code 1 if anything is."""
    from tollctl.diagnosis import diagnose

    is_well = True
    for finding in diagnose(session_of(context)):
        is_well = is_well and finding.is_ok
        mark = paint("ok  ", GREEN, sys.stdout) if finding.is_ok else paint("fail", RED, sys.stdout)
        advice = f" -> {finding.advice}" if finding.advice else ""
        print(f"{mark}  {finding.subject}: {finding.text}{advice}", flush=True)
    if not is_well:
        raise typer.Exit(1)
