"""Every recorded answer in OpenAI's format comes out as OpenAI's, however its bytes are split.

What is OpenAI's already passes as the bytes that came. The rest is worked out here from the recording alone.
"""

import json
from typing import Any

import orjson
import pytest

from dataplane.call import Call
from dataplane.dialects.base import Frame
from dataplane.dialects.catalog import DIALECTS
from dataplane.errors import UpstreamError
from dataplane.ingress.openai import ENDPOINTS
from dataplane.upstream.sse import SseDecoder
from tests.fakes.outcomes import make_call
from tests.golden.recordings import Recording, read_recordings

DIALECT = DIALECTS["openai"]
RECORDINGS = read_recordings()
GOOD = [r for r in RECORDINGS if r.status == 200]
STREAMS = [r for r in GOOD if r.is_stream]
ERROR_WITH_200 = "azure_openai-chat-3b0e483397af"
RESULTS = [r for r in GOOD if not r.is_stream and r.id != ERROR_WITH_200]
ERRORS = [r for r in RECORDINGS if r.status >= 400]
FINISHES = {"stop", "length", "tool_calls", "content_filter", "function_call"}
OBJECTS = {"chat.completion.chunk", "text_completion"}
ENVELOPE = {"id": str, "object": str, "created": int, "model": str}


def asked(recording: Recording) -> Call:
    """The call that is answered by `recording`."""
    names = ("completions", "embeddings")
    return make_call(
        endpoint=ENDPOINTS[next((at for at, name in enumerate(names, 1) if f"-{name}-" in recording.id), 0)]
    )


def parse_stream(pieces: list[bytes]) -> tuple[list[Frame], str]:
    """Frames of a stream that arrives in `pieces`, and how it ended: "" or the error's kind."""
    decoder, parser = SseDecoder(), DIALECT.stream_parser(make_call(endpoint=ENDPOINTS[0]))
    frames: list[Frame] = []
    try:
        for piece in pieces:
            for event in decoder.feed(piece):
                frames += parser.feed(event)
        for event in decoder.finish():
            frames += parser.feed(event)
        frames += parser.finish()
    except UpstreamError as error:
        return frames, error.kind.value
    return frames, ""


def sent_chunks(recording: Recording) -> list[bytes]:
    lines = recording.body.decode().replace("\r\n", "\n").split("\n")
    data = [line.removeprefix("data:").strip() for line in lines if line.startswith("data:")]
    return [line.encode() for line in data if line != "[DONE]"]


def is_aside(chunk: dict[str, Any]) -> bool:
    """Whether it holds nothing of the answer, and no name of its own: what Azure says of the prompt."""
    return not chunk.get("choices") and not chunk.get("usage") and not chunk.get("id")


def texts(message: dict[str, Any]) -> tuple[str, str]:
    """The text and the reasoning in a message or a delta, wherever the provider puts them."""
    content = message.get("content")
    text = content if isinstance(content, str) else ""
    if isinstance(content, dict):
        text = orjson.dumps(content).decode()
    thinking = ""
    for part in content if isinstance(content, list) else []:
        text += part["text"] if part["type"] == "text" else ""
        thinking += "".join(piece["text"] for piece in part["thinking"]) if part["type"] == "thinking" else ""
    details = "".join(detail.get("text") or "" for detail in message.get("reasoning_details") or [])
    return text, message.get("reasoning_content") or message.get("reasoning") or details or thinking


def expected_usage(usage: dict[str, Any]) -> dict[str, int]:
    """Meters of OpenAI's usage object, from any provider's; sound may come on top of the prompt."""
    completion = usage.get("completion_tokens") or 0
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    total = usage["total_tokens"]
    prompt = usage.get("prompt_tokens", total)
    details = usage.get("prompt_tokens_details") or {}
    if reasoning and total == prompt + completion + reasoning:
        completion += reasoning
    cached = details.get("cached_tokens") or 0
    for name in ("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens"):
        cached = cached or usage.get(name) or 0
    return {"prompt": prompt, "completion": completion, "cached": cached, "reasoning": reasoning}


def shown_usage(usage: dict[str, Any]) -> dict[str, int]:
    return {
        "prompt": usage["prompt_tokens"],
        "completion": usage.get("completion_tokens") or 0,
        "cached": (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
        "reasoning": (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0,
    }


def metered(frame: Frame) -> dict[str, int]:
    assert frame.usage is not None
    return {
        "prompt": frame.usage.input_tokens,
        "completion": frame.usage.output_tokens,
        "cached": frame.usage.cache_read,
        "reasoning": frame.usage.reasoning,
    }


def is_openais(answer: dict[str, Any], messages: list[dict[str, Any]]) -> bool:
    """Whether OpenAI could have written it: then it must pass as it came."""
    usage = answer.get("usage")
    return (
        all(isinstance(answer.get(name), kind) and answer.get(name) != "" for name, kind in ENVELOPE.items())
        and all(choice.get("finish_reason") in {None, *FINISHES} for choice in answer["choices"])
        and not any(isinstance(message.get("content"), list | dict) for message in messages)
        and not any(texts(message)[1] != (message.get("reasoning_content") or "") for message in messages)
        and all("type" in call for m in messages for call in m.get("tool_calls") or [] if call.get("id"))
        and (not usage or shown_usage(usage) == expected_usage(usage))
    )


def fold_calls(deltas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tool calls of one choice, in order of their index."""
    calls: dict[int, dict[str, Any]] = {}
    for delta in deltas:
        for call in delta.get("tool_calls") or []:
            folded = calls.setdefault(call["index"], {"id": "", "name": "", "arguments": ""})
            folded["id"] = folded["id"] or call.get("id") or ""
            function = call.get("function") or {}
            folded["name"] = folded["name"] or function.get("name") or ""
            folded["arguments"] += function.get("arguments") or ""
    return [calls[index] for index in sorted(calls)]


def deltas_by_choice(chunks: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            found.setdefault(choice["index"], []).append(choice.get("delta") or {"content": choice.get("text")})
    return found


@pytest.mark.parametrize("recording", STREAMS, ids=lambda r: r.id)
def test_stream_comes_out_as_openais(recording: Recording) -> None:
    sent = [orjson.loads(data) for data in sent_chunks(recording)]
    frames, ended = parse_stream([recording.body])
    if ended:
        assert any("error" in chunk for chunk in sent), "only a stream that carries an error may fail"
        sent = sent[: len(frames)]
    sent = [chunk for chunk in sent if not is_aside(chunk)]
    passed = [orjson.loads(frame.data) for frame in frames]
    for chunk in passed:
        assert all(isinstance(chunk[name], kind) and chunk[name] != "" for name, kind in ENVELOPE.items())
    came, went = deltas_by_choice(sent), deltas_by_choice(passed)
    assert came.keys() == went.keys()
    for index, deltas in went.items():
        assert "content" not in deltas[0] or deltas[0].get("role", "assistant") == "assistant"
        text, reasoning = ("".join(parts) for parts in zip(*map(texts, came[index]), strict=True))
        assert "".join(delta.get("content") or "" for delta in deltas) == text
        assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == reasoning
        assert fold_calls(deltas) == fold_calls(came[index])
        said = [c.get("finish_reason") for chunk in passed for c in chunk["choices"] if c["index"] == index]
        assert set(said) <= {None, *FINISHES}
        assert any(said) or ended


@pytest.mark.parametrize("recording", STREAMS, ids=lambda r: r.id)
def test_chunk_that_is_openais_passes_as_it_came(recording: Recording) -> None:
    frames, _ = parse_stream([recording.body])
    chunks = [(data, orjson.loads(data)) for data in sent_chunks(recording)]
    sent = [data for data, chunk in chunks if not is_aside(chunk) and "error" not in chunk]
    begun: set[int] = set()
    first = not is_aside(orjson.loads(sent_chunks(recording)[0]))
    for data, frame in zip(sent, frames, strict=False):
        chunk, passed = orjson.loads(data), orjson.loads(frame.data)
        deltas = [choice["delta"] for choice in chunk["choices"] if "delta" in choice]
        news = [c for c in chunk["choices"] if "delta" in c and c["index"] not in begun]
        begun |= {choice["index"] for choice in chunk["choices"]}
        has_roles = all(choice["delta"].get("role") for choice in news)
        assert passed["object"] in OBJECTS
        if is_openais(chunk, deltas) and has_roles and first and chunk["object"] in OBJECTS:
            assert frame.data == data
        first = True
        kept = {name: value for name, value in chunk.items() if name not in (*ENVELOPE, "choices", "usage")}
        assert kept.items() <= {name: passed.get(name) for name in kept}.items()
        assert all(passed[name] == chunk[name] for name in ENVELOPE if chunk.get(name) and name != "object")


@pytest.mark.parametrize("recording", STREAMS, ids=lambda r: r.id)
def test_stream_meters_and_shows_what_the_provider_reported(recording: Recording) -> None:
    sent = [orjson.loads(data) for data in sent_chunks(recording)]
    reports = [chunk["usage"] for chunk in sent if chunk.get("usage")]
    frames = [frame for frame in parse_stream([recording.body])[0] if frame.usage is not None]
    for usage, frame in zip(reports, frames, strict=True):
        expected = expected_usage(usage)
        assert shown_usage(orjson.loads(frame.data)["usage"]) == expected
        sound = (usage["total_tokens"] or 0) - expected["prompt"] - expected["completion"]
        known = (usage.get("prompt_tokens_details") or {}).get("audio_tokens")
        prompt = expected["prompt"] + (sound if sound == known else 0)
        reasoning = min(expected["reasoning"], expected["completion"])
        assert metered(frame) == {**expected, "prompt": prompt, "reasoning": reasoning}


@pytest.mark.parametrize("recording", STREAMS, ids=lambda r: r.id)
def test_stream_parses_alike_however_it_is_split(recording: Recording) -> None:
    whole = parse_stream([recording.body])
    step = max(1, len(recording.body) // 50)
    for at in range(1, len(recording.body), step):
        assert parse_stream([recording.body[:at], recording.body[at:]]) == whole
    for size in (1, 7):
        pieces = [recording.body[i : i + size] for i in range(0, len(recording.body), size)]
        assert parse_stream(pieces) == whole


@pytest.mark.parametrize("recording", RESULTS, ids=lambda r: r.id)
def test_result_comes_out_as_openais(recording: Recording) -> None:
    came = orjson.loads(recording.body)
    frame = DIALECT.parse_result(asked(recording), recording.body)
    went = orjson.loads(frame.data)
    usage = came.get("usage")
    if usage:
        assert metered(frame) == shown_usage(went["usage"]) == expected_usage(usage)
    if "choices" not in came:
        assert {**went, "usage": None} == {**came, "usage": None} or not usage
        assert frame.data == recording.body or shown_usage({"prompt_tokens": 0, **usage}) != expected_usage(usage)
        return
    assert all(isinstance(went[name], kind) and went[name] != "" for name, kind in ENVELOPE.items())
    for before, after in zip(came["choices"], went["choices"], strict=True):
        assert after["finish_reason"] in FINISHES
        message, mended = before.get("message") or {}, after.get("message") or {}
        assert (mended.get("content") or "", mended.get("reasoning_content") or "") == texts(message)
        assert mended.get("tool_calls") == message.get("tool_calls")
    if is_openais(came, [choice.get("message") or {} for choice in came["choices"]]):
        assert frame.data == recording.body


@pytest.mark.parametrize("recording", [r for r in RESULTS if "choices" in json.loads(r.body)], ids=lambda r: r.id)
def test_result_told_as_chunks_says_the_same(recording: Recording) -> None:
    call = make_call(endpoint=ENDPOINTS[0])
    whole = orjson.loads(DIALECT.parse_result(call, recording.body).data)
    chunks = [orjson.loads(frame.data) for frame in DIALECT.parse_result_chunks(call, recording.body)]
    for index, deltas in deltas_by_choice(chunks).items():
        message = whole["choices"][index].get("message") or {"content": whole["choices"][index].get("text")}
        assert "".join(delta.get("content") or "" for delta in deltas) == (message.get("content") or "")
        assert "".join(d.get("reasoning_content") or "" for d in deltas) == (message.get("reasoning_content") or "")
        calls = [{"id": c["id"], **c["function"]} for c in message.get("tool_calls") or []]
        assert fold_calls(deltas) == calls


@pytest.mark.parametrize("recording", ERRORS, ids=lambda r: r.id)
def test_error_keeps_the_providers_words(recording: Recording) -> None:
    error = DIALECT.parse_error(recording.status, recording.headers, recording.body)
    assert error.status == recording.status
    assert error.message
    payload = json.loads(recording.body) if recording.body.startswith((b"{", b"[")) else {}
    said = payload.get("error") if isinstance(payload, dict) else None
    if isinstance(said, dict) and said.get("message"):
        assert error.message.startswith(said["message"][:2000])


def test_error_under_a_good_status_is_one() -> None:
    recording = next(r for r in RECORDINGS if r.id == ERROR_WITH_200)
    with pytest.raises(UpstreamError) as caught:
        DIALECT.parse_result(make_call(endpoint=ENDPOINTS[0]), recording.body)
    assert (caught.value.kind.value, caught.value.status, caught.value.code) == ("invalid", 400, "content_filter")
