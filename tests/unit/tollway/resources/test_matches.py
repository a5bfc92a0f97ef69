from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.tollway.resources.rules import read_rate_limit
from tollway.admin.v1.rules_pb2 import Match
from tollway.resources.matches import (
    counted_by,
    match_models,
    match_references,
    match_violations,
    normalize_match,
    project_match,
)
from tollway.resources.rules import compile_match, compile_per
from tollway.resources.writing import write_spec


def test_teams_and_upstreams_are_known_by_their_bare_ids() -> None:
    rule, wrong = read_rate_limit(
        match={"teams": ["teams/a", "!teams/b", "c*"], "upstreams": ["upstreams/u"], "keys": ["teams/a/keys/k", "l"]}
    )
    assert wrong == {}
    assert (list(rule.match.teams), list(rule.match.upstreams)) == (["a", "!b", "c*"], ["u"])
    assert list(rule.match.keys) == ["teams/a/keys/k", "l"]


def test_names_without_a_star_are_references_and_models_are_told_apart() -> None:
    rule, _ = read_rate_limit(
        match={
            "teams": ["a", "!b", "c*"],
            "keys": ["teams/a/keys/k", "!l", "m*"],
            "upstreams": ["u"],
            "users": ["teams/a"],
            "models": ["gpt-x", "!u/gpt-y", "o*"],
        }
    )
    assert list(match_references(rule.match)) == [
        ("match.teams[0]", "teams/a"),
        ("match.teams[1]", "teams/b"),
        ("match.users[0]", "teams/a"),
        ("match.keys[0]", "teams/a/keys/k"),
        ("match.keys[1]", "teams/-/keys/l"),
        ("match.upstreams[0]", "upstreams/u"),
    ]
    assert list(match_models(rule.match)) == [("match.models[0]", "gpt-x"), ("match.models[1]", "u/gpt-y")]


@pytest.mark.parametrize(
    ("match", "field", "text"),
    [
        ({"teams": ["Growth"]}, "match.teams[0]", '"Growth" is not an id'),
        ({"teams": ["a", "b", "a"]}, "match.teams[2]", "listed twice"),
        ({"teams": [""]}, "match.teams[0]", "is empty"),
        ({"teams": ["!"]}, "match.teams[0]", "is empty"),
        ({"keys": ["growth/ci"]}, "match.keys[0]", "teams/TEAM/keys/KEY"),
        ({"keys": ["x" * 300]}, "match.keys[0]", "at most 256"),
        ({"models": ["a b"]}, "match.models[0]", "without whitespace"),
        ({"models": [f"m{n}" for n in range(257)]}, "match.models", "257 entries"),
        ({"users": ["ann"]}, "match.users[0]", "no users and service accounts in this release"),
        ({"upstreams": ["a/b"]}, "match.upstreams[0]", "is not an id"),
        ({"metadata": {"env": []}}, "match.metadata.env", "needs a list"),
        ({"metadata": {"env": "prod"}}, "match.metadata.env", "must be a list, not a string"),
        ({"metadata": {"env": [5]}}, "match.metadata.env[0]", "must be a string, not a number; put it in quotes"),
        ({"metadata": {"env": ["x" * 200]}}, "match.metadata.env[0]", "at most 128"),
        ({"metadata": {"a b": ["x"]}}, "match.metadata.a b", "the name must match"),
        ({"regions": ["eu"]}, "match.regions", "Match has teams, users, keys, models, upstreams, metadata"),
    ],
)
def test_what_is_wrong_with_a_match(match: dict[str, Any], field: str, text: str) -> None:
    _, wrong = read_rate_limit(match=match)
    assert text in wrong[field]


@pytest.mark.parametrize(
    ("per", "field", "text"),
    [
        (["planet"], "per[0]", "team, user, end_user, key, model, upstream, metadata.NAME"),
        (["team", "team"], "per[1]", "listed twice"),
        (["metadata."], "per[0]", "is not one of"),
        (["metadata.a b"], "per[0]", "is not one of"),
    ],
)
def test_what_is_wrong_with_per(per: list[str], field: str, text: str) -> None:
    _, wrong = read_rate_limit(per=per)
    assert text in wrong[field]


def test_lists_of_values_that_only_grpc_can_carry_are_judged_too() -> None:
    match = Match()
    match.metadata["env"].append(5)
    assert [v.field for v in match_violations(match)] == ["match.metadata.env[0]"]


def test_a_match_is_written_as_it_was_read() -> None:
    match = {"models": ["gpt-*"], "metadata": {"env": ["prod", "!dev"], "project": [""]}}
    rule, wrong = read_rate_limit(match=match)
    assert wrong == {}
    assert write_spec(rule)["match"] == match


def test_order_and_repetition_make_no_other_match() -> None:
    one, _ = read_rate_limit(match={"models": ["a", "b"], "metadata": {"x": ["1", "2"], "y": ["3"]}})
    same, _ = read_rate_limit(match={"models": ["b", "a"], "metadata": {"y": ["3"], "x": ["2", "1"]}})
    other, _ = read_rate_limit(match={"teams": ["a", "b"], "metadata": {"x": ["1", "2"], "y": ["3"]}})
    counts = [counted_by(project_match(rule.match)) for rule in (one, same, other)]
    assert counts[0] == counts[1] != counts[2]


@given(st.lists(st.text("ab/!*", min_size=1, max_size=6), max_size=4))
def test_normal_form_is_stable_and_compiles(names: list[str]) -> None:
    match = Match(teams=names, upstreams=names, models=names)
    normalize_match(match)
    again = Match()
    again.CopyFrom(match)
    normalize_match(again)
    if not list(match_violations(match)):
        assert again == match
        compile_match(project_match(match))


def test_an_unknown_dimension_does_not_compile() -> None:
    assert compile_per(["team", "metadata.x"]) == ("team", "metadata.x")
    with pytest.raises(ValueError, match="planet"):
        compile_per(["planet"])
