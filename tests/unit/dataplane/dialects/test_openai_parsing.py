"""Answers in OpenAI's format: any JSON parses or is an UpstreamError, and what was generated is counted."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.call import Call
from dataplane.dialects.base import Frame, SseEvent
from dataplane.dialects.openai import OpenAIDialect
from dataplane.dialects.openai.payload import parse_payload
from dataplane.dialects.openai.response import parse_result
from dataplane.dialects.openai.stream import OpenAIStreamParser
from dataplane.errors import UpstreamError, UpstreamErrorKind
from dataplane.ingress.openai import ENDPOINTS
from tests.fakes.outcomes import make_call
from tollway.kernel.usage import Usage

DIALECT = OpenAIDialect()
CHAT, COMPLETION, EMBEDDINGS = (make_call(endpoint=endpoint) for endpoint in ENDPOINTS[:3])
NAMES = st.sampled_from(
    [
        *("choices", "usage", "error", "model", "delta", "message", "text", "index", "finish_reason", "tool_calls"),
        *("function", "content", "arguments", "code", "type", "status", "x_groq", "reasoning", "audio", "data", "role"),
        *("prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details"),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(NAMES, children, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(NAMES, JSON, max_size=5)
CHOICES = st.lists(st.dictionaries(NAMES, JSON, max_size=4) | JSON, max_size=3)
ANSWERS = OBJECTS | st.builds(lambda fields, choices: fields | {"choices": choices}, OBJECTS, CHOICES)


def encode(value: Any) -> bytes:
    return json.dumps(value).encode()


def chunk(delta: Any, finish: str | None = None) -> dict[str, Any]:
    around = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**around, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def feed(*payloads: Any, done: bool = True) -> list[Frame]:
    """The frames of `payloads`; an end that they lack is told and found, and not among them."""
    parser = DIALECT.stream_parser(CHAT)
    frames = [frame for payload in payloads for frame in parser.feed(SseEvent("", encode(payload)))]
    if done:
        list(parser.feed(SseEvent("", b"[DONE]")))
    return [*frames, *parser.finish()]


@given(ANSWERS)
def test_any_object_is_a_result_or_an_upstream_error(payload: dict[str, Any]) -> None:
    body = encode(payload)
    try:
        frame = DIALECT.parse_result(CHAT, body)
    except UpstreamError:
        return
    assert json.loads(frame.data).keys() >= payload.keys()
    if "choices" not in payload and "usage" not in payload:
        assert frame.data == body
    frame.model.encode()


@given(ANSWERS)
def test_any_object_is_chunks_or_an_upstream_error(payload: dict[str, Any]) -> None:
    try:
        frames = DIALECT.parse_result_chunks(CHAT, encode(payload))
    except UpstreamError:
        return
    assert any(frame.is_content for frame in frames)


REPORT = {"prompt_tokens": 7, "completion_tokens": 5}


@pytest.mark.parametrize(
    "failed",
    [
        {"choices": [{"message": {"content": "a"}, "finish_reason": "error"}]},
        {"error": {"message": "no luck"}},
        {"error": {"message": "no luck"}, "choices": []},
        {"error": {"message": "no luck"}, "choices": [None], "data": None},
    ],
)
@pytest.mark.parametrize("usage", [REPORT, None])
def test_failed_answers_tell_what_they_used(failed: dict[str, Any], usage: Any) -> None:
    body = encode({**failed, "usage": usage, "service_tier": "flex"})
    for parse in (DIALECT.parse_result, DIALECT.parse_result_chunks):
        with pytest.raises(UpstreamError) as caught:
            parse(CHAT, body)
        told = Usage(input=7, output=5) if usage else None
        assert (caught.value.usage, caught.value.service_tier) == (told, "flex")


@pytest.mark.parametrize("beside", [{"choices": []}, {"choices": None}, {"data": []}, {"choices": [], "data": None}])
def test_an_error_beside_no_answer_is_that_error_whole_and_streamed(beside: dict[str, Any]) -> None:
    body = {"error": {"message": "slow down", "code": 429}, **beside}
    parser = DIALECT.stream_parser(CHAT)
    for parse in (
        lambda: DIALECT.parse_result(CHAT, encode(body)),
        lambda: DIALECT.parse_result_chunks(CHAT, encode(body)),
        lambda: list(parser.feed(SseEvent("", encode(body)))),
    ):
        with pytest.raises(UpstreamError, match="slow down") as caught:
            parse()
        assert (caught.value.kind, caught.value.status) == (UpstreamErrorKind.RATE_LIMITED, 429)


@pytest.mark.parametrize("error", [None, {}, ""])
@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (CHAT, {"choices": [{"index": 0, "finish_reason": "content_filter"}]}),
        (CHAT, {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}),
        (EMBEDDINGS, {"data": []}),
    ],
)
def test_an_error_that_is_none_is_no_error(error: Any, call: Call, answer: dict[str, Any]) -> None:
    body = encode({"error": error, **answer})
    assert DIALECT.parse_result(call, body).data == body


FLAT = [
    ({"object": "error", "message": "no luck", "type": "BadRequestError", "param": None, "code": 400}, 400),
    ({"detail": "no luck"}, 0),
    ({"detail": [{"loc": ["body"], "msg": "no luck"}]}, 0),
    ({"message": "no luck", "choices": None, "data": None}, 0),
]


@pytest.mark.parametrize(("failed", "status"), FLAT)
@pytest.mark.parametrize("call", [CHAT, COMPLETION, EMBEDDINGS, make_call(endpoint=ENDPOINTS[3])])
def test_what_holds_no_answer_is_an_error_in_the_providers_words(
    call: Call, failed: dict[str, Any], status: int
) -> None:
    with pytest.raises(UpstreamError, match="no luck") as caught:
        DIALECT.parse_result(call, encode({**failed, "usage": REPORT}))
    assert (caught.value.status, caught.value.usage) == (status, Usage(input=7, output=5))


@pytest.mark.parametrize(("call", "body"), [(CHAT, {"data": []}), (COMPLETION, {}), (EMBEDDINGS, {"choices": []})])
def test_an_answer_to_something_else_is_none(call: Call, body: dict[str, Any]) -> None:
    with pytest.raises(UpstreamError, match="holds no") as caught:
        DIALECT.parse_result(call, encode({"model": "m", **body}))
    assert caught.value.kind is UpstreamErrorKind.PROTOCOL


def test_an_error_that_is_a_whole_chunk_ends_the_stream() -> None:
    with pytest.raises(UpstreamError, match="no luck") as caught:
        feed(chunk({"role": "assistant", "content": "a"}), FLAT[0][0])
    assert caught.value.status == 400


@given(st.lists(ANSWERS, max_size=3), st.sampled_from(["", "error"]))
def test_any_objects_are_a_stream_or_an_upstream_error(payloads: list[dict[str, Any]], event: str) -> None:
    parser = DIALECT.stream_parser(CHAT)
    try:
        for payload in payloads:
            for frame in parser.feed(SseEvent(event, encode(payload))):
                assert frame.deltas >= (frame.text_bytes > 0)
        list(parser.finish())
    except UpstreamError as error:
        assert error.message


@given(st.integers(300, 599), JSON | OBJECTS | st.binary(max_size=40).map(repr))
def test_any_body_is_an_error_in_words(status: int, payload: Any) -> None:
    error = DIALECT.parse_error(status, {}, encode(payload))
    assert error.message
    assert error.status == status


@pytest.mark.parametrize("choices", [5, "x", {"a": 1}, [5], [[1]], [None], []])
@pytest.mark.parametrize("member", ["delta", "message"])
def test_odd_choices_count_nothing(choices: Any, member: str) -> None:
    if isinstance(choices, list):
        assert DIALECT.parse_result(CHAT, encode({"choices": choices})).text_bytes == 0
    odd = {"choices": [{member: {"tool_calls": 7, "content": 3}, "index": [1], "finish_reason": "stop"}]}
    assert feed({"choices": choices}, odd)[-1].text_bytes == 0


@pytest.mark.parametrize(
    ("delta", "size"),
    [
        ({"content": "häh"}, 4),
        ({"content": [{"type": "text", "text": "abc"}]}, 3),
        ({"function_call": {"name": "f", "arguments": "{}"}}, 3),
        ({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]}, 12),
        ({"audio": {"transcript": "hi", "data": "A" * 4000}}, 2),
        ({"refusal": "no"}, 2),
        ({"reasoning": "abc", "reasoning_details": [{"text": "abc"}]}, 3),
        ({"role": "assistant", "annotations": [{"index": 1, "url_citation": {"content": "a page"}}]}, 0),
        ({"content": "a", "images": [{"image_url": {"url": "data:image/png;base64,AAAA"}}]}, 1),
        ({"content": "a", "executed_tools": [{"output": "pages"}], "provider_metadata": {"cost": "0.1"}}, 1),
    ],
)
def test_every_delta_but_the_role_is_content(delta: dict[str, Any], size: int) -> None:
    frame = feed(chunk({"role": "assistant", "content": "", "refusal": None, "tool_calls": []}), chunk(delta))[-1]
    assert (frame.is_content, frame.deltas, frame.text_bytes) == (True, 1, size)
    assert DIALECT.parse_result(CHAT, encode({"choices": [{"message": delta}]})).text_bytes == size


def test_role_alone_is_no_content() -> None:
    frame = feed(chunk({"role": "assistant", "content": "", "refusal": None, "tool_calls": []}))[0]
    assert not frame.is_content


def test_done_ends_the_stream() -> None:
    parser = DIALECT.stream_parser(CHAT)
    list(parser.feed(SseEvent("", encode(chunk({"content": "a"})))))
    assert not parser.is_over
    list(parser.feed(SseEvent("", b"[DONE] ")))
    assert parser.is_over
    assert list(parser.finish()) == []


@pytest.mark.parametrize("end", [b" [DONE]", b"\t[DONE]\n", b"[DONE] "])
def test_done_ends_the_stream_whatever_the_space_around_it(end: bytes) -> None:
    parser = DIALECT.stream_parser(CHAT)
    list(parser.feed(SseEvent("", encode(chunk({"content": "a"})))))
    (ended,) = parser.feed(SseEvent("", end))
    assert parser.is_over
    assert json.loads(ended.data)["choices"][0]["finish_reason"] == "stop"


def test_what_breaks_off_after_the_end_of_every_choice_is_a_good_end() -> None:
    parser = DIALECT.stream_parser(CHAT)
    two = [chunk({"content": "a"}), chunk({"content": "b"})]
    two[1]["choices"][0]["index"] = 1
    frames = [frame for part in two for frame in parser.feed(SseEvent("", encode(part)))]
    frames += parser.feed(SseEvent("", encode(chunk({}, "stop"))))
    rest = SseEvent("", b'{"id":"c","choices":[],"usage":{"prompt_to')
    with pytest.raises(UpstreamError, match="not JSON"):
        parser.feed(rest)
    two[1]["choices"][0] |= {"delta": {}, "finish_reason": "length"}
    frames += parser.feed(SseEvent("", encode(two[1])))
    assert len(frames) == 4
    assert [*parser.feed(rest), *parser.finish()] == []


@pytest.mark.parametrize("payloads", [[], [chunk({"content": "a"})]])
def test_stream_without_an_answer_or_an_end_is_broken(payloads: list[Any]) -> None:
    with pytest.raises(UpstreamError) as caught:
        feed(*payloads, done=not payloads)
    assert caught.value.kind is UpstreamErrorKind.PROTOCOL


def ended(index: int) -> dict[str, Any]:
    return {**chunk({}), "choices": [{"index": index, "delta": {"content": "a"}, "text": "a", "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    ("operation", "body", "wanted"),
    [
        (0, {"n": 2}, 2),
        (0, {"n": True}, 1),
        (0, {"n": "3"}, 1),
        (0, {"n": 0}, 1),
        (0, {"prompt": ["a", "b"]}, 1),
        (1, {"prompt": ["a", "b"]}, 2),
        (1, {"prompt": [[1, 2], [3]], "n": 2}, 4),
        (1, {"prompt": [1, 2, 3], "n": 2}, 2),
        (1, {"prompt": [], "n": None}, 1),
    ],
)
def test_a_stream_has_ended_once_all_choices_that_were_asked_for_have(
    operation: int, body: dict[str, Any], wanted: int
) -> None:
    call = make_call(endpoint=ENDPOINTS[operation], body=body)
    parsers = [DIALECT.stream_parser(call) for _ in range(2)]
    for parser in parsers:
        for index in range(wanted - 1):
            list(parser.feed(SseEvent("", encode(ended(index)))))
            with pytest.raises(UpstreamError, match="not JSON"):
                parser.feed(SseEvent("", b'{"id":'))
            if parser is parsers[0]:
                with pytest.raises(UpstreamError, match="broke off"):
                    parser.finish()
    list(parsers[0].feed(SseEvent("", encode(ended(wanted - 1)))))
    assert list(parsers[0].finish()) == []
    list(parsers[1].feed(SseEvent("", encode(chunk({})))))
    list(parsers[1].feed(SseEvent("", b"[DONE]")))
    assert list(parsers[1].finish()) == []


@pytest.mark.parametrize(
    "last",
    [{**chunk({}), "choices": [], "usage": {"prompt_tokens": 1}}, {**ended(0), "object": "chat.completion.done"}],
)
def test_a_stream_that_says_that_all_has_come_has_ended_with_fewer_choices(last: dict[str, Any]) -> None:
    parser = DIALECT.stream_parser(make_call(endpoint=ENDPOINTS[0], body={"n": 2}))
    for payload in ([ended(0)] if not last["choices"] else []) + [last]:
        list(parser.feed(SseEvent("", encode(payload))))
    assert list(parser.finish()) == []
    list(parser.feed(SseEvent("", encode({**chunk({}), "choices": [None]}))))
    assert list(parser.finish()) == []
    list(parser.feed(SseEvent("", encode({**chunk({}), "choices": [{"index": 1, "delta": {}}]}))))
    with pytest.raises(UpstreamError, match="broke off"):
        parser.finish()


@pytest.mark.parametrize(
    ("event", "data", "status"),
    [
        ("", b'{"detail":"no luck"}', 0),
        ("", b'{"message":"no luck","type":"InternalServerError","code":500}', 500),
        ("", b'{"message":"no luck","code":503,"choices":[]}', 503),
        ("", b'{"message":"no luck","type":"rate_limit_error"}', 429),
        ("error", b"no luck", 0),
        ("error", b'"no luck"', 0),
    ],
)
@pytest.mark.parametrize("before", [[], [chunk({"content": "a"})], [chunk({"content": "a"}, "stop")]])
def test_an_error_that_stands_alone_in_a_stream_is_told_in_the_providers_words(
    before: list[Any], event: str, data: bytes, status: int
) -> None:
    parser = DIALECT.stream_parser(CHAT)
    for payload in before:
        list(parser.feed(SseEvent("", encode(payload))))
    with pytest.raises(UpstreamError, match=r"^no luck$") as caught:
        parser.feed(SseEvent(event, data))
    assert (caught.value.status, caught.value.is_quote) == (status, True)


@pytest.mark.parametrize("aside", [{"message": "hello"}, {"type": "ping"}, {"detail": None, "code": 5}])
def test_what_tells_no_error_is_none(aside: dict[str, Any]) -> None:
    assert len(feed(chunk({"content": "a"}), aside, chunk({}, "stop"))) == 2


def test_usage_alone_is_no_answer() -> None:
    parser = DIALECT.stream_parser(CHAT)
    (told,) = parser.feed(SseEvent("", encode({**chunk({}), "choices": [], "usage": USED})))
    assert (told.usage, told.is_content) == (Usage(input=4, output=2), False)
    list(parser.feed(SseEvent("", b"[DONE]")))
    with pytest.raises(UpstreamError, match="holds no answer") as caught:
        parser.finish()
    assert caught.value.kind is UpstreamErrorKind.PROTOCOL


@pytest.mark.parametrize("answer", [{"data": []}, {"results": []}])
def test_answers_without_output_meter_none(answer: dict[str, Any]) -> None:
    reported = {"prompt_tokens": 1000, "completion_tokens": 0, "total_tokens": 1002}
    call = EMBEDDINGS if "data" in answer else make_call(endpoint=ENDPOINTS[3])
    assert DIALECT.parse_result(call, encode({**answer, "usage": reported})).usage == Usage(input=1000)
    with pytest.raises(UpstreamError) as caught:
        DIALECT.parse_result(call, encode({"detail": "no luck", "usage": reported}))
    assert caught.value.usage == Usage(input=1000)


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (CHAT, {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}),
        (COMPLETION, {"choices": [{"text": "a", "finish_reason": "stop"}]}),
        (EMBEDDINGS, {"data": []}),
    ],
)
def test_a_byte_order_mark_before_an_answer_is_left_out(call: Call, answer: dict[str, Any]) -> None:
    body = encode(answer)
    assert DIALECT.parse_result(call, b"\xef\xbb\xbf" + body).data == body
    if "choices" in answer:
        assert len(DIALECT.parse_result_chunks(call, b"\xef\xbb\xbf" + body)) == 2


USED = {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}


@pytest.mark.parametrize(
    "broken",
    [
        {"error": {"message": "no GPU", "code": 502}, "usage": USED, **chunk({"content": ""})},
        {"error": {"message": "no GPU", "code": 502}, "x_groq": {"id": "r", "usage": USED}},
        {
            **chunk({}),
            "usage": USED,
            "choices": [
                {"index": 0, "delta": {}, "finish_reason": "error", "error": {"message": "no GPU", "code": 502}}
            ],
        },
    ],
)
def test_what_was_used_is_told_before_the_error_that_comes_with_it(broken: dict[str, Any]) -> None:
    parser = DIALECT.stream_parser(CHAT)
    frames = list(parser.feed(SseEvent("", encode(chunk({"role": "assistant", "content": "a"})))))
    with pytest.raises(UpstreamError) as caught:
        frames += parser.feed(SseEvent("", encode(broken)))
    assert (caught.value.message, caught.value.status) == ("no GPU", 502)
    _, last = frames
    assert last.usage is not None
    assert (last.usage.input, last.usage.output) == (4, 2)
    assert (last.is_usage_only, last.is_content) == (True, False)
    told = json.loads(last.data)
    assert (told["id"], told["choices"], told["usage"]) == ("c", [], USED)
    assert "error" not in told


def test_error_without_usage_is_only_raised() -> None:
    with pytest.raises(UpstreamError):
        DIALECT.stream_parser(CHAT).feed(SseEvent("", encode({"error": {"message": "no"}, "usage": {}})))


def moonshots(usage: Any) -> dict[str, Any]:
    ended = chunk({}, "stop")
    ended["choices"][0]["usage"] = usage
    return ended


def streamed(*payloads: Any, done: bool) -> list[Frame]:
    parser = DIALECT.stream_parser(CHAT)
    events = [*map(encode, payloads), *([b"[DONE]"] if done else [])]
    frames = [frame for data in events for frame in parser.feed(SseEvent("", data))]
    return [*frames, *parser.finish()]


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("ended", [{**chunk({}, "stop"), "x_groq": {"id": "r", "usage": USED}}, moonshots(USED)])
def test_usage_in_another_place_is_told_once_more_where_clients_look(ended: dict[str, Any], done: bool) -> None:
    begun = chunk({"role": "assistant", "content": "a"})
    *_, passed, last = streamed(begun, ended, done=done)
    assert passed.data == encode(ended)
    assert passed.usage == last.usage == Usage(input=4, output=2)
    assert (passed.is_usage_only, last.is_usage_only) == (False, True)
    assert json.loads(last.data) == {**begun, "choices": [], "usage": USED}
    once = streamed(begun, ended, {**begun, "choices": [], "usage": USED}, done=done)
    assert [frame.is_usage_only for frame in once] == [False, False, True]


@pytest.mark.parametrize("delta", [{"content": "", "unknown": {"a": "text"}}, {"role": "assistant", "odd": "text"}, {}])
def test_unknown_members_after_the_usage_are_no_text(delta: dict[str, Any]) -> None:
    before = feed(chunk({"role": "assistant", "content": "a"}), chunk({"odd": "text"}))[-1]
    assert (before.deltas, before.text_bytes) == (1, 4)
    told = {**chunk({}), "choices": [], "usage": USED}
    after = feed(chunk({"role": "assistant", "content": "a"}), chunk({}, "stop"), told, chunk(delta))[-1]
    assert (after.deltas, after.text_bytes) == (0, 0)
    assert feed(chunk({"content": "a"}, "stop"), told, chunk({**delta, "content": "ab"}))[-1].deltas == 1


@pytest.mark.parametrize(
    ("delta", "size"), [({"thinking": "word " * 1000}, 5000), ({"images": [{"image_url": {"url": "data:,"}}]}, 0)]
)
def test_whatever_comes_after_an_early_usage_counts(delta: dict[str, Any], size: int) -> None:
    first = {**chunk({"role": "assistant", "content": ""}), "usage": {"prompt_tokens": 10, "completion_tokens": 0}}
    _, said, _ = feed(first, chunk(delta), chunk({}, "stop"))
    assert (said.deltas, said.text_bytes) == (1, size)


def test_usage_of_a_choice_is_metered_until_that_of_the_answer_comes() -> None:
    ended = chunk({}, "stop")
    ended["choices"][0]["usage"] = USED
    *_, last = feed(chunk({"role": "assistant", "content": "a"}), ended)
    assert last.usage is not None
    assert (last.usage.input, last.usage.output, last.is_usage_only) == (4, 2, False)
    *_, last = feed({**ended, "usage": {"prompt_tokens": 9, "completion_tokens": 1}})
    assert last.usage is not None
    assert last.usage.input == 9


def test_blank_events_are_no_chunks() -> None:
    parser = DIALECT.stream_parser(CHAT)
    assert [*parser.feed(SseEvent("", b"")), *parser.feed(SseEvent("", b" \n "))] == []


def test_chunk_of_several_lines_becomes_one_and_keeps_its_values() -> None:
    around = b'"id": "c",\n"object": "chat.completion.chunk", "created": 1, "model": "m"'
    delta = b'{"content": "a\\nb", "role": "assistant"}'
    data = b'{\n%s, "choices": [\n{"index": 0, "delta": %s, "seed": 123456789012345678901,\n"p": 1.50}]}' % (
        around,
        delta,
    )
    (frame,) = DIALECT.stream_parser(CHAT).feed(SseEvent("", data))
    assert b"\n" not in frame.data
    assert json.loads(frame.data) == json.loads(data)
    assert b"123456789012345678901" in frame.data
    assert b"1.50" in frame.data


def test_half_a_surrogate_pair_passes_and_is_metered() -> None:
    around = rb'"id":"c","object":"chat.completion.chunk","created":1,"model":"\ud83d\ude00 \\ud83d"'
    choice = rb'{"index":0,"delta":{"content":"a\ud83d","role":"assistant"},"finish_reason":"stop"}'
    data = b'{%s,"usage":{"prompt_tokens":3},"choices":[%s]}' % (around, choice)
    (frame,) = DIALECT.stream_parser(CHAT).feed(SseEvent("", data))
    assert frame.data == data
    assert (frame.model, frame.text_bytes) == ("\N{GRINNING FACE} \\ud83d", 4)
    assert frame.usage is not None
    assert frame.usage.input == 3
    assert DIALECT.parse_result(CHAT, data.replace(b"delta", b"message")).text_bytes == 4


@given(st.text(alphabet=st.characters(exclude_categories=[]), max_size=20))
def test_text_with_surrogates_parses_to_text_without(text: str) -> None:
    parsed = parse_payload(json.dumps(text).encode())
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    assert parsed == re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", joined)


@pytest.mark.parametrize("usage", [{"prompt_tokens": 4, "completion_tokens": 2}, None])
def test_result_told_as_chat_chunks(usage: dict[str, int] | None) -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    message = {"role": "assistant", "content": "hello", "tool_calls": calls}
    answer = {
        "id": "x",
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls", "logprobs": {"content": []}}],
        "usage": usage,
    }
    frames = DIALECT.parse_result_chunks(CHAT, encode(answer))
    begun, ended, *rest = [json.loads(frame.data) for frame in frames]
    assert begun["object"] == ended["object"] == "chat.completion.chunk"
    assert (begun["id"], begun["model"]) == ("x", "m")
    assert begun["choices"] == [
        {
            "index": 0,
            "delta": {"role": "assistant", "content": "hello", "tool_calls": [{"index": 0, **calls[0]}]},
            "finish_reason": None,
            "logprobs": {"content": []},
        }
    ]
    assert (ended["choices"][0]["delta"], ended["choices"][0]["finish_reason"]) == ({}, "tool_calls")
    assert (frames[0].deltas, frames[0].is_content) == (1, True)
    if usage is None:
        assert rest == []
    else:
        assert (rest[0]["choices"], rest[0]["usage"], frames[2].is_usage_only) == ([], usage, True)
        assert frames[2].usage is not None


def test_result_told_as_text_chunks() -> None:
    answer = {"object": "text_completion", "choices": [{"index": 0, "text": "hello", "finish_reason": "length"}]}
    begun, ended = [json.loads(frame.data) for frame in DIALECT.parse_result_chunks(COMPLETION, encode(answer))]
    assert begun["object"] == "text_completion"
    assert begun["choices"] == [{"index": 0, "text": "hello", "finish_reason": None}]
    assert (ended["choices"][0]["text"], ended["choices"][0]["finish_reason"]) == ("", "length")


@pytest.mark.parametrize("body", [b"{}", b"[]", b"<html>", b'{"choices":[]}', b'{"error":{"message":"no"}}'])
def test_no_answer_is_no_chunks(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        DIALECT.parse_result_chunks(CHAT, body)


@pytest.mark.parametrize(("said", "tier"), [(b'"flex"', "flex"), (b'"default"', ""), (b"null", None)])
def test_chunks_and_answers_say_their_class_of_service(said: bytes, tier: str | None) -> None:
    chunk = b'{"choices": [{"index": 0, "delta": {"content": "a"}}], "service_tier": %s}' % said
    (frame,) = OpenAIStreamParser().feed(SseEvent("", chunk))
    assert frame.service_tier == tier
    assert parse_result(b'{"choices": [], "service_tier": %s}' % said).service_tier == tier
