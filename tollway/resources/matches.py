"""What rules are about: `match` and `per` in normal form, what is wrong with them, what they refer to, machine form."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from google.protobuf.struct_pb2 import ListValue

from tollway.admin.v1.rules_pb2 import Match
from tollway.config.v1 import resources_pb2 as machine
from tollway.kernel.names import bare_id, is_resource_id
from tollway.kernel.rules import METADATA_PREFIX, PER_DIMENSIONS, is_dimension, is_pattern
from tollway.resources.validate import MAX_LIST, MAX_METADATA, MAX_MODEL, MAX_VALUE, METADATA_KEY
from tollway.resources.violations import Violation

ANY_TEAM = "teams/-"
"""Stands in a reference for the team of a key that is named by its id alone, whatever team it is of."""

_KEYS = "/keys/"
_EXCLUDE = "!"
_LISTS = ("teams", "users", "keys", "models", "upstreams")
_SHORT_LISTS = ("teams", "upstreams")
_KEY_NAME = re.compile(r"teams/([^/]+)/keys/([^/]+)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NO_USERS = (
    "there are no users and service accounts in this release: the owner of a key is its team; match `teams`, or `keys`"
)


def of_any_team(key: str) -> str:
    """How a key, a full name, is referred to by its id alone."""
    return f"{ANY_TEAM}{_KEYS}{bare_id(key)}"


def normalize_match(match: Match) -> None:
    """Teams and upstreams by their bare ids."""
    for name in _SHORT_LISTS:
        alternatives: Any = getattr(match, name)
        alternatives[:] = [_without_collection(name, text) for text in alternatives]


def match_violations(match: Match) -> Iterator[Violation]:
    """Everything that is wrong with a normal `match` by itself."""
    for name in _LISTS:
        yield from _list_violations(f"match.{name}", name, getattr(match, name))
    if len(match.metadata) > MAX_METADATA:
        yield Violation("match.metadata", f"has {len(match.metadata)} pairs; a call has at most {MAX_METADATA}")
    for key in sorted(match.metadata):
        yield from _metadata_violations(f"match.metadata.{key}", key, match.metadata[key])


def per_violations(per: Sequence[str]) -> Iterator[Violation]:
    for index, name in enumerate(per):
        path = f"per[{index}]"
        key = name.removeprefix(METADATA_PREFIX)
        if not is_dimension(name) or (key != name and not METADATA_KEY.fullmatch(key)):
            yield Violation(path, f'"{name}" is not one of {", ".join(PER_DIMENSIONS)}, metadata.NAME')
        elif name in per[:index]:
            yield Violation(path, f'"{name}" is listed twice')


def match_references(match: Match) -> Iterator[tuple[str, str]]:
    """Fields, and the full names that they refer to: of teams, keys and upstreams that are named without "*".

    A key that is named by its id alone is of ANY_TEAM.
    """
    for path, team in _named("teams", match.teams):
        yield path, f"teams/{team}"
    for path, owner in _named("users", match.users):
        yield path, owner
    for path, key in _named("keys", match.keys):
        yield path, key if "/" in key else f"{ANY_TEAM}{_KEYS}{key}"
    for path, upstream in _named("upstreams", match.upstreams):
        yield path, f"upstreams/{upstream}"


def match_models(match: Match) -> Iterator[tuple[str, str]]:
    """Fields, and the models that they name without "*"."""
    return _named("models", match.models)


def project_match(match: Match) -> machine.Match:
    """The machine form; lists keep their order."""
    return machine.Match(
        teams=match.teams,
        users=match.users,
        keys=match.keys,
        models=match.models,
        upstreams=match.upstreams,
        metadata=[
            machine.MetadataMatch(key=key, values=[value.string_value for value in match.metadata[key].values])
            for key in sorted(match.metadata)
        ],
    )


def counted_by(match: machine.Match) -> list[object]:
    """What `match` means as JSON values: order and repetition make no difference."""
    lists = [sorted(set(getattr(match, name))) for name in _LISTS]
    return [*lists, sorted([pair.key, sorted(set(pair.values))] for pair in match.metadata)]


def _named(name: str, alternatives: Iterable[str]) -> Iterator[tuple[str, str]]:
    for index, text in enumerate(alternatives):
        if text and not is_pattern(text):
            yield f"match.{name}[{index}]", text.removeprefix(_EXCLUDE)


def _without_collection(collection: str, text: str) -> str:
    mark = _EXCLUDE if text.startswith(_EXCLUDE) else ""
    return mark + text.removeprefix(mark).removeprefix(f"{collection}/")


def _list_violations(path: str, name: str, alternatives: Sequence[str]) -> Iterator[Violation]:
    if len(alternatives) > MAX_LIST:
        yield Violation(path, f"has {len(alternatives)} entries; at most {MAX_LIST} are allowed")
    for index, text in enumerate(alternatives):
        problem = _name_problem(name, text.removeprefix(_EXCLUDE))
        if problem:
            yield Violation(f"{path}[{index}]", problem)
        elif text in alternatives[:index]:
            yield Violation(f"{path}[{index}]", f'"{text}" is listed twice')


def _name_problem(name: str, text: str) -> str | None:
    if not text:
        return 'is empty; leave the list out to match all, "*" stands for any characters'
    if len(text) > MAX_MODEL or _CONTROL.search(text) or any(character.isspace() for character in text):
        return f"must be at most {MAX_MODEL} characters without whitespace"
    if name == "models" or is_pattern(text):
        return None
    if name == "users":
        return None if text.startswith("teams/") and is_resource_id(bare_id(text)) else _NO_USERS
    key = _KEY_NAME.fullmatch(text) if name == "keys" else None
    if not all(is_resource_id(part) for part in (key.groups() if key else (text,))):
        form = "an id, or a full name `teams/TEAM/keys/KEY`" if name == "keys" else "an id"
        return f'"{text}" is not {form}: ids match [a-z0-9][a-z0-9._-]{{0,62}}'
    return None


def _metadata_violations(path: str, key: str, values: ListValue) -> Iterator[Violation]:
    if not METADATA_KEY.fullmatch(key):
        yield Violation(path, f"the name must match {METADATA_KEY.pattern}")
    if not 1 <= len(values.values) <= MAX_LIST:
        yield Violation(path, f"needs a list of 1 to {MAX_LIST} values")
    for index, value in enumerate(values.values):
        if value.WhichOneof("kind") != "string_value":
            yield Violation(f"{path}[{index}]", "must be a string; put it in quotes")
        elif len(value.string_value) > MAX_VALUE + 1 or _CONTROL.search(value.string_value):
            yield Violation(f"{path}[{index}]", f"must be text of at most {MAX_VALUE} characters on one line")
