import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.config.v1.resources_pb2 import ModelMatch, ModelMatchAll, ModelMatchAny
from tollway.kernel.globs import compile_globs
from tollway.kernel.plain_tests import PlainTests
from tollway.resources.patterns import compile_model_matches


def matches_glob(glob: str, text: str) -> bool:
    """The plain, exponential definition of what a glob means."""
    if not glob:
        return not text
    if glob[0] == "*":
        return matches_glob(glob[1:], text) or (bool(text) and matches_glob(glob, text[1:]))
    return bool(text) and text[0] == glob[0] and matches_glob(glob[1:], text[1:])


@given(st.lists(st.text("a*/.\n", max_size=6), max_size=3), st.text("a/.\n", max_size=8))
def test_globs_match_as_defined(globs: list[str], text: str) -> None:
    pattern = compile_globs(globs)
    if not globs:
        assert pattern is None
        return
    assert pattern is not None
    assert (pattern.fullmatch(text) is not None) == any(matches_glob(glob, text) for glob in globs)


def test_a_star_spans_slashes_and_nothing_else_is_special() -> None:
    pattern = compile_globs(["openai/*", "a.c?[x]"])
    assert pattern is not None
    assert pattern.fullmatch("openai/org/model")
    assert pattern.fullmatch("a.c?[x]")
    assert not pattern.fullmatch("abc?[x]")
    assert not pattern.fullmatch("a.cdx")


def test_matching_stays_fast_whatever_is_sent() -> None:
    pattern = compile_globs(["*a*a*a*a*a*a*a*a*a*a*b"])
    assert pattern is not None
    began_s = time.perf_counter()
    assert not pattern.fullmatch("a" * 20_000)
    assert time.perf_counter() - began_s < 1.0


def any_of(*matches: ModelMatch) -> ModelMatchAny:
    return ModelMatchAny(models=matches)


@pytest.mark.parametrize(
    ("match", "hits", "misses"),
    [
        (ModelMatch(exact="gpt-4.1"), ["gpt-4.1"], ["gpt-4x1", "gpt-4.1-mini"]),
        (ModelMatch(prefix="gpt-4."), ["gpt-4.", "gpt-4.1"], ["gpt-4", "x-gpt-4."]),
        (ModelMatch(suffix="-mini"), ["-mini", "gpt-mini"], ["-mini-2"]),
        (ModelMatch(contains="4o"), ["4o", "gpt-4o-x"], ["gpt-4"]),
        (ModelMatch(glob="gpt-*-x"), ["gpt-4-x", "gpt--x"], ["gpt-x"]),
        (ModelMatch(regex="^gpt-[45]$"), ["gpt-4"], ["gpt-45", "xgpt-4"]),
        (ModelMatch(regex="a|b"), ["xax", "b"], ["c"]),
        (ModelMatch(regex="(?i)GPT"), ["my-gpt-4", "GPT"], ["gtp"]),
        (ModelMatch(regex="(?i)(?x) g p t # comment"), ["GPT", "gpt-4"], ["g p t"]),
        (
            ModelMatch(
                all=ModelMatchAll(
                    alternatives=[
                        any_of(ModelMatch(prefix="a"), ModelMatch(prefix="b")),
                        any_of(ModelMatch(suffix="x"), ModelMatch(exact="bb")),
                    ]
                )
            ),
            ["a-x", "bx", "bb"],
            ["a", "x", "ab", "bbb"],
        ),
    ],
)
def test_tests_of_models_match_as_the_schema_says(match: ModelMatch, hits: list[str], misses: list[str]) -> None:
    pattern = compile_model_matches([match])
    assert [text for text in hits if not pattern.fullmatch(text)] == []
    assert [text for text in misses if pattern.fullmatch(text)] == []


PLAIN = st.builds(
    lambda test, text: ModelMatch(**{test: text}),
    st.sampled_from(["exact", "prefix", "suffix", "contains"]),
    st.text("ab.*\n", max_size=3),
)


@given(st.lists(PLAIN, min_size=1, max_size=4), st.text("ab.*\n", max_size=6))
def test_plain_tests_match_what_a_regular_expression_of_them_matches(matches: list[ModelMatch], text: str) -> None:
    plain = compile_model_matches(matches)
    expression = compile_model_matches([*matches, ModelMatch(regex="(?!)")])
    assert isinstance(plain, PlainTests)
    assert isinstance(expression, re.Pattern)
    assert plain.fullmatch(text) == bool(expression.fullmatch(text))


def test_any_of_several_tests_is_enough() -> None:
    pattern = compile_model_matches([ModelMatch(exact="a"), ModelMatch(regex="b+"), ModelMatch(exact="c|d")])
    assert [t for t in ("a", "xbbx", "c|d") if not pattern.fullmatch(t)] == []
    assert not pattern.fullmatch("c")


@given(st.from_regex(r"[a-c(|)*+?^$.]{1,8}", fullmatch=True), st.text("abc", max_size=6))
def test_a_regular_expression_is_searched_for(regex: str, text: str) -> None:
    try:
        expected = re.search(regex, text) is not None
    except re.error:
        with pytest.raises(ValueError, match="regular expression"):
            compile_model_matches([ModelMatch(regex=regex)])
        return
    assert bool(compile_model_matches([ModelMatch(regex=regex)]).fullmatch(text)) == expected


@pytest.mark.parametrize(
    "matches",
    [
        [],
        [ModelMatch()],
        [ModelMatch(regex="(")],
        [ModelMatch(regex=r"(a)\1")],
        [ModelMatch(all=ModelMatchAll())],
        [ModelMatch(all=ModelMatchAll(alternatives=[ModelMatchAny()]))],
        [ModelMatch(regex="(?P<n>a)"), ModelMatch(regex="(?P<n>b)")],
    ],
)
def test_what_cannot_be_tested_does_not_compile(matches: list[ModelMatch]) -> None:
    with pytest.raises(ValueError, match=r"regular expression|tests?"):
        compile_model_matches(matches)
