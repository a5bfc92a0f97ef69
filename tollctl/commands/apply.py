"""`tollctl apply` and `tollctl diff`: manifests as one server transaction."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tollctl.arguments import DryRunOption, FilesOption
from tollctl.session import Session, session_of

if TYPE_CHECKING:
    from tollctl.keyfile import KeyFile
    from tollctl.submission import Result

KeysOutOption = Annotated[
    Path | None,
    typer.Option(help="Write secrets of new keys to this new file (0600) as JSON, instead of printing them."),
]


def apply(
    context: typer.Context, file: FilesOption, dry_run: DryRunOption = False, keys_out: KeysOutOption = None
) -> None:
    """Make the resources as the manifests say, all or none of them."""
    from tollctl.keyfile import reserved_key_file

    session = session_of(context)
    with reserved_key_file(keys_out) as key_file:
        results = _submit(session, file, is_dry_run=dry_run)
        secrets = {result.name: result.secret for result in results if result.secret}
        is_kept = key_file is not None and _keep_secrets(key_file, secrets, session)
        for result in results:
            _print_result(result, is_dry_run=dry_run, is_secret_kept=is_kept)
    if secrets:
        session.tell(f"secrets are in {keys_out}" if is_kept else "secrets of keys are shown this once: store them now")


def diff(context: typer.Context, file: FilesOption) -> None:
    """Show what apply would change; exit code 1 if anything."""
    from tollctl.submission import count_actions, render_difference

    session = session_of(context)
    results = _submit(session, file, is_dry_run=True)
    for result in results:
        for line in render_difference(result):
            print(line)
    counts = count_actions(results)
    session.tell(f"{counts['created']} to create, {counts['updated']} to update, {counts['unchanged']} unchanged")
    if counts["created"] or counts["updated"]:
        raise typer.Exit(1)


def _submit(session: Session, sources: Sequence[str], *, is_dry_run: bool) -> "list[Result]":
    from tollctl.manifests import read_documents
    from tollctl.submission import submit_documents

    documents = read_documents(sources, sys.stdin)
    return submit_documents(session.admin(), documents, is_dry_run=is_dry_run)


def _keep_secrets(key_file: "KeyFile", secrets: Mapping[str, str], session: Session) -> bool:
    """Whether the secrets are in the file. Where they cannot be, they must be printed: they exist nowhere else."""
    if not secrets:
        return False
    try:
        key_file.write(secrets)
    except OSError as error:
        session.tell(f"error: cannot write {key_file.path}: {error.strerror}; the secrets follow")
        return False
    return True


def _print_result(result: "Result", *, is_dry_run: bool, is_secret_kept: bool) -> None:
    from tollctl.submission import render_changes

    print(f"{result.name} {result.action}{' (dry run)' if is_dry_run else ''}")
    if is_dry_run:
        for line in render_changes(result):
            print(line)
    if result.secret and not is_secret_kept:
        print(f"    secret: {result.secret}")
