"""What answers a query: never sums that lack a part of the range."""

from datetime import UTC, date, datetime, timedelta

import pytest

from controlplane.errors import FailedPrecondition
from controlplane.ledger.reading.filters import Condition
from controlplane.ledger.reading.queries import SumsQuery
from controlplane.ledger.reading.sources import Declared, Source, Standing, source_of

START = datetime(2026, 11, 1, tzinfo=UTC)
DECLARED: Declared = {"app": [(START + timedelta(days=2), None)], "old": [(START, START + timedelta(days=5))]}
STANDING = Standing(frozenset(), DECLARED, None)


def query(*group_by: str, start: int = 0, end: int = 1, filtered: str = "") -> SumsQuery:
    boundaries = (START + timedelta(days=start), START + timedelta(days=end))
    conditions = (Condition(filtered, "=", ("x",)),) if filtered else ()
    return SumsQuery(boundaries, group_by, conditions, 10)


@pytest.mark.parametrize(
    ("asked", "source"),
    [
        (query(), Source.MARGINALS),
        (query("team"), Source.MARGINALS),
        (query("team", filtered="team"), Source.MARGINALS),
        (query(filtered="key"), Source.MARGINALS),
        (query("team", "model"), Source.GROUPS),
        (query("team", filtered="model"), Source.GROUPS),
        (query("end_user"), Source.ENTRIES),
        (query("team", filtered="end_user"), Source.ENTRIES),
        (query("metadata.none"), Source.ENTRIES),
        (query("metadata.app", start=2, end=400), Source.MARGINALS),
        (query("metadata.app", "team", start=3, end=4), Source.GROUPS),
        (query("metadata.app", start=1, end=4), Source.ENTRIES),
        (query("metadata.old", end=5), Source.MARGINALS),
        (query("metadata.old", end=6), Source.ENTRIES),
    ],
)
def test_sources(asked: SumsQuery, source: Source) -> None:
    assert source_of(asked, STANDING) is source


@pytest.mark.parametrize(
    ("asked", "advice"),
    [
        (query("end_user", end=32), "31 days; shorten the range$"),
        (query("metadata.none", end=32), "declare a MetadataKey for none"),
        (query("metadata.app", end=40), "begin it at 2026-11-03T00:00:00Z or later"),
    ],
)
def test_what_entries_cannot_answer_says_what_to_do(asked: SumsQuery, advice: str) -> None:
    with pytest.raises(FailedPrecondition, match=advice):
        source_of(asked, STANDING)


def test_detached_entries_are_not_taken_for_none() -> None:
    detached = Standing(frozenset(), DECLARED, date(2026, 11, 1))
    with pytest.raises(FailedPrecondition, match="before 2026-11-02 have been detached"):
        source_of(query("end_user"), detached)
    assert source_of(query("end_user", start=1, end=2), detached) is Source.ENTRIES
    assert source_of(query("team"), detached) is Source.MARGINALS
