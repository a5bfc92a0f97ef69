"""What answers a query of sums: sums of one dimension, sums of groups, or single entries. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum

from controlplane.errors import FailedPrecondition
from controlplane.ledger.reading.dimensions import METADATA_PREFIX, ROLLUP_DIMENSIONS, metadata_key_of
from controlplane.ledger.reading.queries import SumsQuery

MAX_ENTRIES_RANGE = timedelta(days=31)
Declared = Mapping[str, Sequence[tuple[datetime, datetime | None]]]
"""When each metadata key was declared: from when, and until when, None for ever."""


class Source(Enum):
    """Of sums; the first is the fastest and the least general."""

    MARGINALS = "marginals"
    GROUPS = "groups"
    ENTRIES = "entries"


@dataclass(frozen=True, slots=True)
class Standing:
    """What a ledger can answer from at one moment; entries of the day `detached_through` and before may be gone."""

    folded: frozenset[date]
    declared: Declared
    detached_through: date | None


def source_of(query: SumsQuery, standing: Standing) -> Source:
    """Raises FailedPrecondition, which says what to do, where only entries could answer and they cannot."""
    unkept = sorted(name for name in query.dimensions if not _is_kept(name, query, standing.declared))
    if not unkept:
        return Source.MARGINALS if len(query.dimensions) <= 1 else Source.GROUPS
    if query.end - query.start > MAX_ENTRIES_RANGE:
        text = f"sums by {', '.join(unkept)} are read from single entries of at most {MAX_ENTRIES_RANGE.days} days"
        raise FailedPrecondition(f"{text}; shorten the range{_advice(unkept[0], standing.declared)}")
    if standing.detached_through is not None and query.start.date() <= standing.detached_through:
        first = standing.detached_through + timedelta(days=1)
        text = f"single entries before {first} have been detached, and sums by {', '.join(unkept)} need them"
        raise FailedPrecondition(f"{text}; begin the range there or later")
    return Source.ENTRIES


def _is_kept(name: str, query: SumsQuery, declared: Declared) -> bool:
    """Whether sums are kept by a dimension over all of the query's range."""
    periods = declared.get(metadata_key_of(name), ())
    return name in ROLLUP_DIMENSIONS or any(
        since <= query.start and (until is None or query.end <= until) for since, until in periods
    )


def _advice(name: str, declared: Declared) -> str:
    key = metadata_key_of(name)
    if not key:
        return ""
    since = max((since for since, until in declared.get(key, ()) if until is None), default=None)
    if since is not None:
        return f", or begin it at {since.isoformat().replace('+00:00', 'Z')} or later, since when {key} is declared"
    return f", or declare a MetadataKey for {name.removeprefix(METADATA_PREFIX)}, which serves calls from then on"
