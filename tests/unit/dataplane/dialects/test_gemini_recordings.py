"""Every recorded answer of Gemini and Vertex says in OpenAI's format what it said, however its bytes are split."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from dataplane.call import Call, Endpoint
from dataplane.dialects.base import Frame, ProviderSpec
from dataplane.dialects.gemini import GeminiDialect
from dataplane.errors import UpstreamError, UpstreamErrorKind
from dataplane.snapshot import Target
from dataplane.upstream.sse import SseDecoder
from tests.fakes.outcomes import START_TIME_US, UPSTREAM, make_call
from tests.golden.recordings import Recording, read_recordings

DIALECT = GeminiDialect()
NAMES = {"batchEmbedContents": "embeddings", "predict": "embeddings", "countTokens": "count_tokens"}
RECORDINGS = read_recordings("gemini")
GOOD = [r for r in RECORDINGS if r.status == 200]
STREAMS = [r for r in GOOD if r.body.startswith(b"data:")]
ANSWERS = [r for r in GOOD if "enerateContent" in r.api and r not in STREAMS]
ERRORS = [r for r in RECORDINGS if r.status >= 400]
FINISH = {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter", "MODEL_ARMOR": "content_filter"}
CALLS_IN_PIECES = "gemini-streamGenerateContent-0be7be76b415"
SCREENS = [("read_screen", {"id": name}, None) for name in "ABC"]


@dataclass
class Said:
    """What one choice of an answer says."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, Any, str | None]] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)
    finish: str | None = None


def call_of(recording: Recording) -> Call:
    name = NAMES.get(recording.api.rpartition(".")[2], "chat_completions")
    return make_call(endpoint=Endpoint(name, "/v1/x", "chat", True), stream=recording.is_stream)


SIGNED = ("text", "functionCall", "toolCall", "toolResponse")
"""Parts whose signatures go back to Google."""


def responses_of(recording: Recording) -> list[dict[str, Any]]:
    if not recording.body.startswith(b"data:"):
        payload = json.loads(recording.body)
        return payload if isinstance(payload, list) else [payload]
    lines = recording.body.decode().replace("\r\n", "\n").split("\n")
    return [json.loads(line[5:]) for line in lines if line.startswith("data:")]


def expected(recording: Recording) -> dict[int, Said]:
    """What the recording says, read without the dialect."""
    said: dict[int, Said] = {}
    for response in responses_of(recording):
        for position, candidate in enumerate(response["candidates"]):
            choice = said.setdefault(candidate.get("index", position), Said())
            for part in candidate.get("content", {}).get("parts", []):
                if "text" in part and part.get("thought"):
                    choice.reasoning += part["text"]
                elif "text" in part:
                    choice.text += part["text"]
                elif "functionCall" in part and "args" in part["functionCall"]:
                    call = part["functionCall"]
                    choice.calls.append((call["name"], call["args"], call.get("id")))
                if "thoughtSignature" in part and not part.keys().isdisjoint(SIGNED):
                    choice.signatures.append(part["thoughtSignature"])
            if reason := candidate.get("finishReason"):
                choice.finish = FINISH.get(reason, "stop")
    if recording.id == CALLS_IN_PIECES:
        said[0].calls = [("read_theme", {}, None), *SCREENS]
    for choice in said.values():
        choice.finish = "tool_calls" if choice.calls else choice.finish
    return said


def signature_in(detail: dict[str, Any]) -> str:
    """The signature in an entry of `reasoning_details`: alone, or in a part of a tool of Google's own."""
    data = detail["data"]
    return str(json.loads(data)["thoughtSignature"] if data.startswith("{") else data)


def said_by(choices: list[dict[str, Any]], recording: Recording) -> dict[int, Said]:
    """What whole choices in OpenAI's format say; ids that the provider gave none for come out as None."""
    given = {
        part["functionCall"]["id"]
        for response in responses_of(recording)
        for candidate in response["candidates"]
        for part in candidate.get("content", {}).get("parts", [])
        if "id" in part.get("functionCall", {})
    }
    said = {}
    for choice in choices:
        message = choice["message"]
        calls, signatures = [], [signature_in(detail) for detail in message.get("reasoning_details", [])]
        for call in message.get("tool_calls", []):
            assert call["type"] == "function"
            identity = call["id"] if call["id"] in given else None
            assert identity or call["id"].startswith("call_")
            calls.append((call["function"]["name"], json.loads(call["function"]["arguments"]), identity))
            if "extra_content" in call:
                signatures.append(call["extra_content"]["google"]["thought_signature"])
        ids = [call["id"] for call in message.get("tool_calls", [])]
        assert len(set(ids)) == len(ids)
        assert message["role"] == "assistant"
        said[choice["index"]] = Said(
            message["content"] or "", message.get("reasoning_content", ""), calls, signatures, choice["finish_reason"]
        )
    return said


def folded(frames: list[Frame]) -> dict[str, Any]:
    """Chunks put together as a client does it, in the form of a whole answer."""
    answer: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for frame in frames:
        chunk = json.loads(frame.data)
        answer |= {name: value for name, value in chunk.items() if name != "choices"}
        for part in chunk["choices"]:
            empty = {"index": part["index"], "message": {}, "logprobs": None, "finish_reason": None}
            choice = choices.setdefault(part["index"], empty)
            choice["finish_reason"] = part["finish_reason"] or choice["finish_reason"]
            for name, value in part["delta"].items():
                choice["message"][name] = choice["message"].get(name, type(value)()) + value
    for choice in choices.values():
        if "tool_calls" in choice["message"]:
            choice["message"]["content"] = choice["message"]["content"] or None
            for position, call in enumerate(choice["message"]["tool_calls"]):
                assert call.pop("index") == position
    return answer | {"object": "chat.completion", "choices": [choices[index] for index in sorted(choices)]}


def parse_stream(recording: Recording, pieces: list[bytes]) -> list[Frame]:
    decoder, parser = SseDecoder(), DIALECT.stream_parser(call_of(recording))
    frames: list[Frame] = []
    for piece in pieces:
        for event in decoder.feed(piece):
            frames += parser.feed(event)
    for event in decoder.finish():
        frames += parser.feed(event)
    return [*frames, *parser.finish()]


def split(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def check_usage(frame: Frame, shown: dict[str, Any], recording: Recording) -> None:
    """The last usage that tells tokens, in disjoint meters and with OpenAI's words."""
    reported = [response["usageMetadata"] for response in responses_of(recording)][-1]
    usage = frame.usage
    assert usage is not None
    cached, thoughts = reported.get("cachedContentTokenCount", 0), reported.get("thoughtsTokenCount", 0)
    kinds = {detail["modality"]: detail["tokenCount"] for detail in reported.get("promptTokensDetails", [])}
    prompt = reported["promptTokenCount"] + reported.get("toolUsePromptTokenCount", 0)
    completion = reported.get("candidatesTokenCount", 0) + thoughts
    assert (usage.input_tokens, usage.output_tokens) == (prompt, completion)
    assert usage.input_tokens + usage.output_tokens == reported["totalTokenCount"]
    assert (usage.cache_read, usage.reasoning) == (cached, thoughts)
    assert (usage.input_audio, usage.input_image) == (kinds.get("AUDIO", 0), kinds.get("IMAGE", 0))
    assert (shown["prompt_tokens"], shown["completion_tokens"]) == (prompt, completion)
    assert shown["total_tokens"] == reported["totalTokenCount"]
    assert shown["prompt_tokens_details"]["cached_tokens"] == cached
    assert shown["completion_tokens_details"]["reasoning_tokens"] == thoughts


@pytest.mark.parametrize("recording", ANSWERS, ids=lambda r: r.id)
def test_answer_says_what_the_provider_said(recording: Recording) -> None:
    frame = DIALECT.parse_result(call_of(recording), recording.body)
    answer = json.loads(frame.data)
    first = responses_of(recording)[0]
    assert said_by(answer["choices"], recording) == expected(recording)
    assert (answer["object"], answer["created"]) == ("chat.completion", START_TIME_US // 1_000_000)
    assert (answer["id"], answer["model"]) == (f"chatcmpl-{first['responseId']}", first["modelVersion"])
    assert frame.model == first["modelVersion"]
    check_usage(frame, answer["usage"], recording)


@pytest.mark.parametrize("recording", ANSWERS, ids=lambda r: r.id)
def test_answer_told_as_chunks_folds_to_itself(recording: Recording) -> None:
    whole = DIALECT.parse_result(call_of(recording), recording.body)
    frames = DIALECT.parse_result_chunks(call_of(recording), recording.body)
    assert folded(frames) == json.loads(whole.data)
    assert sum(frame.text_bytes for frame in frames) == whole.text_bytes


@pytest.mark.parametrize("recording", STREAMS, ids=lambda r: r.id)
def test_stream_says_what_the_provider_said(recording: Recording) -> None:
    frames = parse_stream(recording, [recording.body])
    chunks = [json.loads(frame.data) for frame in frames]
    answer = folded(frames)
    assert said_by(answer["choices"], recording) == expected(recording)
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert {(chunk["id"], chunk["object"], chunk["created"]) for chunk in chunks} == {
        (answer["id"], "chat.completion.chunk", START_TIME_US // 1_000_000)
    }
    assert all(chunk["model"] == answer["model"] for chunk in chunks)
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-2]] == [None] * (len(chunks) - 2)
    assert (chunks[-1]["choices"], frames[-1].is_usage_only) == ([], True)
    check_usage(frames[-1], chunks[-1]["usage"], recording)
    assert all(b"\n" not in frame.data for frame in frames)


@pytest.mark.parametrize("recording", STREAMS, ids=lambda r: r.id)
def test_stream_folds_to_the_answer_of_the_same_responses(recording: Recording) -> None:
    whole = DIALECT.parse_result(call_of(recording), json.dumps(responses_of(recording)).encode())
    assert folded(parse_stream(recording, [recording.body])) == json.loads(whole.data)


@pytest.mark.parametrize("recording", STREAMS, ids=lambda r: r.id)
def test_stream_parses_alike_however_it_is_split(recording: Recording) -> None:
    whole = parse_stream(recording, [recording.body])
    assert parse_stream(recording, split(recording.body, 7)) == whole
    if len(recording.body) < 3000:
        assert parse_stream(recording, split(recording.body, 1)) == whole


@pytest.mark.parametrize("recording", STREAMS, ids=lambda r: r.id)
def test_stream_that_is_cut_off_is_broken(recording: Recording) -> None:
    """Without its last event no stream has a finishReason; half an event is not JSON."""
    last = recording.body.rstrip().rfind(b"data:")
    for end in (last, last + 40):
        with pytest.raises(UpstreamError) as caught:
            parse_stream(recording, [recording.body[:end]])
        assert caught.value.kind is UpstreamErrorKind.PROTOCOL


def test_integer_finish_reasons_of_grpc() -> None:
    body = b'{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":%d}]}'
    numbers = (1, 2, 3, 10, 11, 12, 13, 14, 99, 0)
    finished = [json.loads(DIALECT.parse_result(make_call(), body % number).data) for number in numbers]
    assert [answer["choices"][0]["finish_reason"] for answer in finished] == [
        *("stop", "length", *["content_filter"] * 5, "stop", "stop", "stop")
    ]


@pytest.mark.parametrize("recording", ERRORS, ids=lambda r: r.id)
def test_error_keeps_the_providers_words(recording: Recording) -> None:
    error = DIALECT.parse_error(recording.status, recording.headers, recording.body)
    reported = json.loads(recording.body)["error"]
    assert (error.status, error.message) == (recording.status, reported["message"][:2000])
    kinds = {401: UpstreamErrorKind.AUTH, 429: UpstreamErrorKind.RATE_LIMITED}
    is_bad_key = "API_KEY_INVALID" in recording.body.decode()
    assert error.kind is (UpstreamErrorKind.AUTH if is_bad_key else kinds.get(error.status, UpstreamErrorKind.INVALID))
    assert (error.code == "model_not_found") == (recording.status == 404)


@pytest.mark.parametrize("recording", [r for r in GOOD if "embed" in r.api.lower()], ids=lambda r: r.id)
def test_embeddings_keep_their_numbers(recording: Recording) -> None:
    payload = json.loads(recording.body)
    frame = DIALECT.parse_result(call_of(recording), recording.body)
    answer = json.loads(frame.data)
    assert [item["embedding"] for item in answer["data"]] == [item["values"] for item in payload["embeddings"]]
    tokens = payload.get("usageMetadata", {}).get("promptTokenCount")
    assert (frame.usage and frame.usage.input) == tokens
    assert answer["usage"] == {"prompt_tokens": tokens or 0, "total_tokens": tokens or 0}


@pytest.mark.parametrize("recording", [r for r in GOOD if "countTokens" in r.api], ids=lambda r: r.id)
def test_counts_are_answered(recording: Recording) -> None:
    frame = DIALECT.parse_result(call_of(recording), recording.body)
    assert json.loads(frame.data) == {"input_tokens": json.loads(recording.body)["totalTokens"]}


def test_every_recording_is_seen() -> None:
    others = [r for r in GOOD if r.api.rpartition(".")[2] in NAMES]
    assert len(STREAMS) + len(ANSWERS) + len(ERRORS) + len(others) == len(RECORDINGS)


@pytest.mark.parametrize("recording", ANSWERS, ids=lambda r: r.id)
def test_answer_that_comes_back_in_history_is_what_the_provider_said(recording: Recording) -> None:
    """Calls with their arguments, and the signature of each part that has one, as they were."""
    answer = json.loads(DIALECT.parse_result(call_of(recording), recording.body).data)
    said = [choice["message"] for choice in answer["choices"]][:1]
    provider = ProviderSpec("gemini", "gemini", {"chat_completions": "/models/{model}:generateContent"})
    has_own_tools = b'"toolCall"' in recording.body
    tools = [{"googleSearch": {}}, {"type": "function", "function": {"name": "f"}}] if has_own_tools else []
    history = make_call(body={"messages": [{"role": "user", "content": "Hi"}, *said], "tools": tools})
    model = "gemini-3-flash-preview" if has_own_tools else "gemini-2.5-flash"
    sent = json.loads(DIALECT.render_request(history, Target(UPSTREAM, model), provider).body)
    parts = [part for content in sent["contents"][1:] for part in content["parts"]]
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    told = expected(recording)[0]
    assert [(call["name"], call["args"]) for call in calls] == [(name, args) for name, args, _ in told.calls]
    assert [part["thoughtSignature"] for part in parts if "thoughtSignature" in part] == told.signatures
    assert "".join(part.get("text", "") for part in parts) == told.text
