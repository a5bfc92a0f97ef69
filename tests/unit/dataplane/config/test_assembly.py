import pytest

from dataplane.config.assembly import FeedBehind, FeedProtocolError, UpdateAssembly
from dataplane.config.state import Cursor
from tollway.config.v1 import discovery_pb2 as wire
from tollway.config.v1.resources_pb2 import Resource, Team


def response(
    revision: int,
    names: str = "",
    *,
    epoch: str = "e",
    removals: str = "",
    reset: bool = False,
    last_part: bool = True,
) -> wire.SubscribeResponse:
    return wire.SubscribeResponse(
        nonce="n",
        cursor=wire.Cursor(epoch=epoch, revision=revision),
        reset=reset,
        last_part=last_part,
        upserts=[Resource(name=name, revision=revision, team=Team()) for name in names.split()],
        removals=removals.split(),
    )


def test_parts_become_one_update_at_the_last() -> None:
    updates = UpdateAssembly(None)
    assert updates.is_idle
    assert updates.add(response(5, "a b", reset=True, last_part=False)) is None
    assert not updates.is_idle
    assert updates.add(response(5, "c", reset=True, last_part=False)) is None
    delta = updates.add(response(5, "d", reset=True))
    assert delta is not None
    assert (delta.cursor, delta.reset, sorted(delta.upserts)) == (Cursor("e", 5), True, ["a", "b", "c", "d"])
    assert updates.is_idle
    following = updates.add(response(6, "a", removals="b"))
    assert following is not None
    assert (following.reset, sorted(following.upserts), following.removals) == (False, ["a"], {"b"})


def test_reset_holds_for_the_whole_update_when_one_part_says_so() -> None:
    updates = UpdateAssembly(None)
    updates.add(response(5, "a", reset=True, last_part=False))
    delta = updates.add(response(5, "b", reset=False))
    assert delta is not None
    assert delta.reset


def test_the_later_part_decides_about_a_name() -> None:
    updates = UpdateAssembly(Cursor("e", 1))
    updates.add(response(2, "a b", removals="c", last_part=False))
    delta = updates.add(response(2, "c", removals="a"))
    assert delta is not None
    assert (sorted(delta.upserts), delta.removals) == (["b", "c"], frozenset({"a"}))


def test_a_part_of_another_update_in_between_breaks_the_protocol() -> None:
    updates = UpdateAssembly(None)
    updates.add(response(5, "a", reset=True, last_part=False))
    with pytest.raises(FeedProtocolError):
        updates.add(response(6, "b", reset=True))


@pytest.mark.parametrize("applied", [None, Cursor("other", 5)])
def test_changes_need_the_state_that_they_change(applied: Cursor | None) -> None:
    with pytest.raises(FeedProtocolError, match="without the state"):
        UpdateAssembly(applied).add(response(6, "a"))


def test_the_same_revision_again_is_fine() -> None:
    delta = UpdateAssembly(Cursor("e", 5)).add(response(5, "a"))
    assert delta is not None


def test_an_older_state_of_the_same_database_is_refused() -> None:
    with pytest.raises(FeedBehind):
        UpdateAssembly(Cursor("e", 5)).add(response(4, "a", reset=True))
    with pytest.raises(FeedBehind):
        UpdateAssembly(Cursor("e", 5), accepts_older=True).add(response(4, "a"))


def test_an_older_state_is_taken_when_asked_for_and_so_is_one_of_another_database() -> None:
    assert UpdateAssembly(Cursor("e", 5), accepts_older=True).add(response(4, "a", reset=True)) is not None
    assert UpdateAssembly(Cursor("e", 5)).add(response(1, "a", epoch="f", reset=True)) is not None


def test_revisions_may_not_go_back_within_a_stream() -> None:
    updates = UpdateAssembly(None)
    updates.add(response(5, reset=True))
    with pytest.raises(FeedBehind):
        updates.add(response(4, "a"))
