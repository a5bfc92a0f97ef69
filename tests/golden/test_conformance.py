"""The judge notices each kind of wrong, and calls nothing wrong that is right."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.golden import recordings
from tests.golden.answers import Answer
from tests.golden.cases import Way, read_cases
from tests.golden.conformance import EXCEPTIONS, Format, judge, judge_ledger, judge_passed, shaped
from tests.golden.evidence.anthropic import read_anthropic_chat
from tests.golden.evidence.bedrock import read_bedrock_chat
from tests.golden.evidence.cohere import read_cohere_chat
from tests.golden.evidence.errors import read_failure
from tests.golden.evidence.framing import read_sse
from tests.golden.evidence.gemini import read_gemini_chat
from tests.golden.evidence.openai import read_openai_chat
from tests.golden.evidence.types import Chat, Choice, Count, Failure, Ranking, Tokens, ToolCall, Vectors
from tollway.kernel.usage import Usage

JSON = {"content-type": "application/json"}
SSE = {"content-type": "text/event-stream; charset=utf-8"}
ANTHROPIC = Format(is_anthropic=True)
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [
        {"type": "thinking", "thinking": "Which city?", "signature": "c2lnbmVk"},
        {"type": "text", "text": "Let me see."},
        {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "x"}},
        {"type": "text", "text": "Both at once."},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}},
        {"type": "tool_use", "id": "toolu_2", "name": "time", "input": {}},
    ],
    "stop_reason": "tool_use",
    "usage": {
        "input_tokens": 10,
        "cache_read_input_tokens": 5,
        "cache_creation_input_tokens": 3,
        "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 2},
    },
}
CHAT = read_anthropic_chat(json.dumps(MESSAGE).encode(), is_stream=False)
USAGE = {
    "prompt_tokens": 18,
    "completion_tokens": 7,
    "total_tokens": 25,
    "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
CALLS = [
    {"id": "toolu_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}},
    {"id": "toolu_2", "type": "function", "function": {"name": "time", "arguments": "{}"}},
]
GOOD: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_790_000_000,
    "model": "claude-x",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Let me see.\n\nBoth at once.",
                "reasoning_content": "Which city?",
                "reasoning_details": [{"type": "thinking", "thinking": "Which city?", "signature": "c2lnbmVk"}],
                "tool_calls": CALLS,
            },
            "finish_reason": "tool_calls",
        }
    ],
    "usage": USAGE,
}


def whole(body: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(status, JSON | {name.replace("_", "-"): v for name, v in headers.items()}, json.dumps(body).encode())


def stream(*payloads: Any, done: bool = True) -> Answer:
    lines = [f"data: {json.dumps(payload)}\n\n" for payload in payloads] + ["data: [DONE]\n\n"] * done
    return Answer(200, SSE, "".join(lines).encode())


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    named = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": "claude-x"}
    return {**named, "choices": choices, **fields}


def call_piece(at: int, arguments: str, **named: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": at, **named, "function": {"arguments": arguments, **named.pop("function", {})}}]}


CHUNKS = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"reasoning_content": "Which city?"}),
    chunk({"reasoning_details": [{"type": "thinking", "signature": "c2lnbmVk"}]}),
    chunk({"content": "Let me see."}),
    chunk({"content": "Both at once."}),
    chunk(call_piece(0, "", id="toolu_1", type="function", function={"name": "weather"})),
    chunk(call_piece(0, '{"city":')),
    chunk(call_piece(0, '"Rome"}')),
    chunk(call_piece(1, "{}", id="toolu_2", type="function", function={"name": "time"})),
    chunk({}, "tool_calls"),
    chunk(usage=USAGE),
]


def test_good_answers_are_right() -> None:
    assert judge(CHAT, whole(GOOD)) == []
    assert judge(CHAT, stream(*CHUNKS), is_stream=True) == []
    assert (
        judge(
            CHAT,
            whole(MESSAGE | {"content": [b for b in MESSAGE["content"] if b["type"] != "server_tool_use"]}),
            ANTHROPIC,
        )
        == []
    )


def message_of(answer: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = answer["choices"][0]["message"]
    return message


WRONGS: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("text", lambda a: message_of(a).update(content="Let me see. Both at one.")),
    ("text", lambda a: message_of(a).update(content="Let me see.")),
    ("text", lambda a: message_of(a).update(content=None)),
    ("no text", lambda a: message_of(a).update(content=[{"type": "text", "text": "Let me see."}])),
    ("reasoning", lambda a: message_of(a).pop("reasoning_content")),
    ("reasoning", lambda a: message_of(a).update(reasoning_content="Which town?")),
    ("signature", lambda a: message_of(a).pop("reasoning_details")),
    ("calls", lambda a: message_of(a)["tool_calls"].reverse()),
    ("calls", lambda a: message_of(a)["tool_calls"].append(CALLS[0] | {"id": "srv_1"})),
    ("calls", lambda a: message_of(a).pop("tool_calls")),
    ("arguments", lambda a: message_of(a)["tool_calls"][0]["function"].update(arguments='{"city":"Oslo"}')),
    ("arguments", lambda a: message_of(a)["tool_calls"][0]["function"].update(arguments='{"city":')),
    ("arguments", lambda a: message_of(a)["tool_calls"][0]["function"].update(arguments={"city": "Rome"})),
    ("type", lambda a: message_of(a)["tool_calls"][0].pop("type")),
    ("ids", lambda a: message_of(a)["tool_calls"][0].update(id="")),
    ("ids", lambda a: message_of(a)["tool_calls"][0].update(id="toolu_2")),
    ("ids", lambda a: message_of(a)["tool_calls"][0].update(id="call_1")),
    ("refusal", lambda a: message_of(a).update(refusal="No.")),
    ("assistant", lambda a: message_of(a).pop("role")),
    ("the end", lambda a: a["choices"][0].update(finish_reason="stop")),
    ("the end", lambda a: a["choices"][0].update(finish_reason="tool_use")),
    ("the end", lambda a: a["choices"][0].update(finish_reason=None)),
    ("index", lambda a: a["choices"][0].pop("index")),
    ("choices", lambda a: a["choices"].clear()),
    ("usage", lambda a: a.pop("usage")),
    ("usage", lambda a: a["usage"].update(prompt_tokens=10)),
    ("usage", lambda a: a["usage"].update(completion_tokens=5)),
    ("usage", lambda a: a["usage"].pop("prompt_tokens_details")),
    ("usage", lambda a: a["usage"].pop("completion_tokens_details")),
    ("total", lambda a: a["usage"].update(total_tokens=20)),
    ("id", lambda a: a.pop("id")),
    ("object", lambda a: a.pop("object")),
    ("created", lambda a: a.update(created=None)),
    ("model", lambda a: a.update(model="")),
]


@pytest.mark.parametrize(("named", "spoil"), WRONGS, ids=lambda value: value if isinstance(value, str) else "")
def test_notices_a_wrong_answer(named: str, spoil: Callable[[dict[str, Any]], object]) -> None:
    answer = copy.deepcopy(GOOD)
    spoil(answer)
    problems = judge(CHAT, whole(answer))
    assert problems
    assert any(named in problem for problem in problems), problems


STREAM_WRONGS: list[tuple[str, Callable[[list[dict[str, Any]]], object]]] = [
    ("text", lambda c: c.pop(4)),
    ("text", lambda c: c.reverse()),
    ("reasoning", lambda c: c.pop(1)),
    ("signature", lambda c: c.pop(2)),
    ("arguments", lambda c: c.pop(7)),
    ("begins with", lambda c: c[8]["choices"][0]["delta"]["tool_calls"][0].update(index=2)),
    ("the end", lambda c: c.pop(9)),
    ("usage", lambda c: c.pop(10)),
    ("role", lambda c: c.pop(0)),
    ("ids", lambda c: c[3].update(id="chatcmpl-2")),
    ("object", lambda c: c[3].update(object="")),
    ("created", lambda c: c[3].pop("created")),
    ("model", lambda c: c[3].pop("model")),
    ("error", lambda c: c.append({"error": {"message": "broke off"}})),
]


@pytest.mark.parametrize(("named", "spoil"), STREAM_WRONGS, ids=lambda value: value if isinstance(value, str) else "")
def test_notices_a_wrong_stream(named: str, spoil: Callable[[list[dict[str, Any]]], object]) -> None:
    chunks = copy.deepcopy(CHUNKS)
    spoil(chunks)
    problems = judge(CHAT, stream(*chunks), is_stream=True)
    assert any(named in problem for problem in problems), problems


def test_notices_how_a_stream_ends() -> None:
    broken = Chat(CHAT.choices, CHAT.usage, is_broken=True)
    error = {"error": {"message": "broke off", "type": "server_error", "param": None, "code": "upstream_error"}}
    assert judge(CHAT, stream(*CHUNKS, done=False), is_stream=True) == ["it ends without [DONE] and without an error"]
    assert judge(broken, stream(*CHUNKS[:4], error, done=False), is_stream=True) == []
    assert judge(broken, stream(*CHUNKS[:4], error), is_stream=True) == ["it ends with [DONE] after an error"]
    assert judge(broken, stream(*CHUNKS), is_stream=True) == ["the stream broke off, and no error says so"]
    assert judge(broken, whole(error, 502), is_stream=True) == []
    assert judge(CHAT, whole(GOOD), is_stream=True) == ["the content-type is 'application/json'"]
    garbled = Answer(200, SSE, stream(*CHUNKS).body.replace(b"data: {", b"data: ", 1))
    assert any("no JSON object" in problem for problem in judge(CHAT, garbled, is_stream=True))


def test_white_space_may_differ_at_joints_only() -> None:
    chat = Chat((Choice(("one two", "three"), finishes=frozenset(("stop",))),))

    def problems(content: str) -> list[str]:
        message = {"role": "assistant", "content": content}
        return judge(chat, whole(GOOD | {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}))

    assert problems("one twothree") == problems("one two\n\nthree") == []
    assert problems("one  two three")
    assert problems("one two, three")
    assert problems(" one two three")


def test_errors_must_tell_what_went_wrong() -> None:
    refused = read_failure(400, {}, b'{"error": {"message": "No such tool.", "type": "x"}}')
    envelope = {"type": "invalid_request_error", "param": None, "code": None}
    told = {"error": {"message": "Upstream: No such tool.", **envelope}}
    assert judge(refused, whole(told, 400)) == []
    assert judge(refused, whole(told, 200))
    assert judge(refused, whole(told, 502))
    assert judge(refused, whole({"error": {"message": "It failed.", **envelope}}, 400))
    assert judge(refused, whole({"error": {"message": "No such tool."}}, 400)) == [
        "the error has no type and no param and no code"
    ]
    assert judge(refused, whole({"detail": "No such tool."}, 400))[0] == "the error has not OpenAI's shape"
    anthropic = {"type": "error", "error": {"type": "invalid_request_error", "message": "No such tool."}}
    assert judge(refused, whole(anthropic, 400), ANTHROPIC) == []
    assert judge(refused, whole(told, 400), ANTHROPIC) == ["the error has not Anthropic's shape"]


def test_errors_keep_their_class_and_their_pause() -> None:
    envelope = {"error": {"message": "m", "type": "t", "param": None, "code": "c"}}
    limited = read_failure(429, {"retry-after": "7"}, b"{}")
    assert judge(limited, whole(envelope, 429, retry_after="7")) == []
    assert judge(limited, whole(envelope, 429, retry_after="1")) == ["retry-after is 1, not 7"]
    assert judge(limited, whole(envelope, 502, retry_after="7"))
    delayed = b'{"error": {"code": 429, "message": "m", "details": [{"retryDelay": "48.9s"}]}}'
    assert read_failure(429, {}, delayed).retry_after_s == 48.9
    assert read_failure(401, {}, b"{}").statuses == {502}
    assert read_failure(400, {}, b'{"error": {"details": [{"reason": "API_KEY_INVALID"}]}}').statuses == {502}
    assert read_failure(422, {}, b'{"detail": [{"msg": "bad"}, {"msg": "worse"}]}').words == ("bad", "worse")
    leaking = {"error": {"message": 'File "dataplane/pipeline.py"', "type": "t", "param": None, "code": "c"}}
    assert judge(Failure(frozenset((502,))), whole(leaking, 502)) == ["it shows '.py'"]


def test_other_answers_are_compared_too() -> None:
    vectors = Vectors(((0.5, -0.25), (1.0, 0.0)), 4)
    data = [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}, {"index": 1, "embedding": "AACAPwAAAAA="}]
    embeddings = {"object": "list", "model": "m", "data": data, "usage": {"prompt_tokens": 4, "total_tokens": 4}}
    assert judge(vectors, whole(embeddings)) == []
    assert judge(vectors, whole(embeddings | {"data": data[::-1]}))
    assert judge(vectors, whole(embeddings | {"usage": {}})) == ["prompt_tokens: given 4, got None"]
    ranking = Ranking(((1, 0.9), (0, 0.1)))
    results = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]
    assert judge(ranking, whole({"results": results, "meta": {"billed_units": {}}})) == []
    assert judge(ranking, whole({"results": results[::-1], "meta": {"x": 1}}))
    assert judge(ranking, whole({"data": results})) == ["it has no results"]
    assert judge(Count(7), whole({"input_tokens": 7}), ANTHROPIC) == []
    assert judge(Count(7), whole({"input_tokens": 8}), ANTHROPIC)


def test_ledger_must_hold_what_the_provider_says() -> None:
    used = Usage(input=10, cache_read=5, cache_write_5m=1, cache_write_1h=2, output=7, reasoning=2)
    assert judge_ledger(CHAT, used) == []
    assert judge_ledger(CHAT, used._replace(input=18))
    assert judge_ledger(CHAT, used._replace(reasoning=0))
    assert judge_ledger(Vectors((), 4), Usage(input=4)) == []
    assert judge_ledger(Vectors((), 4), Usage(input=5))


def test_what_passes_must_be_what_came() -> None:
    recorded = b'event: a\ndata: {"x": 1}\n\n: comment\n\nevent: b\ndata: {}\n\n'
    assert judge_passed(b"{ }", Answer(200, JSON, b"{ }")) == []
    assert judge_passed(b"{ }", Answer(200, JSON, b"{}"))
    assert judge_passed(recorded, Answer(200, SSE, b'event: a\ndata: {"x": 1}\n\nevent: b\ndata: {}\n\n')) == []
    assert judge_passed(recorded, Answer(200, SSE, b'event: a\ndata: {"x":1}\n\nevent: b\ndata: {}\n\n'))
    assert judge_passed(recorded, Answer(200, SSE, b'event: a\ndata: {"x": 1}\n\n'))


def anthropic_stream(*events: dict[str, Any]) -> Answer:
    lines = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events]
    return Answer(200, SSE, "".join(lines).encode())


def test_streams_in_anthropics_format_are_read_as_strictly() -> None:
    chat = Chat((Choice(("Hi",), finishes=frozenset(("stop",))),), Tokens(3, 2))
    opened = {k: v for k, v in MESSAGE.items() if k not in ("content", "stop_reason")} | {"usage": {"input_tokens": 3}}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": opened},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    assert judge(chat, anthropic_stream(*events), ANTHROPIC, is_stream=True) == []
    for left_out in range(len(events)):
        assert judge(chat, anthropic_stream(*events[:left_out], *events[left_out + 1 :]), ANTHROPIC, is_stream=True)
    told = Answer(200, SSE, anthropic_stream(*events).body.replace(b"event: content_block_stop", b"event: other"))
    assert judge(chat, told, ANTHROPIC, is_stream=True)


def test_structured_answers_are_content() -> None:
    chat = Chat((Choice((), calls=(ToolCall("shape", {"a": 1}, "t1"),), finishes=frozenset(("tool_calls",))),))
    wanted = shaped(chat, "shape").choices[0]
    assert wanted == Choice(('{"a": 1}',), finishes=frozenset(("stop",)), is_json=True)
    assert shaped(chat, "another") is chat


def test_events_are_read_however_they_are_framed() -> None:
    assert read_sse(b": c\r\n\r\nevent: e\r\ndata: 1\r\ndata:2\r\n\r\ndata: [DONE]") == [("e", "1\n2"), ("", "[DONE]")]


def test_native_streams_say_what_whole_answers_say() -> None:
    gemini = [
        {"candidates": [{"content": {"parts": [{"text": "Hm.", "thought": True}]}}]},
        {"candidates": [{"content": {"parts": [{"text": "Hel"}]}}]},
        {"candidates": [{"content": {"parts": [{"text": "lo"}]}, "finishReason": "MAX_TOKENS"}]},
    ]
    read = read_gemini_chat(stream(*gemini, done=False).body, is_stream=True)
    assert read.choices == (Choice(("Hello",), ("Hm.",), finishes=frozenset(("length",))),)
    assert read_gemini_chat(stream(*gemini[:2], done=False).body, is_stream=True).is_broken
    blocked = read_gemini_chat(b'{"promptFeedback": {"blockReason": "SAFETY"}}', is_stream=False)
    assert blocked.choices == (Choice(finishes=frozenset(("content_filter",))),)
    cohere = read_cohere_chat(b'{"message": {"tool_plan": "p"}, "finish_reason": "ERROR"}', is_stream=False)
    assert (cohere.choices[0].plan, cohere.may_fail) == ("p", True)
    bedrock = {"output": {"message": {"content": [{"toolUse": {"toolUseId": "t", "name": "n", "input": {}}}]}}}
    ended = read_bedrock_chat(json.dumps(bedrock | {"stopReason": "end_turn"}).encode(), is_stream=False)
    assert ended.choices[0].finishes == {"tool_calls"}
    openai = read_openai_chat(stream(*CHUNKS).body, is_stream=True)
    assert (openai.choices[0].calls, openai.usage) == (CHAT.choices[0].calls, CHAT.usage)
    assert read_openai_chat(stream(*CHUNKS[:5], done=False).body, is_stream=True).is_broken


def test_every_recording_is_read_and_exceptions_are_of_recordings() -> None:
    cases = read_cases(recordings.FOLDER)
    assert {case.way for case in cases} == set(Way)
    assert len({case.token for case in cases}) == len(cases)
    assert set(EXCEPTIONS) <= {case.recording.id for case in cases}
