"""What compatible providers write otherwise comes out as OpenAI writes it, and nothing else is touched."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.dialects.base import Frame, SseEvent
from dataplane.dialects.openai import OpenAIDialect
from dataplane.dialects.openai.response import parse_result
from dataplane.dialects.openai.stream import OpenAIStreamParser
from dataplane.errors import UpstreamError, UpstreamErrorKind
from dataplane.ingress.openai import ENDPOINTS
from tests.fakes.outcomes import REQUEST_ID, START_TIME_US, make_call

DIALECT = OpenAIDialect()
CALL = make_call()
AROUND = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def encode(value: Any) -> bytes:
    return json.dumps(value).encode()


def chunk(delta: Any, finish: Any = None, index: int = 0, **fields: Any) -> dict[str, Any]:
    return {**AROUND, "choices": [{"index": index, "delta": delta, "finish_reason": finish}], **fields}


def feed(*payloads: Any, done: bool = True) -> list[dict[str, Any]]:
    parser = OpenAIStreamParser(CALL)
    frames: list[Frame] = []
    for payload in payloads:
        frames += parser.feed(SseEvent("", encode(payload)))
    if done:
        frames += parser.feed(SseEvent("", b"[DONE]"))
    return [json.loads(frame.data) for frame in [*frames, *parser.finish()]]


def deltas(*payloads: Any) -> list[dict[str, Any]]:
    return [part["choices"][0]["delta"] for part in feed({**chunk({"role": "assistant"})}, *payloads)]


def answer(message: Any, finish: Any = "stop", **fields: Any) -> dict[str, Any]:
    whole = {
        **AROUND,
        "object": "chat.completion",
        "choices": [{"message": message, "finish_reason": finish}],
        **fields,
    }
    return dict(json.loads(parse_result(encode(whole), CALL).data))


@pytest.mark.parametrize(
    ("said", "finish"),
    [
        *(("eos", "stop"), ("EOS_TOKEN", "stop"), ("end_turn", "stop"), ("STOP", "stop"), ("never seen", "stop")),
        *(("model_length", "length"), ("MAX_TOKENS", "length"), ("tool_use", "tool_calls")),
        *(
            ("SAFETY", "content_filter"),
            ("", "stop"),
            ([1], "stop"),
            ("function_call", "function_call"),
        ),
    ],
)
def test_finish_is_a_word_of_openais(said: Any, finish: str) -> None:
    assert answer({"content": "a"}, said)["choices"][0]["finish_reason"] == finish
    last = feed(chunk({"content": "a"}), chunk({}, said))[-1]
    assert last["choices"][0]["finish_reason"] == finish


@pytest.mark.parametrize(
    ("said", "kind"),
    [("error", UpstreamErrorKind.SERVER), ("insufficient_system_resource", UpstreamErrorKind.OVERLOADED)],
)
def test_finish_that_is_a_failure_is_an_error(said: str, kind: UpstreamErrorKind) -> None:
    with pytest.raises(UpstreamError) as caught:
        answer({"content": "a"}, said)
    assert caught.value.kind is kind
    with pytest.raises(UpstreamError):
        feed(chunk({"content": "a"}), chunk({}, said))


def test_error_of_a_choice_is_told_in_its_own_words() -> None:
    broken = {"finish_reason": "error", "message": {"content": ""}, "error": {"message": "no GPU", "code": 502}}
    with pytest.raises(UpstreamError) as caught:
        parse_result(encode({**AROUND, "choices": [broken]}), CALL)
    assert (caught.value.message, caught.value.status) == ("no GPU", 502)


THINKING = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "42"}]


@pytest.mark.parametrize(
    ("message", "text", "reasoning"),
    [
        ({"content": THINKING}, "42", "hm"),
        ({"content": [{"type": "reasoning", "summary": [{"text": "hm"}]}, {"type": "text", "text": "42"}]}, "42", "hm"),
        ({"content": [{"type": "reference", "reference_ids": [1]}, "4", {"type": "text", "text": "2"}]}, "42", None),
        ({"content": {"a": 1}}, '{"a":1}', None),
        ({"content": "42", "reasoning": "hm"}, "42", "hm"),
        ({"content": "42", "reasoning": "", "reasoning_details": [{"text": "hm"}, {"data": "x"}]}, "42", "hm"),
        ({"content": "42", "reasoning": "other", "reasoning_content": "hm"}, "42", "hm"),
        ({"content": "42", "reasoning": None, "reasoning_details": 3}, "42", None),
    ],
)
def test_content_is_text_and_reasoning_is_in_one_place(message: Any, text: str, reasoning: str | None) -> None:
    whole = answer({"role": "assistant", **message})["choices"][0]["message"]
    assert (whole["content"], whole.get("reasoning_content")) == (text, reasoning)
    (_, delta, _) = deltas(chunk(message))
    assert (delta["content"], delta.get("reasoning_content")) == (text, reasoning)


def test_members_around_the_choices_are_filled_in() -> None:
    first, second = feed({"choices": [{"delta": {"content": "a"}}]}, {**chunk({}, "stop"), "id": "x", "model": ""})
    made = REQUEST_ID.removeprefix("req_")
    assert first == {
        "id": f"chatcmpl-{made}",
        "object": "chat.completion.chunk",
        "created": START_TIME_US // 1_000_000,
        "model": "smart",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}}],
    }
    assert (second["id"], second["model"]) == (first["id"], "smart")
    text = json.loads(parse_result(b'{"choices":[{"text":"a","finish_reason":"eos"}]}', CALL).data)
    assert (text["id"], text["object"]) == (f"cmpl-{made}", "text_completion")
    assert "message" not in text["choices"][0]


@pytest.mark.parametrize(
    ("around", "told"),
    [
        ({"id": None, "object": None, "created": None, "model": None}, AROUND),
        ({"id": "", "object": "", "created": 0, "model": ""}, AROUND),
        ({}, AROUND),
        ({**AROUND, "object": "chat.completion.done"}, AROUND),
        ({**AROUND, "id": "other", "created": 2}, {**AROUND, "id": "other", "created": 2}),
    ],
)
def test_later_chunks_are_filled_in_from_the_first(around: dict[str, Any], told: dict[str, Any]) -> None:
    usage = {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}
    first, second, last = chunk({"role": "assistant", "content": "a"}), chunk({"content": "b"}), chunk({}, "stop")
    second = {**around, "choices": second["choices"]}
    filled = feed(first, second, last, {**around, "choices": [], "usage": usage})
    assert filled[:3] == [first, {**told, "choices": second["choices"]}, last]
    assert filled[3] == {**told, "choices": [], "usage": usage}


def test_a_stream_whose_first_chunk_has_no_id_has_one_id() -> None:
    chunks = [{**chunk({"role": "assistant"}), "id": ""}, chunk({"content": "a"}), chunk({}, "stop"), {**chunk({})}]
    chunks[3] = {**AROUND, "choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 2}}
    assert {part["id"] for part in feed(*chunks)} == {f"chatcmpl-{REQUEST_ID.removeprefix('req_')}"}


@pytest.mark.parametrize("name", ["text.completion", "text_completion.chunk", "chat.completion.chunk"])
def test_chunks_of_text_have_the_name_of_text(name: str) -> None:
    texts = [{**AROUND, "object": name, "choices": [{"index": 0, "text": "a", "finish_reason": "stop"}]}]
    assert [part["object"] for part in feed(*texts)] == ["text_completion"]
    whole = DIALECT.parse_result_chunks(make_call(endpoint=ENDPOINTS[1]), encode(texts[0]))
    assert {json.loads(frame.data)["object"] for frame in whole} == {"text_completion"}


@pytest.mark.parametrize("lacking", [{}, {"choices": None}])
def test_usage_alone_has_no_choices(lacking: dict[str, Any]) -> None:
    usage = {"prompt_tokens": 4, "completion_tokens": 2}
    _, told = feed(chunk({"role": "assistant"}, "stop"), {**AROUND, **lacking, "usage": usage})
    assert told == {**AROUND, "choices": [], "usage": usage}


@pytest.mark.parametrize("lacking", [{}, {"delta": None}])
def test_a_choice_without_a_delta_has_an_empty_one(lacking: dict[str, Any]) -> None:
    filtered = {"id": "", "object": "", "created": 0, "model": "", "choices": [{"index": 0, "offsets": 1, **lacking}]}
    _, told, _ = feed(chunk({"role": "assistant", "content": "a"}), filtered, chunk({}, "stop"))
    assert told == {**AROUND, "choices": [{"index": 0, "offsets": 1, "delta": {}}]}
    assert feed(filtered)[0]["choices"][0]["delta"] == {"role": "assistant"}


def test_what_is_said_aside_goes_out_with_the_next_choices() -> None:
    usage = {**AROUND, "choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 2}}
    whole = chunk({"role": "assistant", "content": "a"})
    parts = feed(
        *(whole, whole, whole, {"choices": [], "aside": 1}, usage, chunk({"content": "b"})),
        *(chunk({"content": "c"}), {"aside": 2}, chunk({}, "stop")),
    )
    assert [part.get("aside") for part in parts] == [None, None, None, None, 1, None, 2]


def test_what_is_said_of_the_prompt_goes_out_with_the_first_chunk() -> None:
    aside = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": [{"x": 1}]}
    first, second = feed(aside, chunk({"role": "assistant", "content": "a"}), chunk({}, "stop"))
    assert first["prompt_filter_results"] == [{"x": 1}]
    assert (first["id"], first["choices"][0]["delta"]["content"]) == ("c", "a")
    assert "prompt_filter_results" not in second
    with pytest.raises(UpstreamError):
        feed(aside)


def test_stream_that_is_over_without_an_end_gets_one() -> None:
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    *_, last = feed(
        chunk({"content": "a"}), chunk({"tool_calls": [call]}, index=1), chunk({"content": "b"}, "length", 2)
    )
    assert [(c["index"], c["finish_reason"]) for c in last["choices"]] == [(0, "stop"), (1, "tool_calls")]
    assert (last["id"], last["model"]) == ("c", "m")
    _, ended = feed({**AROUND, "object": "text_completion", "choices": [{"index": 0, "text": "a"}]})
    assert ended["choices"] == [{"index": 0, "text": "", "logprobs": None, "finish_reason": "stop"}]


def test_stream_of_a_function_that_is_over_without_an_end_ends_with_it() -> None:
    begun = {"role": "assistant", "function_call": {"name": "f", "arguments": ""}}
    *_, last = feed(chunk(begun), chunk({"function_call": {"arguments": "{}"}}))
    assert last["choices"][0]["finish_reason"] == "function_call"
    *_, last = feed(chunk({"content": "a"}), chunk({"function_call": {"name": "f"}}), chunk({"function_call": None}))
    assert last["choices"][0]["finish_reason"] == "function_call"


def whole(message: Any, finish: Any = "stop", **choice: Any) -> dict[str, Any]:
    choices = [{"index": 0, "message": message, "finish_reason": finish, **choice}]
    return {**AROUND, "object": "chat.completion", "choices": choices}


@pytest.mark.parametrize("lacking", [{}, {"delta": None}])
def test_a_whole_answer_in_one_chunk_is_told_as_a_delta(lacking: dict[str, Any]) -> None:
    calls = [{"id": tool_id, "type": "function", "function": {"name": "f", "arguments": "{}"}} for tool_id in "ab"]
    (told,) = feed(whole({"content": [{"type": "text", "text": "hi"}], "tool_calls": calls}, "tool_use", **lacking))
    numbered = [{**call, "index": at} for at, call in enumerate(calls)]
    delta = {"role": "assistant", "content": "hi", "tool_calls": numbered}
    assert told == {**AROUND, "choices": [{"index": 0, "delta": delta, "finish_reason": "tool_calls"}]}
    (frame,) = OpenAIStreamParser(CALL).feed(SseEvent("", encode(whole({"content": "hi"}))))
    assert (frame.text_bytes, frame.deltas) == (2, 1)


def test_a_message_beside_a_delta_or_after_one_is_no_delta() -> None:
    said = {"role": "assistant", "content": "hi"}
    first, second = feed(whole(said, None, delta={"content": "h"}), whole(said))
    assert first["choices"][0] == {**whole(said, None)["choices"][0], "delta": {"role": "assistant", "content": "h"}}
    assert second["choices"][0]["delta"] == {}


FIRST, LAST = (
    '{"id":"c","object":"chat.completion.chunk","created":1',
    '"choices":[{"index":0,"delta":{"content":"a"}}]',
)


@pytest.mark.parametrize(
    "form",
    [
        f'{FIRST},"model":"%s",{LAST}}}',
        f'{FIRST},{LAST},"model":"%s"}}',
        f'{{{LAST},"model":"%s",{FIRST[1:]}}}',
        f'{FIRST},"x":{{"id":"c","choices":[]}},"model":"%s",{LAST}}}',
        f'{FIRST},"x":"\\"choices\\":","model":"%s",{LAST}}}',
    ],
)
def test_chunks_are_mended_however_many_were_right_before(form: str) -> None:
    parser = OpenAIStreamParser(CALL)
    list(parser.feed(SseEvent("", encode(chunk({"role": "assistant"})))))
    models = ["m"] * 4 + [""] * 2 + ["m2"] * 4 + ["m", "", "m2", ""]
    told_models = ["m"] * 6 + ["m2"] * 4 + ["m"] * 2 + ["m2"] * 2
    for model, told in zip(models, told_models, strict=True):
        (frame,) = parser.feed(SseEvent("", (form % model).encode()))
        assert json.loads(frame.data) == json.loads(form % told)
        assert (frame.data == (form % model).encode()) == bool(model)


def test_what_follows_an_end_does_not_reopen_it() -> None:
    assert len(feed(chunk({"content": "a"}), chunk({}, "stop"), chunk({}))) == 3


def fragments(*calls: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    told = deltas(*(chunk({"tool_calls": part}) for part in calls), chunk({}, "tool_calls"))
    return [
        (call["index"], call.get("id"), call.get("type"), (call.get("function") or {}).get("arguments"))
        for delta in told
        for call in delta.get("tool_calls", [])
    ]


def begun(index: Any, tool_id: Any, arguments: Any = "{}") -> dict[str, Any]:
    return {"index": index, "id": tool_id, "type": "function", "function": {"name": "f", "arguments": arguments}}


def test_calls_of_a_stream_have_one_index_and_one_id_each() -> None:
    assert fragments([begun(0, "a")], [begun(0, "b")]) == [(0, "a", "function", "{}"), (1, "b", "function", "{}")]
    one, two = fragments([begun(0, ""), begun(0, None)])
    assert (one[0], two[0]) == (0, 1)
    assert one[1] != two[1]
    assert one[1].startswith("call_")
    later = {"function": {"arguments": "1}"}}
    assert fragments([{"id": "a", "function": {"name": "f", "arguments": '{"x":'}}], [later]) == [
        (0, "a", "function", '{"x":'),
        (0, None, None, "1}"),
    ]
    assert fragments([{"index": 0, "id": "a", "function": {"name": "f"}}]) == [(0, "a", "function", None)]
    assert fragments([begun(0, "a", {"x": 1})]) == [(0, "a", "function", '{"x":1}')]
    first, second = fragments([begun(0, "a"), begun(1, "a")])
    assert first[1] != second[1]


def test_a_call_whose_name_and_id_come_apart_is_one_call_with_one_id() -> None:
    piece = {"index": 0, "type": "function", "function": {"arguments": "1}"}}
    name, *rest = fragments([begun(0, None, "{")], [{**piece, "id": "a"}], [{**piece, "id": "a"}])
    assert name[1].startswith("call_")
    assert [(index, tool_id) for index, tool_id, *_ in rest] == [(0, name[1])] * 2
    late = {"index": 0, "id": "a", "type": "function"}
    assert fragments([late], [begun(0, None, "{")], [begun(0, "b")]) == [
        (0, "a", "function", None),
        (0, None, "function", "{"),
        (1, "b", "function", "{}"),
    ]
    assert fragments([late], [begun(0, "a", "{")], [{**begun(0, "b"), "type": None}])[1:] == [
        (0, "a", "function", "{"),
        (1, "b", "function", "{}"),
    ]
    again = fragments([begun(0, "a")], [begun(1, "a", "{")], [{**piece, "index": 1, "id": "a"}])
    assert again[1][1] == again[2][1] != "a"


def test_a_name_in_pieces_is_that_of_one_call() -> None:
    pieces = [{"index": 0, "id": "a", "function": {"name": "get"}}], [{"index": 0, "function": {"name": "_weather"}}]
    assert [call[:2] for call in fragments(*pieces, [begun(0, None)], [begun(0, None)])] == [
        *((0, "a"), (0, None), (0, None)),
        (1, f"call_{REQUEST_ID.removeprefix('req_')}01"),
    ]


def test_a_second_call_whose_id_comes_before_its_name_keeps_it() -> None:
    bare, named = {"index": 0, "id": "b", "type": "function"}, {"index": 0, "function": {"name": "g", "arguments": ""}}
    assert [call[:2] for call in fragments([begun(0, "a")], [bare], [named])] == [(0, "a"), (1, "b"), (1, None)]
    last = {"index": 0, "id": "other", "function": {"arguments": ""}}
    assert [call[:2] for call in fragments([begun(0, "a")], [last])] == [(0, "a"), (0, "a")]


def test_calls_of_a_complete_message_are_mended() -> None:
    calls = [{"function": {"name": "f", "arguments": {"x": 1}}}, {"id": "a", "type": "function", "function": {}}]
    choice = answer({"content": None, "tool_calls": calls}, None)["choices"][0]
    assert (choice["finish_reason"], choice["message"]["role"]) == ("tool_calls", "assistant")
    first, second = choice["message"]["tool_calls"]
    assert (first["type"], first["function"]["arguments"], second["id"]) == ("function", '{"x":1}', "a")
    assert first["id"].startswith("call_")


@pytest.mark.parametrize("lacking", [{}, {"finish_reason": None}])
@pytest.mark.parametrize(
    ("said", "finish"),
    [
        ({"message": {"role": "assistant", "content": "a", "tool_calls": []}}, "stop"),
        ({"message": {"role": "assistant", "content": None, "tool_calls": [begun(0, "a")]}}, "tool_calls"),
        ({"message": {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}}, "function_call"),
        ({"text": "a"}, "stop"),
    ],
)
def test_a_complete_answer_says_how_it_ended(said: dict[str, Any], finish: str, lacking: dict[str, Any]) -> None:
    whole = {**AROUND, "object": "odd", "choices": [{"index": 0, **said, **lacking}]}
    told = json.loads(parse_result(encode(whole), CALL).data)
    assert told["choices"] == [{"index": 0, **said, "finish_reason": finish}]
    assert told["object"] == ("text_completion" if "text" in said else "chat.completion")


@pytest.mark.parametrize("function", [{}, {"arguments": None}, {"arguments": ""}])
def test_a_complete_call_without_arguments_has_empty_ones(function: dict[str, Any]) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", **function}}
    (told,) = answer({"tool_calls": [call]}, "tool_calls")["choices"][0]["message"]["tool_calls"]
    assert told == {**call, "function": {"name": "f", "arguments": "{}"}}


def test_an_answer_without_calls_may_say_so() -> None:
    message = {"role": "assistant", "content": "a", "tool_calls": []}
    whole = encode({**AROUND, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    assert parse_result(whole, CALL).data == whole
    first = encode(chunk(message))
    parser = DIALECT.stream_parser(CALL)
    assert [frame.data for _ in range(2) for frame in parser.feed(SseEvent("", first))] == [first, first]


def test_usage_is_told_as_openai_tells_it() -> None:
    details = {"completion_tokens_details": {"reasoning_tokens": 30}}
    reported = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 45, **details, "cached_tokens": 4}
    for usage in (
        answer({"content": "a"}, usage=reported)["usage"],
        feed(chunk({}, "stop", usage=reported))[0]["usage"],
    ):
        assert usage["completion_tokens"] == 35
        assert usage["prompt_tokens_details"] == {"cached_tokens": 4}
        assert usage["total_tokens"] == 45
    embedded = {"object": "list", "data": [], "model": "m", "usage": {"total_tokens": 7}}
    call = make_call(endpoint=ENDPOINTS[2])
    assert json.loads(parse_result(encode(embedded), call).data)["usage"] == {"total_tokens": 7, "prompt_tokens": 7}


@given(st.text(max_size=9), st.sampled_from([None, "stop", "length", "tool_calls"]), st.booleans())
def test_what_is_right_passes_as_it_came(text: str, finish: str | None, is_odd: bool) -> None:
    first = encode(chunk({"role": "assistant", "content": ""}))
    data = encode(chunk({"content": text}, finish, unknown=is_odd))
    parser = OpenAIStreamParser(CALL)
    assert [frame.data for part in (first, data) for frame in parser.feed(SseEvent("", part))] == [first, data]
