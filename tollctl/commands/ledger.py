"""`tollctl ledger`: the books."""

import typer

from tollctl.arguments import GLOBAL_OPTIONS
from tollctl.commands.periods import close, periods

app = typer.Typer(help="Keep the ledger.", no_args_is_help=True, rich_markup_mode=None)
app.command("periods", epilog=GLOBAL_OPTIONS)(periods)
app.command("close", epilog=GLOBAL_OPTIONS)(close)
