"""Update masks."""

from typing import Any

import pytest

from controlplane.resources.masks import merge_update
from tollway.admin.v1.routes_pb2 import FallbackPolicy, RetryPolicy, Route, Target
from tollway.admin.v1.teams_pb2 import Team
from tollway.admin.v1.upstreams_pb2 import Upstream, UpstreamSecret

CURRENT = Route(
    name="routes/r",
    uid="u",
    etag="e",
    display_name="old",
    labels={"a": "1", "b": "2"},
    model="m",
    targets=[Target(upstream="upstreams/a", weight=1)],
    retry=RetryPolicy(max_attempts=5),
    fallback=FallbackPolicy(enabled=True),
)


def merge(given: Route, *paths: str) -> Route:
    merged, violations = merge_update(CURRENT, given, paths)
    assert violations == []
    assert isinstance(merged, Route)
    assert (merged.name, merged.uid, merged.etag) == ("routes/r", "u", "e")
    return merged


def test_without_a_mask_what_is_set_changes() -> None:
    merged = merge(Route(name="routes/r", display_name="new", targets=[Target(upstream="b")], uid="other", etag="x"))
    assert (merged.display_name, merged.model, merged.retry.max_attempts) == ("new", "m", 5)
    assert [t.upstream for t in merged.targets] == ["b"]


def test_a_mask_also_clears() -> None:
    merged = merge(Route(model="n"), "display_name", "targets", "retry")
    assert (merged.display_name, list(merged.targets), merged.HasField("retry"), merged.model) == ("", [], False, "m")


def test_nested_paths_change_one_field() -> None:
    given = Route(retry=RetryPolicy(max_attempts=2), fallback=FallbackPolicy(enabled=False))
    assert merge(given, "retry.max_attempts").retry.max_attempts == 2
    assert merge(given, "retry.max_attempts").fallback.enabled is True
    assert merge(given, "fallback.enabled").fallback.enabled is False
    assert merge(Route(), "fallback.enabled").fallback.HasField("enabled") is False


def test_one_pair_of_a_map() -> None:
    given = Route(labels={"a": "9"})
    assert dict(merge(given, "labels.a").labels) == {"a": "9", "b": "2"}
    assert dict(merge(given, "labels.b").labels) == {"a": "1"}
    assert dict(merge(given, "labels").labels) == {"a": "9"}


def test_a_star_replaces_everything_but_what_the_server_sets() -> None:
    merged = merge(Route(model="n"), "*")
    assert merged == Route(name="routes/r", uid="u", etag="e", model="n")


@pytest.mark.parametrize("path", ["uid", "name", "etag", "create_time"])
def test_what_the_server_sets_is_ignored(path: str) -> None:
    assert merge(Route(name="routes/r", uid="x", etag="y"), path) == CURRENT


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("nope", "no such field; Route has name, display_name"),
        ("retry.nope", "no such field; RetryPolicy has max_attempts"),
        ("model.x", "has no fields to name"),
        ("targets.weight", "has no fields to name"),
        ("", "no such field"),
    ],
)
def test_unknown_paths_are_told(path: str, says: str) -> None:
    _, violations = merge_update(CURRENT, Route(), [path])
    assert [v.field for v in violations] == ["update_mask"]
    assert says in violations[0].description


def test_a_star_must_be_alone() -> None:
    assert merge_update(CURRENT, Route(), ["*", "model"])[1] != []


def test_a_secret_is_replaced_as_a_whole() -> None:
    current = Upstream(name="upstreams/a", secret=UpstreamSecret(ref="env:A"))
    given = Upstream(name="upstreams/a", secret=UpstreamSecret(value="v"))
    for path in ("secret", "secret.value"):
        merged: Any = merge_update(current, given, [path])[0]
        assert (merged.secret.ref, merged.secret.value) == ("", "v")


def test_current_and_given_are_left_alone() -> None:
    team, given = Team(name="teams/a", labels={"a": "1"}), Team(labels={"a": "2"})
    merge_update(team, given, ["labels"])
    assert team == Team(name="teams/a", labels={"a": "1"})
    assert given == Team(labels={"a": "2"})
