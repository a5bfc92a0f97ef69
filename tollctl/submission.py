"""Manifests on their way to the control plane, and what it says that they do."""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tollctl.client import AdminClient
from tollctl.errors import Refused, Violation
from tollctl.manifests import Document
from tollctl.render import GREEN, RED, YELLOW, paint

_DOCUMENT = re.compile(r"manifests\[(\d{1,9})\]")
_OBJECT = re.compile(r'^[A-Z][A-Za-z]+ "[^"]*": ')
_COLORS = {"+": GREEN, "-": RED, "~": YELLOW}


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs; None stands for absent."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Result:
    """What happened, or would happen, to one object: created, updated or unchanged.

    secret: of a new virtual key whose secret was made by the control plane; else "".
    """

    name: str
    action: str
    changes: tuple[Change, ...]
    secret: str = field(repr=False)


def submit_documents(admin: AdminClient, documents: Sequence[Document], *, is_dry_run: bool) -> list[Result]:
    """Apply all documents as one transaction. Raises Refused, which names files, where any of them is wrong."""
    body = {"manifests": [document.content for document in documents], "validate_only": is_dry_run}
    try:
        answer = admin.write("manifests:apply", body)
    except Refused as refused:
        raise _name_documents(refused, documents) from None
    return [_parse_result(result) for result in answer.get("results") or ()]


def render_changes(result: Result) -> Iterator[str]:
    """A line per field that differs."""
    for change in result.changes:
        sign = "+" if change.before is None else "-" if change.after is None else "~"
        values = " -> ".join(_quote(value) for value in (change.before, change.after) if value is not None)
        yield paint(f"    {sign} {change.path}: {values}", _COLORS[sign], sys.stdout)


def render_difference(result: Result) -> Iterator[str]:
    """The object and its changes; nothing for an unchanged one."""
    if result.action != "unchanged":
        sign = "+" if result.action == "created" else "~"
        yield paint(f"{sign} {result.name}", _COLORS[sign], sys.stdout)
        yield from render_changes(result)


def count_actions(results: Sequence[Result]) -> dict[str, int]:
    """How many objects were created, updated and left unchanged."""
    return {action: sum(r.action == action for r in results) for action in ("created", "updated", "unchanged")}


def _parse_result(result: dict[str, Any]) -> Result:
    changes = tuple(
        Change(str(change.get("path")), change.get("before"), change.get("after"))
        for change in result.get("changes") or ()
    )
    return Result(str(result.get("name")), str(result.get("action")), changes, str(result.get("secret") or ""))


def _name_documents(refused: Refused, documents: Sequence[Document]) -> Refused:
    """The same refusal with the documents' own places instead of their numbers in the request."""
    if not refused.violations:
        return refused
    violations = tuple(_name_document(violation, documents) for violation in refused.violations)
    count = len(violations)
    summary = f"nothing was applied: {count} thing{'s are' if count > 1 else ' is'} wrong"
    return Refused(refused.status, summary, violations)


def _name_document(violation: Violation, documents: Sequence[Document]) -> Violation:
    def title(found: re.Match[str]) -> str:
        index = int(found[1])
        return documents[index].title if index < len(documents) else found[0]

    description = _DOCUMENT.sub(title, violation.description)
    found = _DOCUMENT.match(violation.field)
    if found is None:
        return Violation(violation.field, description)
    rest = violation.field[found.end() :].removeprefix(".")
    return Violation(f"{title(found)}: {rest}" if rest else title(found), _OBJECT.sub("", description, count=1))


def _quote(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
