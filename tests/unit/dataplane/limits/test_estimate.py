from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dataplane.call import COUNT_TOKENS, Endpoint
from dataplane.limits.content import IMAGE_BOUND
from dataplane.limits.estimate import TOKENS_PER_TOOLBOX, ModelLearning, size_of
from dataplane.snapshot import Target
from tests.fakes.outcomes import UPSTREAM, make_call

EMBEDDINGS = Endpoint("embeddings", "/v1/embeddings", "embeddings", False)
MODEL = ("openai", "m")


def chat(content: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content}], **fields}


@example({"\U00010000" * 100: None})
@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_no_text_of_a_call_has_more_bytes_than_its_bound(content: Any) -> None:
    texts: list[str] = []

    def gather(value: Any) -> None:
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, dict):
            texts.extend(value)
            for child in value.values():
                gather(child)
        elif isinstance(value, list):
            for child in value:
                gather(child)

    gather(content)
    bound = size_of(make_call(body=chat(content))).input_bound
    assert bound >= sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)


@pytest.mark.parametrize(
    ("fields", "bound"),
    [
        ({"max_tokens": 7}, 7),
        ({"max_tokens": 7, "max_completion_tokens": 5}, 7),
        ({"max_tokens": 7, "n": 3}, 21),
        ({"n": 2}, 200),
        ({"max_tokens": "7"}, 100),
        ({"max_tokens": True}, 100),
        ({"max_tokens": 7, "best_of": 4, "n": 2}, 28),
        ({"max_tokens": 7, "prompt": ["a", "b"]}, 14),
        ({"max_tokens": 7, "prompt": [1, 2, 3]}, 7),
    ],
)
def test_output_is_bounded_by_what_the_client_says(fields: dict[str, Any], bound: int) -> None:
    assert size_of(make_call(body=chat("x", **fields))).output_bound(100) == bound


def test_embeddings_have_no_output() -> None:
    size = size_of(make_call(body={"input": "abc"}, endpoint=EMBEDDINGS))
    assert size.output_bound(100) == 0
    assert ModelLearning().expected(MODEL, size)[1] == 0


def test_images_count_by_what_models_make_of_them() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}
    assert IMAGE_BOUND <= size_of(make_call(body=chat([image]))).input_bound < IMAGE_BOUND + 200


def test_what_only_looks_like_an_image_counts_as_text() -> None:
    tools = [{"parameters": {"image_url": {"url": "x" * 90_000, "type": "string", "description": "y" * 90_000}}}]
    assert size_of(make_call(body=chat("x", tools=tools))).input_bound > 180_000


@pytest.mark.parametrize(
    ("fields", "bound"),
    [
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "https://a/b.png"}]}]}, 48_169),
        (
            {"messages": [{"content": [{"type": "image_url", "image_url": {"url": "u", "detail": "high", "x": 1}}]}]},
            48_169,
        ),
        ({"tools": [{"parameters": {"enum": [10**18 + n for n in range(1_000)]}}]}, 21_000),
        ({"tools": [{"parameters": {"enum": [None, ""] * 1_000}}]}, 10_000),
        ({"messages": [{"role": ["x"], "type": {}, "content": "y" * 100}]}, 100),
    ],
)
def test_nothing_in_a_body_is_free(fields: dict[str, Any], bound: int) -> None:
    size = size_of(make_call(body={"model": "m", **fields}))
    assert size.input_bound >= bound
    assert not size.unbounded


def test_a_predicted_answer_that_is_not_given_is_billed_too() -> None:
    prediction = {"type": "content", "content": "x" * 500}
    size = size_of(make_call(body=chat("x", max_tokens=7, prediction=prediction)))
    assert size.output_bound(100) >= 507


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"max_completion_tokens": "100000"}, "max_completion_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 8.0}, "n"),
        ({"n": None}, ""),
        ({"messages": [{"content": [{"type": "file", "file": {"file_id": "f"}}]}]}, "file"),
        ({"messages": [{"content": [{"type": "video_url", "video_url": {"url": "u"}}]}]}, "video_url"),
        ({"tools": [{"parameters": {"type": "file"}}]}, ""),
    ],
)
def test_what_has_no_bound_is_named(fields: dict[str, Any], part: str) -> None:
    assert size_of(make_call(body=chat("x") | fields)).unbounded == part


def test_tokens_that_a_client_made_itself_count_as_such() -> None:
    assert size_of(make_call(body={"prompt": [[1, 2, 3], [4] * 1_000]})).text_bytes == 1_003


def test_a_list_that_begins_with_a_number_hides_no_text() -> None:
    body = {"prompt": [1, "x" * 5_000]}
    assert size_of(make_call(body=body)).input_bound > 5_000


def test_expectations_rise_fast_fall_slowly_and_stay_within_bounds() -> None:
    learning, size = ModelLearning(), size_of(make_call(body=chat("x" * 1_000)))
    _, before = learning.expected(MODEL, size)
    learning.learn(MODEL, size, 900, before + 1_000)
    _, risen = learning.expected(MODEL, size)
    assert risen == before + 500
    learning.learn(MODEL, size, 900, 0)
    assert risen - risen // 100 < learning.expected(MODEL, size)[1] < risen
    for _ in range(40):
        learning.learn(MODEL, size, 10**9, 10)
    assert learning.expected(MODEL, size)[0] == size.input_bound
    limited = size_of(make_call(body=chat("x", max_tokens=3)))
    assert learning.expected(MODEL, limited)[1] == 3


def test_learned_ratios_cover_nearly_all_calls() -> None:
    learning = ModelLearning()
    size = size_of(make_call(body=chat("x" * 4_000)))
    covered = 0
    for number in range(1_000):
        actual = 900 + number * 7_919 % 200
        covered += number >= 100 and learning.expected(MODEL, size)[0] >= actual
        learning.learn(MODEL, size, actual, 10)
    assert covered / 900 > 0.95


def test_the_walk_over_a_large_call_sees_all_of_it() -> None:
    body = chat([{"type": "text", "text": "é" * 10_000}] * 20)
    assert size_of(make_call(body=body)).text_bytes >= len(orjson.dumps(body["messages"])) * 9 // 10


MESSAGES = Endpoint("messages", "/v1/messages", "chat", True, format="anthropic")
COUNT = Endpoint("count_tokens", "/v1/messages/count_tokens", COUNT_TOKENS, False, format="anthropic")
RERANK = Endpoint("rerank", "/v1/rerank", "rerank", False)


def block(kind: str, source: dict[str, str]) -> list[dict[str, object]]:
    return [{"type": kind, "source": source}]


def test_images_in_anthropics_form_are_images_and_not_the_text_that_they_are_written_in() -> None:
    for source in ({"type": "base64", "data": "A" * 1_000_000}, {"type": "url", "url": "https://e.example/a.png"}):
        size = size_of(make_call(body=chat(block("image", source)), endpoint=MESSAGES))
        assert IMAGE_BOUND <= size.input_bound < IMAGE_BOUND + 300
        assert not size.unbounded


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (chat(block("document", {"type": "url", "url": "https://e.example/a.pdf"})), "document"),
        (chat(block("document", {"type": "base64", "data": "QUJD"})), "document"),
        (chat(block("document", {"type": "text", "data": "abc"})), ""),
        (chat([{"type": "image_url", "image_url": {"url": "gs://b/a.mp4"}}]), "image_url"),
        (chat([{"type": "image_url", "image_url": {"url": "data:application/pdf;base64,QQ=="}}]), "image_url"),
        (chat("x", tools=[{"type": "web_search_20250305", "name": "web_search"}]), "web_search_20250305"),
        (chat("x", tools=[{"googleSearch": {}}]), "tools"),
        (chat("x", tools=[{"type": "bash_20250124", "name": "bash"}, {"name": "own", "input_schema": {}}]), ""),
        (chat("x", mcp_servers=[{"url": "https://e.example"}]), "mcp_servers"),
    ],
)
def test_what_a_provider_reads_or_runs_itself_has_no_bound(fields: dict[str, object], named: str) -> None:
    assert size_of(make_call(body=fields, endpoint=MESSAGES)).unbounded == named


def test_only_what_anthropics_format_sends_limits_an_answer_there() -> None:
    size = size_of(make_call(body=chat("x", max_completion_tokens=1, n=5), endpoint=MESSAGES))
    assert (size.output_limit, size.answers) == (None, 1)
    assert size_of(make_call(body=chat("x", max_tokens=7), endpoint=MESSAGES)).output_limit == 7


def test_to_ask_how_large_a_call_would_be_takes_nothing() -> None:
    size = size_of(make_call(body=chat("x" * 9_000), endpoint=COUNT))
    assert (size.input_bound, size.output_bound(100), size.unbounded) == (0, 0, "")


def test_a_ranking_reads_the_query_with_each_document() -> None:
    size = size_of(make_call(body={"query": "q" * 1_000, "documents": ["d" * 10] * 250}, endpoint=RERANK))
    assert size.input_bound > 250_000
    assert not size.has_output
    assert size.searches >= 3


def test_a_ranking_reads_images_of_the_query_with_each_document() -> None:
    picture = {"image": "https://e.example/a.png"}
    size = size_of(make_call(body={"query": picture, "documents": [picture, "d", "e"]}, endpoint=RERANK))
    assert (size.media_bound, size.unbounded) == (4 * IMAGE_BOUND, "")


AS_SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"description": "d" * 1_000}}}


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({"response_format": {"type": "text"}}, 0),
        ({"response_format": None}, 0),
        ({"response_format": {"type": "json_object"}}, TOKENS_PER_TOOLBOX),
        ({"response_format": AS_SCHEMA}, TOKENS_PER_TOOLBOX + 2_000),
        ({"output_format": AS_SCHEMA}, TOKENS_PER_TOOLBOX + 2_000),
        ({"output_config": {"format": AS_SCHEMA}}, TOKENS_PER_TOOLBOX + 2_000),
        ({"output_config": {"effort": "low"}}, 0),
    ],
)
def test_a_form_of_the_answer_counts_as_the_tool_that_it_may_be_sent_as(fields: dict[str, Any], tokens: int) -> None:
    more = size_of(make_call(body=chat("x", **fields))).input_bound - size_of(make_call(body=chat("x"))).input_bound
    assert tokens <= more <= tokens + 600


def test_what_a_provider_defines_of_a_tool_that_the_client_runs_counts() -> None:
    computer = {"type": "computer_20250124", "name": "computer", "display_width_px": 9, "display_height_px": 9}
    assert size_of(make_call(body=chat("x", tools=[computer]), endpoint=MESSAGES)).markup_tokens >= 735 + 499 + 346


CALLED = {"tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}
USED = {"content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]}
SPOKEN = {"function_call": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize("said", [CALLED, USED, SPOKEN])
def test_tools_that_are_made_of_earlier_calls_count_where_none_are_listed(said: dict[str, Any]) -> None:
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", **said}]
    bare = size_of(make_call(body={"messages": messages}))
    assert bare.markup_tokens >= TOKENS_PER_TOOLBOX + len(b'{"name":"f","input_schema":{"type":"object"}}')
    listed = size_of(make_call(body={"messages": messages, "tools": [{"name": "f", "input_schema": {}}]}))
    assert listed.markup_tokens < bare.markup_tokens


def target(model: str, provider: str = "openai") -> Target:
    return Target(replace(UPSTREAM, provider=provider), model)


def test_a_model_that_researches_by_itself_leaves_the_cost_open_wherever_it_stands_in_the_plan() -> None:
    call = make_call(body=chat("x", max_tokens=7))
    assert size_of(call, [target("gpt-x"), target("o3-deep-research")]).unbounded == "model"
    assert size_of(call, [target("gpt-x")]).unbounded == ""


def test_what_a_model_searches_unasked_is_held_for_each_answer() -> None:
    call = make_call(body=chat("x", n=3))
    assert size_of(call, [target("sonar", "perplexity"), target("gpt-x")]).searches == 3
    assert size_of(call, [target("gpt-x")]).searches == 0
