"""Writing is the inverse of reading, and differences are exactly what differs."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tollway.admin.v1.routes_pb2 import Route, Target
from tollway.admin.v1.upstreams_pb2 import Upstream, UpstreamSecret
from tollway.resources.kinds import ROUTE
from tollway.resources.messages import is_spec_field
from tollway.resources.reading import read_message
from tollway.resources.writing import differences, write_spec

_text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
_targets = st.builds(
    Target,
    upstream=_text,
    model=_text,
    weight=st.none() | st.integers(0, 10),
    priority=st.integers(0, 5),
)
_routes = st.builds(
    Route,
    model=_text,
    strategy=st.integers(0, 2),
    targets=st.lists(_targets, max_size=3),
    labels=st.dictionaries(_text, _text, max_size=2),
)
_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=8,
)


@given(_routes)
def test_reading_what_was_written_gives_the_same_resource(route: Route) -> None:
    ROUTE.normalize(route)
    again = Route()
    assert read_message(write_spec(route), again, "", is_spec_field) == []
    assert again == route


@given(_json)
def test_no_json_makes_reading_fail_otherwise_than_by_violations(value: object) -> None:
    for violation in read_message(value, Route()):
        assert violation.description


@given(_json, _json)
def test_there_are_differences_exactly_when_values_differ(before: object, after: object) -> None:
    assert list(differences(before, before)) == []
    assert bool(list(differences(before, after))) == (before != after)


def test_differences_are_told_by_path() -> None:
    before = {"targets": [{"weight": 1}, {"weight": 2}], "model": "a"}
    after = {"targets": [{"weight": 3}], "model": "a", "strategy": "priority"}
    assert list(differences(before, after)) == [
        ("strategy", None, "priority"),
        ("targets[0].weight", 1, 3),
        ("targets[1]", {"weight": 2}, None),
    ]


def test_what_only_the_server_sets_is_not_written() -> None:
    upstream = Upstream(
        name="upstreams/a", uid="1", etag="2", provider="openai", secret=UpstreamSecret(fingerprint="f")
    )
    assert write_spec(upstream) == {"provider": "openai", "secret": {}}
