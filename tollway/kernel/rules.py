"""Which calls a rule is about, and which counter of it a call falls into.

A rule is a rate limit or a budget. Its bucket is one counter: the rule, one of its limits, and the values of the
dimensions that it counts apart (`per`). Both planes derive the id of a bucket from these, so that it names the same
counter on each.
"""

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tollway.kernel.globs import compile_globs
from tollway.kernel.names import bare_id

UPSTREAM_DIMENSION = "upstream"
PER_DIMENSIONS = ("team", "user", "end_user", "key", "model", UPSTREAM_DIMENSION)
METADATA_PREFIX = "metadata."
_EXCLUDE = "!"
_ANY = "*"
_ID_BYTES = 16


class Subject(NamedTuple):
    """A call, or with `upstream` an attempt of one, as rules see it.

    `team`, `user` and `key` are full resource names, `model` is the requested one, `upstream` a bare id and "" for a
    call as a whole.
    """

    team: str
    user: str
    key: str
    model: str
    end_user: str
    metadata: Mapping[str, str]
    upstream: str = ""


class Names:
    """Alternatives for a name: exact ones and patterns with "*", of which a leading "!" makes exclusions.

    Without any but exclusions everything else is admitted. A name is known by its full text or its last part. Matching
    takes linear time, whatever the alternatives and the names are. `exact` are the only texts that can be admitted,
    None when a pattern admits others.
    """

    __slots__ = ("_admitted", "_alternatives", "_excluded", "exact")

    def __init__(self, alternatives: Iterable[str]) -> None:
        self._alternatives = tuple(alternatives)
        wanted = [text for text in self._alternatives if not text.startswith(_EXCLUDE)]
        unwanted = [text.removeprefix(_EXCLUDE) for text in self._alternatives if text.startswith(_EXCLUDE)]
        is_exact = bool(wanted) and not any(is_pattern(text) for text in wanted)
        self.exact: frozenset[str] | None = frozenset(wanted) if is_exact else None
        self._admitted = None if is_exact else compile_globs(wanted)
        self._excluded = compile_globs(unwanted)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Names) and other._alternatives == self._alternatives

    def __hash__(self) -> int:
        return hash(self._alternatives)

    def __repr__(self) -> str:
        return f"Names({list(self._alternatives)!r})"

    @property
    def is_everything(self) -> bool:
        return not self._alternatives

    def admits(self, name: str, short_name: str | None = None) -> bool:
        """Whether `name`, which `short_name` may stand for, is among the alternatives and not excluded."""
        spellings = (name,) if short_name is None else (name, short_name)
        if self._excluded is not None and any(self._excluded.fullmatch(text) for text in spellings):
            return False
        if self.exact is not None:
            return not self.exact.isdisjoint(spellings)
        return self._admitted is None or any(self._admitted.fullmatch(text) for text in spellings)


@dataclass(frozen=True, slots=True)
class Match:
    """All of these must admit a call; `metadata` is by key, and a pair that a call lacks has the value ""."""

    teams: Names
    users: Names
    keys: Names
    models: Names
    upstreams: Names
    metadata: tuple[tuple[str, Names], ...] = ()

    def admits(self, subject: Subject) -> bool:
        """Whether the rule is about `subject`; of upstreams only where `subject` has one."""
        return self.admits_names(subject) and self.admits_metadata(subject.metadata)

    def admits_names(self, subject: Subject) -> bool:
        """What `admits` says of everything but metadata."""
        return (
            self.teams.admits(subject.team, bare_id(subject.team))
            and self.users.admits(subject.user, bare_id(subject.user))
            and self.keys.admits(subject.key, bare_id(subject.key))
            and self.models.admits(subject.model)
            and (not subject.upstream or self.upstreams.admits(subject.upstream))
        )

    def admits_metadata(self, metadata: Mapping[str, str]) -> bool:
        """What `admits` says of the metadata of a call."""
        return all(names.admits(metadata.get(key, "")) for key, names in self.metadata)


def is_pattern(text: str) -> bool:
    """Whether an alternative stands for more than one name."""
    return _ANY in text


def is_per_attempt(match: Match, per: Sequence[str]) -> bool:
    """Whether a rule looks at each attempt of a call, because upstreams matter to it, not at the call as a whole."""
    return not match.upstreams.is_everything or UPSTREAM_DIMENSION in per


def is_dimension(name: str) -> bool:
    """Whether a rule may count apart by `name`."""
    return name in PER_DIMENSIONS or (name.startswith(METADATA_PREFIX) and len(name) > len(METADATA_PREFIX))


def bucket_values(per: Sequence[str], subject: Subject) -> tuple[str, ...]:
    """The values of `per` that say which bucket of a rule `subject` falls into; what it lacks is ""."""
    return tuple(_value(name, subject) for name in per)


def shown_value(dimension: str, value: str) -> str:
    """A value as people say it: "growth" of "teams/growth", "growth/ci" of "teams/growth/keys/ci"."""
    if dimension == "key":
        return value.removeprefix("teams/").replace("/keys/", "/")
    return bare_id(value) if dimension in ("team", "user", UPSTREAM_DIMENSION) else value


def bucket_id(rule: str, generation: str, limit: int, values: Sequence[str]) -> uuid.UUID:
    """The id of a bucket: 16 bytes of the SHA-256 of what it is, as a JSON array without spaces."""
    text = json.dumps([rule, generation, limit, *values], ensure_ascii=False, separators=(",", ":"))
    return uuid.UUID(bytes=hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:_ID_BYTES])


def generation_of(*parts: object) -> str:
    """A short word for what a rule counts: `parts` are JSON values, equal words mean equal buckets."""
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_ID_BYTES]


def _value(name: str, subject: Subject) -> str:
    if name.startswith(METADATA_PREFIX):
        return subject.metadata.get(name.removeprefix(METADATA_PREFIX), "")
    return str(getattr(subject, name))
