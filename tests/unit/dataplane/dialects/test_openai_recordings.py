"""Every recorded answer in OpenAI's format parses, and streams parse alike however their bytes are split."""

import json

import pytest

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


@pytest.mark.parametrize("recording", STREAMS, ids=lambda r: r.id)
def test_stream_passes_every_chunk(recording: Recording) -> None:
    frames, ended = parse_stream([recording.body])
    sent = [
        json.loads(line.removeprefix("data:").strip())
        for line in recording.body.decode().replace("\r\n", "\n").split("\n")
        if line.startswith("data:") and "[DONE]" not in line
    ]
    passed = [json.loads(frame.data) for frame in frames]
    if ended:
        assert any("error" in chunk for chunk in sent), "only a stream that carries an error may fail"
        assert passed == sent[: len(passed)]
    else:
        assert passed == sent


@pytest.mark.parametrize("recording", STREAMS, ids=lambda r: r.id)
def test_stream_parses_alike_however_it_is_split(recording: Recording) -> None:
    whole = parse_stream([recording.body])
    step = max(1, len(recording.body) // 400)
    for at in range(1, len(recording.body), step):
        assert parse_stream([recording.body[:at], recording.body[at:]]) == whole
    for size in (1, 7):
        pieces = [recording.body[i : i + size] for i in range(0, len(recording.body), size)]
        assert parse_stream(pieces) == whole


@pytest.mark.parametrize("recording", RESULTS, ids=lambda r: r.id)
def test_result_passes_as_it_came_and_usage_adds_up(recording: Recording) -> None:
    payload = json.loads(recording.body)
    frame = DIALECT.parse_result(make_call(endpoint=ENDPOINTS[0]), recording.body)
    assert frame.data == recording.body
    reported = payload.get("usage") or {}
    if "prompt_tokens" in reported:
        assert frame.usage is not None
        assert frame.usage.input_tokens == reported["prompt_tokens"]
        if "total_tokens" in reported:
            assert frame.usage.input_tokens + frame.usage.output_tokens == reported["total_tokens"]


@pytest.mark.parametrize("recording", ERRORS, ids=lambda r: r.id)
def test_error_keeps_the_providers_words(recording: Recording) -> None:
    error = DIALECT.parse_error(recording.status, recording.headers, recording.body)
    assert error.status == recording.status
    assert error.message
    payload = json.loads(recording.body) if recording.body.startswith((b"{", b"[")) else {}
    said = payload.get("error") if isinstance(payload, dict) else None
    if isinstance(said, dict) and said.get("message"):
        assert error.message == said["message"][:2000]


def test_error_under_a_good_status_is_one() -> None:
    recording = next(r for r in RECORDINGS if r.id == ERROR_WITH_200)
    with pytest.raises(UpstreamError) as caught:
        DIALECT.parse_result(make_call(endpoint=ENDPOINTS[0]), recording.body)
    assert (caught.value.kind.value, caught.value.status, caught.value.code) == ("invalid", 400, "content_filter")
