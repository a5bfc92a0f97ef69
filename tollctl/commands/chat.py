"""`tollctl chat`: one question through the data plane."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tollctl.errors import NotAuthenticated, Unreachable
from tollctl.session import Session, session_of

if TYPE_CHECKING:
    from tollctl.conversation import DataPlane, Receipt

ModelArgument = Annotated[str, typer.Argument(help="A route's model, or UPSTREAM/MODEL.", metavar="MODEL")]
TextArgument = Annotated[str, typer.Argument(help="What to say; - reads it from stdin.", metavar="TEXT")]
SystemOption = Annotated[str | None, typer.Option(help="A system message before it.", metavar="TEXT")]
KeyOption = Annotated[
    str | None, typer.Option(help="A virtual key; else TOLLWAY_API_KEY, else the demo key.", metavar="KEY")
]
BaseUrlOption = Annotated[
    str | None, typer.Option(help="The data plane; else TOLLWAY_BASE_URL, else the local stack's.", metavar="URL")
]
StreamOption = Annotated[bool, typer.Option("--stream/--no-stream", help="Print the answer as it comes, or whole.")]


def chat(
    context: typer.Context,
    model: ModelArgument,
    text: TextArgument,
    system: SystemOption = None,
    key: KeyOption = None,
    base_url: BaseUrlOption = None,
    stream: StreamOption = True,
) -> None:
    """Ask a model; the answer goes to stdout, what it took to stderr."""
    from tollctl.conversation import Receipt

    session = session_of(context)
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": sys.stdin.read() if text == "-" else text})
    body: dict[str, Any] = {"model": model, "messages": messages, "stream": stream}
    if stream:
        body["stream_options"] = {"include_usage": True}
    for piece in _find_data_plane(session, base_url, key).ask(body):
        if isinstance(piece, Receipt):
            print(flush=True)
            session.tell(render_receipt(piece))
        else:
            print(_shown(piece), end="", flush=True)


def render_receipt(receipt: "Receipt") -> str:
    """One line: tokens, cost, request id, who answered, time."""
    parts = []
    if receipt.input_tokens is not None and receipt.output_tokens is not None:
        parts.append(f"{receipt.input_tokens} + {receipt.output_tokens} tokens")
    if receipt.cost_usd:
        parts.append(f"{receipt.cost_usd} USD")
    parts.append(f"request {receipt.request_id}")
    if receipt.place:
        attempts = "" if receipt.attempts in ("", "1") else f" at attempt {receipt.attempts}"
        parts.append(f"answered by {receipt.place}{attempts}")
    return ", ".join([*parts, f"{receipt.duration_ms} ms"])


def _find_data_plane(session: Session, base_url: str | None, key: str | None) -> "DataPlane":
    from tollctl.conversation import DataPlane
    from tollctl.web import check_credential, parse_address

    named = base_url or session.environ.get("TOLLWAY_BASE_URL")
    stack = None if named and (key or session.environ.get("TOLLWAY_API_KEY")) else session.stack()
    url = named or (stack.openai_base_url if stack else "")
    if not url:
        raise Unreachable(
            "no data plane is known: start one with `tollctl up`, or name one with --base-url or TOLLWAY_BASE_URL"
        )
    own_key = stack.demo_key if stack and stack.openai_base_url.rstrip("/") == url.rstrip("/") else ""
    secret = check_credential(key or session.environ.get("TOLLWAY_API_KEY") or own_key, "virtual key")
    if not secret:
        raise NotAuthenticated("no virtual key: give one with --key or TOLLWAY_API_KEY (see `tollctl key create`)")
    origin = "--base-url" if base_url else "TOLLWAY_BASE_URL" if named else str(session.data_dir / "stack.json")
    return DataPlane(parse_address(url, origin), secret, session.trusted_ca())


def _shown(piece: str) -> str:
    """On a terminal, without the control characters that could move its cursor."""
    if not sys.stdout.isatty():
        return piece
    return "".join(character for character in piece if character.isprintable() or character in "\n\t")
