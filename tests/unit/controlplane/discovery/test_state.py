"""Whatever a data plane has seen, the next update leads it to the present state."""

from hypothesis import given
from hypothesis import strategies as st

from controlplane.discovery.parts import cut_update
from controlplane.discovery.projection import Projected
from controlplane.discovery.state import ConfigState, Update
from tollway.config.v1.discovery_pb2 import Cursor
from tollway.config.v1.resources_pb2 import Resource, Team

EPOCH = "epoch"
_changes = st.lists(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=3), max_size=25)


class Replica:
    """What a data plane holds."""

    def __init__(self) -> None:
        self.cursor: Cursor | None = None
        self.resources: dict[str, Resource] = {}

    def apply(self, update: Update) -> None:
        if update.reset:
            self.resources = {}
        self.resources |= {resource.name: resource for resource in update.upserts}
        for name in update.removals:
            self.resources.pop(name, None)
        self.cursor = update.cursor


def team(number: int, revision: int) -> Resource:
    return Resource(name=f"teams/t{number}", revision=revision, team=Team(display_name=f"at {revision}"))


def projected(change: list[tuple[int, bool]], revision: int) -> list[Projected]:
    latest = dict(change)
    return [
        Projected(revision, upserts=[team(number, revision)])
        if exists
        else Projected(revision, removals=[f"teams/t{number}"])
        for number, exists in latest.items()
    ]


@given(_changes, st.sets(st.integers(0, 25)), st.sampled_from([2, 1024]))
def test_any_updates_lead_to_the_present(
    changes: list[list[tuple[int, bool]]], read_at: set[int], remembered: int
) -> None:
    state, replica = ConfigState(EPOCH, 0, [], remembered=remembered), Replica()
    truth: dict[int, Resource | None] = {}
    for revision, change in enumerate(changes, start=1):
        state.advance(revision, projected(change, revision))
        for number, exists in dict(change).items():
            truth[number] = team(number, revision) if exists else None
        if revision in read_at:
            replica.apply(state.update_since(replica.cursor))
    replica.apply(state.update_since(replica.cursor))
    assert replica.resources == {r.name: r for r in truth.values() if r is not None}
    assert replica.cursor == Cursor(epoch=EPOCH, revision=len(changes))


@given(_changes, st.integers(0, 25))
def test_a_state_loaded_anew_serves_those_that_were_ahead_of_its_start(
    changes: list[list[tuple[int, bool]]], seen: int
) -> None:
    """Another control plane, or the same after a restart, knows removals from tombstones only."""
    first, replica = ConfigState(EPOCH, 0, []), Replica()
    last: dict[int, tuple[int, bool]] = {}
    for revision, change in enumerate(changes, start=1):
        first.advance(revision, projected(change, revision))
        last |= {number: (revision, exists) for number, exists in dict(change).items()}
        if revision == min(seen, len(changes)):
            replica.apply(first.update_since(None))
    rows = [change for number, (revision, exists) in last.items() for change in projected([(number, exists)], revision)]
    second = ConfigState(EPOCH, len(changes), rows)
    update = second.update_since(replica.cursor)
    assert update.reset == (replica.cursor is None)
    replica.apply(update)
    truth = Replica()
    truth.apply(first.update_since(None))
    assert replica.resources == truth.resources


def test_other_epochs_and_later_revisions_get_the_full_state() -> None:
    state = ConfigState(EPOCH, 5, projected([(1, True)], 5))
    for cursor in (None, Cursor(), Cursor(epoch="other", revision=5), Cursor(epoch=EPOCH, revision=6)):
        update = state.update_since(cursor)
        assert update.reset
        assert [r.name for r in update.upserts] == ["teams/t1"]
    assert not state.update_since(Cursor(epoch=EPOCH, revision=5)).reset


@given(st.lists(st.integers(0, 400), max_size=12), st.lists(st.integers(1, 40), max_size=8), st.booleans())
def test_parts_are_bounded_and_together_are_the_update(sizes: list[int], names: list[int], reset: bool) -> None:
    upserts = [Resource(name=f"t{i}", team=Team(display_name="x" * size)) for i, size in enumerate(sizes)]
    removals = ["r" * size for size in names]
    update = Update(Cursor(epoch=EPOCH, revision=9), reset, upserts, removals)
    nonces = iter(str(i) for i in range(1000))
    parts = list(cut_update(update, lambda: next(nonces), max_bytes=300))
    assert [r for part in parts for r in part.upserts] == upserts
    assert [n for part in parts for n in part.removals] == removals
    assert [part.last_part for part in parts] == [False] * (len(parts) - 1) + [True]
    assert len({part.nonce for part in parts}) == len(parts)
    for part in parts:
        assert part.cursor == update.cursor
        assert part.reset == reset
        assert part.ByteSize() < 300 + 100 or len(part.upserts) + len(part.removals) == 1
