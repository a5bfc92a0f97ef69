"""The simulated provider without its server: names, words, validation, answers, formats, vectors, statistics."""

import base64
import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollctl.sim.answers import compose_choices
from tollctl.sim.asks import Ask, read_body, read_chat, read_embedding, read_text
from tollctl.sim.embeddings import make_vector, render_embeddings
from tollctl.sim.errors import SimError
from tollctl.sim.formats import ChatFormat, TextFormat
from tollctl.sim.models import LISTED_MODELS, Behaviour, Model, is_failing_call, parse_model
from tollctl.sim.specimens import make_specimen
from tollctl.sim.stats import Stats
from tollctl.sim.words import count_words, make_lorem, split_words

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius"]}, "days": {"type": "integer"}},
        },
    },
}


def chat(model: str = "echo", content: Any = "one two  three", **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": content}], **fields}


def stream_of(ask: Ask) -> list[dict[str, Any]]:
    events = ChatFormat().render_events(ask, "x", compose_choices(ask))
    return [json.loads(event.data.removeprefix(b"data: ")) for event in events]


def refusal(body: dict[str, Any]) -> SimError:
    with pytest.raises(SimError) as caught:
        read_chat(body)
    return caught.value


@given(st.text())
def test_pieces_are_words_and_join_to_the_text(text: str) -> None:
    pieces = split_words(text)
    assert len(pieces) == count_words(text)
    assert "".join(pieces) == text.rstrip()


@pytest.mark.parametrize("count", [0, 1, 20, 2_001])
def test_lorem_has_as_many_words_as_asked(count: int) -> None:
    assert count_words("".join(make_lorem(count))) == len(make_lorem(count)) == count


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("echo", Model("echo", Behaviour.ECHO)),
        ("lorem-7", Model("lorem-7", Behaviour.LOREM, 7)),
        ("slow-0", Model("slow-0", Behaviour.SLOW, 0)),
        ("status-503", Model("status-503", Behaviour.STATUS, 503)),
        ("embed", Model("embed", Behaviour.EMBED)),
        ("nousage-3", Model("nousage-3", Behaviour.NOUSAGE, 3)),
        ("malformed-0", Model("malformed-0", Behaviour.MALFORMED, 0)),
        ("drip-64", Model("drip-64", Behaviour.DRIP, 64)),
        ("linger-100", Model("linger-100", Behaviour.LINGER, 100)),
        ("limited-20", Model("limited-20", Behaviour.LIMITED, 20)),
    ],
)
def test_a_name_says_what_a_model_does(name: str, model: Model) -> None:
    assert parse_model(name) == model


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nope",
        "echo-1",
        "lorem",
        "lorem-",
        "lorem-x",
        "lorem--1",
        "status-200",
        "flaky-101",
        "stream-0",
        "ECHO",
        "drip-0",
        "linger-0",
        "limited-101",
        "nousage",
        "malformed",
    ],
)
def test_an_unknown_name_is_a_404(name: str) -> None:
    with pytest.raises(SimError) as caught:
        parse_model(name)
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


def test_every_listed_model_exists() -> None:
    assert [parse_model(name).name for name in LISTED_MODELS] == list(LISTED_MODELS)


def test_flaky_fails_its_share_scattered_and_the_same_each_time() -> None:
    model = parse_model("flaky-20")
    failures = [is_failing_call(model, number) for number in range(10_000)]
    assert failures == [is_failing_call(model, number) for number in range(10_000)]
    assert max(len(run) for run in "".join("x" if failed else " " for failed in failures).split()) <= 2
    assert all(sum(failures[start : start + 100]) == 20 for start in range(0, 10_000, 100))
    assert len({tuple(failures[start : start + 100]) for start in range(0, 10_000, 100)}) > 20


@pytest.mark.parametrize(("percent", "expected"), [(0, False), (100, True)])
def test_flaky_at_its_ends(percent: int, expected: bool) -> None:
    model = parse_model(f"flaky-{percent}")
    assert all(is_failing_call(model, number) is expected for number in range(1_000))


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_not_json_is_a_400(raw: bytes) -> None:
    with pytest.raises(SimError) as caught:
        read_body(raw)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"model": "echo"}, "messages", "missing_required_parameter"),
        ({"model": "echo", "messages": "hi"}, "messages", "invalid_type"),
        ({"model": "echo", "messages": []}, "messages", "empty_array"),
        ({"model": "echo", "messages": [{"content": "hi"}]}, "messages[0].role", "missing_required_parameter"),
        ({"model": "echo", "messages": [{"role": "king", "content": "hi"}]}, "messages[0].role", "invalid_value"),
        (chat(content=7), "messages[0].content", "invalid_type"),
        (chat(content=[{"type": "text"}]), "messages[0].content[0].text", "missing_required_parameter"),
        (chat(n=0), "n", "integer_below_min_value"),
        (chat(n=True), "n", "invalid_type"),
        (chat(temperature=3), "temperature", "decimal_above_max_value"),
        (chat(max_tokens="9"), "max_tokens", "invalid_type"),
        (chat(stream="yes"), "stream", "invalid_type"),
        (chat(stream_options={"include_usage": True}), "stream_options", None),
        (chat(stop=["a"] * 5), "stop", "array_above_max_length"),
        (chat(tools=[]), "tools", "empty_array"),
        (chat(tools=[{"type": "function"}]), "tools[0].function", "missing_required_parameter"),
        (chat(tool_choice="auto"), "tool_choice", None),
        (chat(response_format={"type": "xml"}), "response_format.type", "invalid_value"),
        (chat(user=5), "user", "invalid_type"),
    ],
)
def test_a_wrong_field_is_a_400_that_names_it(body: dict[str, Any], param: str, code: str | None) -> None:
    error = refusal(body)
    assert (error.status, error.param, error.code) == (400, param, code)
    assert error.body()["error"] == {
        "message": error.message,
        "type": "invalid_request_error",
        "param": param,
        "code": code,
    }


@pytest.mark.parametrize("model", [None, 7, ""])
def test_a_missing_model_is_a_400(model: Any) -> None:
    assert refusal({**chat(), "model": model}).status == 400


def test_an_embedding_model_does_not_chat_nor_a_chat_model_embed() -> None:
    assert refusal(chat("embed")).status == 404
    with pytest.raises(SimError) as caught:
        read_embedding({"model": "echo", "input": "x"})
    assert caught.value.status == 404


def test_only_words_of_contents_are_input() -> None:
    body = {
        "model": "echo",
        "messages": [
            {"role": "system", "content": "be brief", "name": "not counted at all"},
            {"role": "assistant", "content": None, "tool_calls": []},
            {"role": "user", "content": [{"type": "text", "text": "one two"}, {"type": "image_url", "image_url": {}}]},
        ],
        "tools": [WEATHER],
        "x_unknown": "kept but not counted",
    }
    ask = read_chat(body)
    assert ask.input_tokens == 4
    assert dict(ask.unknown) == {"x_unknown": "kept but not counted"}


def test_echo_says_what_the_user_said_last() -> None:
    ask = read_chat(chat(content="one two  three\n"))
    (choice,) = compose_choices(ask)
    assert (choice.text, choice.tokens, choice.finish_reason) == ("one two  three", 3, "stop")


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_the_output_limit_cuts(limit: str) -> None:
    (choice,) = compose_choices(read_chat(chat("lorem-20", **{limit: 5})))
    assert (choice.tokens, choice.finish_reason) == (5, "length")


def test_a_limit_above_the_answer_does_not_show() -> None:
    (choice,) = compose_choices(read_chat(chat("lorem-20", max_tokens=20)))
    assert (choice.tokens, choice.finish_reason) == (20, "stop")


def test_a_stop_sequence_ends_the_answer_before_it() -> None:
    (choice,) = compose_choices(read_chat(chat(content="one two three", stop=["thr", "wo t"])))
    assert (choice.text, choice.finish_reason) == ("one t", "stop")


def test_the_paced_model_talks_as_long_as_asked() -> None:
    assert compose_choices(read_chat(chat("stream-50")))[0].tokens == 100
    assert compose_choices(read_chat(chat("stream-50", max_tokens=300)))[0].tokens == 300


def test_tools_calls_the_first_function_or_the_chosen_one() -> None:
    other = {"type": "function", "function": {"name": "other"}}
    (choice,) = compose_choices(read_chat(chat("tools", tools=[WEATHER, other])))
    assert (choice.tool_name, choice.finish_reason) == ("get_weather", "tool_calls")
    assert json.loads(choice.text) == {"city": "city", "unit": "celsius", "days": 1}
    assert choice.tokens == 1 + count_words(choice.text)
    chosen = chat("tools", tools=[WEATHER, other], tool_choice={"type": "function", "function": {"name": "other"}})
    assert compose_choices(read_chat(chosen))[0].tool_name == "other"


@pytest.mark.parametrize("fields", [{}, {"tools": [WEATHER], "tool_choice": "none"}])
def test_tools_answers_text_where_it_may_call_nothing(fields: dict[str, Any]) -> None:
    (choice,) = compose_choices(read_chat(chat("tools", **fields)))
    assert (choice.tool_name, choice.text) == ("", "one two  three")


def test_tools_answers_a_tool_s_result_with_text() -> None:
    body = chat("tools", tools=[WEATHER])
    body["messages"] += [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]},
        {"role": "tool", "tool_call_id": "c", "content": "sunny"},
    ]
    assert compose_choices(read_chat(body))[0].text == "sunny"


def test_json_answers_json_of_the_schema_if_one_is_given() -> None:
    assert json.loads(compose_choices(read_chat(chat("json")))[0].text) == {"echo": "one two  three"}
    wanted = {"type": "json_schema", "json_schema": {"name": "w", "schema": WEATHER["function"]["parameters"]}}  # type: ignore[index]
    text = compose_choices(read_chat(chat("json", response_format=wanted)))[0].text
    assert json.loads(text) == {"city": "city", "unit": "celsius", "days": 1}


def test_a_specimen_follows_references_and_ends_recursion() -> None:
    schema = {
        "$defs": {
            "node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}, "tags": {"type": "array"}}}
        },
        "type": "object",
        "properties": {"root": {"$ref": "#/$defs/node"}, "size": {"type": ["null", "number"], "minimum": 2}},
    }
    specimen = make_specimen(schema)
    assert specimen["root"]["tags"] == ["tags"]
    assert specimen["size"] == 2


@pytest.mark.parametrize("fields", [{}, {"n": 3}, {"max_tokens": 2}, {"tools": [WEATHER]}])
@pytest.mark.parametrize("model", ["echo", "lorem-9", "tools", "json"])
def test_a_stream_folds_to_the_whole_answer(model: str, fields: dict[str, Any]) -> None:
    ask = read_chat(chat(model, stream=True, stream_options={"include_usage": True}, **fields))
    choices = compose_choices(ask)
    whole = json.loads(ChatFormat().render_body(ask, "x", choices))
    chunks = stream_of(ask)
    for choice in whole["choices"]:
        of_choice = [c for chunk in chunks for c in chunk["choices"] if c["index"] == choice["index"]]
        content = "".join(c["delta"].get("content") or "" for c in of_choice)
        calls = [call["function"] for c in of_choice for call in c["delta"].get("tool_calls", [])]
        assert content == (choice["message"]["content"] or "")
        assert "".join(call["arguments"] for call in calls) == "".join(
            call["function"]["arguments"] for call in choice["message"].get("tool_calls", [])
        )
        assert [c["finish_reason"] for c in of_choice if c["finish_reason"]] == [choice["finish_reason"]]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == whole["usage"]
    words = sum(event.words for event in ChatFormat().render_events(ask, "x", choices))
    assert words == whole["usage"]["completion_tokens"]


def test_usage_is_null_in_chunks_only_where_it_was_asked_for() -> None:
    plain = stream_of(read_chat(chat(stream=True)))
    assert all("usage" not in chunk for chunk in plain)
    asked = stream_of(read_chat(chat(stream=True, stream_options={"include_usage": True})))
    assert all(chunk["usage"] is None for chunk in asked[:-1])


def test_unknown_fields_come_back_in_both_forms() -> None:
    ask = read_chat(chat(stream=True, x_trace={"deep": [1]}))
    whole = json.loads(ChatFormat().render_body(ask, "x", compose_choices(ask)))
    assert whole["sim_unknown_fields"] == stream_of(ask)[0]["sim_unknown_fields"] == {"x_trace": {"deep": [1]}}


def test_completions_answer_each_prompt() -> None:
    ask = read_text({"model": "echo", "prompt": ["a b", "c"], "n": 2})
    body = json.loads(TextFormat().render_body(ask, "x", compose_choices(ask)))
    assert [choice["text"] for choice in body["choices"]] == ["a b", "a b", "c", "c"]
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2, 3]
    assert body["usage"]["prompt_tokens"] == 3
    assert body["usage"]["completion_tokens"] == 6


@pytest.mark.parametrize(("prompt", "tokens"), [([5, 6, 7], 3), ([[1, 2], [3]], 3), ("a b", 2), (["a b", "c d"], 4)])
def test_a_token_counts_as_a_word(prompt: Any, tokens: int) -> None:
    assert read_text({"model": "echo", "prompt": prompt}).input_tokens == tokens
    assert read_embedding({"model": "embed", "input": prompt}).input_tokens == tokens


@pytest.mark.parametrize("value", [None, "", [], [""], [None], {"a": 1}, [[]], [-1], [True], ["x"] * 2_049])
def test_a_wrong_embedding_input_is_a_400(value: Any) -> None:
    with pytest.raises(SimError) as caught:
        read_embedding({"model": "embed", "input": value})
    assert (caught.value.status, caught.value.param) == (400, "input")


@given(st.text(min_size=1, max_size=50), st.integers(2, 64))
def test_a_vector_has_length_one_and_is_the_same_each_time(text: str, dimensions: int) -> None:
    vector = make_vector(text, dimensions)
    assert len(vector) == dimensions
    assert math.isclose(sum(number * number for number in vector), 1.0)
    assert vector == make_vector(text, dimensions)


def test_base64_is_little_endian_float32() -> None:
    body = {"model": "embed", "input": "hi", "dimensions": 4}
    plain = json.loads(render_embeddings(read_embedding(body)))["data"][0]["embedding"]
    packed = json.loads(render_embeddings(read_embedding({**body, "encoding_format": "base64"})))
    numbers = struct.unpack("<4f", base64.b64decode(packed["data"][0]["embedding"]))
    assert numbers == pytest.approx(plain, abs=1e-6)


def test_statistics_count_per_user_and_in_all() -> None:
    stats = Stats()
    for user in ("ann", "bob", ""):
        stats.count_request()
        stats.count_user(user)
    stats.count_completed("ann", 3, 5)
    stats.count_aborted("bob", 2, 1)
    nobody_failed = {"requests": 3, "completed": 1, "aborted": 1, "input_tokens": 5, "output_tokens": 6}
    assert stats.render() == {
        **nobody_failed,
        "by_user": {
            "ann": {"requests": 1, "completed": 1, "aborted": 0, "input_tokens": 3, "output_tokens": 5},
            "bob": {"requests": 1, "completed": 0, "aborted": 1, "input_tokens": 2, "output_tokens": 1},
        },
    }


def test_a_model_without_usage_tells_none_however_it_is_asked() -> None:
    ask = read_chat(chat("nousage-3", stream=True, stream_options={"include_usage": True}))
    assert all("usage" not in chunk for chunk in stream_of(ask))
    whole = json.loads(ChatFormat().render_body(ask, "x", compose_choices(ask)))
    assert "usage" not in whole
    assert count_words(whole["choices"][0]["message"]["content"]) == 3
