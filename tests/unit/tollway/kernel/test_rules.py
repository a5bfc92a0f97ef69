import re
import time
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tollway.kernel.rules import (
    Match,
    Names,
    Subject,
    bucket_id,
    bucket_values,
    generation_of,
    is_dimension,
    is_per_attempt,
)

ALTERNATIVES = st.lists(st.text("ab!*/", min_size=1, max_size=5), max_size=5)
NAMES = st.text("ab/", max_size=6)
TEXTS = st.lists(st.text(st.characters(codec=None), max_size=4), max_size=3).map(tuple)


def subject(**fields: object) -> Subject:
    known: dict[str, object] = {
        "team": "teams/growth",
        "user": "teams/growth",
        "key": "teams/growth/keys/ci",
        "model": "gpt-x",
        "end_user": "ann",
        "metadata": {"env": "prod"},
    }
    return Subject(**known | fields)  # type: ignore[arg-type]


def match(**lists: Sequence[str]) -> Match:
    teams, users, keys, models, upstreams = (
        Names(lists.get(field, ())) for field in ("teams", "users", "keys", "models", "upstreams")
    )
    return Match(teams, users, keys, models, upstreams)


def matches_glob(glob: str, text: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, glob.split("*"))), text, re.DOTALL) is not None


@given(ALTERNATIVES, NAMES, st.none() | NAMES)
def test_names_admit_as_defined(alternatives: list[str], name: str, short: str | None) -> None:
    spellings = [name] if short is None else [name, short]
    wanted = [text for text in alternatives if text[0] != "!"]
    unwanted = [text[1:] for text in alternatives if text[0] == "!"]
    is_wanted = not wanted or any(matches_glob(glob, text) for glob in wanted for text in spellings)
    is_unwanted = any(matches_glob(glob, text) for glob in unwanted for text in spellings)
    assert Names(alternatives).admits(name, short) == (is_wanted and not is_unwanted)


@given(ALTERNATIVES, NAMES)
def test_only_exact_names_are_admitted_where_there_are_no_patterns(alternatives: list[str], name: str) -> None:
    names = Names(alternatives)
    if names.exact is not None and names.admits(name):
        assert name in names.exact
    assert names.is_everything == (not alternatives)


def test_hostile_names_and_patterns_take_linear_time() -> None:
    names = Names(["*a" * 40 + "b", "!" + "*a" * 40 + "c"])
    began = time.process_time()
    assert not names.admits("a" * 20_000)
    assert time.process_time() - began < 1


def test_every_list_must_admit() -> None:
    assert match().admits(subject())
    assert match(teams=["growth"], models=["gpt-*", "!gpt-y"]).admits(subject())
    assert not match(teams=["growth"], models=["gpt-*", "!gpt-x"]).admits(subject())
    assert match(keys=["ci"]).admits(subject())
    assert match(keys=["teams/growth/keys/ci"]).admits(subject())
    assert not match(keys=["teams/other/keys/ci"]).admits(subject())
    assert not match(users=["ann"]).admits(subject())


def test_upstreams_are_looked_at_only_in_attempts() -> None:
    rule = match(upstreams=["openai"])
    assert rule.admits(subject())
    assert rule.admits(subject(upstream="openai"))
    assert not rule.admits(subject(upstream="sim"))
    assert is_per_attempt(rule, ())
    assert is_per_attempt(match(), ("team", "upstream"))
    assert not is_per_attempt(match(models=["m"]), ("team",))


def test_absent_metadata_is_empty_text() -> None:
    prod, absent, excluded = (replace(match(), metadata=(("env", Names([value])),)) for value in ("prod", "", "!prod"))
    calls = [subject(metadata={"env": "prod"}), subject(metadata={"env": "dev"}), subject(metadata={})]
    assert [[rule.admits(call) for call in calls] for rule in (prod, absent, excluded)] == [
        [True, False, False],
        [False, False, True],
        [False, True, True],
    ]


def test_values_follow_the_dimensions_in_their_order() -> None:
    per = ("model", "metadata.env", "metadata.none", "end_user", "upstream", "key")
    assert bucket_values(per, subject()) == ("gpt-x", "prod", "", "ann", "", "teams/growth/keys/ci")
    assert [is_dimension(name) for name in (*per, "metadata.", "metadata", "teams")] == [True] * 6 + [False] * 3


@given(TEXTS, TEXTS, st.integers(0, 3), st.integers(0, 3))
def test_ids_of_buckets_are_equal_only_for_equal_buckets(
    values: tuple[str, ...], others: tuple[str, ...], limit: int, other_limit: int
) -> None:
    mine, its = bucket_id("r", "g", limit, values), bucket_id("r", "g", other_limit, others)
    assert (mine == its) == ((limit, values) == (other_limit, others))
    assert mine != bucket_id("r", "h", limit, values)
    assert mine != bucket_id("s", "g", limit, values)


def test_ids_and_generations_never_change_between_releases() -> None:
    assert str(bucket_id("budgets/growth", "0123456789abcdef", 0, ["teams/growth", "é"])) == BUCKET
    assert generation_of({"b": 1, "a": ["x"]}, 3, None) == GENERATION == generation_of({"a": ["x"], "b": 1}, 3, None)


BUCKET = "8ba84d6c-b9a2-36e5-adb5-a3fa3cecdae3"
GENERATION = "a20a5035a4c94246"
