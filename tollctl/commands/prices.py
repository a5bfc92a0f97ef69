"""`tollctl prices`: price books, what they change, and what a model costs."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tollctl.arguments import GLOBAL_OPTIONS, OutputOption, told_as_usage
from tollctl.commands.rerate import rerate
from tollctl.errors import CommandError
from tollctl.moments import parse_future, parse_past, render_moment
from tollctl.price_tables import render_books, render_diff, render_resolved, summary_line
from tollctl.render import Output, render_data, write_out
from tollctl.session import Session, session_of
from tollway.kernel.names import bare_id, is_resource_id

app = typer.Typer(
    help="Import, compare and activate price books; rate anew what is booked.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("rerate", epilog=GLOBAL_OPTIONS)(rerate)

_COLLECTION = "priceBooks"
_SHOWN_REASONS = 10
_DIFF_LIMIT = 200

BookArgument = Annotated[str, typer.Argument(help="A price book, as `tollctl prices books` names it.", metavar="BOOK")]
GenaiOption = Annotated[bool, typer.Option("--genai", help="The genai-prices catalog that the control plane has.")]
LitellmOption = Annotated[
    Path | None,
    typer.Option(
        "--litellm", help="A file in the format of LiteLLM's model_prices_and_context_window.json.", metavar="FILE"
    ),
]
NameOption = Annotated[str, typer.Option("--name", help="The book's id; made up unless given.", metavar="ID")]
BaseOption = Annotated[
    str, typer.Option("--base", help="Compare with this book; the one in force unless given.", metavar="BOOK")
]
FromOption = Annotated[
    str | None, typer.Option("--from", help="From when: a time, or in how long, e.g. 2h; now unless given.")
]
LimitOption = Annotated[int, typer.Option(min=1, help="How many differences to show at most.")]
AtOption = Annotated[str | None, typer.Option("--at", help="For a call that begins then: a time, or how long ago.")]


@app.command("import", epilog=GLOBAL_OPTIONS)
def import_(
    context: typer.Context,
    genai: GenaiOption = False,
    litellm: LitellmOption = None,
    name: NameOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a book, and show what activating it would change. Prices stay as they are until it is activated."""
    if genai == (litellm is not None):
        raise typer.BadParameter("give either --genai or --litellm FILE", param_hint="--genai")
    source = {"installed_catalog": True} if litellm is None else {"litellm_json": _packed(litellm)}
    session = session_of(context)
    answer = session.admin().write(f"{_COLLECTION}:import", {**source, "price_book_id": name})
    if output is not Output.TABLE:
        write_out(render_data(answer, output))
        return
    _tell_import(session, answer)


@app.command(epilog=GLOBAL_OPTIONS)
def books(context: typer.Context, output: OutputOption = Output.TABLE) -> None:
    """List price books, and which one is in force."""
    page = session_of(context).admin().collect(_COLLECTION, "price_books")
    page.pop("next_page_token", None)
    write_out(render_books(page["price_books"]) if output is Output.TABLE else render_data(page, output))


@app.command(epilog=GLOBAL_OPTIONS)
def diff(
    context: typer.Context,
    book: BookArgument,
    base: BaseOption = "",
    limit: LimitOption = _DIFF_LIMIT,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show which rates a book changes for calls that begin from now on."""
    session = session_of(context)
    page = session.admin().collect(f"{_book_name(book)}:diff", "lines", {"base": base and _book_name(base)}, limit)
    if output is not Output.TABLE:
        write_out(render_data(page, output))
        return
    if page["lines"]:
        write_out(render_diff(page["lines"]))
    session.tell(summary_line(page.get("summary") or {}))
    if page.get("next_page_token"):
        session.tell(f"there are more than these {limit}: use --limit")


@app.command(epilog=GLOBAL_OPTIONS)
def activate(
    context: typer.Context, book: BookArgument, from_: FromOption = None, output: OutputOption = Output.TABLE
) -> None:
    """Price calls by a book from a moment on. What is past is changed by re-rating only."""
    body: dict[str, Any] = {}
    if from_ is not None:
        with told_as_usage("--from"):
            body["effective_from"] = render_moment(parse_future(from_, datetime.now(UTC)))
    _print_book(session_of(context).admin().write(f"{_book_name(book)}:activate", body), output)


@app.command(epilog=GLOBAL_OPTIONS)
def withdraw(context: typer.Context, book: BookArgument, output: OutputOption = Output.TABLE) -> None:
    """Take back the activations of a book that have not taken effect yet."""
    _print_book(session_of(context).admin().write(f"{_book_name(book)}:withdraw", {}), output)


@app.command(epilog=GLOBAL_OPTIONS)
def delete(context: typer.Context, book: BookArgument) -> None:
    """Delete a book that was never in force."""
    name = _book_name(book)
    session_of(context).admin().delete(name)
    print(f"{name} deleted")


@app.command(epilog=GLOBAL_OPTIONS)
def show(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="The model as the upstream is sent it.", metavar="MODEL")],
    provider: Annotated[str, typer.Option(help="Only this provider.", metavar="NAME")] = "",
    at: AtOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show which price holds for a model, and why."""
    query: dict[str, Any] = {"model": model, "provider": provider}
    if at is not None:
        with told_as_usage("--at"):
            query["time"] = render_moment(parse_past(at, datetime.now(UTC)))
    answer = session_of(context).admin().read(f"{_COLLECTION}:resolve", query)
    if output is not Output.TABLE:
        write_out(render_data(answer, output))
        return
    found = answer.get("resolved_prices") or []
    if not found:
        raise CommandError(f'no provider has a price for "{model}": its calls are unpriced; add a Price for it')
    write_out("\n".join(render_resolved(price) for price in found))


def _book_name(given: str) -> str:
    with told_as_usage("BOOK"):
        book_id = given.removeprefix(f"{_COLLECTION}/")
        if not is_resource_id(book_id):
            raise ValueError(f"{given!r} is no name of a price book: see `tollctl prices books`")
        return f"{_COLLECTION}/{book_id}"


def _packed(path: Path) -> str:
    """The file as the API takes it in JSON: gzipped, because such files are megabytes, in base64."""
    import base64
    import gzip

    try:
        content = path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None
    return base64.b64encode(gzip.compress(content)).decode()


def _tell_import(session: Session, answer: dict[str, Any]) -> None:
    book = answer["price_book"]
    name = bare_id(book["name"])
    if not answer.get("created"):
        session.tell(f"{book['name']} has the same prices already; nothing was stored")
    write_out(render_books([book]))
    for omission in (book.get("omissions") or ())[:_SHOWN_REASONS]:
        subjects = omission.get("subjects") or []
        more = f" and {len(subjects) - 3} more" if len(subjects) > 3 else ""
        session.tell(f"left out: {', '.join(subjects[:3])}{more}: {omission.get('reason')}")
    if len(book.get("omissions") or ()) > _SHOWN_REASONS:
        session.tell(f"left out: more, see `tollctl prices import -o json` or GET /v1/{book['name']}")
    if summary := answer.get("diff"):
        session.tell(summary_line(summary))
    if book.get("state") != "active":
        session.tell(
            f"see what changes:  tollctl prices diff {name}\nput it in force:   tollctl prices activate {name}"
        )


def _print_book(book: dict[str, Any], output: Output) -> None:
    write_out(render_books([book]) if output is Output.TABLE else render_data(book, output))
