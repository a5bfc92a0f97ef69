"""`tollctl prices`: what usage costs."""

import typer

from tollctl.arguments import GLOBAL_OPTIONS
from tollctl.commands.rerate import rerate

app = typer.Typer(help="Price usage.", no_args_is_help=True, rich_markup_mode=None)
app.command("rerate", epilog=GLOBAL_OPTIONS)(rerate)
