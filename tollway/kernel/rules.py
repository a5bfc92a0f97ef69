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

from tollway.kernel.globs import compile_globs
from tollway.kernel.names import bare_id

PER_DIMENSIONS = ("team", "user", "end_user", "key", "model", "upstream")
METADATA_PREFIX = "metadata."
_EXCLUDE = "!"
_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Subject:
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

    Without any but exclusions everything else is admitted. A name is known by its full text or its last part.
    """

    __slots__ = ("_admitted", "_excluded")

    def __init__(self, alternatives: Iterable[str]) -> None:
        given = list(alternatives)
        self._admitted = compile_globs(text for text in given if not text.startswith(_EXCLUDE))
        self._excluded = compile_globs(text.removeprefix(_EXCLUDE) for text in given if text.startswith(_EXCLUDE))

    @property
    def is_everything(self) -> bool:
        return self._admitted is None and self._excluded is None

    def admits(self, name: str, short_name: str | None = None) -> bool:
        spellings = (name,) if short_name is None else (name, short_name)
        if self._excluded is not None and any(self._excluded.fullmatch(text) for text in spellings):
            return False
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
        return (
            self.teams.admits(subject.team, bare_id(subject.team))
            and self.users.admits(subject.user, bare_id(subject.user))
            and self.keys.admits(subject.key, bare_id(subject.key))
            and self.models.admits(subject.model)
            and (not subject.upstream or self.upstreams.admits(subject.upstream))
            and all(names.admits(subject.metadata.get(key, "")) for key, names in self.metadata)
        )


def is_dimension(name: str) -> bool:
    """Whether a rule may count apart by `name`."""
    return name in PER_DIMENSIONS or (name.startswith(METADATA_PREFIX) and len(name) > len(METADATA_PREFIX))


def bucket_values(per: Sequence[str], subject: Subject) -> tuple[str, ...]:
    """The values of `per` that say which bucket of a rule `subject` falls into; what it lacks is ""."""
    return tuple(_value(name, subject) for name in per)


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
