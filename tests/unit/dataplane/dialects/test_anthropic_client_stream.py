"""The hub's chunks as Anthropic's events: one block after another, whatever order the chunks have."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.call import Endpoint
from dataplane.dialects.anthropic.client import AnthropicFormat
from dataplane.dialects.base import Frame
from dataplane.errors import InvalidRequest, Overloaded, UpstreamFailed
from tests.fakes.outcomes import REQUEST_ID, make_call
from tollway.kernel.usage import Usage

FORMAT = AnthropicFormat()
MESSAGES = Endpoint("messages", "/v1/messages", "chat", True, "anthropic")
CALL = make_call(endpoint=MESSAGES, stream=True, body={"stop_sequences": ["END"]})
ROLE = {"role": "assistant", "content": ""}
USAGE = Usage(input=7, cache_read=20, cache_write_5m=3, cache_write_1h=4, output=11, reasoning=5)
NO_TOKENS = {
    "input_tokens": 0,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": 0,
}
TOKENS = {
    "input_tokens": 7,
    "cache_creation_input_tokens": 7,
    "cache_read_input_tokens": 20,
    "output_tokens": 11,
    "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
    "output_tokens_details": {"thinking_tokens": 5},
}


def chunk(delta: Any, finish: Any = None, **choice: Any) -> Frame:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish, **choice}]
    return Frame(json.dumps({"id": "chatcmpl-1", "model": "gpt-x", "choices": choices}).encode())


def usage_chunk(usage: Usage = USAGE) -> Frame:
    return Frame(b'{"id": "chatcmpl-1", "choices": [], "usage": {}}', usage=usage, is_usage_only=True)


def part(number: Any, arguments: str, **call: Any) -> dict[str, Any]:
    return {
        "tool_calls": [{"index": number, "function": {"name": call.pop("name", None), "arguments": arguments}, **call}]
    }


def render(*frames: Frame, ends: bool = True) -> list[dict[str, Any]]:
    renderer = FORMAT.stream_renderer(CALL)
    written = b"".join([renderer.feed(frame) for frame in frames])
    return events(written + renderer.finish() if ends else written)


def events(written: bytes) -> list[dict[str, Any]]:
    """The events in `written`, each of which says its type twice."""
    found = []
    for block in written.split(b"\n\n")[:-1]:
        name, data = block.split(b"\n")
        event = json.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + event["type"].encode()
        found.append(event)
    return found


def folded(told: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that a stream tells, read as strictly as a client may; events must come in their order."""
    assert [told[0]["type"], *(event["type"] for event in told[-2:])] == [
        "message_start",
        "message_delta",
        "message_stop",
    ]
    message: dict[str, Any] = told[0]["message"]
    is_open, arguments = False, ""
    for event in told[1:-2]:
        match event["type"]:
            case "content_block_start":
                assert not is_open and event["index"] == len(message["content"])
                message["content"].append(event["content_block"])
                is_open, arguments = True, ""
            case "content_block_delta":
                assert is_open and event["index"] == len(message["content"]) - 1
                arguments += add_delta(message["content"][-1], event["delta"])
            case "content_block_stop":
                assert is_open and event["index"] == len(message["content"]) - 1
                is_open = False
                if arguments:
                    message["content"][-1]["input"] = input_of(arguments)
            case other:
                raise AssertionError(other)
    assert not is_open
    return {**message, **told[-2]["delta"], "usage": told[-2]["usage"]}


def add_delta(block: dict[str, Any], delta: dict[str, Any]) -> str:
    """Adds `delta` to its block; arguments are given back instead."""
    match delta["type"], block["type"]:
        case "text_delta", "text":
            block["text"] += delta["text"]
        case "thinking_delta", "thinking":
            block["thinking"] += delta["thinking"]
        case "signature_delta", "thinking":
            block["signature"] = delta["signature"]
        case "input_json_delta", "tool_use":
            return str(delta["partial_json"])
        case other:
            raise AssertionError(other)
    return ""


def input_of(arguments: str) -> Any:
    try:
        value = json.loads(arguments)
    except ValueError:
        return {"arguments": arguments}
    return {} if value is None else value if isinstance(value, dict) else {"arguments": arguments}


def test_text_is_told_as_it_comes() -> None:
    told = render(chunk(ROLE), chunk({"content": "Hel"}), chunk({"content": "lo"}), chunk({}, "stop"), usage_chunk())
    start: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "gpt-x",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": NO_TOKENS,
    }
    assert told == [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": TOKENS},
        {"type": "message_stop"},
    ]


def test_end_waits_for_the_usage() -> None:
    renderer = FORMAT.stream_renderer(CALL)
    assert [event["type"] for event in events(renderer.feed(chunk({"content": "a"}, "length")))][-1] == (
        "content_block_stop"
    )
    (end,) = events(renderer.feed(usage_chunk()))
    assert (end["delta"]["stop_reason"], end["usage"]) == ("max_tokens", TOKENS)
    assert renderer.feed(chunk({"content": "late"})) == b""
    assert renderer.finish() == b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    assert renderer.finish() == b""


def test_frames_without_data_are_for_none_but_the_meter() -> None:
    told = [chunk({"content": "a"}), chunk({}, "stop"), usage_chunk()]
    silent = Frame(b"", usage=USAGE, is_usage_only=True)
    assert render(silent, told[0], silent, told[1], silent, told[2]) == render(*told)


def test_usage_is_what_openai_clients_are_told_whatever_is_billed() -> None:
    told = json.dumps({"choices": [], "usage": {"prompt_tokens": 30, "completion_tokens": 9}}).encode()
    last = Frame(told, usage=Usage(input=3, output=1), is_usage_only=True)
    assert render(chunk({"content": "a"}, "stop"), last)[-2]["usage"] == NO_TOKENS | {
        "input_tokens": 30,
        "output_tokens": 9,
    }


def test_usage_known_at_first_is_told_at_first_and_the_last_one_wins() -> None:
    first = chunk(ROLE)
    first.usage = Usage(input=5, output=1)
    told = render(first, chunk({"content": "a"}, "stop"), usage_chunk())
    assert told[0]["message"]["usage"] == NO_TOKENS | {"input_tokens": 5, "output_tokens": 1}
    assert told[-2]["usage"] == TOKENS
    assert render(first, chunk({"content": "a"}, "stop"))[-2]["usage"]["input_tokens"] == 5


def test_reasoning_is_signed_and_comes_in_its_blocks() -> None:
    message = folded(
        render(
            chunk({"reasoning_content": "a"}),
            chunk({"reasoning_content": "b"}),
            chunk({"reasoning_details": [{"type": "reasoning.text", "text": "ab", "signature": "s1"}]}),
            chunk({"reasoning_details": [{"type": "reasoning.encrypted", "data": "d"}]}),
            chunk({"reasoning_content": "c"}),
            chunk({"reasoning_details": [{"type": "reasoning.text", "signature": "s2"}]}),
            chunk({"reasoning_content": "d"}),
            chunk({"content": "so"}),
            chunk({}, "stop"),
        )
    )
    assert message["content"] == [
        {"type": "thinking", "thinking": "ab", "signature": "s1"},
        {"type": "redacted_thinking", "data": "d"},
        {"type": "thinking", "thinking": "c", "signature": "s2"},
        {"type": "thinking", "thinking": "d", "signature": ""},
        {"type": "text", "text": "so"},
    ]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", None])
def test_reasoning_in_details_piece_by_piece_is_told_once(name: str | None) -> None:
    pieces = [
        chunk(
            {"reasoning_details": [{"type": "reasoning.text", "text": text, "index": 0}]}
            | ({name: text} if name else {})
        )
        for text in ("a", "b")
    ]
    signed = chunk({"reasoning_details": [{"type": "reasoning.text", "signature": "s", "index": 0}]})
    message = folded(render(*pieces, signed, chunk({"content": "so"}, "stop")))
    assert message["content"][0] == {"type": "thinking", "thinking": "ab", "signature": "s"}


def test_thinking_whose_text_is_kept_back_has_its_signature() -> None:
    signed = chunk({"reasoning_details": [{"type": "reasoning.text", "text": "", "signature": "s"}]})
    message = folded(render(signed, chunk({"content": "so"}, "stop")))
    assert message["content"][0] == {"type": "thinking", "thinking": "", "signature": "s"}


def test_calls_one_after_another_are_told_as_they_come() -> None:
    renderer = FORMAT.stream_renderer(CALL)
    renderer.feed(chunk(part(0, "", id="c0", name="f")))
    assert b'"partial_json":"{\\"a\\":"' in renderer.feed(chunk(part(0, '{"a":')))
    renderer.feed(chunk(part(0, "1}")))
    begun = events(renderer.feed(chunk(part(1, "{}", id="c1", name="g"))))
    assert [event["type"] for event in begun] == [
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
    ]
    assert begun[1]["content_block"] == {"type": "tool_use", "id": "c1", "name": "g", "input": {}}


def test_interleaved_calls_are_told_one_after_another() -> None:
    message = folded(
        render(
            chunk({"content": "Both."}),
            chunk(part(0, "", id="c0", name="f")),
            chunk(part(1, "", id="c1", name="g")),
            chunk(part(1, '{"b":')),
            chunk(part(0, '{"a":{}')),
            chunk({"content": "!"}),
            chunk(part(0, "}")),
            chunk(part(1, "2}")),
            chunk({}, "tool_calls"),
        )
    )
    assert message["content"] == [
        {"type": "text", "text": "Both."},
        {"type": "tool_use", "id": "c0", "name": "f", "input": {"a": {}}},
        {"type": "tool_use", "id": "c1", "name": "g", "input": {"b": 2}},
        {"type": "text", "text": "!"},
    ]
    assert message["stop_reason"] == "tool_use"


def test_calls_without_arguments_ids_or_numbers() -> None:
    message = folded(
        render(
            chunk(part(None, "", name="f")),
            chunk(part(None, '{"a":1}', name="g")),
            chunk(part(0, " ", id="x", name="h")),
            chunk(part(0, "{}", id="y", name="h")),
            chunk(part(5, '{"lost": 1}')),
            chunk({}, "stop"),
        )
    )
    assert message["content"] == [
        {"type": "tool_use", "id": "toolu_1_0", "name": "f", "input": {}},
        {"type": "tool_use", "id": "toolu_1_1", "name": "g", "input": {"a": 1}},
        {"type": "tool_use", "id": "x", "name": "h", "input": {}},
        {"type": "tool_use", "id": "y", "name": "h", "input": {}},
    ]
    assert message["stop_reason"] == "tool_use"


def test_white_space_alone_is_no_block() -> None:
    message = folded(
        render(chunk({"content": "\n\n"}), chunk(part(0, "{}", id="c", name="f")), chunk({}, "tool_calls"))
    )
    assert [block["type"] for block in message["content"]] == ["tool_use"]
    message = folded(render(chunk({"content": "\n"}), chunk({"content": " a "}), chunk({"content": "\n"}, "stop")))
    assert message["content"] == [{"type": "text", "text": "\n a \n"}]


@pytest.mark.parametrize(
    ("delta", "finish", "choice", "stop"),
    [
        ({"content": "a"}, "stop", {}, ("end_turn", None)),
        ({"content": "a"}, "length", {}, ("max_tokens", None)),
        ({"content": "a"}, "content_filter", {}, ("refusal", None)),
        ({"refusal": "No."}, "stop", {}, ("refusal", None)),
        ({"content": "a"}, "tool_calls", {}, ("end_turn", None)),
        ({"content": "a"}, "of a kind unknown", {}, ("end_turn", None)),
        ({"content": "a"}, "stop", {"stop_reason": "END"}, ("stop_sequence", "END")),
        ({"content": "a"}, "stop", {"stop_reason": "</s>"}, ("end_turn", None)),
        (part(0, "{}", id="c", name="f"), "stop", {}, ("tool_use", None)),
        (part(0, "{}", id="c", name="f"), "length", {}, ("max_tokens", None)),
    ],
)
def test_stop_reason(delta: Any, finish: str, choice: Any, stop: tuple[str, str | None]) -> None:
    message = folded(render(chunk(delta, finish, **choice)))
    assert (message["stop_reason"], message["stop_sequence"]) == stop
    whole = {"choices": [{"message": delta, "finish_reason": finish, **choice}]}
    answer = json.loads(FORMAT.render_result(CALL, Frame(json.dumps(whole).encode())))
    assert (answer["stop_reason"], answer["stop_sequence"]) == stop


def test_refusal_is_text() -> None:
    message = folded(render(chunk({"refusal": "I can"}), chunk({"refusal": "not."}), chunk({}, "stop")))
    assert message["content"] == [{"type": "text", "text": "I cannot."}]
    assert message["stop_reason"] == "refusal"


def test_only_the_first_of_several_answers_is_told() -> None:
    message = folded(render(chunk({"content": "b"}, index=1), chunk({"content": "a"}, "stop")))
    assert message["content"] == [{"type": "text", "text": "a"}]


def test_stream_of_nothing_ends_well() -> None:
    message = folded(render())
    assert (message["content"], message["stop_reason"], message["model"]) == ([], "end_turn", "smart")
    assert message["id"] == "msg_" + REQUEST_ID.removeprefix("req_")


def test_events_of_anthropics_own_pass_as_they_came() -> None:
    renderer = FORMAT.stream_renderer(CALL)
    told = renderer.feed(Frame(b'{"type": "ping"}', event="ping", format="anthropic"))
    assert told == b'event: ping\ndata: {"type": "ping"}\n\n'
    assert renderer.feed(Frame(b"{}", format="anthropic")) == b"data: {}\n\n"
    assert renderer.finish() == b""


@pytest.mark.parametrize("frames", [[], [chunk({"content": "a"})], [Frame(b"{}", event="ping", format="anthropic")]])
def test_error_is_told_wherever_the_stream_is(frames: list[Frame]) -> None:
    renderer = FORMAT.stream_renderer(CALL)
    for frame in frames:
        renderer.feed(frame)
    (event,) = events(renderer.fail(UpstreamFailed("It broke off.")))
    error = {"type": "api_error", "message": "It broke off.", "code": "upstream_error"}
    assert event == {"type": "error", "error": error}
    assert renderer.feed(chunk({"content": "b"})) == renderer.finish() == b""
    assert renderer.feed(Frame(b"{}", event="ping", format="anthropic")) == b""


def test_error_has_its_own_words_and_anthropics_type() -> None:
    error = {"type": "overloaded_error", "message": "Later.", "code": "overloaded"}
    assert FORMAT.render_error(Overloaded("Later.")) == {"type": "error", "error": error}
    error = {"type": "invalid_request_error", "message": "No.", "code": "invalid_value"}
    assert FORMAT.render_error(InvalidRequest("No.", code="invalid_value")) == {"type": "error", "error": error}


WORDS = [
    *("choices", "delta", "content", "reasoning_content", "reasoning_details", "tool_calls", "function", "name", "id"),
    *("arguments", "index", "finish_reason", "refusal", "text", "signature", "data", "type", "format", "extra_content"),
    *("stop_reason", "model", "summary", "reasoning", "thinking", "input_tokens"),
]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        ["stop", "text", "thinking", "{", "}", "{}", "null", " ", "anthropic-claude-v1", "reasoning.text"]
    )
    | st.text(max_size=4)
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)
DELTAS = st.dictionaries(st.sampled_from(WORDS[2:]), JSON, max_size=4) | st.builds(
    part,
    st.integers(0, 2) | st.none(),
    st.sampled_from(["", " ", "{", "}", "{}", '{"a":', "1}"]),
    id=st.sampled_from([None, "", "x", "y"]),
    name=st.sampled_from([None, "f", "g"]),
)
CHUNKS = st.builds(chunk, DELTAS | JSON, st.sampled_from([None, None, None, "stop", "tool_calls"]) | JSON)
FRAMES = CHUNKS | st.builds(lambda value: Frame(json.dumps(value).encode()), JSON) | st.builds(usage_chunk)


@given(st.lists(FRAMES | st.just(Frame(b"no JSON")), max_size=12))
@settings(max_examples=100)
def test_any_chunks_make_a_message(frames: list[Frame]) -> None:
    message = folded(render(*frames))
    assert message["stop_reason"]
    assert all(block["type"] != "text" or block["text"].strip() for block in message["content"])


@given(
    st.builds(lambda choice: {"choices": [choice]}, st.builds(lambda m: {"message": m}, DELTAS)) | JSON, st.booleans()
)
@settings(max_examples=100)
def test_any_whole_answer_makes_a_message(payload: Any, counts: bool) -> None:
    endpoint = Endpoint("count_tokens", "/v1/messages/count_tokens", "count_tokens", False, "anthropic")
    call = make_call(endpoint=endpoint) if counts else CALL
    answer = json.loads(FORMAT.render_result(call, Frame(json.dumps(payload).encode())))
    assert list(answer) == ["input_tokens"] if counts else answer["type"] == "message"


TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=5), max_size=3)
CALLS = st.lists(
    st.tuples(st.sampled_from(["f", "g"]), st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=3)),
    max_size=3,
)


@given(
    TEXTS,
    st.sampled_from(["", "sig"]),
    TEXTS,
    CALLS,
    st.randoms(use_true_random=False),
    st.sampled_from(["stop", "length"]),
)
@settings(max_examples=60)
def test_stream_tells_what_the_whole_answer_does(
    reasoning: list[str], signature: str, texts: list[str], calls: list[Any], random: Any, finish: str
) -> None:
    details = [{"type": "reasoning.text", "text": "".join(reasoning), "signature": signature}] if signature else []
    deltas: list[Any] = [ROLE, *({"reasoning_content": text} for text in reasoning)]
    deltas += [{"reasoning_details": details}] if details else []
    deltas += [{"content": text} for text in texts]
    parts, tool_calls = [], []
    for number, (name, given_input) in enumerate(calls):
        arguments = json.dumps(given_input)
        at = random.randrange(len(arguments))
        deltas.append(part(number, arguments[:at], id=f"c{number}", name=name))
        parts.append(part(number, arguments[at:]))
        tool_calls.append({"id": f"c{number}", "function": {"name": name, "arguments": arguments}})
    random.shuffle(parts)
    message = {
        "reasoning_content": "".join(reasoning),
        "reasoning_details": details,
        "content": "".join(texts),
        "tool_calls": tool_calls,
    }
    whole = {
        "id": "chatcmpl-1",
        "model": "gpt-x",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    streamed = render(*map(chunk, [*deltas, *parts]), chunk({}, finish), usage_chunk())
    assert folded(streamed) == json.loads(FORMAT.render_result(CALL, Frame(json.dumps(whole).encode(), usage=USAGE)))
